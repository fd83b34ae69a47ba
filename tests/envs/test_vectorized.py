"""Gymnasium's vector environments by name of their mode: the same learning, and workers that die or hang."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlnut
from rlnut.envs import vectorized as module
from rlnut.envs.vector import GymVector
from rlnut.envs.vectorized import WorkerProcesses, vectorized
from rlnut.errors import RlnutError, UsageError

COURSE: dict[str, Any] = {"steps": 240, "num_envs": 2, "eval_every": 240, "log_every": 120, "final_episodes": 1}
SMALL = rlnut.DQN(hidden=(4,), batch=8, replay=200, learning_starts=40)


class Mortal(gym.Env):
    """Counts its steps; at the step `at` it does something terrible, in a worker process only."""

    observation_space = gym.spaces.Box(0, 1000, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, deed: str = "", at: int = 30) -> None:
        self.deed, self.at, self.total, self.parent = deed, at, 0, os.getppid()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self.time += 1
        self.total += 1
        if self.total == self.at:
            if self.deed == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.deed == "hang":
                time.sleep(60)
        return np.array([self.time], np.float32), 1.0, self.time == 10, False, {}


def test_all_modes_step_the_same_episodes():
    """Actions 0, 1, 0, 1, … from one seed: observations of N environments, also where episodes end."""
    found = {}
    for mode in ("sync", "async"):
        vector = GymVector(vectorized("CartPole-v1", 2, mode))
        try:
            rows = [vector.reset(3)]
            for t in range(40):
                step = vector.step(np.array([t % 2, t % 3 > 0], np.int32))
                assert step.valid.all()
                rows += [step.obs, step.next_obs]
            found[mode] = np.stack(rows)
        finally:
            vector.close()
    np.testing.assert_array_equal(found["sync"], found["async"])


def test_the_vector_version_is_the_registered_one():
    env = vectorized("CartPole-v1", 3, "vector_entry_point")
    assert type(env).__name__ == "CartPoleVectorEnv" and env.num_envs == 3
    env.close()


@pytest.mark.parametrize("mode", [pytest.param("sync", marks=pytest.mark.slow), "vector_entry_point"])
def test_a_run_learns_and_goes_on(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    course = COURSE | {"vectorization_mode": mode, "out": tmp_path / "run", "quiet": True}
    run = rlnut.train(SMALL, "CartPole-v1", **course)
    assert run.steps >= 240
    on = rlnut.resume(tmp_path / "run", steps=480, quiet=True)
    assert on.steps >= 480 and "continues with new episodes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        ("die", r"the process of environment 0 ended with SIGKILL"),
        pytest.param("hang", r"step\(\) of environment 0, 1 takes longer", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_dies_or_hangs_ends_the_run_with_what_was_learned(
    deed: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PATIENCE", 8.0)
    monkeypatch.setattr(module, "ENDING", 0.5)
    course = COURSE | {"out": tmp_path / "run", "vectorization_mode": "async", "quiet": True}
    with pytest.raises(RlnutError, match=text) as caught:
        rlnut.train(SMALL, partial(Mortal, deed), eval_env=Mortal, **course)
    assert "continues from step" in str(caught.value) and caught.value.learned is not None


def test_a_worker_that_dies_is_named_with_its_environment():
    env = vectorized("CartPole-v1", 2, "async")
    assert isinstance(env, WorkerProcesses)
    env.reset(seed=0)
    env.processes[1].kill()
    with pytest.raises(RlnutError, match=r"^CartPole-v1: the process of environment 1 ended with SIGKILL during step"):
        env.step(np.zeros(2, np.int64))
    env.close()


def test_workers_know_what_was_registered_here():
    """Registered by a script, which the workers do not run."""
    gym.register("Registered-v0", lambda **kwargs: Mortal(**kwargs), max_episode_steps=7)
    try:
        vector = GymVector(vectorized("Registered-v0", 1, "async"))
        vector.reset(0)
        ends = [bool(vector.step(np.zeros(1, np.int32)).truncated[0]) for _ in range(8)]
        vector.close()
        assert ends == [False] * 6 + [True, False]
    finally:
        del gym.registry["Registered-v0"]


@pytest.mark.parametrize(
    ("env", "options", "text"),
    [
        ("CartPole-v1", {"vectorization_mode": "async", "native": True}, "has no effect with native"),
        (
            "rlnut/RandomWalk5-v0",
            {"vectorization_mode": "vector_entry_point"},
            "has no vector version: use async or sync",
        ),
        ("CartPole-v1", {"vectorization_mode": "threads"}, "vectorization_mode"),
    ],
)
def test_impossible_modes(env: str, options: dict[str, Any], text: str):
    with pytest.raises(UsageError, match=text):
        rlnut.train("dqn", env, quiet=True, **options)


def test_a_vector_environment_has_its_own_mode():
    env = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    with pytest.raises(UsageError, match="no effect on"):
        rlnut.train("dqn", env, vectorization_mode="async", quiet=True)


def test_workers_leave_no_process():
    env = vectorized("CartPole-v1", 1, "async")
    assert isinstance(env, WorkerProcesses)
    (process,) = env.processes
    env.close()
    assert not process.is_alive()
