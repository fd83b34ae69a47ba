"""Logistic and softmax regression against scikit-learn, finite differences, and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression

from rlnut import RlnutError, UsageError
from rlnut.linear_models import logistic as module
from rlnut.linear_models.logistic import Classifier, logistic


def standardised(load) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), y


def cost(fit: Classifier, x, y, lam: float, weight=None) -> float:
    p = fit.probabilities(x)[np.arange(len(y)), np.searchsorted(fit.classes, y)]
    return float(np.average(-np.log(p), weights=weight) + lam * (fit.solution.coef**2).sum())


@pytest.mark.parametrize(
    ("c", "loglik", "accuracy"), [(0.01, -92.460, 0.9561), (0.1, -47.325, 0.9807), (1, -30.380, 0.9877)]
)
def test_breast_cancer(c: float, loglik: float, accuracy: float):
    x, y = standardised(load_breast_cancer)
    fit = logistic(x, y, 1 / (2 * c * len(x)))
    p = fit.probabilities(x)
    assert np.log(p[np.arange(len(y)), y]).sum() == pytest.approx(loglik, abs=6e-4)
    assert (fit.predict(x) == y).mean() == pytest.approx(accuracy, abs=6e-5)
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000, solver="newton-cholesky").fit(x, y)
    np.testing.assert_allclose(fit.solution.coef, theirs.coef_[0], atol=1e-7)
    assert fit.solution.intercept == pytest.approx(theirs.intercept_[0], abs=1e-7)


def test_iris():
    x, y = standardised(load_iris)
    lam = 1 / (2 * len(x))
    fit = logistic(x, y, lam)
    assert fit.solution.objective * len(x) == pytest.approx(31.37877, abs=6e-6)
    assert (fit.predict(x) == y).mean() == pytest.approx(0.9733, abs=6e-5)
    np.testing.assert_allclose(fit.solution.coef[0], [-1.0741, 0.5878, 0.4863], atol=6e-5)
    np.testing.assert_allclose(fit.solution.coef.sum(1), 0, atol=1e-12)
    theirs = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(fit.solution.coef, theirs.coef_.T, atol=1e-5)
    np.testing.assert_allclose(fit.probabilities(x), theirs.predict_proba(x), atol=1e-5)
    assert fit.solution.objective == pytest.approx(cost(fit, x, y, lam), rel=1e-12)


def test_two_class_softmax_is_logistic():
    """W = (−θ/2, θ/2): ‖W‖² = ½‖θ‖², so softmax with λ is logistic with λ/2."""
    x, y = standardised(load_breast_cancer)
    two, one = logistic(x, y, 0.02, softmax=True), logistic(x, y, 0.01)
    np.testing.assert_allclose(two.solution.coef[:, 1] - two.solution.coef[:, 0], one.solution.coef, atol=1e-7)
    np.testing.assert_allclose(two.probabilities(x), one.probabilities(x), atol=1e-8)


def test_the_lectures_sign_convention():
    """P(m) ∝ e^{−θ_m·x} with θ = −W are the same probabilities; and σ(s) for two classes."""
    x, y = standardised(load_iris)
    fit = logistic(x, y, 0.1)
    theta, b = -fit.solution.coef, -fit.solution.intercept
    weights = np.exp(-(x @ theta + b))
    np.testing.assert_allclose(fit.probabilities(x), weights / weights.sum(1, keepdims=True), rtol=1e-12)
    two = logistic(x, y == 0, 0.1)
    s = x @ two.solution.coef + two.solution.intercept
    np.testing.assert_allclose(two.probabilities(x)[:, 1], 1 / (1 + np.exp(-s)), rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 5), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 100))
def test_it_is_a_minimum(m: int, p: int, intercept: bool, conjugate: bool, seed: int):
    """Every small step away costs more, by either way of solving the Newton equation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, p))
    y = np.concatenate([np.arange(m), rng.integers(0, m, 60 - m)])
    weight = rng.uniform(0.5, 2, 60)
    with pytest.MonkeyPatch.context() as patch:
        if conjugate:
            patch.setattr(module, "DENSE", 0)
        fit = logistic(x, y, 0.05, intercept=intercept, weight=weight)
    assert fit.gradient <= 1e-8
    assert fit.solution.objective == pytest.approx(cost(fit, x, y, 0.05, weight), rel=1e-12)
    for _ in range(10):
        coef, b = fit.solution.coef, fit.solution.intercept
        move = 1e-3 * rng.normal(size=coef.shape)
        shift = 1e-3 * rng.normal(size=np.shape(b)) * intercept
        other = fit._replace(solution=fit.solution._replace(coef=coef + move, intercept=b + shift))
        assert cost(other, x, y, 0.05, weight) >= fit.solution.objective


