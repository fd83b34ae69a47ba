"""Expected versions: the mean update of a method on a finite problem, iterated in float64 (S&B figures 11.2 to 11.6).

w <- w + α g(w, h),   h <- h + β f(w, h),   with A, b of the TD equations and C = XᵀDX
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from rlnut.agents.td_rules import Expected
from rlnut.errors import UsageError, unknown
from rlnut.truth.dynamic_programming import Chain
from rlnut.truth.fixed_points import key_matrices

NAMES: tuple[Expected, ...] = get_args(Expected)


def iterate(
    method: Expected,
    process: Chain,
    X: np.ndarray,
    d: np.ndarray,
    gamma: float,
    w0: np.ndarray,
    alpha: float,
    steps: int,
    beta: float = 0.0,
    lam: float = 0.0,
) -> np.ndarray:
    """w₀, w₁, … of the expected updates: [steps + 1, dim]. A blow-up is left in as inf or NaN."""
    if method not in NAMES:
        raise unknown("expected method", method, NAMES)
    if method == "residual-gradient" and lam:
        raise UsageError("the residual gradient has no λ: leave --lam out")
    A, b = key_matrices(process, X, d, gamma, lam)
    C = (X * d[:, None]).T @ X
    ahead = X - gamma * process.P @ X
    follow = np.zeros(len(d))
    w, h = np.array(w0, np.float64), np.zeros(X.shape[1])
    path = [w]
    with np.errstate(all="ignore"):
        for _ in range(steps):
            pull = b - A @ w  # E[u δ e]
            if method == "td":
                change = pull
            elif method == "residual-gradient":
                change = ahead.T @ (d * (process.r - ahead @ w))
            elif method == "gtd2":
                change = A.T @ h
            elif method == "etd":
                follow = d + gamma * process.P.T @ follow  # E[F_t] d_t, from F = 1
                M = lam * d + (1 - lam) * follow
                weighted, right = key_matrices(process, X, M, gamma, lam)
                change = right - weighted @ w
            else:
                change = pull - (C - A.T) @ h
            if method == "tdrc":
                h = h + alpha * (pull - C @ h - h)
            elif method in ("tdc", "gtd2"):
                h = h + beta * (pull - C @ h)
            w = w + alpha * change
            path.append(w)
    return np.array(path)
