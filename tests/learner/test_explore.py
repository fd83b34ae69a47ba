"""ε-greedy: its frequencies against their definition, its schedule, its keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from rlnut.learner.explore import (
    boltzmann_actions,
    epsilon_greedy,
    exponential_schedule,
    linear_schedule,
    noisy_weights,
    nth_allowed,
)


def f32(values: Any) -> np.ndarray:
    """A float32 array."""
    return np.asarray(values, np.float32)


def test_schedule_by_hand():
    schedule = linear_schedule(1.0, 0.2, 100)
    np.testing.assert_allclose(schedule(np.array([0, 25, 50, 100, 1000])), [1.0, 0.8, 0.6, 0.2, 0.2], rtol=1e-6)
    numbers = [schedule(step) for step in range(120)]  # one at a time, for the log: the same float32
    assert np.stack(numbers).tobytes() == np.asarray(schedule(np.arange(120))).tobytes()


def test_frequencies():
    explore = epsilon_greedy(linear_schedule(0.3, 0.3, 1), 5)
    noise = np.asarray(explore.draw(jax.random.key(0), jnp.zeros(4000, int), 5))
    assert binomtest(int((noise >= 0).sum()), noise.size, 0.3).pvalue > 1e-3
    q = np.tile([0.0, 0, 9, 0, 0], (5, 1))
    actions = np.stack([explore.select(q, None, row) for row in noise])
    assert chisquare(np.bincount(actions[noise >= 0], minlength=5)).pvalue > 1e-3
    assert (actions[noise < 0] == 2).all()
    mask = np.tile([True, True, False, False, True], (5, 1))
    actions = np.stack([explore.select(q, mask, row) for row in noise])
    assert chisquare(np.bincount(actions[noise >= 0], minlength=5)[[0, 1, 4]]).pvalue > 1e-3
    assert set(actions[noise < 0]) == {0}  # the best of all is not allowed


def test_epsilon_of_each_row_is_that_of_its_own_step():
    explore = epsilon_greedy(linear_schedule(1.0, 0.0, 2), 2)
    noise = np.asarray(explore.draw(jax.random.key(1), jnp.array([0, 2]), 500))
    assert (noise[0] >= 0).all()
    assert (noise[1] == -1).all()


def test_environments_and_steps_explore_independently():
    explore = epsilon_greedy(linear_schedule(1.0, 1.0, 1), 2)
    noise = np.asarray(explore.draw(jax.random.key(2), jnp.zeros(2000, int), 3))
    between = np.corrcoef(noise.T)
    assert np.abs(between[np.triu_indices(3, 1)]).max() < 0.1
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.1


def test_select_takes_noise_where_there_is_some_and_the_best_elsewhere():
    explore = epsilon_greedy(linear_schedule(1.0, 1.0, 1), 3)
    q, noise = np.array([[0.0, 5.0, 1.0], [9.0, 5.0, 1.0], [1.0, 2.0, 3.0]]), np.array([-1, 5, 3])
    np.testing.assert_array_equal(explore.select(q, None, noise), [1, 2, 0])
    np.testing.assert_array_equal(explore.select(jnp.asarray(q), None, jnp.asarray(noise)), [1, 2, 0])
    mask = np.array([[True, False, True], [True, True, False], [False, True, True]])
    np.testing.assert_array_equal(explore.select(q, mask, noise), [2, 1, 2])
    np.testing.assert_array_equal(explore.select(jnp.asarray(q), jnp.asarray(mask), jnp.asarray(noise)), [2, 1, 2])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any), st.integers(-1, 2**31 - 1), st.integers(0, 99))
def test_a_forbidden_action_is_never_taken(row, noise, seed):
    q = np.random.default_rng(seed).normal(size=(1, len(row)))
    chosen = epsilon_greedy(linear_schedule(1.0, 1.0, 1), len(row)).select(q, np.array([row]), np.array([noise]))
    assert row[int(chosen[0])]


def test_exponential_schedule_by_hand():
    schedule = exponential_schedule(1.0, 0.01, 100)
    np.testing.assert_allclose(schedule(np.array([0, 50, 100, 1000])), [1.0, 0.1, 0.01, 0.01], rtol=1e-5)


def test_each_environment_has_its_own_epsilon():
    """ε^(1 + spread·i/(N − 1)) = 0.4 ** (1, 4.5, 8) for Ape-X's numbers and three environments."""
    explore = epsilon_greedy(linear_schedule(0.4, 0.4, 1), 3, 7.0)
    noise = np.asarray(explore.draw(jax.random.key(3), jnp.zeros(20_000, int), 3))
    for i, power in enumerate((1, 4.5, 8)):
        assert binomtest(int((noise[:, i] >= 0).sum()), 20_000, 0.4**power).pvalue > 1e-3


def test_boltzmann_frequencies():
    """π ∝ exp(q/τ), over the allowed actions where a mask is given."""
    q, temperature = f32([[1.0, 0.0, 2.0, 1.5]]), 0.7
    explore = boltzmann_actions(temperature, (4,))
    noise = np.asarray(explore.draw(jax.random.key(0), jnp.zeros(20_000, int), 1))
    for mask in (None, np.array([[True, True, False, True]])):
        may = None if mask is None else np.repeat(mask, 20_000, 0)
        actions = explore.select(np.repeat(q, 20_000, 0), may, noise[:, 0])
        weights = np.exp(q[0].astype(float) / temperature) * (1 if mask is None else mask[0])
        counts, expected = np.bincount(actions, minlength=4), 20_000 * weights / weights.sum()
        kept = expected > 0
        assert counts[~kept].sum() == 0
        assert chisquare(counts[kept], expected[kept]).pvalue > 1e-3


def test_noisy_weights_act_greedily_with_a_key_for_each_step():
    explore = noisy_weights()
    noise = np.asarray(explore.draw(jax.random.key(0), jnp.arange(3), 2))
    assert noise.shape[:2] == (3, 2)
    np.testing.assert_array_equal(explore.select(np.array([[1.0, 2.0], [3.0, 0.0]]), None, noise[0]), [1, 0])
    assert explore.key is not None
    draws = [float(jax.random.normal(explore.key(row))) for row in noise]
    assert len(set(draws)) == 3


def test_the_nth_allowed_action_by_hand():
    mask = np.array([[False, True, False, True, True]] * 4)
    np.testing.assert_array_equal(nth_allowed(mask, np.array([0, 1, 2, 3])), [1, 3, 4, 1])