def test_without_features_only_frequencies_are_left():
    """x = 0: the intercepts give the class frequencies; balanced weights make them equal."""
    y = np.array(["a"] * 6 + ["b"] * 3 + ["c"])
    fit = logistic(np.zeros((10, 1)), y, 0.1)
    np.testing.assert_allclose(fit.probabilities(np.zeros((1, 1))), [[0.6, 0.3, 0.1]], atol=1e-8)
    balanced = logistic(np.zeros((10, 1)), y, 0.1, class_weight="balanced")
    np.testing.assert_allclose(balanced.probabilities(np.zeros((1, 1))), 1 / 3, atol=1e-8)
    given_ = logistic(np.zeros((10, 1)), y, 0.1, class_weight={"c": 6.0})
    np.testing.assert_allclose(given_.probabilities(np.zeros((1, 1))), [[0.4, 0.2, 0.4]], atol=1e-8)
    assert fit.predict(np.zeros((2, 1))).tolist() == ["a", "a"]


def test_weights_are_repeated_rows():
    x, y = standardised(load_iris)
    counts = np.random.default_rng(0).integers(0, 3, len(y))
    weighted, repeated = logistic(x, y, 0.01, weight=counts), logistic(x.repeat(counts, 0), y.repeat(counts), 0.01)
    np.testing.assert_allclose(weighted.solution.coef, repeated.solution.coef, atol=1e-7)


def test_dependent_and_badly_scaled_columns():
    x, y = standardised(load_breast_cancer)
    both = logistic(np.concatenate([x, x[:, :1]], 1), y, 0.001).solution.coef
    assert both[0] == pytest.approx(both[-1], abs=1e-7)  # equal columns share
    scale = 10.0 ** np.linspace(-4, 4, x.shape[1])
    small = x[:, :4]
    noisy = np.where(np.random.default_rng(0).random(len(y)) < 0.2, 1 - y, y)
    plain, scaled = logistic(small, noisy), logistic(small * scale[:4], noisy)
    np.testing.assert_allclose(scaled.predict(small * scale[:4]), plain.predict(small))


def test_separable_classes_have_no_minimum():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    with pytest.raises(RlnutError, match="if a plane separates the classes there is no minimum"):
        logistic(x, np.array([0, 0, 1, 1]), tol=1e-13, iterations=8)
    assert logistic(x, np.array([0, 0, 1, 1]), 0.01).gradient <= 1e-8


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.zeros(3), {}, "1 class; at least two"),
        (np.zeros((3, 2)), {}, "one label a row"),
        (np.arange(3), {"class_weight": "even"}, "balanced or a dict"),
        (np.arange(3), {"class_weight": {7: 1.0}}, "class 7, which y does not have"),
        (np.arange(3), {"lam": -1.0}, "lam must be finite and >= 0"),
        (np.arange(2), {}, "x must be"),
    ],
)
def test_bad_arguments_are_one_clear_line(y, options: dict, message: str):
    with pytest.raises(UsageError, match=message):
        logistic(np.eye(3), y, **options)
