"""Environments that say that they stack frames: found by their wrappers, checked in each step, and learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from safetensors.numpy import save_file

import rlnut
from rlnut import RlnutError
from rlnut.control.plan import environments
from rlnut.control.settings import RunSettings
from rlnut.envs.frame_stacks import frame_stack
from rlnut.envs.spaces import read_spaces
from rlnut.learner.spec import FrameStack
from rlnut.runtime import arrays
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("shared_programs")
SIDE = 8


class Dot(gym.Env):
    """A dot in 8 × 8 grey pixels that moves left or right; episodes end at a wall, or by their time limit."""

    observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.y = int(self.np_random.integers(2, 6)), int(self.np_random.integers(SIDE))
        return self.picture(), {}

    def picture(self) -> np.ndarray:
        found = self.np_random.integers(0, 20, (SIDE, SIDE)).astype(np.uint8)
        found[self.y, self.x] = 255
        return found

    def step(self, action: Any) -> Any:
        self.x += 1 if action == 1 else -1
        return self.picture(), float(self.x == 7), self.x in (0, 7), False, {}


def stacked(k: int = 4, padding: Any = "reset") -> gym.Env:
    return wrappers.FrameStackObservation(wrappers.TimeLimit(Dot(), 9), k, padding_type=padding)


def found(env: gym.Env | gym.vector.VectorEnv) -> tuple[FrameStack | None, str]:
    return frame_stack(env, read_spaces(env))


def test_stacks_are_found_by_their_wrapper() -> None:
    own = np.full((SIDE, SIDE), 7, np.uint8)
    assert found(stacked()) == (FrameStack(4), "")
    assert found(stacked(3, "zero")) == (FrameStack(3, bytes(64)), "")
    assert found(stacked(2, own)) == (FrameStack(2, own.tobytes()), "")
    assert found(wrappers.RecordEpisodeStatistics(wrappers.TransformReward(stacked(), float))) == (FrameStack(4), "")
    assert found(gym.vector.SyncVectorEnv([stacked] * 2)) == (FrameStack(4), "")
    assert found(Dot()) == found(stacked(1)) == (None, "")


def test_what_may_change_a_stack_is_named() -> None:
    stack, why = found(wrappers.RepeatAction(stacked(), 2))
    assert stack is None and why.startswith("RepeatAction is around FrameStackObservation")
    shown: gym.Env = wrappers.RescaleObservation(stacked(), np.uint8(0), np.uint8(9))
    assert found(shown)[1].startswith("RescaleObservation is around")


def go(make: Any, out: Path | None, stacks: Any = "once", steps: int = 300, **options: Any) -> Any:
    config = rlnut.DQN(hidden=(8,), replay=120, batch=8, learning_starts=40, train_every=4, gradient_steps=2)
    course: dict[str, Any] = {"eval_every": 200, "eval_episodes": 1, "final_episodes": 1, "num_envs": 2, "quiet": True}
    return rlnut.train(config.replace(**options), make, steps=steps, out=out, stacks=stacks, **course)


@pytest.mark.parametrize(("padding", "options"), [("reset", {}), ("zero", {"prioritised": True})])
def test_weights_are_those_of_whole_stacks(padding: str, options: dict[str, Any], tmp_path: Path) -> None:
    for stacks in ("once", "whole"):
        go(lambda: stacked(padding=padding), tmp_path / stacks, stacks, **options)
    once, whole = (read_arrays(tmp_path / name / "checkpoint.safetensors").arrays for name in ("once", "whole"))
    shared = [name for name in whole if ".obs" not in name or "memory" not in name]
    assert len(shared) > 20 and [n for n in shared if once[n].tobytes() != whole[n].tobytes()] == []
    assert (tmp_path / "once" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    frames = [array for name, array in once.items() if name.endswith(".obs.frame")]
    assert [array.shape for array in frames] == [(65, 2, SIDE, SIDE)]  # 61 rows and 4 more for the oldest stack


def test_a_run_with_frames_goes_on_as_if_it_had_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGE", 64)  # bytes: memories without the rows that are not in use yet
    go(stacked, tmp_path / "whole")
    go(stacked, tmp_path / "part", steps=150)
    rlnut.resume(tmp_path / "part", steps=300, env=stacked, quiet=True)
    for name in ("checkpoint.safetensors", "policy.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "part" / name).read_bytes(), name


def test_a_folder_of_an_earlier_version_goes_on_with_whole_stacks(tmp_path: Path) -> None:
    go(stacked, tmp_path / "run", "whole")
    found = read_json(tmp_path / "run" / "config.json")
    del found["training"]["stacks"]
    for path in (tmp_path / "run").glob("*.safetensors"):
        stored = read_arrays(path)
        save_file(stored.arrays, path, {"meta": json.dumps({k: v for k, v in stored.meta.items() if k != "run"})})
    write_json(tmp_path / "run" / "config.json", found)
    assert rlnut.resume(tmp_path / "run", steps=340, env=stacked, quiet=True).steps == 340


class Faulty(wrappers.FrameStackObservation):
    """It says that it stacks frames, and at some point it does not."""

    def __init__(self, at: str) -> None:
        super().__init__(Dot(), 3)
        self.at = at

    def reset(self, **given: Any) -> Any:
        obs, info = super().reset(**given)
        return (np.stack([obs[0], 255 - obs[0], obs[0]]) if self.at == "reset" else obs), info

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return (np.zeros_like(obs) if self.at == "step" and rest[1] else obs), *rest


@pytest.mark.parametrize(("at", "said"), [("step", "a step returned a stack"), ("reset", "an episode begins")])
def test_what_is_no_stack_is_refused_with_a_way_out(at: str, said: str) -> None:
    with pytest.raises(RlnutError, match=rf"{said}.*--stacks whole") as caught:
        go(lambda: Faulty(at), None)
    assert "\n" not in str(caught.value)
    assert go(lambda: Faulty(at), None, "whole").steps == 300


def test_a_vector_environment_of_ones_own_keeps_frames_once_where_it_tells() -> None:
    for mode in gym.vector.AutoresetMode:
        envs = gym.vector.SyncVectorEnv([stacked] * 2, autoreset_mode=mode)
        config = rlnut.DQN(hidden=(8,), replay=120, batch=8, learning_starts=40)
        rlnut.train(config, envs, steps=120, eval_episodes=1, final_episodes=1, eval_env=stacked, quiet=True)
    assert environments(gym.vector.SyncVectorEnv([stacked] * 2), RunSettings()).spec.observed.stack == FrameStack(4)


def test_the_plan_says_what_a_replay_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    stacks: Any
    for stacks, line in (
        ("once", "122 frames of 8 × 8 uint8, each once"),
        ("whole", "122 observations of 4 × 8 × 8 uint8"),
    ):
        config = rlnut.DQN(hidden=(8,), replay=120, learning_starts=10)
        rlnut.train(config, stacked, steps=16, num_envs=2, eval_episodes=1, final_episodes=1, stacks=stacks)
        assert line in capsys.readouterr().err
