"""Bounds that no space gives: found by playing, saved with the run, the same on the host and compiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers.commands import contents, run_main

import rlnut
from rlnut import RlnutError
from rlnut.agents.observation_features import reach
from rlnut.agents.offline_settings import FQI
from rlnut.agents.online_settings import QLearning
from rlnut.control import experience
from rlnut.control.run_folder import CONFIG
from rlnut.envs.make import maker
from rlnut.envs.transitions import collect
from rlnut.envs.vector import host_vector
from rlnut.runtime.files import read_json

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT: dict[str, Any] = {"steps": 300, "eval_every": 100, "eval_episodes": 1, "final_episodes": 1, "quiet": True}


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["config"]


def test_the_box_is_found_said_saved_and_the_same_when_compiled(capsys, tmp_path: Path) -> None:
    words = (
        "q-learning",
        "CartPole-v1",
        "--seed",
        "5",
        "--steps",
        "200",
        "--eval-episodes",
        "1",
        "--final-episodes",
        "1",
    )
    _, _, said = run_main(capsys, "train", *words, "--out", str(tmp_path / "host"))
    (line,) = (line for line in said.splitlines() if line.strip().startswith("box"))
    assert "found from 2,000 steps of a uniform policy: --low=-4.8," in line
    found = config_of(tmp_path / "host")
    assert found["low"][0] == -4.8 and found["high"][0] == 4.8  # bounds of the space stay
    assert all(x < -1 for x in found["low"][1::2]) and all(x > 1 for x in found["high"][1::2])
    run_main(capsys, "train", *words, "--native", "--out", str(tmp_path / "native"))
    assert config_of(tmp_path / "native") == found
    options = [word for word in line.split() if word.startswith("--")]
    _, _, said = run_main(capsys, "train", *words, *options, "--out", str(tmp_path / "given"))
    assert "found from" not in said
    same = ("policy.safetensors", "metrics.csv")
    assert [(tmp_path / "given" / x).read_bytes() for x in same] == [(tmp_path / "host" / x).read_bytes() for x in same]


def test_the_box_is_that_of_a_uniform_policy(tmp_path: Path) -> None:
    run = rlnut.train("q-learning", "CartPole-v1", seed=3, out=tmp_path / "run", **SHORT)
    found = config_of(tmp_path / "run")
    other = collect(host_vector(maker("CartPole-v1"), 1), 2_000, 77)  # other episodes, of the same policy
    corners = reach(np.concatenate([other["obs"], other["next_obs"]]))
    for given, expected in zip((found["low"], found["high"]), corners, strict=True):
        np.testing.assert_allclose(np.array(given)[[1, 3]], expected[[1, 3]], rtol=0.35)
    assert run.q([9.0, 99.0, 0.0, -99.0]).shape == (2,)  # far outside: as at the edge


def test_a_run_goes_on_exactly_and_is_evaluated_without_looking_again(monkeypatch, tmp_path: Path) -> None:
    rlnut.train("sarsa-lambda", "CartPole-v1", seed=1, out=tmp_path / "long", **SHORT | {"steps": 600})
    rlnut.train("sarsa-lambda", "CartPole-v1", seed=1, out=tmp_path / "part", **SHORT)
    first = config_of(tmp_path / "part")

    def never(*_: object) -> None:
        raise AssertionError("it was played")

    monkeypatch.setattr(experience, "collect", never)
    rlnut.resume(tmp_path / "part", steps=600, quiet=True)
    assert config_of(tmp_path / "part") == config_of(tmp_path / "long") == first
    assert rlnut.load_policy(tmp_path / "part").evaluate(1).mean > 0
    a, b = contents(tmp_path / "part"), contents(tmp_path / "long")
    changed = {name for name in a if a[name] != b[name]}
    assert changed <= {"summary.json", "checkpoint-before.safetensors", CONFIG}  # how long it was first planned
    assert "asked" in read_json(tmp_path / "long" / CONFIG) and "asked" not in read_json(tmp_path / "part" / CONFIG)


class Parts(gym.Env):
    """A walk without bounds, seen in two parts; the reward is its second place."""

    observation_space = spaces.Dict({"a": spaces.Box(-np.inf, np.inf, (2,)), "b": spaces.Discrete(2)})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.place = np.array([1000.0, 0.0], np.float32)
        return {"a": self.place.copy(), "b": 0}, {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        self.place += np.array([self.np_random.normal(), 2 * action - 1], np.float32)
        seen = {"a": self.place.copy(), "b": int(action)}
        return seen, float(self.place[1]), False, bool(abs(self.place[1]) > 9), {}


@pytest.mark.parametrize("agent", ["q-learning", "fqi"])
def test_parts_and_a_function_and_vector_environments_have_boxes_too(agent: str, tmp_path: Path) -> None:
    course = SHORT | {"steps": 200}
    config = FQI(features="rbf:2", iterations=2) if agent == "fqi" else QLearning(features="tiles:2,2")
    rlnut.train(config, Parts, out=tmp_path / "parts", **course)
    found = config_of(tmp_path / "parts")
    assert 900 < found["low"][0] < 1000 < found["high"][0] < 1100  # around where it begins
    assert (found["low"][2], found["high"][2]) == (0, 1)  # of the Discrete part
    many = gym.vector.SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2)
    rlnut.train(config, many, eval_env="CartPole-v1", out=tmp_path / "many", **course)
    assert len(config_of(tmp_path / "many")["low"]) == 4


class Failing(Parts):
    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        raise ValueError("a wheel came off")


def test_an_environment_that_fails_is_named() -> None:
    with pytest.raises(RlnutError, match=r"Failing: step.* raised ValueError: a wheel came off"):
        rlnut.train(QLearning(), Failing, **SHORT)


def test_what_has_not_converged_says_so(capsys, tmp_path: Path) -> None:
    """FQI comes nearer to its fixed point by γ in every iteration; LSPI has it when a policy repeats."""
    for name, agent, said in (("a", "fqi", True), ("b", "lspi", False)):
        words = f"{agent} MountainCar-v0 --steps 500 --features tiles:1,3 --iterations 15 --final-episodes 1"
        _, _, text = run_main(capsys, "train", *words.split(), "--out", str(tmp_path / name))
        assert ("not converged: weights still changed by" in text) == said
        assert "found from" not in text


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["fqi", "lspi"])
def test_a_batch_of_chance_balances_the_pole(agent: str) -> None:
    run = rlnut.train(agent, "CartPole-v1", seed=0, quiet=True)
    assert run.evaluation.mean >= 195


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["q-learning", "sarsa", "expected-sarsa", "double-q"])
def test_defaults_balance_the_pole(agent: str) -> None:
    assert rlnut.train(agent, "CartPole-v1", seed=0, quiet=True, native=True).evaluation.mean >= 195


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["sarsa-lambda", "watkins", "peng", "tree-backup", "retrace"])
def test_defaults_with_traces_balance_the_pole_for_long(agent: str) -> None:
    assert rlnut.train(agent, "CartPole-v1", seed=0, quiet=True, native=True).evaluation.mean >= 400


def test_a_short_run_learns_in_a_box_that_was_found() -> None:
    """10,000 steps of Q-learning: a uniform policy has 22, and one that only leans has 40."""
    course: dict[str, Any] = {
        "steps": 10_000,
        "eval_every": 2_500,
        "eval_episodes": 5,
        "final_episodes": 10,
        "log_every": 2_500,
    }
    assert rlnut.train("q-learning", "CartPole-v1", seed=0, quiet=True, native=True, **course).evaluation.mean > 100
