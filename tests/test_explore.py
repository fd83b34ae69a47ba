"""ε-greedy: its frequencies against their definition, its schedule, its keys."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest, chisquare

from rlnut.explore import epsilon_greedy, linear_schedule


def test_schedule_by_hand():
    schedule = linear_schedule(1.0, 0.2, 100)
    np.testing.assert_allclose(schedule(np.array([0, 25, 50, 100, 1000])), [1.0, 0.8, 0.6, 0.2, 0.2], rtol=1e-6)


def test_frequencies():
    explore = epsilon_greedy(linear_schedule(0.3, 0.3, 1), 5)
    noise = np.asarray(explore.draw(jax.random.key(0), jnp.zeros(4000, int), 5))
    random = noise[noise >= 0]
    assert binomtest(random.size, noise.size, 0.3).pvalue > 1e-3
    assert chisquare(np.bincount(random, minlength=5)).pvalue > 1e-3
    assert noise.max() == 4
    assert noise.min() == -1


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
    q, noise = np.array([[0.0, 5.0, 1.0], [9.0, 5.0, 1.0], [1.0, 2.0, 3.0]]), np.array([-1, 2, 0])
    np.testing.assert_array_equal(explore.select(q, noise), [1, 2, 0])
    np.testing.assert_array_equal(explore.select(jnp.asarray(q), jnp.asarray(noise)), [1, 2, 0])
