"""Exact least squares and ridge, for any shape, rank and scaling of the data, with one pass over it:

    E(θ, b) = (1/n) Σᵢ wᵢ ‖yᵢ − θᵀxᵢ − b‖² + λ ‖θ‖²        (n = Σ wᵢ)

The pass reduces the data to the triangle R of a QR decomposition of (1, x, y), which holds all that least squares can
ask: solutions, residuals, the whole λ path, generalised and k-fold cross-validation. R comes from the Cholesky factor
of the Gram matrix where that is accurate (condition number of the scaled columns under 1e3: the error of R is then
below 1e-9), which is fastest, else from Householder QR by blocks of rows (TSQR), which is as accurate as LAPACK's
driver on all data at once. Memory beyond the data: one block and a few p × p matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg
from scipy.linalg import lapack
from scipy.optimize import nnls

from rlnut.errors import RlnutError, UsageError
from rlnut.linear_models.solution import Solution, blocks, checked_rows, strengths
from rlnut.types import Array

GRAM_CONDITION = 1e3
NEARLY_EXACT = 1e-6


class Triangle(NamedTuple):
    """r with rᵀr = Σ w (1, x − m, y − m)ᵀ(1, x − m, y − m): the data, as far as least squares is concerned.

    The leading column of ones is there only with an intercept: lead = 1, else 0.
    """

    r: np.ndarray  # [min(n, width) or fewer, width = lead + p + K], upper trapezoid (last K columns: any square root)
    shift: np.ndarray  # m [p+K], subtracted first, so that a large mean costs no digits
    p: int
    n: float  # Σ w
    lead: int

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Centred data as A [k, p] and c [k, K], k <= p: θ minimises the cost iff it minimises it for A and c."""
        q = self.lead + self.p
        return self.r[self.lead : q, self.lead : q], self.r[self.lead : q, q:]

    def intercept(self, coef: np.ndarray) -> np.ndarray:
        """b [..., K] that belongs to θ [..., p, K]: the residuals then have mean 0 (0 if there is no intercept)."""
        if not self.lead:
            return np.zeros(coef.shape[:-2] + coef.shape[-1:])
        mean = self.shift + self.r[0, 1:] / self.r[0, 0]
        return mean[self.p :] - np.einsum("p,...pk->...k", mean[: self.p], coef)

    def rss(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Σ w (y − θᵀx − b)² of each output [..., K], for any θ [..., p, K] and b [..., K]."""
        q = self.lead + self.p
        residual = self.r[:, q:] - self.r[:, self.lead : q] @ coef
        if self.lead:
            m_x, m_y = self.shift[: self.p], self.shift[self.p :]
            offset = m_y - np.einsum("p,...pk->...k", m_x, coef) - intercept
            residual = residual + self.r[:, :1] * offset[..., None, :]
        return (residual**2).sum(-2)


def _qr(stack: np.ndarray) -> np.ndarray:
    r = linalg.qr(stack, mode="r", overwrite_a=True, check_finite=False)[0]
    return r[: stack.shape[1]]


def _condition(r: np.ndarray) -> float:
    """1-norm condition number of a square triangle."""
    rcond, _ = lapack.dtrcon(r)
    return np.inf if rcond == 0 else 1 / rcond


def triangle(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    intercept: bool = True,
    *,
    rows: np.ndarray | None = None,
    shift: np.ndarray | None = None,
) -> Triangle:
    """Reduce x [n, p], y [n, K] to a `Triangle`; `rows` (indices) takes a part, and parts to merge need one `shift`."""
    lead, p = int(intercept), x.shape[1]
    n, width = len(x) if rows is None else len(rows), lead + p + y.shape[1]
    if shift is None:
        shift = first_means(x, y, intercept)

    def block(part: slice) -> np.ndarray:
        chosen = part if rows is None else rows[part]
        out = np.empty((part.stop - part.start, width))
        out[:, :lead] = 1
        np.subtract(x[chosen], shift[:p], out=out[:, lead : lead + p], dtype=np.float64)
        np.subtract(y[chosen], shift[p:], out=out[:, lead + p :], dtype=np.float64)
        if weight is not None:
            out *= np.sqrt(weight[chosen])[:, None]
        return out

    r = _gram_triangle(block, n, width, lead + p) if n >= width else None
    if r is None:
        r = np.zeros((0, width))
        for part in blocks(n, width, least=4 * width):
            r = _qr(np.concatenate([r, block(part)]))
    total = float(n) if weight is None else float((weight if rows is None else weight[rows]).sum())
    return Triangle(r, shift, p, total, lead)


def first_means(x: np.ndarray, y: np.ndarray, intercept: bool) -> np.ndarray:
    """Means of the first rows [p+K]: close enough to the true ones that subtracting them saves the digits."""
    few = next(blocks(len(x), x.shape[1]))
    return np.concatenate([a[few].mean(0, dtype=np.float64) for a in (x, y)]) * float(intercept)


def _gram_triangle(block: Callable[[slice], np.ndarray], n: int, width: int, q: int) -> np.ndarray | None:
    """r from the Cholesky factor of the Gram matrix, or None where that would cost digits: see `Triangle`."""
    gram = np.zeros((width, width))
    for part in blocks(n, width):
        rows = block(part)
        gram += rows.T @ rows
    scale = np.sqrt(np.diag(gram)[:q])
    if not (scale > 0).all():
        return None
    try:
        factor = linalg.cholesky(gram[:q, :q] / scale / scale[:, None])
    except linalg.LinAlgError:
        return None
    c = linalg.solve_triangular(factor, gram[:q, q:] / scale[:, None], trans="T")
    rest = gram[q:, q:] - c.T @ c  # residual products, by a difference: good while not much smaller than y's own
    if _condition(factor) > GRAM_CONDITION or (np.diag(rest) < NEARLY_EXACT * np.diag(gram)[q:]).any():
        return None
    values, vectors = linalg.eigh(rest)
    r = np.zeros((width, width))
    r[:q, :q], r[:q, q:], r[q:, q:] = factor * scale, c, np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return r


def merge(parts: list[Triangle]) -> Triangle:
    """The triangle of all rows together, from triangles of disjoint parts with one shift."""
    return parts[0]._replace(r=_qr(np.concatenate([t.r for t in parts])), n=sum(t.n for t in parts))


def _minimum_norm(a: np.ndarray, c: np.ndarray, n: float) -> np.ndarray:
    """θ of least ‖θ‖ among the minimisers of ‖c − aθ‖; the rank is judged on columns scaled to length 1."""
    scale = np.sqrt((a * a).sum(0))
    scale[scale == 0] = 1
    scaled = a / scale
    if a.shape[0] == a.shape[1] and _condition(scaled) < 1e12:
        return linalg.solve_triangular(scaled, c) / scale[:, None]
    u, s, vt = linalg.svd(scaled, full_matrices=False, lapack_driver="gesvd")
    rank = int((s > np.finfo(float).eps * max(n, a.shape[1]) * s[0]).sum()) if s.size else 0
    theta = (vt[:rank].T @ ((u.T @ c)[:rank] / s[:rank, None])) / scale[:, None]
    if rank < a.shape[1]:  # stay in the row space of a, which is spanned by the rows of vt·scale
        basis = linalg.qr(vt[:rank].T * scale[:, None], mode="economic")[0]
        theta = basis @ (basis.T @ theta)
    return theta


def _path(t: Triangle, lams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """θ(λ) [L, p, K] and effective degrees of freedom [L], from one singular value decomposition."""
    a, c = t.parts
    u, s, vt = linalg.svd(a, full_matrices=False)
    z, theta, df = u.T @ c, np.empty((len(lams), t.p, c.shape[1])), np.empty(len(lams))
    for i, lam in enumerate(lams):
        if lam == 0:
            theta[i] = _minimum_norm(a, c, t.n)
            df[i] = (s > np.finfo(float).eps * max(t.n, t.p) * s[0]).sum() if s.size else 0
        else:
            theta[i] = vt.T @ ((s / (s * s + t.n * lam))[:, None] * z)
            df[i] = (s * s / (s * s + t.n * lam)).sum()
    return theta, df + t.lead


def _not_negative(a: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The θ >= 0 that minimises ‖c − aθ‖ for each column of c (active sets, Lawson & Hanson 1974)."""
    try:
        return np.stack([nnls(a, column)[0] for column in c.T], 1)
    except RuntimeError as error:
        raise RlnutError(f"least squares with positive coefficients did not converge: {error}") from None


def least_squares(
    x: Array, y: Array, lam: float = 0.0, *, intercept: bool = True, weight: Array | None = None, positive: bool = False
) -> Solution:
    """The exact minimiser of E = (1/n) Σ w ‖y − θᵀx − b‖² + λ‖θ‖² for x [n, p], y [n] or [n, K].

    λ = 0 is ordinary least squares; where many θ fit equally well (p > n, dependent columns) the shortest is taken.
    λ > 0 is ridge regression; scikit-learn's alpha is n·λ. `positive` allows no θⱼ < 0. Raises UsageError for data that
    is not finite.

    >>> import numpy as np
    >>> current, voltage = np.array([[1.0], [2.0], [3.0]]), np.array([2.5, 4.5, 6.5])
    >>> least_squares(current, voltage).coef.round(12).tolist()
    [2.0]
    """
    x, y, weight = checked_rows(x, y, weight)
    single, y, lam = y.ndim == 1, y.reshape(len(y), -1), float(strengths(lam)[0])
    t = triangle(x, y, weight, intercept)
    a, c = t.parts
    if positive:
        below = np.sqrt(t.n * lam) * np.eye(t.p)[: t.p if lam else 0]
        theta = _not_negative(np.concatenate([a, below]), np.concatenate([c, np.zeros((len(below), c.shape[1]))]))
    elif lam == 0:
        theta = _minimum_norm(a, c, t.n)
    elif len(a) < t.p:
        theta = _path(t, np.array([lam]))[0][0]
    else:
        r = _qr(np.block([[a, c], [np.sqrt(t.n * lam) * np.eye(t.p), np.zeros((t.p, c.shape[1]))]]))
        theta = linalg.solve_triangular(r[: t.p, : t.p], r[: t.p, t.p :])
    b = t.intercept(theta)
    objective = float(t.rss(theta, b).sum() / t.n + lam * (theta**2).sum())
    return Solution(theta[:, 0], b[0], objective) if single else Solution(theta, b, objective)


class RidgePath(NamedTuple):
    """Ridge for every λ of a list."""

    lams: np.ndarray  # [L]
    coef: np.ndarray  # [L, p] or [L, p, K]
    intercept: np.ndarray  # [L] or [L, K]
    objective: np.ndarray  # [L]
    df: np.ndarray  # [L] effective number of parameters, the intercept counted
    gcv: np.ndarray  # [L] generalised cross-validation: n·RSS/(n − df)², all outputs together

    def choose(self, scores: np.ndarray) -> tuple[Solution, float]:
        """The solution and the λ of the smallest score; of equal ones the largest λ."""
        i = min(range(len(scores)), key=lambda i: (scores[i], -self.lams[i]))
        return Solution(self.coef[i], self.intercept[i], float(self.objective[i])), float(self.lams[i])


def ridge_path(
    x: Array, y: Array, lams: ArrayLike, *, intercept: bool = True, weight: Array | None = None
) -> RidgePath:
    """Ridge regression for all λ in `lams` [L] from one pass over the data and one decomposition.

    GCV(λ) = n·RSS(λ)/(n − df(λ))², df = Σⱼ sⱼ²/(sⱼ² + nλ) + 1 (Golub, Heath & Wahba 1979), n rows; infinite where
    nothing is left to judge by (df = n). `path.choose(path.gcv)` or `path.choose(ridge_folds(...))` picks λ.
    """
    x, y, weight = checked_rows(x, y, weight)
    single, lams = y.ndim == 1, strengths(lams)
    t = triangle(x, y.reshape(len(y), -1), weight, intercept)
    coef, df = _path(t, lams)
    b = t.intercept(coef)
    rss, free = t.rss(coef, b).sum(-1), len(x) - df
    left = free > 1e-8 * len(x)
    gcv = np.where(left, len(x) * rss / np.where(left, free, 1) ** 2, np.inf)
    objective = rss / t.n + lams * (coef**2).sum((1, 2))
    return RidgePath(lams, coef[..., 0] if single else coef, b[..., 0] if single else b, objective, df, gcv)


def ridge_folds(
    x: Array, y: Array, lams: ArrayLike, folds: int = 5, *, seed: int = 0, intercept: bool = True
) -> np.ndarray:
    """k-fold cross-validated mean squared error of each λ [L], outputs summed; rows are dealt out by `seed`.

    One pass over the data: each fold is reduced to its triangle; the others' triangles merge into its training set,
    and its own one gives the error on it.
    """
    x, y, _ = checked_rows(x, y)
    y, lams = y.reshape(len(y), -1), strengths(lams)
    if not 2 <= folds <= len(x):
        raise UsageError(f"folds must be >= 2 and <= the number of rows {len(x)}, got {folds}")
    shift = first_means(x, y, intercept)
    deal = np.array_split(np.random.default_rng(seed).permutation(len(x)), folds)
    parts = [triangle(x, y, None, intercept, rows=np.sort(rows), shift=shift) for rows in deal]
    error = np.zeros(len(lams))
    for i, held_out in enumerate(parts):
        t = merge(parts[:i] + parts[i + 1 :])
        coef, _ = _path(t, lams)
        error += held_out.rss(coef, t.intercept(coef)).sum(-1)
    return error / len(x)
