"""What all estimators ask of X, sample_weight and their parameters, and the types that they answer in."""

from __future__ import annotations

import numpy as np
import psutil
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, validate_data

from rlnut.errors import UsageError

FLOATS = (np.float64, np.float32)


class SparseInputs(BaseEstimator):
    """An estimator that takes sparse X too, as a dense array if that fits into the memory."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _rows_of(self, X: ArrayLike, y: ArrayLike | None, **checks: bool) -> tuple[np.ndarray, np.ndarray]:
        """X [n, p] in float32 or float64 as it was, and y."""
        rows, values = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, **checks)
        return as_dense(rows), values

    def _weights_of(self, sample_weight: ArrayLike | None, X: np.ndarray) -> np.ndarray | None:
        if sample_weight is None:
            return None
        return np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))


def as_dense(X: np.ndarray | sparse.sparray) -> np.ndarray:
    """X as an array; a sparse one that would take more than half of the free memory is refused."""
    if not sparse.issparse(X):
        return X
    needed, free = X.shape[0] * X.shape[1] * X.dtype.itemsize, psutil.virtual_memory().available
    if needed > free / 2:
        raise UsageError(
            f"sparse X {list(X.shape)} is used as a dense array here: that takes {needed / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free"
        )
    return np.asarray(X.toarray())  # type: ignore[union-attr]


def number(name: str, value: object, low: float, high: float = np.inf) -> float:
    """A parameter as a float in [low, high]."""
    if not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        raise UsageError(f"{name} must be >= {low:g}{f' and <= {high:g}' if np.isfinite(high) else ''}, got {value!r}")
    return float(value)
