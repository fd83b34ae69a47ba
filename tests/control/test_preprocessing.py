"""Observations and rewards before learning: moments beside NumPy's, saved with the weights, still in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlnut
from rlnut.agents.catalogue import DQN
from rlnut.control.preprocessing import CLIP, RunningStatistics, joined, normaliser, prepared, prepared_spec
from rlnut.control.settings import RunSettings
from rlnut.envs.spaces import read_spaces
from rlnut.errors import UsageError
from rlnut.types import Transition

pytestmark = pytest.mark.usefixtures("shared_programs")
CONFIG = DQN(hidden=(8,), batch=8, learning_starts=32, replay=300)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_moments_are_those_of_all_rows(seed: int, sizes: list[int]) -> None:
    """In pieces and with rows that do not count: the mean and variance of the rows that do."""
    rng, kept = np.random.default_rng(seed), []
    moments = normaliser().init(jax.random.key(0), np.zeros((1, 3)))
    for size in sizes:
        x, valid = rng.normal(5, 3, (9, 3)).astype(np.float32), np.arange(9) < size
        moments = jax.jit(joined)(moments, x, valid)
        kept.append(x[valid])
    rows = np.concatenate(kept)
    assert moments.rows == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-3, atol=1e-3)


def test_the_layer_by_hand_in_numpy_and_jax() -> None:
    moments = RunningStatistics(np.array([1.0, 2.0]), np.array([4.0, 0.25]), np.array(3.0))
    x = np.array([[3.0, 1.0], [1.0, 90.0]])
    for kind in (np.asarray, jnp.asarray):
        got = normaliser().apply(jax.tree.map(kind, moments), kind(x))
        np.testing.assert_allclose(got, [[1.0, -2.0], [0.0, CLIP]], rtol=1e-5)
    slopes = jax.grad(lambda m: normaliser().apply(m, jnp.asarray(x)).sum())(jax.tree.map(jnp.asarray, moments))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes))


def test_rewards_are_scaled_then_clipped_and_returns_are_not() -> None:
    """Rewards 1, −3, 10 by ½ and at most 2 become ½, −1.5, 2 in memory."""
    spec = read_spaces(gym.make("CartPole-v1"))
    agent = prepared(CONFIG.build(spec), spec, RunSettings(reward_scale=0.5, reward_clip=2.0))
    n = 3
    obs, number, flag = np.zeros((1, n, 4), np.float32), np.ones((1, n), np.float32), np.ones((1, n), bool)
    reward = np.array([[1, -3, 10]], np.float32)
    seen = Transition(obs, np.zeros((1, n), np.int32), reward, number, obs, ~flag, flag)
    state = agent.init(jax.random.key(0), jax.tree.map(lambda a: a[0], seen))
    state, _ = agent.learn(state, seen)
    np.testing.assert_allclose(state.memory.reward[0], [0.5, -1.5, 2.0])


def test_the_moments_are_saved_with_the_weights_and_resume_is_exact(tmp_path: Path) -> None:
    options: dict[str, Any] = {"normalise": True, "quiet": True, "final_episodes": 2, "eval_every": 64, "log_every": 64}
    whole = rlnut.train(CONFIG, "CartPole-v1", steps=192, out=tmp_path / "whole", eval_episodes=2, **options)
    rlnut.train(CONFIG, "CartPole-v1", steps=128, out=tmp_path / "parts", eval_episodes=2, **options)
    rlnut.resume(tmp_path / "parts", steps=192, quiet=True)
    for name in ("policy.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    policy = rlnut.load_policy(tmp_path / "whole")
    leaves = jax.tree.leaves(policy.params, is_leaf=lambda leaf: isinstance(leaf, RunningStatistics))
    (moments,) = [leaf for leaf in leaves if isinstance(leaf, RunningStatistics)]
    assert 0 < moments.rows <= 192 and (np.asarray(moments.variance) != 1).all()
    before = np.asarray(moments.mean).copy()
    assert policy.evaluate(3, seed=1).returns == whole.evaluate(3, seed=1).returns
    np.testing.assert_array_equal(moments.mean, before)


def test_where_it_means_nothing_it_is_refused() -> None:
    with pytest.raises(UsageError, match="normalise is for vectors of numbers"):
        prepared_spec(read_spaces(gym.make("FrozenLake-v1")), RunSettings(normalise=True))
