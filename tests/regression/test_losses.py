"""Losses and penalties against SciPy, scikit-learn and hand-made numbers; δ = −∂ℓ/∂ŷ against finite differences."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.learner.bellman import conservative
from rlnut.learner.readout import categorical
from rlnut.regression.losses import (
    Loss,
    binary_cross_entropy,
    cross_entropy,
    huber,
    l1,
    l2,
    quantile_huber,
    smoothed,
    squared,
)
from rlnut.types import Batch

RNG = np.random.default_rng(0)
HAND = [  # loss, ŷ, y, ℓ, δ: chosen so that swapped arguments or signs give other numbers
    (squared, [1.0, 4.0], [3.0, 3.5], [2.0, 0.125], [2.0, -0.5]),
    (huber(1.0), [1.0, 4.0], [3.0, 3.5], [1.5, 0.125], [1.0, -0.5]),
    (huber(0.25), [1.0, 4.0], [3.0, 3.5], [0.46875, 0.09375], [0.25, -0.25]),
    (binary_cross_entropy, [0.0, np.log(3.0)], [1.0, 0.0], [np.log(2), np.log(4)], [0.5, -0.75]),
]


@pytest.mark.parametrize("loss, prediction, y, value, delta", HAND)
def test_values_and_deltas_by_hand(loss, prediction, y, value, delta):
    prediction, y = jnp.array(prediction), jnp.array(y)
    np.testing.assert_allclose(loss(prediction, y), value, rtol=1e-6)
    slope = jax.grad(lambda p: loss(p, y).sum())(prediction)
    np.testing.assert_allclose(-slope, delta, rtol=1e-6)


def test_cross_entropy_by_hand_and_its_delta_is_y_minus_softmax():
    logits = jnp.log(jnp.array([[1.0, 2.0, 5.0]]))  # softmax: 1/8, 2/8, 5/8
    assert cross_entropy(logits, jnp.array([1]))[0] == pytest.approx(np.log(4))
    mixed = jnp.array([[0.5, 0.0, 0.5]])
    assert cross_entropy(logits, mixed)[0] == pytest.approx(0.5 * np.log(8) + 0.5 * np.log(8 / 5))
    slope = jax.grad(lambda z: cross_entropy(z, jnp.array([1])).sum())(logits)
    np.testing.assert_allclose(-slope[0], [-1 / 8, 1 - 2 / 8, -5 / 8], rtol=1e-6)


def test_cross_entropies_against_scikit_learn():
    from sklearn.metrics import log_loss

    logits, labels = RNG.normal(size=(50, 4)).astype(np.float32), RNG.integers(0, 4, 50)
    theirs = log_loss(labels, scipy.special.softmax(logits.astype(float), 1), labels=range(4))
    assert float(cross_entropy(logits, labels).mean()) == pytest.approx(theirs, rel=1e-5)
    assert float(cross_entropy(logits, np.eye(4, dtype=np.float32)[labels]).mean()) == pytest.approx(theirs, rel=1e-5)
    binary = log_loss(labels > 1, scipy.special.expit(logits[:, 0].astype(float)))
    assert float(binary_cross_entropy(logits[:, 0], labels > 1).mean()) == pytest.approx(binary, rel=1e-5)


def test_huber_against_scipy():
    error = RNG.normal(size=20).astype(np.float32) * 3
    theirs = scipy.special.huber(1.5, error)
    np.testing.assert_allclose(huber(1.5)(jnp.zeros(20), error), theirs, rtol=1e-5)


def test_two_classes_of_softmax_are_the_logistic_loss():
    s, y = RNG.normal(size=30).astype(np.float32), RNG.integers(0, 2, 30)
    two = np.stack([np.zeros(30, np.float32), s], 1)
    np.testing.assert_allclose(cross_entropy(two, y), binary_cross_entropy(s, y), rtol=1e-5, atol=1e-6)


FAR = np.array([-1e4, -90, -1, 0, 1, 90, 1e4], np.float32)
PAIRS = [np.stack(np.meshgrid(FAR, FAR), -1).reshape(-1, 2)[:, k] for k in (0, 1)]  # every ŷ with every y
LABELS = np.tile(np.array([0, 1], np.int32), 25)[: len(PAIRS[0])]
TWO = np.stack(PAIRS, 1)  # logits of two classes, or values of two outputs
FAR_OUT: dict[str, tuple[Loss, np.ndarray, np.ndarray]] = {
    "squared": (squared, PAIRS[0], PAIRS[1]),
    "huber": (huber(), PAIRS[0], PAIRS[1]),
    "binary": (binary_cross_entropy, PAIRS[0], LABELS.astype(np.float32)),
    "labels": (cross_entropy, TWO, LABELS),
    "chances": (cross_entropy, TWO, np.eye(2, dtype=np.float32)[LABELS]),
    "smoothed": (smoothed(0.1), TWO, LABELS),
    "quantiles": (quantile_huber(), np.stack([TWO, np.full_like(TWO, 0.3)], -1), TWO[:, ::-1]),
    "pinball": (quantile_huber(0.0), np.stack([TWO, np.ones_like(TWO)], -1), TWO),
    "weighted": (quantile_huber(), np.stack([TWO, np.zeros_like(TWO)], -1), np.stack([TWO, np.zeros_like(TWO)], -1)),
    "conservative": (lambda q, a: conservative(2.0)(q, Batch(q, q[:, 0], a)), TWO, LABELS),
    "c51's priority": (lambda logits, y: categorical(0.0, 1.0, 2).score(logits, y), TWO, np.eye(2)[LABELS]),
}


@pytest.mark.parametrize("name", FAR_OUT)
def test_losses_and_their_slopes_are_numbers_far_out_and_at_0(name):
    loss, prediction, y = FAR_OUT[name]
    each, pull = jax.vjp(lambda p: loss(p, jnp.asarray(y)), jnp.asarray(prediction))
    (slope,) = pull(jnp.ones_like(each))
    assert np.isfinite(each).all() and (np.asarray(each) >= 0).all()
    assert np.isfinite(slope).all()


def test_the_slope_of_cross_entropies_far_out_is_the_difference_of_chances():
    s, y = PAIRS[0].astype(float), LABELS.astype(float)
    slope = jax.grad(lambda p: binary_cross_entropy(p, jnp.asarray(LABELS)).sum())(jnp.asarray(PAIRS[0]))
    np.testing.assert_allclose(slope, scipy.special.expit(s) - y, atol=1e-6)
    slope = jax.grad(lambda p: cross_entropy(p, jnp.asarray(LABELS)).sum())(jnp.asarray(TWO))
    np.testing.assert_allclose(slope, scipy.special.softmax(TWO.astype(float), 1) - np.eye(2)[LABELS], atol=1e-6)


@pytest.mark.parametrize("penalty", [l1(0.5), l2(0.5)])
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_penalties_and_their_slopes_are_numbers(penalty, size):
    value, slope = jax.value_and_grad(penalty)({"w": jnp.array([[size, -size]])})
    assert np.isfinite(value) and np.isfinite(slope["w"]).all()


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_outputs_of_a_row_are_summed_and_deltas_are_finite_differences(rows, width, seed):
    rng = np.random.default_rng(seed)
    y, move = (rng.normal(size=(rows, width)).astype(np.float32) for _ in range(2))
    z = y + (rng.uniform(0.2, 0.8, y.shape) * rng.choice([-1, 1], y.shape)).astype(
        np.float32
    )  # away from huber's kinks
    for loss, target in ((squared, y), (huber(1.0), y), (binary_cross_entropy, (y > 0).astype(np.float32))):
        values = loss(z, target)
        assert values.shape == (rows,)
        np.testing.assert_allclose(values, sum(loss(z[:, k], target[:, k]) for k in range(width)), rtol=1e-4)
        slope = jax.grad(lambda p, loss=loss, target=target: loss(p, target).sum())(z)
        h = 1e-2
        numeric = (loss(z + h * move, target).sum() - loss(z - h * move, target).sum()) / (2 * h)
        assert float((slope * move).sum()) == pytest.approx(float(numeric), rel=2e-2, abs=2e-2)


@pytest.mark.parametrize("loss", [squared, huber(), binary_cross_entropy, cross_entropy])
def test_shapes_that_would_broadcast_are_refused(loss):
    """(B, 1) against (B,) would make a B × B table of errors and train on nonsense."""
    with pytest.raises(ValueError, match=r"shape|integers"):
        loss(jnp.zeros((3, 1)), jnp.zeros(3))
    with pytest.raises(ValueError, match="same shape"):
        loss(jnp.zeros((3, 2)), jnp.zeros((1, 2)))


def test_a_weighted_sample_is_the_sample_with_repeated_rows():
    """Weights 1/6, 3/6, 2/6 of three values are those values once, three times and twice."""
    prediction = jnp.asarray(RNG.normal(size=(2, 4, 2)).astype(np.float32))
    values = RNG.normal(size=(2, 3)).astype(np.float32)
    weights = np.broadcast_to(np.array([1, 3, 2], np.float32) / 6, (2, 3))
    for kappa in (0.0, 0.5, 1.0):
        loss = quantile_huber(kappa)
        np.testing.assert_allclose(
            loss(prediction, jnp.stack([values, weights], -1)),
            loss(prediction, values[:, [0, 1, 1, 1, 2, 2]]),
            rtol=1e-5,
        )


def test_kappa_0_is_the_pinball_loss_and_huber_needs_some():
    from sklearn.metrics import mean_pinball_loss

    theirs = mean_pinball_loss([3.0, -1.0, 0.5], [1.0] * 3, alpha=0.3)
    ours = quantile_huber(0.0)(jnp.array([[[1.0, 0.3]]]), jnp.array([[3.0, -1.0, 0.5]]))
    assert float(ours[0]) == pytest.approx(theirs, rel=1e-6)
    with pytest.raises(ValueError, match="kappa must be >= 0"):
        quantile_huber(-1.0)
    with pytest.raises(ValueError, match="kappa must be > 0"):
        huber(0.0)


def test_penalties_count_weights_and_spare_biases():
    params = {"w": jnp.array([[1.0, -2.0], [0.5, 0.0]]), "b": jnp.array([100.0, 100.0])}
    assert l2(2.0)(params) == pytest.approx(2 * 5.25)
    assert l1(2.0)(params) == pytest.approx(2 * 3.5)
    slope = jax.grad(partial(l2(2.0)))(params)
    np.testing.assert_allclose(slope["w"], 4 * params["w"])
    assert slope["b"].tolist() == [0.0, 0.0]


def test_smoothed_labels_are_cross_entropy_to_labels_that_are_shared_out():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    shared = 0.8 * np.eye(4)[y] + 0.2 / 4
    np.testing.assert_allclose(smoothed(0.2)(logits, y), cross_entropy(logits, shared), rtol=1e-5)
