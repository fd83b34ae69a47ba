"""Learning to the published bars on the real environments, by the command itself; all seeds with `-m slow`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def solve(env: str, seed: int, folder: Path) -> float:
    """Greedy return on fresh episodes of `rlnut train dqn ENV` with its defaults."""
    words = ["train", "dqn", env, "--seed", str(seed), "--out", str(folder / "run"), "--json"]
    full = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}  # learning is worth LLVM's optimisation
    done = subprocess.run([sys.executable, "-m", "rlnut", *words], capture_output=True, text=True, env=full, check=True)
    return json.loads(done.stdout.splitlines()[-1])["eval"]["mean"]


def test_cartpole_is_solved(tmp_path):
    assert solve("CartPole-v1", 0, tmp_path) >= 475


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
def test_cartpole_is_solved_by_every_seed(seed, tmp_path):
    assert solve("CartPole-v1", seed, tmp_path) >= 475


@pytest.mark.slow
@pytest.mark.parametrize(("env", "bar"), [("Acrobot-v1", -100), ("FrozenLake-v1", 0.70)])
@pytest.mark.parametrize("seed", range(3))
def test_other_environments(env, bar, seed, tmp_path):
    assert solve(env, seed, tmp_path) >= bar
