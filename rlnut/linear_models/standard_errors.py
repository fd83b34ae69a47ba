"""Standard errors of the coefficients of ordinary least squares, from the residuals of the rows that were fitted."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from rlnut.linear_models.solution import Solution
from rlnut.types import Array


def standard_errors(x: Array, y: Array, solution: Solution, intercept: bool = True) -> np.ndarray | None:
    """Standard errors of θ [p] or [p, K] of an unpenalised fit to x [n, p], y [n] or [n, K].

        σ² = Σ (y − θᵀx − b)²/(n − q),    se(θⱼ)² = σ² [(XᵀX)⁻¹]ⱼⱼ        (q columns of X, with that of the intercept)

    They hold where the noise of the rows is independent and of one variance. None where there are no more rows than
    coefficients, or where columns depend on each other, so that θ is not determined by the rows.
    """
    rows = np.asarray(x, np.float64)
    n, p = rows.shape
    if n <= p + intercept:
        return None
    if intercept:
        rows = rows - rows.mean(0)
    length = np.linalg.norm(rows, axis=0)
    if not (length > 0).all():
        return None
    triangle = linalg.qr(rows / length, mode="r")[0][:p]
    if np.linalg.cond(triangle) > 1e10:
        return None
    spread = np.linalg.norm(linalg.solve_triangular(triangle, np.eye(p)), axis=1) / length  # of θ, for σ = 1
    residual = np.asarray(y, np.float64) - solution.predict(x)
    sigma = np.sqrt((residual**2).sum(0) / (n - p - intercept))
    return spread * sigma if residual.ndim == 1 else spread[:, None] * sigma
