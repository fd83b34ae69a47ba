"""`fit` on problems with known answers, on digits, and when it is given nonsense."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.problems import blobs, halves, line

import rlnut
from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import subset
from rlnut.errors import UsageError
from rlnut.regression.losses import cross_entropy
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import load

RNG = np.random.default_rng(0)


def test_a_line_is_found_in_the_data_s_own_units():
    x, y = line()
    found = fit("mlp", halves(x, y), hidden=(), lr=0.05, batch=20, epochs=100, l2=0, progress=False)
    w, b = found.coefficients()
    np.testing.assert_allclose(w[:2], [3, -2], rtol=2e-3)
    middle = np.append(x[:, :2].mean(0), 7.0)  # far from it x₁ ~ 1000 magnifies the error of w₁; the third column is 7
    assert found.predict(middle[None])[0] == pytest.approx(w @ middle + b, rel=1e-5)
    assert found.predict(middle[None])[0] == pytest.approx(3 * middle[0] - 2 * middle[1] + 5, abs=0.05)
    assert found.test_mse is not None and found.test_mse < 1e-3 * np.var(y)
    assert found.test_accuracy is None
    np.testing.assert_allclose(found.predict(x[:3]), y[:3], atol=1)
    assert found.result["objective"] == pytest.approx(0, abs=1e-4)
    assert found.score(x, y) > 0.999


def test_classes_come_back_with_their_names():
    x, y = blobs()
    found = fit("softmax", halves(x, y), lr=0.05, progress=False)
    assert found.classes == ("left", "right", "top")
    assert found.test_accuracy == 1.0 == found.score(x, y)
    assert found.predict(np.array([[-5.0, 0.0], [0.0, 8.0]])).tolist() == ["left", "top"]
    chance = found.predict_proba(x)
    np.testing.assert_allclose(chance.sum(1), 1, rtol=1e-5)
    w, b = found.coefficients()
    assert w.shape == (3, 2) and b.shape == (3,)
    logits = x @ w.T + b
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), chance, atol=1e-4)


def test_converged_softmax_has_scikit_learns_coefficients():
    from sklearn.linear_model import LogisticRegression

    x, y = RNG.normal(size=(200, 3)), RNG.integers(0, 3, 200)
    lam = 0.01
    ours = fit("softmax", (x, y, x, y), scale="none", l2=lam, batch=200, epochs=2000, lr=0.02, progress=False)
    theirs = LogisticRegression(C=1 / (2 * lam * len(x)), tol=1e-8, max_iter=1000).fit(x, y)  # their penalty: ½‖w‖²
    w, b = ours.coefficients()
    np.testing.assert_allclose(w, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(b - b.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-3)
    p = theirs.predict_proba(x)[np.arange(200), y]
    assert ours.result["objective"] == pytest.approx(-np.log(p).mean() + lam * np.sum(theirs.coef_**2), rel=1e-4)


def test_one_layer_cannot_learn_xor_and_two_can():
    x = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 50)
    y = (x.sum(1) == 1).astype(int)
    assert (fit("softmax", (x, y, x, y), progress=False).test_accuracy or 0) <= 0.75
    settings: dict[str, Any] = {"hidden": (16,), "dropout": 0, "lr": 0.02, "epochs": 60}
    assert fit("mlp", (x, y, x, y), progress=False, **settings).test_accuracy == 1.0


def test_several_values_a_row_and_a_column_of_one():
    x = RNG.normal(size=(100, 2))
    for y in (x @ RNG.normal(size=(2, 3)), x[:, :1] * 2):
        found = fit(rlnut.linear(), (x, y, x, y), lr=0.05, epochs=200, progress=False)
        assert found.predict(x).shape == y.shape
        np.testing.assert_allclose(found.predict(x), y, atol=0.05)


def test_the_same_update_does_labels_and_bellman_targets():
    """One `Regression`: fitted to labels it is least squares, fitted to r + γ v(s′) it is TD(0)."""
    from rlnut import Batch
    from rlnut.regression.core import regression

    # chain 0 → 1 → end, reward 1 on each step, γ = ½: v = (1.5, 1)
    x, reward = jnp.eye(2), jnp.ones(2)
    core = regression(rlnut.linear()(()), optimizer=optax.sgd(0.5))
    update, start = jax.jit(core.update), core.init(jax.random.key(0), x)
    labels = targets = start
    for _ in range(300):
        labels, _ = update(labels, Batch(x, jnp.array([1.5, 1.0])))
        bootstrapped = reward + 0.5 * jnp.append(core.predict(targets.params, x)[1:], 0.0)
        targets, _ = update(targets, Batch(x, bootstrapped))
    for fitted in (labels, targets):
        np.testing.assert_allclose(core.predict(fitted.params, x), [1.5, 1.0], atol=1e-3)


DIGITS = [
    ("softmax", 0.83, {}),
    ("mlp", 0.86, {"epochs": 4}),
    ("cnn", 0.84, {"epochs": 2, "channels": (4, 8), "lr": 5e-3, "batch": 32, "dropout": 0.1}),
    ("lenet", 0.84, {"epochs": 3, "lr": 5e-3, "batch": 64}),
    ("resnet", 0.84, {"epochs": 3, "channels": (8, 16), "lr": 2e-2, "batch": 64, "turn": 0.0}),
    ("impala", 0.84, {"epochs": 2, "channels": (4, 8), "blocks": 1, "hidden": (32,), "lr": 1e-2, "batch": 64}),
]


@pytest.mark.mnist
@pytest.mark.parametrize("members", [DIGITS[:3], pytest.param(DIGITS[3:], marks=pytest.mark.slow)])
def test_digits(members, mnist_source, tmp_path):
    """A few thousand digits; what the nearest class mean reaches (about .8) is passed by all."""
    part = subset(load_dataset(*mnist_source), 3000, 1000)
    for name, low, changes in members:
        found = fit(name, part, progress=False, out=tmp_path / name, **changes)
        assert found.test_accuracy is not None and found.test_accuracy >= low, name
        again = load(tmp_path / name)
        np.testing.assert_array_equal(again.predict(part.x_test), found.predict(part.x_test))
        assert again.test_accuracy == found.test_accuracy


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize("name, low", [("softmax", 0.920), ("mlp", 0.980), ("cnn", 0.990), ("lstm", 0.988)])
def test_full_mnist_median_of_three_seeds(mnist_source, name, low):
    if not mnist_source.full:
        pytest.skip("the 60,000 digits are not on this machine")
    whole = load_dataset(*mnist_source)
    assert np.median([fit(name, whole, seed=seed).test_accuracy for seed in range(3)]) >= low


def test_a_model_of_another_library_and_a_given_optimiser():
    from rlnut import Model

    x, y = halves(*blobs())[:2]
    affine = Model(lambda key, x: jnp.zeros((x.shape[-1], 3)), lambda w, x: x @ w)
    found = fit(affine, (x, y, x, y), optimizer=optax.lion(0.01), progress=False)
    assert found.test_accuracy == 1.0
    with pytest.raises(UsageError, match=r"output has shape \[3\] a row, but y needs \[2\]"):
        fit(affine, (x, y == "top", x, y == "top"))


@pytest.mark.parametrize(
    "model, changes, text",
    [
        ("mpl", {}, "Did you mean mlp"),
        (3, {}, "model must be one of"),
        ("mlp", {"width": 3}, "unknown MLP option 'width'"),
        ("mlp", {"lr": -1.0}, "lr must be > 0"),
        ("mlp", {"hidden": (0,)}, "hidden must be >= 1"),
        ("mlp", {"patience": 2}, "set validation"),
        ("mlp", {"validation": 0.001}, "leaves one side empty"),
        ("mlp", {"shift": 1}, "shift and turn move images"),
        ("cnn", {}, r"cnn needs images .* as rows, got \[2\]; .*set dims to 1"),
        ("cnn", {"dims": 1}, r"rows 2 vanish in 2 poolings"),
        ("cnn", {"dims": 1, "padding": "valid"}, "left at convolution 1, 2, is smaller than a filter"),
        ("cnn", {"window": 1, "pooling": "average"}, "window 1 means no pooling"),
        ("lenet", {}, "lenet needs images"),
        ("resnet", {"dims": 1}, "rows 2 vanish in 2 halvings"),
        ("resnet", {"blocks": 0, "skip": False}, "nothing to skip"),
        ("mlp", {"optimizer": optax.sgd(0.1), "decay": 0.1}, "leave those settings out"),
        ("mlp", {"smoothing": 0.1, "task": "regression"}, "must hold numbers"),
        ("mlp", {"smoothing": 0.1, "loss": cross_entropy}, "loss of your own"),
        ("softmax", {"task": "regression"}, "must hold numbers"),
        ("mlp", {"optimizer": optax.sgd(0.1), "lr": 0.1}, "leave those settings out"),
    ],
)
def test_wrong_words_before_anything_is_made(model, changes, text, tmp_path):
    with pytest.raises(UsageError, match=text) as caught:
        fit(model, halves(*blobs(60)), out=tmp_path / "out", **changes)
    assert "\n" not in str(caught.value)


def test_smoothing_wants_classes():
    with pytest.raises(UsageError, match="set smoothing to 0"):
        fit("mlp", halves(*line(20)), smoothing=0.1)


def test_softmax_wants_classes_and_small_images_want_less_pooling():
    with pytest.raises(UsageError, match="softmax classifies"):
        fit("softmax", halves(*line(20)))
    x, y = np.zeros((4, 3, 3)), np.array([0, 1, 0, 1])
    with pytest.raises(UsageError, match="3×3 vanish in 2 poolings"):
        fit("cnn", (x, y, x, y))
    with pytest.raises(UsageError, match="3×3 vanish in 2 halvings"):
        fit("resnet", (x, y, x, y))
    with pytest.raises(UsageError, match="at least 12×12, got 3×3"):
        fit("lenet", (x, y, x, y))


def test_filters_along_one_axis_find_a_pattern_wherever_it_is():
    """Which of two short signals is hidden in noise: rows [T], then the same with a channel that says nothing."""
    x, y = 0.3 * RNG.normal(size=(600, 24)), RNG.integers(0, 2, 600)
    for row, label in zip(x, y, strict=True):
        start = RNG.integers(0, 20)
        row[start : start + 4] += [2, -2, 2, -2] if label else [2, 2, -2, -2]
    two = np.stack([x, RNG.normal(size=x.shape)], -1)
    settings: dict[str, Any] = {"dims": 1, "channels": (8,), "filter_size": 4, "lr": 0.01, "progress": False}
    for rows, model in ((x, "cnn"), (two, "resnet")):
        extra: dict[str, Any] = {"shift": 0, "turn": 0.0, "epochs": 30, "batch": 50}
        found = fit(model, halves(rows, y), **settings, **extra)
        assert found.test_accuracy is not None and found.test_accuracy > 0.95, model
