"""Standard errors of least squares: SciPy's for one column, the normal equations for several, and repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.standard_errors import standard_errors
from rlnut.types import Array


def errors(x: Array, y: Array, intercept: bool = True) -> np.ndarray:
    """Of the fit to x and y itself."""
    found = standard_errors(x, y, least_squares(x, y, intercept=intercept), intercept)
    assert found is not None
    return found.coef


def test_one_column_is_scipys_regression() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 1)) * 7 + 1000, rng.normal(size=30)
    found = errors(x, y)
    assert found == pytest.approx([stats.linregress(x[:, 0], y).stderr], rel=1e-9)
    whole = standard_errors(x, y, least_squares(x, y))
    assert whole is not None and whole.freedom == 28
    assert whole.intercept == pytest.approx(stats.linregress(x[:, 0], y).intercept_stderr, rel=1e-7)


@pytest.mark.parametrize("intercept", [True, False])
def test_several_columns_and_outputs_are_the_normal_equations(intercept: bool) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)) * (1, 100, 0.01), rng.normal(size=(40, 2))
    found = errors(x, y, intercept)
    design = np.column_stack([x, np.ones((40, int(intercept)))])
    _, square, *_ = np.linalg.lstsq(design, y)
    slow = np.sqrt(np.outer(np.diag(np.linalg.inv(design.T @ design)), square / (40 - design.shape[1])))[:3]
    np.testing.assert_allclose(found, slow, rtol=1e-8)


def test_they_are_the_scatter_of_repeated_experiments() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 2))
    many = [x @ [1.0, -2.0] + 0.5 * rng.normal(size=50) for _ in range(500)]
    scatter = np.std([least_squares(x, y).coef for y in many], axis=0)
    error = errors(x, many[0])
    assert error == pytest.approx(scatter, rel=0.4)  # σ itself is estimated from 47 degrees of freedom
    mean = np.mean([errors(x, y) for y in many[:100]], 0)
    assert mean == pytest.approx(scatter, rel=0.1)


def test_none_where_rows_do_not_determine_the_coefficients() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    assert standard_errors(x, y, least_squares(x, y)) is None  # as many coefficients as rows
    twice = np.column_stack([np.arange(9.0), 2 * np.arange(9.0)])
    assert standard_errors(twice, np.ones(9), least_squares(twice, np.ones(9))) is None
    flat = np.column_stack([np.arange(9.0), np.ones(9)])
    assert standard_errors(flat, np.ones(9), least_squares(flat, np.ones(9))) is None
