"""A run folder of a stranger is data: nothing that it names is imported, called or written, unless it is trusted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.commands import contents, run_main, spoiled

import rlnut
from rlnut import DQN, UsageError
from rlnut.control.recipe import CONFIG
from rlnut.envs.make import EnvName
from rlnut.envs.probes import ProbeEnv
from rlnut.runtime.files import read_json

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT: dict[str, Any] = {"steps": 96, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
TINY = DQN(hidden=(4,), batch=4, replay=50, learning_starts=16)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small problem of ours, whose episodes are short even where a policy never arrives."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    rlnut.train(TINY, EnvName("rlnut/RandomWalk5-v0", {"max_episode_steps": 30}), out=folder, **SHORT)
    return folder


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a victim, with a module that leaves a trace when it is imported or called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(
        "open('PWNED', 'w').close()\n"
        "import gymnasium\n"
        "def attack(*args, **kwargs): open('PWNED', 'w').close()\n"
        "gymnasium.register('Evil-v0', 'evil:attack')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


HOSTILE: list[dict[str, Any]] = [
    {"env": {"id": "rlnut/Tabular-v0", "kwargs": {"source": "os:system", "command": "touch PWNED"}}},
    {"env": {"id": "rlnut/RandomWalk5-v0", "kwargs": {"source": "evil:attack"}}},
    {"env": {"id": "rlnut/RandomWalk5-v0", "kwargs": {"source": ["evil:attack"]}}},
    {"env": {"id": "rlnut/RandomWalk5-v0", "kwargs": {"source": {"evil:attack": 1}}}},
    {"env": {"id": "rlnut/Tabular-v0", "kwargs": {"source": "evil:attack\n"}}},
    {"env": {"id": "rlnut/Tabular-v0", "kwargs": {"source": "evil"}}},
    {"env": {"id": "evil:Evil-v0", "kwargs": {}}},
    {"env": {"id": "evil:rlnut/RandomWalk5-v0", "kwargs": {}}},
    {"env": {"id": "Evil-v0", "kwargs": {}}},
    {"env": {"id": "GymV26Environment-v0", "kwargs": {"env_id": "evil:Evil-v0"}}},
    {"env": {"id": "CartPole-v1", "kwargs": {"id": "evil:Evil-v0"}}},
    {"env": {"id": "CartPole-v1", "kwargs": {"entry_point": "evil:attack"}}},
    {"agent": "evil:attack"},
    {"agent": "evil:Agent"},
    {"agent": "os:system"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=[json.dumps(change)[:60] for change in HOSTILE])
def test_nothing_that_a_folder_names_is_run(
    changes: dict[str, Any], walk: Path, evil: Path, capsys: pytest.CaptureFixture[str]
):
    folder = spoiled(walk, evil, changes)
    before = contents(evil)
    policy = ["predict", "td0", "rlnut/RandomWalk5-v0", "--gamma=0.9", "--steps=50"]
    commands = [["evaluate", str(folder)], ["resume", str(folder), "--steps=200"], [*policy, f"--policy={folder}"]]
    for words in commands:
        status, out, err = run_main(capsys, *words)
        if words[0] == "predict" and status == 0:  # q(s, ·) needs no environment: only an agent is refused there
            assert set(changes) == {"env"}
            continue
        assert status in (1, 2) and out == "" and err.splitlines()[-1].startswith("rlnut: "), err
    with pytest.raises(rlnut.RlnutError):
        rlnut.load_policy(folder).evaluate(1)
    with pytest.raises(rlnut.RlnutError):
        rlnut.resume(folder, 200, quiet=True)
    assert contents(evil) == before and "evil" not in sys.modules and "Evil-v0" not in gym.registry


def test_no_window_is_opened_because_a_file_says_so(walk: Path, evil: Path):
    kwargs = {
        "max_episode_steps": 30,
        "render_mode": "human",
        "vectorization_mode": "async",
        "num_envs": 3,
        "vector_kwargs": {},
    }
    folder = spoiled(walk, evil, {"env": {"id": "rlnut/RandomWalk5-v0", "kwargs": kwargs}})
    policy = rlnut.load_policy(folder)
    assert isinstance(policy.env, EnvName)
    made = policy.env.make()
    assert made.render_mode is None
    assert len(policy.evaluate(2).returns) == 2


def test_a_trusted_folder_may_name_a_module(walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_of_mine.py").write_text(
        "import gymnasium\nfrom rlnut.envs.walks import random_walk\n"
        "gymnasium.register('Lab-v0', 'rlnut.envs.tabular:Tabular', max_episode_steps=30,\n"
        "    kwargs={'source': random_walk(5)})\n"
    )
    folder = spoiled(walk, tmp_path, {"env": {"id": "lab_of_mine:Lab-v0", "kwargs": {}}})
    status, _, err = run_main(capsys, "evaluate", str(folder), "--episodes=2")
    assert status == 2 and "--env" in err and "--trust" in err and "lab_of_mine" not in sys.modules
    try:
        for words in (["--trust"], ["--env=lab_of_mine:Lab-v0"], ["--env=rlnut/RandomWalk5-v0"]):
            assert run_main(capsys, "evaluate", str(folder), "--episodes=1", *words)[0] == 0
        assert run_main(capsys, "resume", str(folder), "--steps=120", "--trust")[0] == 0
        words = ["predict", "td0", "rlnut/RandomWalk5-v0", "--gamma=0.9", "--steps=50", f"--policy={folder}"]
        assert run_main(capsys, *words, "--trust")[0] == 0
        assert rlnut.load_policy(folder, trust=True).q(2).shape == (2,)
    finally:
        gym.registry.pop("Lab-v0", None)
        sys.modules.pop("lab_of_mine", None)


def test_problems_of_ours_and_tables_in_files_need_no_trust(tmp_path: Path):
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1
    np.savez(tmp_path / "mine.npz", P=P, R=np.ones((2, 2)))
    env = gym.make("rlnut/Tabular-v0", source=str(tmp_path / "mine.npz"), max_episode_steps=10)
    run = rlnut.train(TINY, env, out=tmp_path / "run", **SHORT)
    assert rlnut.load_policy(tmp_path / "run").evaluate(2).returns == run.policy.evaluate(2).returns
    assert rlnut.resume(tmp_path / "run", 120, quiet=True).steps >= 120


def test_an_environment_without_a_name_is_given_again(tmp_path: Path):
    rlnut.train(TINY, lambda: ProbeEnv("Both"), out=tmp_path / "run", **SHORT)
    with pytest.raises(UsageError, match="which is not stored in the folder: pass it"):
        rlnut.resume(tmp_path / "run", 120)
    assert rlnut.resume(tmp_path / "run", 120, env=lambda: ProbeEnv("Both"), quiet=True).steps >= 120


class Mine(DQN):
    """An agent of a user's own."""


def test_a_subclass_trains_is_saved_evaluated_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "run"
    mine = Mine(hidden=(4,), batch=4, replay=50, learning_starts=16)
    run = rlnut.train(mine, "rlnut/ProbeObs-v0", out=folder, **SHORT)
    assert read_json(folder / CONFIG)["agent"] == f"{__name__}:Mine"
    for given in (Mine, mine):
        np.testing.assert_array_equal(rlnut.load_policy(folder, agent=given).q([1.0]), run.q([1.0]))
    np.testing.assert_array_equal(rlnut.load_policy(folder, trust=True).q([1.0]), run.q([1.0]))
    np.testing.assert_allclose(rlnut.load_policy(folder).q([1.0]), run.q([1.0]), rtol=1e-6)
    with pytest.raises(UsageError, match="nothing is imported from a file"):
        rlnut.load_policy(folder).evaluate(1)
    with pytest.raises(UsageError, match=r"was made with the agent .*:Mine, agent= is dqn"):
        rlnut.load_policy(folder, agent=DQN)
    assert run_main(capsys, "evaluate", str(folder))[0] == 2
    assert rlnut.resume(folder, 120, agent=Mine, quiet=True).steps >= 120
