"""How outputs stand for values: projections against the oracle, classes that keep the mean, quantiles against rlax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from helpers.peers import rlax_module
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import oracle
from rlnut.learner.readout import categorical, classes, hl_gauss, project, quantiles, scalar, two_hot
from rlnut.networks.heads import at_midpoints, midpoints
from rlnut.regression.losses import quantile_huber


def f32(values: Any) -> np.ndarray:
    """A float32 array."""
    return np.asarray(values, np.float32)


RNG = np.random.default_rng(0)
ATOMS = two_hot(-2.0, 3.0, 11)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_projection_is_the_oracle_and_keeps_the_mean(seed):
    """Values inside, outside, on atoms and on top of each other."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(6) < 0.3, rng.choice(ATOMS.z, 6), rng.uniform(-4, 5, 6)).astype(np.float32)
    chances = rng.dirichlet(np.ones(6)).astype(np.float32)
    ours = np.asarray(project(ATOMS, values[None], chances[None])[0])
    np.testing.assert_allclose(ours, oracle.categorical_projection(values, chances, ATOMS.z), atol=2e-6)
    inside = np.clip(values, -2, 3)
    assert ours @ ATOMS.z == pytest.approx(float(chances @ inside), abs=1e-5)


def test_the_target_of_c51_by_hand():
    """r = 1, D = ½ on atoms −2, 0, 2: they go to 0, 1, 2; the 1 is shared between 0 and 2."""
    readout = categorical(-2.0, 2.0, 3)
    y = readout.target(jnp.array([1.0, 1.0]), jnp.array([0.5, 0.0]), jnp.array([[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]))
    np.testing.assert_allclose(y, [[0, 0.2 + 0.2, 0.2 + 0.4], [0, 0.5, 0.5]], atol=1e-6)  # the second terminated
    np.testing.assert_allclose(readout.mean(y), [1.2, 1.0], rtol=1e-6)


def test_the_score_of_c51_is_the_divergence():
    readout = categorical(0.0, 1.0, 4)
    logits, y = RNG.normal(size=(5, 4)).astype(np.float32), RNG.dirichlet(np.ones(4), 5).astype(np.float32)
    y[0] = [0, 1, 0, 0]
    theirs = scipy.special.rel_entr(y, scipy.special.softmax(logits, 1)).sum(1)
    np.testing.assert_allclose(readout.score(logits, y), theirs, rtol=1e-4)
    np.testing.assert_allclose(readout.score(np.log(y[1:]), y[1:]), 0, atol=1e-6)


@pytest.mark.parametrize("support", [two_hot(-5.0, 5.0, 21), hl_gauss(-5.0, 5.0, 21)], ids=["two-hot", "hl-gauss"])
def test_classes_keep_the_mean_over_all_of_their_range(support):
    values = np.linspace(-5, 5, 401, dtype=np.float32)
    chances = np.asarray(support.encode(values))
    assert chances.min() >= 0
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(support.mean(chances), values, atol=4e-3)  # 3σ are cut off: σφ(3)
    np.testing.assert_allclose(support.encode(f32([-80, 80])), chances[[0, -1]], atol=1e-6)


def test_two_hot_and_hl_gauss_by_hand():
    shared = two_hot(0.0, 4.0, 5).encode(f32([1.25, 4.0]))
    np.testing.assert_allclose(shared, f32([[0, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 1]]), atol=1e-6)
    support = hl_gauss(-1.0, 2.0, 16, 0.5)  # 16 − 6·½ = 13 bins over a range of 3
    width = 3 / 13
    edges = -1 - 1.5 * width + width * np.arange(17)
    law = scipy.stats.truncnorm((edges[0] - 0.3) / (width / 2), (edges[-1] - 0.3) / (width / 2), 0.3, width / 2)
    np.testing.assert_allclose(support.encode(f32(0.3)), np.diff(law.cdf(edges)), atol=1e-5)
    np.testing.assert_allclose(support.z, edges[:-1] + width / 2, rtol=1e-5, atol=1e-6)


def test_values_are_read_the_same_on_numpy_and_jax():
    for readout in (scalar(), classes(ATOMS), categorical(-2.0, 3.0, 11), quantiles(7)):
        outputs = RNG.normal(size=(4, 3, *readout.shape)).astype(np.float32)
        q = readout.q(outputs)
        assert isinstance(q, np.ndarray)
        assert q.shape == (4, 3)
        np.testing.assert_allclose(q, readout.q(jnp.asarray(outputs)), rtol=1e-5, atol=1e-6)
    logits = np.log([[0.25, 0.5, 0.25], [0.0625, 0.0625, 0.875]]).astype(np.float32)
    np.testing.assert_allclose(classes(two_hot(0.0, 4.0, 3)).q(logits), [2.0, 0.125 + 3.5], rtol=1e-6)


def test_classes_make_targets_and_scores_of_numbers():
    readout = classes(two_hot(0.0, 4.0, 3))
    y = readout.target(jnp.array([1.0, 3.0]), jnp.array([0.5, 0.0]), jnp.array([4.0, 9.0]))
    np.testing.assert_allclose(y, [[0, 0.5, 0.5], [0, 0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(
        readout.score(jnp.log(jnp.array([[1, 1, 2.0], [2, 1, 1]]) / 4), y), [0.5, 1.5], rtol=1e-5
    )


def test_quantile_huber_is_rlax():
    rlax = rlax_module()
    theta, y = RNG.normal(size=(6, 5)).astype(np.float32), (2 * RNG.normal(size=(6, 3))).astype(np.float32)
    tau = RNG.uniform(size=(6, 5)).astype(np.float32)
    for kappa in (1.0, 0.3):
        ours = quantile_huber(kappa)(jnp.stack([theta, tau], -1), y)
        theirs = jax.vmap(lambda a, t, b, k=kappa: rlax.quantile_regression_loss(a, t, b, k))(theta, tau, y)
        np.testing.assert_allclose(kappa * ours, theirs, rtol=1e-5)  # rlax does not divide by κ


def test_quantile_huber_by_hand():
    # u = 3 at τ = ¼: ¼ (3 − ½); u = −½ at τ = ¾: ¼ · ⅛
    hand = quantile_huber()(jnp.array([[[0.0, 0.25]], [[3.5, 0.75]]]), jnp.array([[3.0], [3.0]]))
    np.testing.assert_allclose(hand, [0.625, 0.03125], rtol=1e-6)


def test_no_gradient_reaches_the_fractions():
    slope = jax.grad(lambda z: quantile_huber()(z, jnp.array([[1.0, -2.0]])).sum())(
        jnp.array([[[0.3, 0.4], [0.1, 0.7]]])
    )
    assert (slope[..., 1] == 0).all()
    assert (slope[..., 0] != 0).all()


def test_small_kappa_comes_to_the_quantiles_of_a_sample():
    sample = np.sort(RNG.normal(size=41)).astype(np.float32)
    theta = jnp.zeros((1, 5))
    loss = quantile_huber(1e-3)
    slope = jax.jit(jax.grad(lambda t: loss(jnp.stack([t, midpoints(5)[None]], -1), sample[None]).sum()))
    for k in range(600):
        theta = theta - 0.3 / (1 + k / 30) * slope(theta)
    truth = oracle.quantile_projection(sample, np.full(41, 1 / 41), 5)
    np.testing.assert_allclose(theta[0], truth, atol=0.05)


def test_quantile_targets_and_fractions_by_hand():
    readout = quantiles(2)
    y = readout.target(jnp.array([1.0, 2.0]), jnp.array([0.5, 0.0]), jnp.array([[4.0, 6.0], [7.0, 8.0]]))
    np.testing.assert_allclose(y, [[3.0, 4.0], [2.0, 2.0]])
    np.testing.assert_allclose(readout.mean(y), [3.5, 2.0])
    with_tau = at_midpoints(2).apply({}, f32([[[1, 2], [5, 8]]]))
    np.testing.assert_allclose(with_tau, [[[[1, 0.25], [2, 0.75]], [[5, 0.25], [8, 0.75]]]])
    np.testing.assert_allclose(readout.q(with_tau), [[1.5, 6.5]])
    with pytest.raises(ValueError, match="quantile_huber"):
        readout.loss(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
