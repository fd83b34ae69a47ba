"""Logistic and softmax regression by Newton's method, to a gradient norm of 1e-8:

    E(W, b) = (1/n) Σᵢ wᵢ ℓᵢ + λ ‖W‖²,    ℓ = −log P(y | x),    P(y = m | x) = e^{s_m} / Σ_k e^{s_k},   s = xᵀW + b

With two classes s₀ = 0 is fixed and s₁ = s: P(y = 1 | x) = σ(s) = 1/(1 + e^{−s}). The lecture writes softmax with
e^{−θ_m·x}: its θ_m is minus our column W_m (for two classes its θ·x = s is ours). Softmax with two free columns is
logistic regression with θ = W₁ − W₀ and half the λ, since ‖W‖² is then ½‖θ‖². scikit-learn's C is 1/(2nλ).

The Newton equation is solved by Cholesky when there are few unknowns, else by conjugate gradients, preconditioned with
the Hessian that equal weights would give; its accuracy follows the gradient's, so that convergence is superlinear.
Memory beyond the data: one block of rows, and the probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import linalg

from rlnut.errors import RlnutError, UsageError
from rlnut.linear_models.solution import Solution, blocks, checked_rows, strengths
from rlnut.types import Array

DENSE = 600  # unknowns up to which the Hessian is formed
ROUNDING = 1e-14


class _Problem(NamedTuple):
    """Rows, and what the cost needs of y; θ [q, K] has the intercept, if there is one, as its last row."""

    x: np.ndarray  # [n, p] float32 or float64, as given
    label: np.ndarray  # [n] 0 … M−1
    share: np.ndarray  # [n] wᵢ/n
    fixed: bool  # is s₀ = 0 (two classes)?
    penalty: np.ndarray  # [q] λ, and 0 for the intercept

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows in float64 with the column of ones, a block at a time."""
        p, q = self.x.shape[1], len(self.penalty)
        for rows in blocks(len(self.x), q):
            table = np.ones((rows.stop - rows.start, q))
            table[:, :p] = self.x[rows]
            yield rows, table

    def cost(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """E, its gradient [q, K] and P [n, K] of the free classes."""
        value, gradient = 0.0, np.zeros_like(theta)
        chances = np.empty((len(self.x), theta.shape[1]))
        for rows, table in self.parts():
            chances[rows], loss = self._probabilities(table @ theta, self.label[rows])
            share, at = self.share[rows], self.label[rows] - int(self.fixed)
            excess = chances[rows] * share[:, None]
            free = np.flatnonzero(at >= 0)
            excess[free, at[free]] -= share[free]
            value += float(share @ loss)
            gradient += table.T @ excess
        weighted = self.penalty[:, None] * theta
        return value + float((weighted * theta).sum()), gradient + 2 * weighted, chances

    def _probabilities(self, s: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P [B, K] of the free classes and −log P(y | x) [B] from the scores [B, K]."""
        if self.fixed:
            s = np.concatenate([np.zeros_like(s), s], 1)
        s -= s.max(1, keepdims=True)
        own = s[np.arange(len(s)), label]
        np.exp(s, out=s)
        total = s.sum(1)
        s /= total[:, None]
        return s[:, int(self.fixed) :], np.log(total) - own

    def curve(self, p: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Hessian times v [q, K], in the precision of x: what is solved with it is corrected by exact gradients."""
        width, kind = self.x.shape[1], self.x.dtype
        u = self.x @ v[:width].astype(kind) + v[width:].sum(0)
        u -= (p * u).sum(1, keepdims=True)
        u *= p
        u *= self.share[:, None]
        back = np.empty_like(v)
        back[:width] = self.x.T @ u.astype(kind)
        back[width:] = u.sum(0)
        return back + 2 * self.penalty[:, None] * v

    def gram(self) -> np.ndarray:
        """Σ shareᵢ xᵢxᵢᵀ [q, q]."""
        return sum(table.T @ (self.share[rows, None] * table) for rows, table in self.parts())


def _dense_step(problem: _Problem, p: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """−H⁻¹∇E by Cholesky."""
    q, k = gradient.shape
    hessian = np.zeros((k, q, k, q))
    for rows, table in problem.parts():
        chance, share = p[rows], problem.share[rows]
        for a in range(k):
            for b in range(a + 1):
                weight = share * chance[:, a] * ((a == b) - chance[:, b])
                hessian[a, :, b, :] += table.T @ (weight[:, None] * table)
    for a in range(k):
        for b in range(a):
            hessian[b, :, a, :] = hessian[a, :, b, :].T
        hessian[a, range(q), a, range(q)] += 2 * problem.penalty
    flat = hessian.reshape(k * q, k * q)
    scale = np.trace(flat) / (k * q)
    if not problem.fixed:  # adding one vector to all columns changes no probability: give that direction a curvature
        flat += np.kron(np.ones((k, k)), np.eye(q)) * scale
    flat[np.diag_indices(k * q)] += 1e-14 * scale + 1e-300
    try:
        step = linalg.solve(flat, -gradient.T.ravel(), assume_a="pos", check_finite=False)
    except linalg.LinAlgError:
        step = linalg.lstsq(flat, -gradient.T.ravel())[0]
    return step.reshape(k, q).T


def _cg_step(problem: _Problem, p: np.ndarray, gradient: np.ndarray, solve: Callable, tolerance: float) -> np.ndarray:
    """−H⁻¹∇E by preconditioned conjugate gradients to a residual of `tolerance`·‖∇E‖."""
    step, residual = np.zeros_like(gradient), -gradient
    z = solve(residual)
    direction, rho = z, (residual * z).sum()
    goal = tolerance * np.linalg.norm(gradient)
    for _ in range(500):
        along = problem.curve(p, direction)
        bend = (direction * along).sum()
        if bend <= 0:
            break
        length = rho / bend
        step += length * direction
        residual = residual - length * along
        if np.linalg.norm(residual) <= goal:
            break
        z = solve(residual)
        rho, before = (residual * z).sum(), rho
        direction = z + rho / before * direction
    return step if step.any() else -gradient


def _preconditioner(problem: _Problem, p: np.ndarray, gram: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Solve with mean(P(1 − P))·xᵀx/n + 2λ, the Hessian of rows that all have the same curvature."""
    curvature = float(problem.share @ (p * (1 - p)).mean(1)) / problem.share.sum()
    matrix = curvature * gram + np.diag(2 * problem.penalty)
    matrix[np.diag_indices(len(matrix))] += 1e-6 * curvature * np.trace(gram) / len(gram) + 1e-300
    factor = linalg.cho_factor(matrix, check_finite=False)
    return lambda r: linalg.cho_solve(factor, r, check_finite=False)


def _newton(problem: _Problem, theta: np.ndarray, tol: float, most: int) -> tuple[np.ndarray, float, float, int]:
    """Minimise E from θ: (θ, E, ‖∇E‖, steps)."""
    value, gradient, p = problem.cost(theta)
    norm = float(np.linalg.norm(gradient))
    dense = theta.size <= DENSE
    gram = None if dense else problem.gram()
    steps = 0
    while norm > tol and steps < most:
        if gram is None:
            step = _dense_step(problem, p, gradient)
        else:
            step = _cg_step(problem, p, gradient, _preconditioner(problem, p, gram), min(0.3, np.sqrt(norm)))
        down, length = float((gradient * step).sum()), 1.0
        while length > 1e-12:
            new = theta + length * step
            new_value, new_gradient, new_p = problem.cost(new)
            new_norm = float(np.linalg.norm(new_gradient))
            lower = new_value <= value + 1e-4 * length * down
            # near the end E no longer shows progress, but the gradient does
            if lower or (new_value <= value + ROUNDING * max(1.0, abs(value)) and new_norm < norm):
                break
            length /= 2
        else:
            break
        theta, value, gradient, p, norm = new, new_value, new_gradient, new_p, new_norm
        steps += 1
    return theta, value, norm, steps


class Classifier(NamedTuple):
    """A fitted logistic (coef [p]) or softmax (coef [p, M]) regression."""

    solution: Solution
    classes: np.ndarray  # [M] the labels, in order
    gradient: float  # ‖∇E‖ at the end
    iterations: int  # Newton steps

    def scores(self, x: Array) -> np.ndarray:
        """s [B, M]: the logarithms of the probabilities up to a number that a row shares."""
        s = self.solution.predict(x)
        return np.stack([np.zeros_like(s), s], 1) if s.ndim == 1 else s

    def probabilities(self, x: Array) -> np.ndarray:
        """P(y = m | x) [B, M]."""
        s = self.scores(x)
        e = np.exp(s - s.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def predict(self, x: Array) -> np.ndarray:
        """The most probable label of each row [B]."""
        return self.classes[self.scores(x).argmax(1)]


def class_weights(
    label: np.ndarray, class_weight: str | dict | None, classes: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Weight of each row [n] from its class: "balanced" is n/(M·count), a dict gives label -> weight (default 1).

    With the rows' own `weight` [n], n and the counts are sums of it: a row of weight 2 counts as two rows.
    """
    if class_weight is None:
        return np.ones(len(label))
    if isinstance(class_weight, dict):
        odd = set(class_weight) - set(classes.tolist())
        if odd:
            raise UsageError(f"class_weight names the class {odd.pop()!r}, which y does not have")
        return strengths([class_weight.get(c, 1.0) for c in classes.tolist()], "class_weight")[label]
    if class_weight != "balanced":
        raise UsageError(f"class_weight must be balanced or a dict from label to weight, got {class_weight!r}")
    count = np.bincount(label, weight, len(classes))
    return (count.sum() / (len(count) * count))[label]


def logistic(
    x: Array,
    y: Array,
    lam: float = 0.0,
    *,
    softmax: bool = False,
    intercept: bool = True,
    class_weight: str | dict | None = None,
    weight: Array | None = None,
    tol: float = 1e-8,
    iterations: int = 100,
    strict: bool = True,
) -> Classifier:
    """Minimise E = (1/n) Σ w (−log P(y | x)) + λ‖W‖² for x [n, p] and labels y [n] (numbers or text), n = Σ w.

    Two classes give logistic regression, one θ [p]; more, or `softmax`, give M columns W [p, M] that sum to 0. A row of
    weight 0 counts as absent. Raises UsageError for a single class; RlnutError, or unless `strict` a result whose
    `gradient` shows it, if ‖∇E‖ <= `tol` is not reached (classes that a plane separates have no minimum without λ: the
    gradient then falls ever more slowly).
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise UsageError(f"y must hold one label a row, [n], got {labels.shape}")
    rows, _, given = checked_rows(x, np.unique(labels, return_inverse=True)[1], weight)
    if given is not None and not given.all():
        rows, labels, given = rows[given > 0], labels[given > 0], given[given > 0]
    classes, label = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(f"y holds {len(classes)} class; at least two are needed")
    lam = float(strengths(lam)[0])
    each = class_weights(label, class_weight, classes, given) * (1.0 if given is None else given)
    fixed = len(classes) == 2 and not softmax
    p = rows.shape[1]
    kept = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
    penalty = np.concatenate([np.full(p, lam), np.zeros(int(intercept))])
    problem = _Problem(kept, label, each / each.sum(), fixed, penalty)
    start = np.zeros((p + intercept, 1 if fixed else len(classes)))
    theta, value, norm, steps = _newton(problem, start, tol, iterations)
    if norm > tol and strict:
        hint = "" if lam > 0 else ": if a plane separates the classes there is no minimum, so use lam > 0"
        raise RlnutError(f"logistic stopped at a gradient norm of {norm:.1e} (asked for {tol:g}){hint}")
    b = theta[p] if intercept else np.zeros(theta.shape[1])
    solution = Solution(theta[:p, 0], b[0], value) if fixed else Solution(theta[:p], b, value)
    return Classifier(solution, classes, norm, steps)
