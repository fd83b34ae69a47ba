"""Gradient solvers end where the exact ones do; the step 1/L goes down where 2/L's double does not."""

import numpy as np
import optax
import pytest

from rlnut import RlnutError, UsageError
from rlnut.linear_models.descent import descend
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.logistic import logistic
from rlnut.supervised.linear_settings import SOLVERS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) * [1, 10, 0.1] + [0, 50, 1]
Y = X @ [1.0, -0.2, 3.0] + RNG.normal(size=60)
LABEL = np.digitize(Y, np.quantile(Y, [0.5, 0.8]))
WEIGHT = RNG.uniform(0.5, 2, 60)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_ends_at_the_ridge_solution(solver):
    found, steps, norm = descend(X, Y, 0.01, solver, weight=WEIGHT)
    exact = least_squares(X, Y, 0.01, weight=WEIGHT)
    assert norm <= 1e-8 and 1 <= steps < 10_000
    np.testing.assert_allclose(found.coef, exact.coef, rtol=1e-6)
    assert found.intercept == pytest.approx(exact.intercept, rel=1e-6)
    assert found.objective == pytest.approx(exact.objective, rel=1e-10)


@pytest.mark.parametrize("classes, solver", [(2, "gd"), (3, "momentum")])
def test_classes_end_at_newtons_solution(classes, solver):
    label = np.minimum(LABEL, classes - 1)
    found, _, norm = descend(X, label, 0.01, solver, classes=classes, weight=WEIGHT)
    newton = logistic(X, label, 0.01, weight=WEIGHT).solution
    assert norm <= 1e-8 and found.coef.shape == newton.coef.shape
    np.testing.assert_allclose(found.coef, newton.coef, rtol=1e-5)
    ours, theirs = (b - np.mean(b) for b in (found.intercept, newton.intercept))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert found.objective == pytest.approx(newton.objective, rel=1e-10)


def test_several_outputs_without_intercept_by_an_optimiser_of_optax():
    y = np.stack([Y, -Y], 1)
    found, _, _ = descend(X, y, 0.0, optax.nadam(0.1), intercept=False, steps=3000)
    np.testing.assert_allclose(found.coef, np.linalg.lstsq(X, y)[0], rtol=1e-3)
    assert found.intercept.tolist() == [0, 0]


def test_the_default_step_is_one_over_the_curvature():
    """One dimension, no intercept: E = mean (y − θx)² is a parabola, and 1/L steps right into its minimum."""
    x, y = X[:, :1], 3 * X[:, 0]
    found, steps, _ = descend(x, y, intercept=False)
    assert steps == 1 and found.coef == pytest.approx([3])
    # in standardised units the curvature is L = 2, so that steps beyond 2/L = 1 go up
    assert descend(x, y, lr=0.99, intercept=False)[0].coef == pytest.approx([3])
    with pytest.raises(RlnutError, match="smaller lr"):
        descend(x, y, lr=1.01, intercept=False, steps=100_000)


def test_what_means_nothing_is_refused():
    with pytest.raises(UsageError, match="lbfgs searches"):
        descend(X, Y, solver="lbfgs", lr=0.1)
    with pytest.raises(UsageError, match="has its own lr"):
        descend(X, Y, solver=optax.sgd(0.1), lr=0.1)
