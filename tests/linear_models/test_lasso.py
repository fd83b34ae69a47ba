"""Lasso and elastic net against closed forms, their optimality conditions, and scikit-learn's coordinate descent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

from rlnut import RlnutError, UsageError
from rlnut.linear_models.lasso import LassoPath, lasso, lasso_path
from rlnut.linear_models.least_squares import least_squares


def violation(x, y, coef, intercept, l1: float, l2: float = 0.0) -> float:
    """By how much the conditions ∂E/∂θⱼ + λ₁ sign θⱼ = 0 (|∂E/∂θⱼ| <= λ₁ where θⱼ = 0) and mean residual 0 fail."""
    residual = y - x @ coef - intercept
    slope = 2 * x.T @ residual / len(x) - 2 * l2 * coef
    active = coef != 0
    off = np.where(active, np.abs(slope - l1 * np.sign(coef)), np.maximum(np.abs(slope) - l1, 0))
    return max(float(off.max()), abs(float(residual.mean())))


def check(x, y, path: LassoPath, l2=0.0, tolerance: float = 1e-9) -> None:
    scale = max(1.0, float(np.abs(x.T @ y).max()) / len(x))
    for i, l1 in enumerate(path.l1):
        assert violation(x, y, path.coef[i], path.intercept[i], float(l1), l2) <= tolerance * scale
        residual = y - x @ path.coef[i] - path.intercept[i]
        cost = (residual**2).mean() + l1 * np.abs(path.coef[i]).sum() + l2 * (path.coef[i] ** 2).sum()
        assert path.objective[i] == pytest.approx(cost, rel=1e-9, abs=1e-12)
        assert path.gap[i] <= 1e-6 * cost + 1e-12


@pytest.mark.parametrize(("alpha", "non_zero"), [(0.01, 10), (0.1, 7), (0.5, 4), (1, 3)])
def test_diabetes(alpha: float, non_zero: int):
    x, y = load_diabetes(return_X_y=True)
    fit = lasso(x, y, 2 * alpha)
    assert (fit.coef != 0).sum() == non_zero
    assert violation(x, y, fit.coef, fit.intercept, 2 * alpha) < 1e-10
    theirs = Lasso(alpha, tol=1e-12, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(fit.coef, theirs.coef_, atol=1e-6)
    assert fit.intercept == pytest.approx(theirs.intercept_, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05])
def test_orthonormal_design_is_the_soft_threshold(alpha: float):
    """XᵀX = 1: θ = sign(z)·max(|z| − n·λ₁/2, 0), z = Xᵀy; with λ₂ divided by 1 + nλ₂."""
    rng = np.random.default_rng(0)
    x, y = np.linalg.qr(rng.normal(size=(64, 8)))[0], rng.normal(size=64)
    z = x.T @ y
    soft = np.sign(z) * np.maximum(np.abs(z) - 64 * alpha, 0)
    np.testing.assert_allclose(lasso(x, y, 2 * alpha, intercept=False).coef, soft, atol=1e-14)
    net = lasso(x, y, 2 * alpha, 0.3 / 64, intercept=False).coef
    np.testing.assert_allclose(net, soft / 1.3, atol=1e-14)
    assert ((net == 0) == (soft == 0)).all()


@pytest.mark.parametrize(("alpha", "share"), [(0.01, 0.5), (0.1, 0.9), (0.5, 0.1)])
def test_elastic_net_equals_scikit_learn(alpha: float, share: float):
    x, y = load_diabetes(return_X_y=True)
    theirs = ElasticNet(alpha, l1_ratio=share, tol=1e-13, max_iter=100_000).fit(x, y)
    fit = lasso(x, y, 2 * alpha * share, alpha * (1 - share))
    np.testing.assert_allclose(fit.coef, theirs.coef_, atol=1e-6)


@pytest.mark.parametrize(("n", "p"), [(200, 30), (40, 40), (30, 200), (1, 3), (3, 1)])
def test_whole_path_is_optimal(n: int, p: int):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, p)) + rng.normal(size=(n, 1)) + 5
    y = x[:, :3].sum(1) + rng.normal(size=n)
    path = lasso_path(x, y, count=30)
    check(x, y, path)
    assert not path.coef[0].any()
    if n > 10:
        assert np.count_nonzero(path.coef[0.9 * path.l1[0] > path.l1].any(1)) == (path.l1 < 0.9 * path.l1[0]).sum()
    weight = rng.integers(0, 3, n) + 1
    weighted = lasso_path(x, y, path.l1[10:20], weight=weight)
    check(x.repeat(weight, 0), y.repeat(weight), weighted)


@settings(deadline=None, max_examples=80)
@given(st.integers(2, 12), st.integers(1, 8), st.integers(0, 10_000), st.sampled_from([0.0, 0.05]), st.booleans())
def test_ties_duplicates_and_empty_columns(n: int, p: int, seed: int, l2: float, intercept: bool):
    """Small integers make equal columns, opposite columns, zero columns and simultaneous entries all the time."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-1, 2, (n, p)).astype(float), rng.integers(-2, 3, n).astype(float)
    path = lasso_path(x, y, np.geomspace(3, 1e-4, 12), l2, intercept=intercept)
    if intercept:
        check(x, y, path, l2)
    else:
        both = np.concatenate([x, -x]), np.concatenate([y, -y])  # mirrored data have intercept 0
        check(*both, path, l2)


