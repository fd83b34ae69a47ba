"""Laws of returns against closed forms, published fixed points, moments, and the slow projections of `rlnut.oracle`."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import oracle
from rlnut.envs.counterexamples import maximisation_bias
from rlnut.envs.garnet import garnet
from rlnut.envs.tabular import from_env
from rlnut.envs.walks import boyan_chain, chain_walk, random_walk
from rlnut.errors import RlnutError, UsageError
from rlnut.truth.dynamic_programming import chain, uniform, values
from rlnut.truth.finite import make_mdp, outcomes
from rlnut.truth.outcomes import from_mdp, jumps
from rlnut.truth.return_distributions import (
    categorical_fixed_point,
    mean_chain,
    quantile_fixed_point,
    return_law,
    return_variance,
)

WALK = random_walk(5, left=0.0)
LAW = outcomes(WALK)
V = np.array([0.06550, 0.14556, 0.25796, 0.42769, 0.69246])  # γ = .9, published


@pytest.mark.parametrize("atoms", [11, 51])
def test_c51_keeps_the_exact_mean(atoms: int) -> None:
    z = np.linspace(0, 1, atoms)
    p = categorical_fixed_point(LAW, WALK.policy, 0.9, z)
    np.testing.assert_allclose(p @ z, V, atol=5e-6)
    np.testing.assert_allclose(p @ z, values(chain(WALK.mdp, WALK.policy), 0.9), atol=1e-12)


@pytest.mark.parametrize(
    ("n", "means"),
    [
        (8, (0, 0, 0.1013, 0.3161, 0.6013)),
        (32, (0.0480, 0.1193, 0.2291, 0.4030, 0.6795)),
        (200, (0.0630, 0.1408, 0.2530, 0.4237, 0.6900)),
    ],
)
def test_qr_is_biased_as_published(n: int, means: tuple[float, ...]) -> None:
    theta = quantile_fixed_point(LAW, WALK.policy, 0.9, n)
    np.testing.assert_allclose(theta.mean(1), means, atol=5.1e-5)
    assert (np.diff(theta, axis=1) >= 0).all()


def test_law_of_the_walk() -> None:
    """From the rightmost of 5 states: 1 with chance ½ at once, γ² with ⅛, γ⁴ with ¹⁄₁₆; 0 with ⅙."""
    found = return_law(LAW, WALK.policy, 0.9, 4, tolerance=1e-13)
    assert found.values[[0, -1, -2, -3]] == pytest.approx([0, 1, 0.81, 0.6561])
    assert found.chances[[0, -1, -2, -3]] == pytest.approx([1 / 6, 1 / 2, 1 / 8, 1 / 16])
    undiscounted = return_law(LAW, WALK.policy, 1, 1)
    np.testing.assert_allclose(undiscounted.chances[[0, -1]], [2 / 3, 1 / 3], atol=1e-8)
    # two hundred quantiles lie where the exact law has them, up to the bias
    theta = quantile_fixed_point(LAW, WALK.policy, 0.9, 200)[4]
    exact = oracle.quantile_projection(found.values, found.chances, 200)
    assert 0 < np.abs(theta - exact).mean() < 0.005


def test_boyan_chain_has_the_law_of_its_number_of_steps() -> None:
    """From 2 before the end: −2 − 3 (one, one) or −3 (two at once), by a coin."""
    boyan = boyan_chain()
    found = return_law(outcomes(boyan), boyan.policy, 1, 10)
    assert (found.values.tolist(), found.chances.tolist()) == ([-5, -3], [0.5, 0.5])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.7), st.integers(2, 5), st.integers(2, 6))
def test_fixed_points_and_moments_on_random_problems(seed: int, gamma: float, states: int, size: int) -> None:
    """Both fixed points are left alone by one slow backup and projection; the exact law has mean v and its variance."""
    problem = garnet(states, 2, 2, seed)
    law, pi = outcomes(problem), problem.policy
    step = jumps(law, pi)
    rng = np.random.default_rng(seed)
    atoms = np.sort(rng.uniform(-3, 3, size))
    p, theta = categorical_fixed_point(law, pi, gamma, atoms), quantile_fixed_point(law, pi, gamma, size)
    even = np.full(size, 1 / size)
    for s in range(states):
        mine = np.flatnonzero(step.state == s)
        for particles, weights, project in (
            (np.tile(atoms, (states, 1)), p, lambda z, c: oracle.categorical_projection(z, c, atoms)),
            (theta, np.tile(even, (states, 1)), lambda z, c: oracle.quantile_projection(z, c, size)),
        ):
            z = np.concatenate([step.reward[j] + gamma * particles[step.successor[j]] for j in mine])
            c = np.concatenate([step.chance[j] * weights[step.successor[j]] for j in mine])
            if project(z, c).sum() == pytest.approx(1):  # chances
                np.testing.assert_allclose(project(z, c), p[s], atol=1e-10)
            else:
                np.testing.assert_allclose(project(z, c), theta[s], atol=1e-8)
    v, spread = values(chain(problem.mdp, pi), gamma), return_variance(law, pi, gamma)
    found = return_law(law, pi, gamma, 0, tolerance=0.01)
    assert found.values @ found.chances == pytest.approx(v[0], abs=1e-9)
    deviation = np.sqrt((found.values - v[0]) ** 2 @ found.chances)
    assert deviation == pytest.approx(np.sqrt(spread[0]), abs=0.02)


def test_atoms_may_be_uneven_and_too_narrow() -> None:
    """The mean is kept on uneven atoms; where they do not reach the returns it is not."""
    z = np.array([0.0, 0.07, 0.3, 0.31, 0.9, 1.0])
    assert categorical_fixed_point(LAW, WALK.policy, 0.9, z) @ z == pytest.approx(V, abs=5e-6)
    narrow = np.linspace(0, 0.5, 11)
    assert (categorical_fixed_point(LAW, WALK.policy, 0.9, narrow) @ narrow < V - 0.01).all()


def test_variance_of_the_return() -> None:
    """A walk that pays 1 or 0 at its end has a Bernoulli return: v(1 − v). Discounted: by the law of total variance."""
    v = np.arange(1, 6) / 6
    np.testing.assert_allclose(return_variance(LAW, WALK.policy, 1), v * (1 - v), atol=1e-12)
    coin = make_mdp([[[0.5, 0.5]], [[0, 1]]], [[[1.0, 1.0]], [[0.0, 0.0]]])  # pays 1 for Geometric(1/2) steps
    # γ = 0: the first reward is certain; γ = 1: the variance of Geometric(1/2) is 2
    for gamma, expected in ((0, 0), (1, 2)):
        assert return_variance(from_mdp(coin), uniform(coin), gamma)[0] == pytest.approx(expected, abs=1e-12)
    noisy = maximisation_bias()  # from B one reward N(−0.1, 1)
    assert return_variance(outcomes(noisy), uniform(noisy.mdp), 1)[1] == pytest.approx(1)


def test_rewards_that_differ_for_one_successor_are_not_averaged() -> None:
    """Slippery cliff, from the start: 'left' stays (−1), climbs (−1), or slips into the cliff and back (−100)."""
    found = from_env(gymnasium.make("CliffWalking-v1", is_slippery=True))
    assert found is not None
    left = np.eye(4)[[3] * 48]
    step = jumps(outcomes(found), left)
    mine = step.state == 36
    assert set(zip(step.successor[mine].tolist(), step.reward[mine].tolist(), strict=True)) == {(24, -1), (36, -1)}
    down = np.eye(4)[[2] * 48]
    step = jumps(outcomes(found), down)
    mine = step.state == 36
    assert set(zip(step.successor[mine].tolist(), step.reward[mine].tolist(), strict=True)) == {(36, -100), (36, -1)}
    np.testing.assert_allclose(found.mdp.R[36, 2, 36], -34)  # the mean: two ways of −1, one of −100
    process, through = mean_chain(outcomes(found), down), chain(found.mdp, down)
    np.testing.assert_allclose(process.P, through.P)
    np.testing.assert_allclose(process.r, through.r)
    # γ = 0: the variance of the first reward, 99² · ⅓ · ⅔
    assert return_variance(outcomes(found), down, 0)[36] == pytest.approx(99**2 * 2 / 9)


def test_refusals() -> None:
    endless = chain_walk()
    law, pi = outcomes(endless), uniform(endless.mdp)
    for refused in (
        lambda: return_law(law, pi, 1, 0),
        lambda: categorical_fixed_point(law, pi, 1, np.arange(3.0)),
        lambda: quantile_fixed_point(law, pi, 1, 4),
    ):
        with pytest.raises(UsageError, match="γ = 1 is refused"):
            refused()
    with pytest.raises(UsageError, match="rising"):
        categorical_fixed_point(law, pi, 0.9, np.array([1.0, 0.0]))
    with pytest.raises(UsageError, match="quantiles"):
        quantile_fixed_point(law, pi, 0.9, 0)
    with pytest.raises(RlnutError, match="different returns"):
        return_law(law, pi, 0.9, 0, most=100)
    noisy = maximisation_bias()
    with pytest.raises(UsageError, match="Gaussian noise"):
        return_law(outcomes(noisy), uniform(noisy.mdp), 1, 0)
