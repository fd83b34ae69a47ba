"""What the exact linear solvers share: the answer they give, the checks of their data, and passes over it by blocks.

All work in float64 on the host (LAPACK and BLAS through NumPy and SciPy), whatever the data's type, and cast one
block of rows at a time, so that memory stays near the size of the data. Models are g(x) = xᵀθ + b; the intercept b is
never penalised. Objectives are the lecture's, with means over the rows: scikit-learn's are n or 2n times as large, and
`rlnut.sklearn` translates its alpha and C.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlnut.errors import UsageError
from rlnut.types import Array

BLOCK = 2**21  # numbers in one block: 16 MiB of float64


class Solution(NamedTuple):
    """A fitted linear model g(x) = xᵀθ + b."""

    coef: np.ndarray  # θ [p], or [p, K] for K outputs
    intercept: np.ndarray  # b [], or [K]
    objective: float  # E(θ, b), the cost that was minimised

    def predict(self, x: Array) -> np.ndarray:
        """x [B, p] -> g(x), [B] or [B, K], in float64."""
        out = np.empty((len(x), *self.coef.shape[1:]))
        for rows in blocks(len(x), len(self.coef)):
            out[rows] = np.asarray(x[rows], np.float64) @ self.coef + self.intercept
        return out


def blocks(n: int, width: int, least: int = 1) -> Iterator[slice]:
    """Slices that cover n rows of `width` numbers, at most BLOCK numbers each but at least `least` rows."""
    step = max(least, BLOCK // max(width, 1), 1)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def checked_rows(x: Array, y: Array, weight: Array | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """x [n, p], y [n] or [n, K] as arrays (not copied) and float64 weights [n]; what cannot be fitted is refused."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim not in (1, 2) or len(x) != len(y) or not x.size or not y.size:
        raise UsageError(f"x must be [n, p] and y [n] or [n, K] with n, p >= 1, got {x.shape} and {y.shape}")
    for name, array in (("x", x), ("y", y)):
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
            raise UsageError(f"{name} must hold real numbers, got {array.dtype}")
        if not np.issubdtype(array.dtype, np.inexact):
            continue
        for rows in blocks(len(array), array[0].size):
            bad = ~np.isfinite(array[rows].reshape(rows.stop - rows.start, -1))
            if bad.any():
                row, column = np.argwhere(bad)[0]
                raise UsageError(f"{name} must be finite: row {rows.start + row}, column {column} is not")
    if weight is None:
        return x, y, None
    weight = np.asarray(weight, np.float64)
    if weight.shape != (len(x),) or not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() == 0:
        raise UsageError(f"weight must be {len(x)} finite numbers >= 0, not all 0")
    return x, y, weight


def strengths(values: ArrayLike, name: str = "lam") -> np.ndarray:
    """Regularisation strengths as float64 [L]: finite and >= 0."""
    found = np.atleast_1d(np.asarray(values, np.float64))
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or found.min() < 0:
        raise UsageError(f"{name} must be finite and >= 0, got {values!r}")
    return found
