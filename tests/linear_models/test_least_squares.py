"""Least squares and ridge against closed forms, NIST's certified polynomial, and scikit-learn in float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge

from rlnut import UsageError
from rlnut.linear_models import least_squares as module
from rlnut.linear_models import solution
from rlnut.linear_models.least_squares import least_squares, merge, ridge_folds, ridge_path, triangle


def data(n: int, p: int, outputs: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1)) + 3
    return x, rng.normal(size=n if outputs is None else (n, outputs)) + x[:, :1].sum(1).reshape(
        (n,) + (1,) * (outputs is not None)
    )


def close(ours, theirs, tolerance: float = 1e-8) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1e-3)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 12), st.sampled_from([None, 1, 3]), st.booleans(), st.sampled_from([0, 0.01, 5])
)
def test_every_shape_equals_scikit_learn(n: int, p: int, outputs: int | None, intercept: bool, lam: float):
    x, y = data(n, p, outputs, seed=n * p)
    model = Ridge(lam * n, fit_intercept=intercept, solver="svd") if lam else LinearRegression(fit_intercept=intercept)
    model.fit(x, y)
    fit = least_squares(x, y, lam, intercept=intercept)
    condition = np.linalg.cond(x - x.mean(0) * intercept) if min(x.shape) > 1 and n > p + 1 else 1e3
    tolerance = 1e-13 * max(condition, 1e3) ** 2 if lam == 0 else 1e-9
    close(fit.coef, np.asarray(model.coef_).T.reshape(fit.coef.shape), tolerance)
    close(fit.predict(x), model.predict(x).reshape(y.shape), tolerance)
    residual = y - fit.predict(x)
    assert fit.objective == pytest.approx((residual**2).sum() / n + lam * (fit.coef**2).sum(), abs=1e-9)


def test_nist_wampler_polynomial():
    """NIST StRD Wampler1: y = 1 + x + … + x⁵ on 0 … 20, certified coefficients all 1; condition number 1e6 and more."""
    s = np.arange(21.0)
    x = s[:, None] ** np.arange(1, 6)
    fit = least_squares(x, 1 + x.sum(1))
    close(fit.coef, np.ones(5))
    assert fit.intercept == pytest.approx(1, rel=1e-8)
    tall = least_squares(np.tile(x, (4000, 1)), np.tile(1 + x.sum(1), 4000))  # the same through many blocks
    close(tall.coef, np.ones(5))


@pytest.mark.parametrize("lam", [0.0, 1e-3])
def test_columns_of_very_different_size(lam: float):
    x, y = data(300, 6)
    scale = 10.0 ** np.array([-9, 6, 0, 9, -3, 3])
    if lam == 0:
        close(least_squares(x * scale, y).coef * scale, least_squares(x, y).coef)
    close(least_squares(x + 1e7, y, lam).coef, least_squares(x, y, lam).coef, 1e-7)  # a large mean


def test_dependent_columns_take_the_shortest_solution():
    x, y = data(50, 4)
    x = np.concatenate([x, x[:, :2] @ [[1.0], [2.0]], np.zeros((50, 1)), np.full((50, 1), 7.0)], 1)
    for intercept in (True, False):
        centre = intercept * x.mean(0)
        truth = np.linalg.lstsq(x - centre, y - intercept * y.mean(), rcond=1e-10)[0]
        close(least_squares(x, y, intercept=intercept).coef, truth)
    assert np.abs(least_squares(x, y).coef[5:]).max() < 1e-12


def test_ill_conditioned_ridge_equals_the_singular_value_formula():
    x = np.vander(np.linspace(0, 1, 200), 12)
    y = np.sin(9 * x[:, -2])
    u, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    for lam in (1e-12, 1e-6, 1.0):
        truth = vt.T @ (s / (s * s + 200 * lam) * (u.T @ (y - y.mean())))
        close(least_squares(x, y, lam).coef, truth, 1e-6 if lam == 1e-12 else 1e-8)


def test_orthonormal_design():
    """Closed form: X with orthonormal columns gives z = Xᵀy and ridge z/(1 + nλ), to machine precision."""
    rng = np.random.default_rng(0)
    x, y = np.linalg.qr(rng.normal(size=(64, 8)))[0], rng.normal(size=64)
    close(least_squares(x, y, 0.25 / 64, intercept=False).coef, x.T @ y / 1.25, 1e-14)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1, 10])
@pytest.mark.parametrize("intercept", [True, False])
def test_ridge_on_diabetes(alpha: float, intercept: bool):
    x, y = load_diabetes(return_X_y=True)
    theirs = Ridge(alpha, fit_intercept=intercept, solver="cholesky").fit(x, y)
    ours = least_squares(x, y, alpha / len(x), intercept=intercept)
    close(ours.coef, theirs.coef_)
    close(ours.intercept, theirs.intercept_)


def test_weights_are_repeated_rows():
    x, y = data(60, 3)
    counts = np.random.default_rng(1).integers(0, 4, 60)
    weighted = least_squares(x, y, 0.1, weight=counts)
    repeated = least_squares(x.repeat(counts, 0), y.repeat(counts), 0.1)
    close(weighted.coef, repeated.coef, 1e-12)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-12)


def test_both_ways_to_the_triangle_agree(monkeypatch: pytest.MonkeyPatch):
    x, y = data(500, 5, 2)
    monkeypatch.setattr(solution, "BLOCK", 300)  # many small blocks
    gram = triangle(x, y)
    monkeypatch.setattr(module, "GRAM_CONDITION", 0.0)
    qr = triangle(x, y)
    both = np.concatenate([np.ones((500, 1)), x - gram.shift[:5], y - gram.shift[5:]], 1)
    close(gram.r.T @ gram.r, both.T @ both, 1e-13)
    close(qr.r.T @ qr.r, both.T @ both, 1e-13)
    parts = [triangle(x, y, rows=rows, shift=gram.shift) for rows in (np.arange(3), np.arange(3, 500))]
    close(merge(parts).r.T @ merge(parts).r, both.T @ both, 1e-13)
    theta, b = np.random.default_rng(0).normal(size=(5, 2)), np.array([1.0, -2.0])
    truth = ((y - x @ theta - b) ** 2).sum(0)
    close(gram.rss(theta, b), truth, 1e-12)
    close(qr.rss(theta, b), truth, 1e-12)


@pytest.mark.parametrize("outputs", [None, 2])
def test_whole_path_equals_single_fits(outputs: int | None):
    x, y = data(40, 6, outputs)
    lams = np.array([0, 1e-3, 0.1, 10])
    path = ridge_path(x, y, lams)
    for i, lam in enumerate(lams):
        one = least_squares(x, y, lam)
        close(path.coef[i], one.coef)
        close(path.intercept[i], one.intercept)
        assert path.objective[i] == pytest.approx(one.objective, rel=1e-9)


def test_generalised_cross_validation_by_its_definition():
    x, y = data(40, 6)
    lams = np.array([0, 1e-3, 0.1, 10])
    path = ridge_path(x, y, lams)
    centred = x - x.mean(0)
    for lam, df, gcv in zip(lams, path.df, path.gcv, strict=True):
        hat = centred @ np.linalg.solve(centred.T @ centred + 40 * lam * np.eye(6), centred.T) + 1 / 40
        residual = y - hat @ y
        assert df == pytest.approx(np.trace(hat), rel=1e-10)
        assert gcv == pytest.approx(40 * (residual**2).sum() / (40 - np.trace(hat)) ** 2, rel=1e-10)
    assert np.isinf(ridge_path(x[:5], y[:5], [0.0]).gcv[0])  # interpolation leaves nothing to judge by


def test_k_fold_choice_equals_scikit_learn():
    x, y = data(83, 5)
    lams = np.logspace(-4, 2, 13)
    ours = ridge_folds(x, y, lams, 4, seed=3)
    deal = np.array_split(np.random.default_rng(3).permutation(83), 4)
    for lam, error in zip(lams, ours, strict=True):
        total = 0.0
        for fold in deal:
            rest = np.setdiff1d(np.arange(83), fold)
            total += ((y[fold] - Ridge(lam * len(rest)).fit(x[rest], y[rest]).predict(x[fold])) ** 2).sum()
        assert error == pytest.approx(total / 83, rel=1e-9)
    fit, lam = ridge_path(x, y, lams).choose(ours)
    assert lam == lams[ours.argmin()]
    close(fit.coef, least_squares(x, y, lam).coef)
    assert ridge_path(x, y, [1.0, 2.0, 3.0]).choose(np.array([5.0, 5.0, 6.0]))[1] == 2.0  # of equals the larger λ


def test_gcv_and_folds_choose_what_predicts_well():
    """A sparse truth in 60 columns and 80 rows: the chosen λ beats least squares by far on fresh data."""
    rng = np.random.default_rng(0)
    x, fresh, theta = rng.normal(size=(80, 60)), rng.normal(size=(2000, 60)), np.zeros(60)
    theta[:3] = 2, -1, 1
    y = x @ theta + 2 * rng.normal(size=80)
    path = ridge_path(x, y, np.logspace(-4, 3, 50))
    errors = ((fresh @ (path.coef.T - theta[:, None])) ** 2).mean(0)
    plain = ((fresh @ (least_squares(x, y).coef - theta)) ** 2).mean()
    for scores in (path.gcv, ridge_folds(x, y, path.lams, 10)):
        assert errors[scores.argmin()] < 1.3 * errors.min() < 0.5 * plain


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.uint8])
def test_memory_stays_near_the_data(kind: type):
    """The peak above the data is under twice the data, for the Gram way and for the QR way (dependent columns)."""
    for dependent in (False, True):
        x: np.ndarray = np.random.default_rng(0).integers(0, 200, (400_000, 20)).astype(kind)
        if dependent:
            x[:, 1] = x[:, 0]
        y = x[:, 0].astype(np.float32) + np.arange(len(x), dtype=np.float32) % 7
        size = x.nbytes + y.nbytes
        tracemalloc.start()
        least_squares(x, y, 0.1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < max(2 * size, 100e6), (kind, dependent, peak / size)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.array([[1.0], [np.nan]]), np.zeros(2), {}, "x must be finite: row 1, column 0"),
        (np.ones((2, 1)), np.array([0, np.inf]), {}, "y must be finite: row 1"),
        (np.ones(3), np.ones(3), {}, r"x must be \[n, p\]"),
        (np.ones((3, 1)), np.ones(2), {}, r"got \(3, 1\) and \(2,\)"),
        (np.ones((0, 1)), np.ones(0), {}, "n, p >= 1"),
        (np.array([["a"]]), np.ones(1), {}, "x must hold real numbers"),
        (np.ones((2, 1)), np.ones(2), {"lam": -1.0}, "lam must be finite and >= 0"),
        (np.ones((2, 1)), np.ones(2), {"weight": np.array([1.0, -1])}, "weight must be 2 finite numbers >= 0"),
    ],
)
def test_bad_data_is_one_clear_line(x, y, options: dict, message: str):
    with pytest.raises(UsageError, match=message):
        least_squares(x, y, **options)
    if not options:
        with pytest.raises(UsageError, match=message):
            ridge_folds(x, y, [1.0])


def test_bad_number_of_folds():
    with pytest.raises(UsageError, match="folds must be >= 2 and <= the number of rows 5"):
        ridge_folds(np.ones((5, 1)), np.ones(5), [1.0], folds=6)
