"""The file of a sweep: which runs it means, and one line for what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlnut.errors import UsageError
from rlnut.sweeps.run import check_jobs, setup_of
from rlnut.sweeps.spec import SweepSpec, read_spec

HEAD = 'agents = ["dqn", "pqn"]\nenvs = ["CartPole-v1", "rlnut/RandomWalk-v0"]\n'


def written(folder: Path, text: str, first_seed: int = 0) -> SweepSpec:
    (folder / "lr.toml").write_text(text)
    return read_spec(folder / "lr.toml", first_seed)


def test_a_file_means_every_combination_in_its_order(tmp_path: Path):
    """By hand: 2 environments × (dqn: 2 × 2, pqn: 2 settings) × 2 seeds."""
    text = HEAD + "seeds = 2\n[settings]\nsteps = 100\nlearning-rate = 0.1\n[grid]\ngamma = [0.9, 1]\n"
    text += (
        '[agent.dqn]\nlr = 0.2\n[agent.dqn.grid]\nhidden = [[64, 64], []]\n[env."CartPole-v1"]\nmax_episode_steps = 9\n'
    )
    jobs = written(tmp_path, text, first_seed=5).jobs()
    assert len(jobs) == 2 * (2 * 2 + 2) * 2
    first, last = jobs[0], jobs[-1]
    assert (first.agent, first.env, first.seed, first.preset) == ("dqn", "CartPole-v1", 5, True)
    assert first.options == {
        "steps": 100,
        "lr": 0.2,
        "gamma": 0.9,
        "hidden": [64, 64],
    }  # its own lr, and all in its names
    assert first.env_arguments == {"max_episode_steps": 9}
    assert first.folder == "dqn-CartPole-v1/gamma=0.9,hidden=64,64/seed5"
    assert [job.seed for job in jobs[:3]] == [5, 6, 5]
    assert last.options == {"steps": 100, "lr": 0.1, "gamma": 1} and last.env_arguments == {}
    assert last.folder == "pqn-rlnut-RandomWalk-v0/gamma=1/seed6"
    found = setup_of(first)
    assert (found.config.lr, found.config.hidden, found.settings.steps) == (0.2, (64, 64), 100)  # type: ignore[attr-defined]
    assert found.env.kwargs == {"max_episode_steps": 9}


def test_a_file_without_a_grid_has_a_folder_for_each_seed(tmp_path: Path):
    text = 'agents = ["dqn"]\nenvs = ["CartPole-v1"]\nseeds = [7, 3]\npreset = false\n'
    assert [job.folder for job in written(tmp_path, text).jobs()] == ["dqn-CartPole-v1/seed7", "dqn-CartPole-v1/seed3"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("agents = [", "cannot be read as TOML"),
        ('envs = ["CartPole-v1"]', 'agents is missing: a list of names, as in agents = \\["…"\\]'),
        ('agents = "dqn"\nenvs = ["CartPole-v1"]', 'agents must be a list of names, got "dqn"'),
        ('agents = ["dqn", "dqn"]\nenvs = ["CartPole-v1"]', 'agents has "dqn" twice'),
        ('agents = ["dqm"]\nenvs = ["CartPole-v1"]', "unknown agent 'dqm'. Did you mean dqn"),
        (HEAD + "seed = 3", "unknown key 'seed'. Did you mean seeds"),
        (HEAD + "seeds = 0", "seeds must be a whole number >= 1"),
        (HEAD + "seeds = [1, 1]", "seeds has 1 twice"),
        (HEAD + "seeds = []", "seeds is an empty list"),
        (HEAD + "preset = 1", "preset must be true or false, got 1"),
        (HEAD + "settings = 3", r"settings must be a table, \[settings\], got 3"),
        (HEAD + "[settings]\nlrr = 1", r"\[settings\]: unknown dqn option 'lrr'. Did you mean lr"),
        (HEAD + "[settings]\nreplay = 9", r"\[settings\]: unknown pqn option 'replay'.*only some agents have"),
        (HEAD + "[settings]\nlr = 1\nlearning_rate = 2", "learning_rate is another name of lr: give one of them"),
        (HEAD + "[settings]\nlr = 1\n[grid]\nlr = [2]", "lr of dqn is given twice"),
        (HEAD + "[grid]\nlr = [1]\n[agent.pqn]\nlr = 2", "lr of pqn is given twice"),
        (HEAD + "[grid]\nlr = [1]\n[agent.pqn.grid]\nlr = [2]", "lr of pqn is given twice"),
        (HEAD + "[grid]\nlr = 0.1", r"lr in \[grid\] must be a list of the values to try, got 0.1"),
        (HEAD + "[grid]\nlr = [0.1, 0.10]", r"lr in \[grid\] has 0.1 twice"),
        (HEAD + "[settings]\nlr=1\n[agent.dqn]\nlr=2\n[agent.pqn]\nlr=3", r"lr in \[settings\] has no effect"),
        (HEAD + "[agent.c51]\nlr = 2", r"\[agent.c51\] has no effect: agents has no 'c51', only dqn, pqn"),
        (HEAD + '[env."Acrobot-v1"]\na = 2', r"\[env.Acrobot-v1\] has no effect: envs has no 'Acrobot-v1'"),
        (HEAD + "[agent.dqn]\nlrr = 2", r"\[agent.dqn\]: unknown dqn option 'lrr'"),
        (HEAD + "seeds = 100000\n[grid]\nlr = [1, 2]", "it has 800,000 runs; at most 100,000 are allowed"),
        (HEAD + "[grid]\nlr = [1, 1.0]\n", r"lr in \[grid\] has 1 twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_line(text: str, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message) as error:
        written(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "lr.toml")) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[settings]\nlr = -1", "dqn on CartPole-v1: lr must be > 0, got -1"),
        ('[settings]\nsteps = "many"', "steps must be of type int, got 'many'"),
        ("[settings]\nsteps = 2026-01-01", "steps must be of type int"),
        ("[agent.dqn]\nquantiles = 5", "unknown dqn option|no effect here"),
        ("[agent.dqn.grid]\nhuber = [0.5]", "unknown dqn option|no effect here"),
        ('[env."CartPole-v1"]\nsize = 3', "unknown argument of CartPole-v1 'size'"),
    ],
)
def test_invalid_settings_and_environments_are_reported_before_anything_is_run(text: str, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        check_jobs(written(tmp_path, HEAD + text))


def test_seeds_that_are_named_have_no_first_one(tmp_path: Path):
    with pytest.raises(UsageError, match="--seed has no effect where seeds is a list"):
        written(tmp_path, HEAD + "seeds = [1]", first_seed=2)
