"""Learning to the published bars on the real environments: one seed in CI, all of them with `-m slow`."""

from __future__ import annotations

import pytest

import rlnut


def solve(env: str, seed: int) -> float:
    """Greedy return of the default settings on fresh episodes."""
    return rlnut.train("dqn", env, seed=seed, quiet=True).evaluation.mean


def test_cartpole_is_solved():
    assert solve("CartPole-v1", 0) >= 475


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
def test_cartpole_is_solved_by_every_seed(seed):
    assert solve("CartPole-v1", seed) >= 475


@pytest.mark.slow
@pytest.mark.parametrize(("env", "bar"), [("Acrobot-v1", -100), ("FrozenLake-v1", 0.70)])
@pytest.mark.parametrize("seed", range(3))
def test_other_environments(env, bar, seed):
    assert solve(env, seed) >= bar
