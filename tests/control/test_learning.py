"""Learning to the published bars on the real environments, by the command itself; all seeds with `-m slow`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import rlnut


def solve(env: str, seed: int, folder: Path, *options: str) -> float:
    """Greedy return on fresh episodes of `rlnut train dqn ENV` with its defaults."""
    words = ["train", "dqn", env, "--seed", str(seed), "--out", str(folder / "run"), "--json", *options]
    full = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}  # learning is worth LLVM's optimisation
    done = subprocess.run([sys.executable, "-m", "rlnut", *words], capture_output=True, text=True, env=full, check=True)
    return json.loads(done.stdout.splitlines()[-1])["eval"]["mean"]


def test_cartpole_is_solved(tmp_path):
    """In CI's reduced form: the run ends when twenty greedy episodes are perfect."""
    assert solve("CartPole-v1", 0, tmp_path, "--until", "500") >= 475


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_cartpole_is_solved_by_every_seed(seed, tmp_path):
    assert solve("CartPole-v1", seed, tmp_path) >= 475


@pytest.mark.slow
@pytest.mark.parametrize(("env", "bar"), [("Acrobot-v1", -100), ("FrozenLake-v1", 0.70)])
@pytest.mark.parametrize("seed", range(3))
def test_other_environments(env, bar, seed, tmp_path):
    assert solve(env, seed, tmp_path) >= bar


class BrightSide(gym.Env):
    """One half of a picture is bright; say which: q = ±1."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (28, 28, 1), np.uint8)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.side = int(self.np_random.integers(2))
        return self.picture(self.side), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self.picture(self.side), 2.0 * (action == self.side) - 1, True, False, {}

    @staticmethod
    def picture(side: int) -> np.ndarray:
        half = np.zeros((28, 28, 1), np.uint8)
        half[:, 14 * side : 14 * side + 14] = 255
        return half


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [rlnut.lenet(), rlnut.cnn((4,)), rlnut.resnet((4, 8))], ids=["lenet", "cnn", "resnet"]
)
def test_the_network_that_classifies_digits_is_the_one_inside_q(network):
    config = rlnut.DQN(learning_starts=64, train_every=16, gradient_steps=4, n_step=1, epsilon_steps=300)
    run = rlnut.train(config, BrightSide, steps=1000, network=network, quiet=True)
    q = run.q(np.stack([BrightSide.picture(side) for side in (0, 1)]))
    np.testing.assert_allclose(q, [[1, -1], [-1, 1]], atol=0.05)
