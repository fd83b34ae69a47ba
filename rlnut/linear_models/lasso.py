"""Lasso and elastic net with exact zeros and a proof of optimality:

    E(θ, b) = (1/n) Σᵢ wᵢ (yᵢ − θᵀxᵢ − b)² + λ₁ ‖θ‖₁ + λ₂ ‖θ‖²        (n = Σ wᵢ)

The data are first reduced to their triangle (`least_squares.triangle`), so that every step costs p × p whatever n is.
θ is piecewise linear in λ₁, so the path is followed from event to event (homotopy, Osborne et al. 2000), and each
answer is then made exact by Newton steps on the non-zero coefficients, letting in the one that breaks its condition
most (feature-sign search, Lee et al. 2007): every step lowers E, and a set of signs never comes back. The duality gap,
E(θ) − D(u) >= E(θ) − min E for every feasible u, certifies each answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from rlnut.errors import RlnutError, UsageError
from rlnut.linear_models.least_squares import triangle
from rlnut.linear_models.solution import Solution, checked_rows, strengths
from rlnut.types import Array

EXACT = 1e-11  # optimality conditions hold to this share of the largest |xᵀy|/n, and of λ₁ to 1e-8
JITTER = 1e-13  # of the Newton matrix's diagonal: a step along a flat direction is then long, not infinite


class LassoPath(NamedTuple):
    """Lasso for every strength of a list."""

    l1: np.ndarray  # [L]
    coef: np.ndarray  # [L, p], exact zeros
    intercept: np.ndarray  # [L]
    objective: np.ndarray  # [L]
    gap: np.ndarray  # [L] duality gap: the objective is at most this much above the minimum


class _Problem(NamedTuple):
    """½/n ‖c − Aθ‖² + ½ λ₂‖θ‖² + h‖θ‖₁ with h = ½ λ₁: half of E − rest/n."""

    a: np.ndarray  # [k, p], columns contiguous
    c: np.ndarray  # [k]
    rest: float  # the part of Σ y² that no θ explains
    n: float
    gram: np.ndarray  # [p, p] aᵀa/n
    positive: bool = False  # is θ >= 0 asked for?

    @property
    def square(self) -> np.ndarray:
        """‖aⱼ‖²/n [p]."""
        return self.gram.diagonal()

    def excess(self, slope: np.ndarray) -> np.ndarray:
        """How strongly a θⱼ = 0 is drawn away from it; with `positive` only upwards."""
        return slope if self.positive else np.abs(slope)

    def pull(self, theta: np.ndarray, residual: np.ndarray, l2: float) -> np.ndarray:
        """Minus the slope of the smooth part: aᵀ(c − aθ)/n − λ₂θ; at the minimum h·sign θⱼ, or within ±h at θⱼ = 0."""
        return self.a.T @ residual / self.n - l2 * theta


def _matrix(problem: _Problem, w: np.ndarray, l2: float) -> Any:
    """Cholesky factor of aᵀa/n + λ₂ over the non-zero coefficients."""
    matrix = problem.gram[np.ix_(w, w)]
    matrix[np.diag_indices(len(w))] += l2 + JITTER * problem.square[w]
    return linalg.cho_factor(matrix, check_finite=False)


def _follow(problem: _Problem, theta: np.ndarray, h: float, target: float, l2: float) -> np.ndarray:
    """From the minimum θ at h to the one at `target` < h along the exact path, which is straight between events.

    While no sign changes, θ_W moves by (a_Wᵀa_W/n + λ₂)⁻¹ s_W and every pull by −u for each unit that h falls. The
    next event is a coefficient that reaches 0 (it leaves W) or a pull that reaches ±h (it joins).
    """
    theta, left = theta.copy(), -1
    pull = problem.pull(theta, problem.c - problem.a @ theta, l2)
    sign = np.sign(theta)
    for _ in range(50 + 8 * min(problem.a.shape)):
        w = np.flatnonzero(sign)
        step = np.zeros_like(theta)
        if len(w):
            try:
                step[w] = linalg.cho_solve(_matrix(problem, w, l2), sign[w])
            except linalg.LinAlgError:
                break  # dependent columns: `_minimise` goes on from here
        slope = problem.gram @ step + l2 * step
        with np.errstate(divide="ignore", invalid="ignore"):
            leave = np.where((sign != 0) & (step * sign < 0), -theta / step, np.inf)
            rise = np.where((sign == 0) & (slope < 1), np.maximum((h - pull) / (1 - slope), 0), np.inf)
            fall = np.where((sign == 0) & (slope > -1), np.maximum((h + pull) / (1 + slope), 0), np.inf)
        if problem.positive:
            fall[:] = np.inf
        if left >= 0:
            rise[left] = fall[left] = np.inf  # it stands at ±h, on its way in
        events = np.stack([leave, rise, fall])
        kind, j = np.unravel_index(events.argmin(), events.shape)
        length = min(events[kind, j], h - target)
        theta, pull, h = theta + length * step, pull - length * slope, h - length
        if h <= target or length == h - target:
            break
        left = -1
        if kind == 0:
            theta[j], sign[j], left = 0.0, 0.0, int(j)
        else:
            sign[j] = 1.0 if kind == 1 else -1.0
    return np.where(np.sign(theta) == sign, theta, 0.0)


def _newton(
    problem: _Problem, theta: np.ndarray, residual: np.ndarray, slope: np.ndarray, l1: float, l2: float
) -> bool:
    """Minimise over the non-zero θ with their signs, in place; True if none of them became 0 on the way.

    `slope` is what is to become 0. The cost along the line is known exactly, so of the places where a sign changes
    and the full step the cheapest is taken.
    """
    w, h = np.flatnonzero(theta), l1 / 2
    start = theta[w]
    step = linalg.cho_solve(_matrix(problem, w, l2), slope[w])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -start / step
    crossing = np.where((crossing > 0) & (crossing < 1), crossing, 1.0)
    lengths = np.unique(np.append(crossing, 1.0))
    moved = problem.a[:, w] @ step
    points = start + lengths[:, None] * step
    terms = 0.5 / problem.n * lengths**2 * (moved @ moved), -lengths / problem.n * (residual @ moved)
    cost = terms[0] + terms[1] + 0.5 * l2 * (points**2).sum(1) + h * np.abs(points).sum(1)
    rounding = 1e-15 * float(np.abs(terms).max() + np.abs(cost).max())
    if problem.positive:
        cost[lengths > lengths[0]] = np.inf  # beyond the first crossing some θⱼ < 0
    best = int(np.flatnonzero(cost <= cost.min() + rounding)[-1])
    theta[w] = points[best] if lengths[best] == 1 else np.where(crossing == lengths[best], 0.0, points[best])
    return len(lengths) == 1


def _minimise(problem: _Problem, theta: np.ndarray, l1: float, l2: float, top: float) -> np.ndarray:
    """θ where the optimality conditions hold to EXACT, or to rounding, from a start near it (feature-sign search)."""
    h, theta, full = l1 / 2, theta.copy(), False
    close = min(EXACT * top, 1e-8 * h)
    for _ in range(50 + 8 * min(problem.a.shape)):
        residual = problem.c - problem.a @ theta
        slope = problem.pull(theta, residual, l2) - h * np.sign(theta)
        zero = theta == 0
        excess = np.where(zero, problem.excess(slope) - h, 0.0)
        if full or np.abs(slope[~zero]).max(initial=0.0) <= close:
            j = excess.argmax()
            if excess[j] <= close:
                break
            theta[j] = np.sign(slope[j]) * excess[j] / (problem.square[j] + l2)  # its own minimum, others fixed
            residual = problem.c - problem.a @ theta
            slope = problem.pull(theta, residual, l2) - h * np.sign(theta)
        full = _newton(problem, theta, residual, slope, l1, l2)
    return theta


def _certificate(problem: _Problem, theta: np.ndarray, l1: float, l2: float) -> tuple[float, float]:
    """E(θ) and its duality gap: D(u) = (‖y‖² − ‖y − u‖²)/n for u = s·(y − Xθ, −√(nλ₂)θ), |Xᵀu| <= nλ₁/2.

    With θ >= 0 the bound on Xᵀu is from above only, for s >= 0.
    """
    residual = problem.c - problem.a @ theta
    largest = problem.excess(problem.pull(theta, residual, l2)).max()
    fit = residual @ residual + problem.rest
    objective = fit / problem.n + l1 * np.abs(theta).sum() + l2 * theta @ theta
    along, length = residual @ problem.c + problem.rest, fit + problem.n * l2 * theta @ theta
    s = along / length if length > 0 else 0.0
    s = max(s, 0.0) if problem.positive else s
    if abs(s) * largest > l1 / 2:
        s = np.sign(s) * l1 / 2 / largest
    return float(objective), float(max(objective - (2 * s * along - s * s * length) / problem.n, 0.0))


def lasso_path(
    x: Array,
    y: Array,
    l1: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
    *,
    count: int = 100,
    ratio: float = 1e-3,
    intercept: bool = True,
    weight: Array | None = None,
    tol: float = 1e-6,
    positive: bool = False,
) -> LassoPath:
    """Minimise E = (1/n) Σ w (y − θᵀx − b)² + λ₁‖θ‖₁ + λ₂‖θ‖² for all λ₁ in `l1`, each from the one before.

    x [n, p], y [n]. Without `l1`: `count` strengths spaced evenly in log from the smallest that makes θ = 0 down to
    `ratio` times it. `l2` is one number or one for each. In scikit-learn's letters λ₁ = 2αρ and λ₂ = α(1 − ρ) with
    ρ = l1_ratio. The optimality conditions hold to about 1e-11 of max |xᵀy|/n; the duality gap is at most
    `tol` times the objective, or RlnutError is raised. `positive` allows no θⱼ < 0.
    """
    x, y, weight = checked_rows(x, y, weight)
    if y.ndim != 1:
        raise UsageError(f"lasso takes one output, y [n], got {y.shape}: fit the outputs one by one")
    t = triangle(x, y[:, None], weight, intercept)
    a, c = t.parts
    a = np.asfortranarray(a)
    problem = _Problem(a, c[:, 0], float((t.r[t.lead + t.p :, t.lead + t.p] ** 2).sum()), t.n, a.T @ a / t.n, positive)
    top = float(problem.excess(a.T @ problem.c).max(initial=0.0)) / t.n
    if l1 is None:
        if count < 1 or not 0 < ratio < 1:
            raise UsageError(f"count must be >= 1 and ratio > 0 and < 1, got {count} and {ratio}")
        l1 = 2 * max(top, np.finfo(float).tiny) * np.geomspace(1, ratio, count)
    strength = strengths(l1, "l1")
    second = np.broadcast_to(strengths(l2, "l2"), strength.shape)
    if strength.min() == 0:
        raise UsageError("l1 must be > 0: without it this is ridge or least squares (least_squares.least_squares)")
    order = np.argsort(-strength, kind="stable")
    coef, objective, gap = np.zeros((len(strength), t.p)), np.zeros(len(strength)), np.zeros(len(strength))
    theta = np.zeros(t.p)
    rounding = 1e-14 * float(problem.c @ problem.c + problem.rest) / t.n
    h, second_before = top, float(second[order[0]])
    for i in order:
        l1_i, l2_i = float(strength[i]), float(second[i])
        if l2_i != second_before:
            theta = _minimise(problem, theta, 2 * h, l2_i, top)
        if l1_i / 2 < h:
            theta = _follow(problem, theta, h, l1_i / 2, l2_i)
        theta = coef[i] = _minimise(problem, theta, l1_i, l2_i, top)
        h, second_before = min(l1_i / 2, top), l2_i
        objective[i], gap[i] = _certificate(problem, theta, l1_i, l2_i)
        if gap[i] > tol * objective[i] + rounding:
            raise RlnutError(f"lasso with l1 = {strength[i]:g} stopped at a duality gap of {gap[i] / objective[i]:.1e}")
    return LassoPath(strength, coef, t.intercept(coef[..., None])[..., 0], objective, gap)


def lasso(
    x: Array,
    y: Array,
    l1: float,
    l2: float = 0.0,
    *,
    intercept: bool = True,
    weight: Array | None = None,
    positive: bool = False,
) -> Solution:
    """The minimiser of E = (1/n) Σ w (y − θᵀx − b)² + λ₁‖θ‖₁ + λ₂‖θ‖² for one λ₁ > 0: see `lasso_path`.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> lasso(x, np.array([2.0, -2.0, 0.1, -0.1]), l1=0.5).coef.round(12).tolist()  # z = (2, 0.1) less ½
    [1.5, 0.0]
    """
    path = lasso_path(x, y, l1, l2, intercept=intercept, weight=weight, positive=positive)
    return Solution(path.coef[0], path.intercept[0], float(path.objective[0]))


def lasso_folds(
    x: Array, y: Array, l1: ArrayLike, l2: float = 0.0, folds: int = 5, *, seed: int = 0, intercept: bool = True
) -> np.ndarray:
    """k-fold cross-validated mean squared error of each λ₁ [L]; rows are dealt out by `seed`."""
    x, y, _ = checked_rows(x, y)
    strength = strengths(l1, "l1")
    if not 2 <= folds <= len(x):
        raise UsageError(f"folds must be >= 2 and <= the number of rows {len(x)}, got {folds}")
    error = np.zeros(len(strength))
    for held in np.array_split(np.random.default_rng(seed).permutation(len(x)), folds):
        rest = np.setdiff1d(np.arange(len(x)), held)
        path = lasso_path(x[rest], y[rest], strength, l2, intercept=intercept)
        guess = np.asarray(x[held], float) @ path.coef.T + path.intercept  # [held, L]
        error += ((guess - np.asarray(y[held], float)[:, None]) ** 2).sum(0)
    return error / len(x)
