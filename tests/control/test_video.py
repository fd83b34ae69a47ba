"""A film shows the policy as it is evaluated: the actions of the film are those of the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers.commands import run_main
from helpers.environments import Corridor
from PIL import Image

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.control.policy import Policy
from rlnut.control.video import FILMED, record
from rlnut.errors import UsageError

SHORT: dict[str, Any] = {"steps": 64, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
DEEP: dict[str, Any] = {"learning_starts": 32, "hidden": (8,), "batch": 8, "replay": 100}


class Drawn(gym.Env):
    """Twelve steps of random observations; notes what it is given, and draws a picture of its own for each step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    played: list[Any] = []  # noqa: RUF012

    def __init__(self, actions: str = "two", render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        kinds: dict[str, spaces.Space] = {
            "two": spaces.Discrete(2),
            "box": spaces.Box(-1, 1, (2,), np.float32),
            "numbers": spaces.MultiDiscrete([2, 3]),
            "bits": spaces.MultiBinary(3),
        }
        self.action_space = kinds[actions]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.played.append(np.array(action).tolist())
        return self._obs(), 0.0, self.count == 12, False, {}

    def render(self) -> np.ndarray:
        return np.full((8, 8, 3), 20 * self.count, np.uint8)


class DrawnCorridor(Corridor):
    """The corridor, drawn."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, told: str = "info", render_mode: str | None = None) -> None:
        super().__init__(told)
        self.render_mode = render_mode

    def render(self) -> np.ndarray:
        return np.full((8, 8, 3), 40 * self.place, np.uint8)


for name, kind in (("Drawn", Drawn), ("DrawnCorridor", DrawnCorridor)):
    entry: Any = kind
    gym.register(f"test/{name}-v0", entry)


def played(act: Any) -> list[Any]:
    Drawn.played.clear()
    act()
    return Drawn.played.copy()


@pytest.mark.parametrize("actions", ["two", "box", "numbers", "bits"])
@pytest.mark.parametrize("agent", ["dqn", "drqn"])
def test_the_film_is_the_evaluation(agent: str, actions: str, tmp_path: Path) -> None:
    """From the run's folder, with its bins and its memory; the episode is the first of evaluation number 0."""
    config = AGENTS[agent](**{k: v for k, v in DEEP.items() if k in AGENTS[agent].__dataclass_fields__})
    training = SHORT | ({"bins": 5} if actions == "box" else {})
    if agent == "dqn":
        training |= {"normalise": True}
    run = rlnut.train(config, gym.make("test/Drawn-v0", actions=actions), out=tmp_path / "run", **training)
    policy = rlnut.load_policy(tmp_path / "run")
    filmed = played(lambda: record(policy, tmp_path / "a.gif", 7))
    assert filmed == played(lambda: run.policy.evaluate(1, 7, number=FILMED)) and len(filmed) == 12
    with Image.open(tmp_path / "a.gif") as film:
        assert getattr(film, "n_frames", 1) == 13


def test_memory_matters_in_the_film(tmp_path: Path) -> None:
    """A recurrent policy that is asked without its memory plays otherwise: the film has the memory."""
    config = AGENTS["drqn"](**{k: v for k, v in DEEP.items() if k in AGENTS["drqn"].__dataclass_fields__})
    run = rlnut.train(config, "test/Drawn-v0", **SHORT)
    seeds = range(10)
    filmed = [played(lambda k=k: record(run.policy, tmp_path / f"{k}.gif", k)) for k in seeds]
    with_memory = [played(lambda k=k: run.policy.evaluate(1, k, number=FILMED)) for k in seeds]
    forgetful = Policy(run.policy.agent, run.policy.spec, run.policy.params, run.policy.env)
    remember = forgetful.player.act
    forgetful.player = forgetful.player._replace(act=lambda carry, look: remember(forgetful.agent.carry(1), look))
    without = [played(lambda k=k: forgetful.evaluate(1, k, number=FILMED)) for k in seeds]
    assert filmed == with_memory != without


@pytest.mark.parametrize("told", ["info", "observation", "action_masks"])
def test_masks_are_obeyed_in_the_film(told: str, tmp_path: Path) -> None:
    """The corridor raises where a forbidden action is played."""
    run = rlnut.train(rlnut.DQN(**DEEP), gym.make("test/DrawnCorridor-v0", told=told), **SHORT)
    assert record(run.policy, tmp_path / "a.gif", 0) == 6


def test_functions_are_filmed_if_they_draw(tmp_path: Path) -> None:
    run = rlnut.train(rlnut.DQN(**DEEP), lambda: Drawn(render_mode="rgb_array"), **SHORT)
    assert record(run.policy, tmp_path / "a.gif", 0) == 13
    run = rlnut.train(rlnut.DQN(**DEEP), Drawn, **SHORT)
    with pytest.raises(UsageError, match="draws no pictures: pass a function"):
        record(run.policy, tmp_path / "b.gif", 0)
    assert not (tmp_path / "b.gif").exists()


def test_box_actions_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--steps=64", "--learning-starts=32", "--final-episodes=1", "--eval-episodes=1", "--hidden=8", "--bins=5"]
    assert run_main(capsys, "train", "dqn", "test/Drawn-v0", "--env-arg=actions=box", *words, "--out=run")[0] == 0
    status, _, err = run_main(capsys, "evaluate", "run", "--episodes=1", "--video=run.gif")
    assert status == 0 and "13 frames in run.gif" in err