def test_cold_start_equals_warm_start_and_any_order():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(80, 120)) + rng.normal(size=(80, 1))
    y = x[:, :10] @ rng.normal(size=10) + rng.normal(size=80)
    strength = np.array([0.01, 1.0, 0.1])
    path = lasso_path(x, y, strength)
    for i, l1 in enumerate(strength):
        np.testing.assert_allclose(lasso(x, y, l1).coef, path.coef[i], atol=1e-9)


def test_small_strength_tends_to_least_squares():
    x, y = load_diabetes(return_X_y=True)
    np.testing.assert_allclose(lasso(x, y, 1e-9).coef, least_squares(x, y).coef, rtol=1e-3)


def test_nearly_collinear_columns():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(100, 1))
    x = base + 1e-6 * rng.normal(size=(100, 20))
    y = base[:, 0] + 0.1 * rng.normal(size=100)
    check(x, y, lasso_path(x, y, count=20))


def test_finds_the_true_support():
    rng = np.random.default_rng(0)
    theta = np.zeros(100)
    theta[[3, 30, 60]] = 2, -3, 1
    x = rng.normal(size=(300, 100))
    fit = lasso(x, x @ theta + 0.1 * rng.normal(size=300), 0.1)
    assert np.flatnonzero(fit.coef).tolist() == [3, 30, 60]


def test_nothing_to_explain():
    path = lasso_path(np.ones((4, 2)), np.full(4, 3.0))
    assert not path.coef.any() and (path.intercept == 3).all() and (path.gap == 0).all()


def test_a_gap_that_is_not_reached_is_reported():
    """No gap is below a negative one: what is asked for is compared with what is found."""
    x, y = load_diabetes(return_X_y=True)
    with pytest.raises(RlnutError, match=r"lasso with l1 = 0.1 stopped at a duality gap of"):
        lasso_path(x, y, 0.1, tol=-1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": 0.0}, "l1 must be > 0"),
        ({"l1": -1.0}, "l1 must be finite and >= 0"),
        ({"l1": 1.0, "l2": np.nan}, "l2 must be finite"),
        ({"count": 0}, "count must be >= 1"),
        ({"ratio": 1.0}, "ratio > 0 and < 1"),
    ],
)
def test_bad_arguments_are_one_clear_line(options: dict, message: str):
    with pytest.raises(UsageError, match=message):
        lasso_path(np.eye(3), np.arange(3.0), **options)


def test_two_outputs_are_refused():
    with pytest.raises(UsageError, match="one output"):
        lasso_path(np.eye(3), np.eye(3))
