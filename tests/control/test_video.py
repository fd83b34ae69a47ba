"""A film shows the policy as it is evaluated: the actions of the film are those of the evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers.commands import run_main
from helpers.environments import Corridor
from helpers.policies import untrained
from PIL import Image

from rlnut.control.policy import Policy
from rlnut.control.video import Recorder, record
from rlnut.control.video_panel import Scene
from rlnut.errors import UsageError

pytestmark = pytest.mark.usefixtures("shared_programs")


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


@pytest.mark.parametrize(
    ("agent", "actions"),
    [*(("dqn", kind) for kind in ("two", "box", "numbers", "bits", "decoupled")), ("drqn", "bits")],
)
def test_the_film_is_the_evaluation(agent: str, actions: str, tmp_path: Path) -> None:
    """With its bins and its memory; episodes one after the other, in any number of those that are evaluated."""
    courses: dict[str, dict[str, Any]] = {"box": {"bins": 5}, "decoupled": {"actions": "decoupled"}}
    course = courses.get(actions, {})
    env = gym.make("test/Drawn-v0", actions="numbers" if actions == "decoupled" else actions)
    policy = untrained(env, agent, **course, **({"normalise": True} if agent == "dqn" else {}))
    whole = policy.evaluate(3, 7)
    film = record(policy, tmp_path / "a.gif", 7, episodes=2, evaluated=3)
    assert film.evaluation.returns == whole.returns[:2] and film.frames == sum(whole.lengths[:2]) + 2
    filmed = played(lambda: record(policy, tmp_path / "b.gif", 7))
    assert filmed == played(lambda: policy.evaluate(1, 7)) and len(filmed) == 12
    with Image.open(tmp_path / "a.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 26 and gif.info["duration"] == 100


def test_memory_matters_in_the_film(tmp_path: Path) -> None:
    """A recurrent policy that is asked without its memory plays otherwise: the film has the memory."""
    policy = untrained("test/Drawn-v0", "drqn", scale=3.0)
    filmed = played(lambda: record(policy, tmp_path / "a.gif", 0, episodes=2))
    assert filmed == played(lambda: [policy.evaluate(1, 0), record(policy, tmp_path / "b.gif", 0, 2)])[12:]
    forgetful = Policy(policy.agent, policy.spec, policy.params, policy.env)
    remember = forgetful.player.act
    forgetful.player = forgetful.player._replace(act=lambda carry, look: remember(forgetful.agent.carry(1), look))
    without = [one for k in range(2) for one in played(lambda k=k: forgetful.evaluate(1, k))]
    with_memory = [one for k in range(2) for one in played(lambda k=k: policy.evaluate(1, k))]
    assert without != with_memory
    one_by_one = [one for k in range(2) for one in played(lambda k=k: record(policy, tmp_path / f"{k}.gif", k))]
    assert one_by_one == with_memory


@pytest.mark.parametrize("told", ["info", "observation", "action_masks"])
def test_masks_are_obeyed_in_the_film(told: str, tmp_path: Path) -> None:
    """The corridor raises where a forbidden action is played."""
    film = record(untrained(gym.make("test/DrawnCorridor-v0", told=told)), tmp_path / "a.gif", 0)
    assert film.frames == 6 and film.evaluation.returns == [-5]


def test_functions_are_filmed_if_they_draw(tmp_path: Path) -> None:
    assert record(untrained(lambda: Drawn(render_mode="rgb_array")), tmp_path / "a.gif", 0).frames == 13
    with pytest.raises(UsageError, match=r"draws no pictures .*: pass a function"):
        record(untrained(Drawn), tmp_path / "b.gif", 0)
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif"):
        record(untrained("test/Drawn-v0"), tmp_path / "b.avi", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_environments_without_pictures_name_what_they_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cliff-v0.* draws no pictures: .*rgb_array, and it has ansi"):
        record(untrained("rlnut/Cliff-v0"), tmp_path / "a.gif", 0)


def test_an_episode_without_an_end_is_given_up_in_the_film(tmp_path: Path) -> None:
    class Endless(Drawn):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:2], False, False, {}

    shown: list[Scene] = []
    recorder = Recorder(Endless(render_mode="rgb_array"), shown.append)
    recorder.reset(seed=0)
    recorder.decided(np.array([1.0, 2.0]), np.array(1), None)
    recorder.step(1)
    recorder.reset(seed=1)
    assert [one.step for one in shown] == [0, 1] and shown[1].ending.startswith("stopped")
    assert shown[0].values is not None and shown[0].values.tolist() == [[1, 2]] and shown[1].values is None


def test_nothing_is_said_of_screens_that_are_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
        monkeypatch.delenv(name, raising=False)
    film = record(untrained("CartPole-v1"), tmp_path / "a.gif", 0)
    assert capfd.readouterr() == ("", "") and "SDL_VIDEODRIVER" not in os.environ
    assert film.frames == film.evaluation.lengths[0] + 1


def test_films_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--steps=64", "--learning-starts=32", "--final-episodes=1", "--eval-episodes=1", "--hidden=8", "--bins=5"]
    assert run_main(capsys, "train", "dqn", "test/Drawn-v0", "--env-arg=actions=box", *words, "--out=run")[0] == 0
    status, out, err = run_main(
        capsys, "evaluate", "run", "--episodes=2", "--video=run.gif", "--video-episodes=2", "--json"
    )
    assert status == 0 and "26 frames in run.gif: returns 0, 0" in err and '"video": "run.gif"' in out
    for wrong, said in ((["--video=run.avi"], ".mp4 or .gif file"), (["--video-episodes=2"], "no effect without"),
                        (["--video=a.gif", "--video-episodes=0"], ">= 1")):  # fmt: skip
        status, _, err = run_main(capsys, "evaluate", "run", "--episodes=1", *wrong)
        assert status == 2 and said in err
