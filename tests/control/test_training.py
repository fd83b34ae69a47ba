"""Whole runs: same seed, same bytes; a run that was cut and resumed is the run that was not; what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers.run_folders import EXACT, differing_files

import rlnut
from rlnut import DQN, RlnutError, UsageError
from rlnut.control.observers import Greedy, Newest
from rlnut.control.recipe import FORWARD
from rlnut.control.run_loop import RunLook
from rlnut.envs.probes import ProbeEnv
from rlnut.runtime.log import read_metrics

pytestmark = pytest.mark.usefixtures("shared_programs")
SMALL = DQN(hidden=(8,), batch=16, replay=300, learning_starts=64, target_every=10, epsilon_steps=400)
SHORT: dict[str, Any] = {
    "steps": 512,
    "eval_every": 128,
    "eval_episodes": 2,
    "final_episodes": 2,
    "log_every": 64,
    "quiet": True,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """One uninterrupted run on three environments, long enough for the replay to wrap."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    rlnut.train(SMALL, "CartPole-v1", num_envs=3, out=out, seed=5, **SHORT)
    return out


def test_a_run_leaves_what_it_promises(whole):
    names = {path.name for path in whole.iterdir()}
    assert names == {*EXACT, FORWARD, "checkpoint-before.safetensors", "curve.png", "summary.json"}
    rows = read_metrics(whole / "metrics.csv")
    assert rows[-1]["step"] == 516  # 512 in whole rounds of 2 × 3 steps
    assert [r["eval_mean"] > 0 for r in rows].count(True) == 4
    assert (whole / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_bytes_and_another_seed_other_bytes(whole, tmp_path):
    rlnut.train(SMALL, "CartPole-v1", num_envs=3, out=tmp_path / "again", seed=5, **SHORT)
    assert differing_files(whole, tmp_path / "again") == []
    rlnut.train(SMALL, "CartPole-v1", num_envs=3, out=tmp_path / "other", seed=6, **SHORT)
    assert set(differing_files(whole, tmp_path / "other")) == set(EXACT)


def test_resumed_is_uninterrupted_bit_for_bit(whole, tmp_path):
    part = tmp_path / "part"
    rlnut.train(SMALL, "CartPole-v1", num_envs=3, out=part, seed=5, **(SHORT | {"steps": 250}))
    assert "checkpoint.safetensors" in differing_files(whole, part)
    rlnut.resume(part, steps=512, quiet=True)
    assert differing_files(whole, part) == []


def test_killed_between_two_checkpoints(whole, tmp_path, monkeypatch):
    """The log is further than the checkpoint: what was done since is done again, the same."""
    killed, reached = tmp_path / "killed", Newest.__call__

    def die(self: Newest, look: RunLook) -> None:
        if look.step > 330:
            raise KeyboardInterrupt  # nothing is saved
        reached(self, look)

    monkeypatch.setattr(Newest, "__call__", die)
    with pytest.raises(KeyboardInterrupt):
        rlnut.train(SMALL, "CartPole-v1", num_envs=3, out=killed, seed=5, **SHORT)
    monkeypatch.undo()
    assert read_metrics(killed / "metrics.csv")[-1]["step"] > 300
    rlnut.resume(killed, quiet=True)
    assert differing_files(whole, killed) == []


def test_the_policy_of_the_folder_is_the_policy_of_the_run(tmp_path):
    run = rlnut.train(SMALL, "FrozenLake-v1", out=tmp_path / "run", **SHORT)
    loaded = rlnut.load_policy(tmp_path / "run")
    states = np.arange(16)
    np.testing.assert_array_equal(run.q(states), loaded.q(states))
    np.testing.assert_allclose(loaded.q(7), loaded.q(states)[7], rtol=1e-5)
    assert loaded.evaluate(5, seed=3) == loaded.evaluate(5, seed=3)
    assert loaded.evaluate(30, seed=3).lengths != loaded.evaluate(30, seed=4).lengths


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_environments_of_every_mode_train(mode, tmp_path):
    envs = gym.make_vec("CartPole-v1", 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode})
    run = rlnut.train(SMALL, envs, out=tmp_path / "run", **SHORT)
    assert 512 <= run.steps < 560
    with pytest.raises(UsageError, match="is the total number"):
        rlnut.resume(tmp_path / "run", quiet=True)
    assert rlnut.resume(tmp_path / "run", steps=600, quiet=True).steps >= 600  # not exact, and says so


@pytest.mark.parametrize(("steps", "looks"), [(192, [128, 192]), (200, [128, 200]), (256, [128, 256])])
def test_the_last_policy_is_always_evaluated(monkeypatch, steps, looks):
    """On a row of the log, between two rows, and where an evaluation was due anyway."""
    seen, play = [], Greedy.play

    def note(self: Greedy, look: RunLook) -> None:
        seen.append(look.step)
        play(self, look)

    monkeypatch.setattr(Greedy, "play", note)
    rlnut.train(SMALL, "rlnut/ProbeObs-v0", **(SHORT | {"steps": steps}))
    assert seen == looks


def test_stops_when_it_is_good_enough():
    run = rlnut.train(SMALL, "rlnut/ProbeConstant-v0", until=1.0, **SHORT)
    assert run.steps < 200


def test_an_environment_of_ones_own_by_a_function():
    run = rlnut.train(SMALL, lambda: ProbeEnv("Both"), **SHORT)
    assert run.q([1.0]).shape == (2,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 50}, "0 updates: learning starts at step 64 and the run ends at step 56"),
        ({"steps": 0}, "steps must be >= 1"),
        ({"num_envs": 0}, "num_envs must be >= 1"),
        ({"epochs": 3}, "unknown dqn option 'epochs'"),
        ({"seed": -1}, "seed must be >= 0"),
    ],
)
def test_runs_that_make_no_sense_are_refused(changes, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        rlnut.train(SMALL, "CartPole-v1", out=tmp_path / "run", **(SHORT | changes))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_left_alone(whole, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    with pytest.raises(UsageError, match="exists already"):
        rlnut.train(SMALL, "CartPole-v1", out=copy, **SHORT)
    assert differing_files(whole, copy) == []


def test_divergence_and_broken_environments_are_said():
    class Broken(ProbeEnv):
        def step(self, action):
            obs, _, *rest = super().step(action)
            return obs, float("nan"), *rest

    with pytest.raises(
        RlnutError, match=r"Broken: step\(\) number 1 .* returned the reward nan; it must be one finite number"
    ):
        rlnut.train(SMALL, lambda: Broken("Constant"), **SHORT)
    with pytest.raises(RlnutError, match="diverged before step"):
        rlnut.train(SMALL.replace(lr=1e30), "CartPole-v1", **SHORT)
