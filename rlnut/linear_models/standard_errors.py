"""Standard errors of the coefficients of ordinary least squares, from the residuals of the rows that were fitted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

from rlnut.linear_models.solution import Solution
from rlnut.types import Array


class StandardErrors(NamedTuple):
    """Of a fit with one output or K."""

    coef: np.ndarray  # [p] or [p, K]
    intercept: np.ndarray  # [] or [K]; 0 where there is no intercept
    sigma: np.ndarray  # [] or [K] standard deviation of the noise
    freedom: int  # degrees of freedom n − q


def standard_errors(x: Array, y: Array, solution: Solution, intercept: bool = True) -> StandardErrors | None:
    """Standard errors of θ [p] or [p, K] and b of an unpenalised fit to x [n, p], y [n] or [n, K].

        σ² = Σ (y − θᵀx − b)²/(n − q),    se(θⱼ)² = σ² [(XᵀX)⁻¹]ⱼⱼ        (q columns of X, with that of the intercept)
        se(b)² = σ² (1/n + x̄ᵀ(XᵀX)⁻¹x̄)                                   (here X has its mean x̄ taken off)

    They hold where the noise of the rows is independent and of one variance. None where there are no more rows than
    coefficients, or where columns depend on each other, so that θ is not determined by the rows.
    """
    rows = np.asarray(x, np.float64)
    n, p = rows.shape
    if n <= p + intercept:
        return None
    mean = rows.mean(0)
    if intercept:
        rows = rows - mean
    length = np.linalg.norm(rows, axis=0)
    if not (length > 0).all():
        return None
    triangle = linalg.qr(rows / length, mode="r")[0][:p]
    if np.linalg.cond(triangle) > 1e10:
        return None
    spread = np.linalg.norm(linalg.solve_triangular(triangle, np.eye(p)), axis=1) / length  # of θ, for σ = 1
    residual = np.asarray(y, np.float64) - solution.predict(x)
    sigma = np.sqrt((residual**2).sum(0) / (n - p - intercept))
    at_zero = linalg.solve_triangular(triangle, mean / length, trans="T")
    of_intercept = sigma * np.sqrt(1 / n + at_zero @ at_zero) if intercept else 0 * sigma
    return StandardErrors(np.multiply.outer(spread, sigma), np.asarray(of_intercept), sigma, n - p - intercept)
