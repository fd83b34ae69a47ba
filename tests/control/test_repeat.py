"""A run is repeated from its config.json: the same bytes, or what is changed and what is not as it was is reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.commands import SHORT, contents, run_main, spoiled

import rlnut
from rlnut import DQN, RlnutError, UsageError
from rlnut.agents.offline_settings import FQI
from rlnut.agents.online_settings import SARSA
from rlnut.agents.pqn_settings import PQN
from rlnut.control.recipe import CONFIG, POLICY, Recipe
from rlnut.control.repeat import repetition
from rlnut.runtime.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("shared_programs")
COURSE: dict[str, Any] = {"steps": 96, "eval_every": 48, "eval_episodes": 1, "final_episodes": 1, "log_every": 32}
TINY = DQN(hidden=(4,), batch=4, replay=50, learning_starts=16)


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("metrics.csv", POLICY))


def tables(folder: Path) -> str:
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1
    np.savez(folder / "mine.npz", P=P, R=np.ones((2, 2)))
    return str(folder / "mine.npz")


RUNS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "found by playing": (SARSA(features="fourier:1"), "CartPole-v1", {}),  # bounds of features
    "normalised, a schedule": (TINY.replace(schedule="linear"), "rlnut/ProbeObs-v0", {"normalise": True}),
    "native": (PQN(hidden=(4,)), "rlnut/ProbeBoth-v0", {"native": True, "num_envs": 4}),
    "offline": (FQI(iterations=3), "rlnut/ProbeBoth-v0", {"num_envs": 2}),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_same_bytes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config, env, more = RUNS[name]
    rlnut.train(config, env, seed=3, out=tmp_path / "a", quiet=True, **COURSE, **more)
    capsys.readouterr()
    rlnut.repeat(tmp_path / "a" / CONFIG, out=tmp_path / "b")
    said = capsys.readouterr().err
    assert same(tmp_path / "a", tmp_path / "b") and "the same bytes as in" in said and "are as recorded" in said
    assert read_json(tmp_path / "a" / CONFIG) == read_json(tmp_path / "b" / CONFIG)


def test_what_python_gave_is_given_again(tmp_path: Path):
    """Wrappers, a network, an environment for evaluations: what no file holds is asked for."""

    def wrapped() -> gym.Env:
        return gym.wrappers.TransformReward(gym.make("rlnut/ProbeBoth-v0"), lambda r: 2 * float(r))

    given: dict[str, Any] = {"env": wrapped, "network": rlnut.mlp((4,)), "eval_env": lambda: wrapped()}
    rlnut.train(TINY, out=tmp_path / "a", quiet=True, callbacks=[print_nothing], **given, **COURSE)
    found = read_json(tmp_path / "a" / CONFIG)
    assert found["callbacks"] == [f"{__name__}:print_nothing"] and found["eval_env"] == {}
    assert any(name.startswith(f"code of {__name__}"[8:]) for name in found["code"])
    for name in given:
        with pytest.raises(UsageError, match=f"{name}="):
            rlnut.repeat(tmp_path / "a", quiet=True, **{k: v for k, v in given.items() if k != name})
    rlnut.repeat(tmp_path / "a", out=tmp_path / "b", quiet=True, **given)
    assert same(tmp_path / "a", tmp_path / "b")


def print_nothing(look: object) -> None:
    """A callback."""


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeat")
    env = gym.make("rlnut/Tabular-v0", source=tables(folder), max_episode_steps=10)
    rlnut.train(TINY, env, seed=2, out=folder / "run", quiet=True, **COURSE)
    return folder / "run"


def test_tables_in_a_file_and_a_changed_one(walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = Path(read_json(walk / CONFIG)["env"]["kwargs"]["source"])
    before = source.read_bytes()
    try:
        with np.load(source) as found:
            np.savez(source, P=found["P"], R=2 * found["R"])
        rlnut.repeat(walk, out=tmp_path / "b", steps=64)
    finally:
        source.write_bytes(before)
    said = capsys.readouterr().err
    assert f"not as recorded: code of {source}" in said and "changed: steps 96 → 64" in said


def test_the_command_line(walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = str(shutil.copy(walk / CONFIG, tmp_path / "kept.json"))  # a file alone, of any name
    words = ["train", f"--config={config}", "--json"]
    status, out, err = run_main(capsys, *words, f"--out={tmp_path / 'b'}")
    answer = json.loads(out)
    assert status == 0 and same(walk, tmp_path / "b") and answer["seed"] == 2
    assert answer["repeats"] == {"config": config, "changed": {}, "differs": {}, "same": None}
    status, out, err = run_main(capsys, "train", "--config", str(walk), "--json", "--out", str(tmp_path / "c"))
    assert json.loads(out)["repeats"]["same"] is True and "the same bytes as in" in err
    more = [
        "dqn",
        "rlnut/ProbeBoth-v0",
        "--lr=0.01",
        "--seed=5",
        "--steps=64",
        "--batch=4",
        f"--out={tmp_path / 'd'}",
    ]
    status, out, err = run_main(capsys, *words, *more)
    assert set(json.loads(out)["repeats"]["changed"]) == {"lr", "seed", "steps", "env"}
    for line in ("lr 0.001 → 0.01", "seed 2 → 5", "steps 96 → 64", "→ rlnut/ProbeBoth-v0"):
        assert f"changed: {line}" in err or line in err
    found = read_json(tmp_path / "d" / CONFIG)
    assert (found["config"]["lr"], found["seed"], found["env"]["id"]) == (0.01, 5, "rlnut/ProbeBoth-v0")
    assert found["config"]["hidden"] == [4]


def test_several_seeds(walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", f"--config={walk}", "--seeds=2", "--jobs=1", "--json", f"--out={tmp_path / 's'}"]
    status, out, err = run_main(capsys, *words)
    assert status == 0 and json.loads(out)["seeds"] == [2, 3] and "with 2 seeds from 2 on" in err
    assert json.loads(out)["repeats"] == read_json(tmp_path / "s" / "summary.json")["repeats"]
    assert json.loads(out)["repeats"] == {"config": str(walk / CONFIG), "changed": {}, "differs": {}}
    assert same(walk, tmp_path / "s" / "seed2") and not same(walk, tmp_path / "s" / "seed3")


def test_what_followed_from_a_setting_follows_anew(walk: Path, tmp_path: Path):
    """A schedule over the whole run is longer where the run is; what has no meaning any more is left out."""
    folder = Path(shutil.copytree(walk, tmp_path / "a"))
    found = read_json(folder / CONFIG)
    config = found["config"] | {"schedule": "linear", "lr_updates": 20}
    write_json(folder / CONFIG, found | {"config": config, "asked": {"config": {"lr_updates": None}}})
    one = repetition(Recipe(folder), {}, {"steps": 192})
    assert isinstance(one.config, DQN) and one.config.lr_updates is None and one.changed == {"steps": (96, 192)}
    write_json(folder / CONFIG, found | {"config": config})
    one = repetition(Recipe(folder), {"schedule": "constant"}, {})
    assert one.changed == {"schedule": ("linear", "constant"), "lr_updates": (20, None)}


def test_a_run_of_an_earlier_version_and_of_other_versions(walk: Path, tmp_path: Path):
    folder = Path(shutil.copytree(walk, tmp_path / "old"))
    found = read_json(folder / CONFIG)
    earlier = {k: v for k, v in found.items() if k not in ("versions", "machine", "code", "git", "asked")}
    write_json(folder / CONFIG, earlier | {"versions": {"jax": "0.1.0", "numpy": np.__version__, "backend": "cpu"}})
    one = repetition(Recipe(folder), {}, {})
    assert set(one.differs) == {"jax"} and one.differs["jax"].before == "0.1.0" and not one.exact
    assert "recorded no checksums of code" in one.lines()[-1]
    write_json(folder / CONFIG, found | {"code": found["code"] | {"rlnut": "0" * 16}, "versions": {"jax": "\x1b[2J"}})
    one = repetition(Recipe(folder), {}, {})
    assert set(one.differs) == {"jax", "code of rlnut"} and "\x1b" not in "".join(one.lines())
    rlnut.load_policy(folder)  # what is recorded of the place does not belong to the identity of the run
    assert rlnut.resume(folder, 128, quiet=True).steps == 128


@pytest.mark.parametrize(
    "words, said",
    [
        ("--config", "--config: expected one argument"),
        ("--config=nowhere", "there is no such file, and no such run folder"),
        ("--config=RUN --no-preset", "--no-preset has no effect with --config"),
        ("--config=RUN --lrr=1", "unknown option '--lrr'. Did you mean --lr"),
        ("--config=RUN sarsa", "agent= is sarsa"),
        ("--config=RUN Nothing-v0", "unknown environment 'Nothing-v0'"),
        ("--config=RUN dqn rlnut/ProbeBoth-v0 more", "unexpected argument 'more'"),
        ("--config=RUN --lr=-1", "lr must be > 0"),
        ("dqn CartPole-v1 --trust", "--trust has no effect without --config"),
    ],
)
def test_wrong_words_beside_a_config(words: str, said: str, walk: Path, capsys: pytest.CaptureFixture[str]):
    status, out, err = run_main(capsys, "train", *words.replace("RUN", str(walk)).split())
    assert status in (1, 2) and out == "" and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "evil:attack"},
        {"env": {"id": "evil:Evil-v0", "kwargs": {}}},
        {"env": {"id": "rlnut/Tabular-v0", "kwargs": {"source": "evil:attack"}}},
        {"eval_env": {"id": "evil:Evil-v0", "kwargs": {}}},
        {"asked": {"config": {"evil": 1}}},
        {"asked": ["evil:attack"]},
        {"versions": ["evil"], "code": "evil:attack", "git": {"rlnut": 3}, "env": {"id": "evil:Evil-v0", "kwargs": {}}},
    ],
    ids=str,
)
def test_nothing_that_a_config_names_is_run(
    changes: dict[str, Any], walk: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('PWNED', 'w').close()\ndef attack(*args, **kwargs): pass\n")
    folder = spoiled(walk, tmp_path, changes)
    before = contents(tmp_path)
    status, out, err = run_main(capsys, "train", f"--config={folder / CONFIG}", "--steps=64", "--env-arg=size=3")
    assert status in (1, 2) and out == "" and err.splitlines()[-1].startswith("rlnut: "), err
    with pytest.raises(RlnutError):
        rlnut.repeat(folder, out="again", quiet=True)
    assert contents(tmp_path) == before


def test_a_name_that_is_no_option_is_refused(walk: Path):
    with pytest.raises(UsageError, match=r"unknown option of dqn 'gama'. Did you mean gamma"):
        rlnut.repeat(walk, gama=0.5)


@pytest.mark.slow
def test_env_arguments_change_the_recorded_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", "dqn", "FrozenLake-v1", *SHORT, "--env-arg=is_slippery=false", f"--out={tmp_path / 'a'}"]
    assert run_main(capsys, *words)[0] == 0
    more = ["--env-arg=max_episode_steps=7", "--steps=64", f"--out={tmp_path / 'b'}"]
    status, _, err = run_main(capsys, "train", f"--config={tmp_path / 'a'}", *more)
    assert status == 0 and read_json(tmp_path / "b" / CONFIG)["env"]["kwargs"] == {
        "is_slippery": False,
        "max_episode_steps": 7,
    }
    assert "(is_slippery=False) → FrozenLake-v1(is_slippery=False, max_episode_steps=7)" in err


def test_help_shows_what_is_recorded(walk: Path, capsys: pytest.CaptureFixture[str]):
    status, out, _ = run_main(capsys, "train", f"--config={walk}", "--help")
    assert status == 0 and "options of dqn, as recorded" in out and "(default: 96)" in " ".join(out.split())
