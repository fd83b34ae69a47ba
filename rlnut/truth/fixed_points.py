"""Where linear methods end and how wrong that is: the geometry of S&B chapter 11, exactly.

All work on a `Chain` (over states for V_π, over pairs for Q_π), features X [S, d] and a weighting d(s) of the states:
the behaviour's distribution off-policy, μ on-policy. Ties of a rank-deficient X go to the smallest ‖w‖. A sparse X is a
table: one feature for each state, and none shared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgWarning, lu_factor, lu_solve
from scipy.linalg.lapack import dgecon as gecon

from rlnut.errors import RlnutError
from rlnut.truth.dynamic_programming import MDP, Chain, pair_chain, ties, values
from rlnut.truth.outcomes import Outcomes, jumps
from rlnut.truth.return_distributions import mean_chain, return_variance
from rlnut.truth.transition_matrices import Matrix, is_sparse, solve

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WELL_CONDITIONED = 1e-10  # reciprocal condition from which a system is solved by LU


def _basis(X: np.ndarray, d: np.ndarray) -> np.ndarray:
    """B [d, k] that makes the columns of XB orthonormal under d: polynomials are too ill-conditioned without it."""
    some = X[d > 0]
    if ((some != 0).sum(1) <= 1).all():  # its columns are orthogonal already
        length = np.sqrt(d[d > 0] @ some**2)
        return np.eye(X.shape[1])[:, length > 0] / length[length > 0]
    _, size, rows = np.linalg.svd(X[d > 0] * np.sqrt(d[d > 0])[:, None], full_matrices=False)
    keep = size > size.max() * np.finfo(float).eps * max(X.shape)
    return rows[keep].T / size[keep]


def _least_squares(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """w of least norm among those of least ‖A w − b‖: by LU where A is regular, else by singular values."""
    solved = _solved(A, b) if len(A) == A.shape[1] else None
    return np.linalg.lstsq(A, b, rcond=None)[0] if solved is None else solved


def _solved(A: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """A⁻¹b; None if A is singular or nearly so, by LAPACK's estimate of its condition."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        factors = lu_factor(A, check_finite=False)
        reciprocal, _ = gecon(factors[0], np.abs(A).sum(0).max(initial=0.0))
        if not reciprocal > WELL_CONDITIONED:
            return None
        return np.asarray(lu_solve(factors, b, check_finite=False))


def key_matrices(
    process: Chain, X: np.ndarray, d: np.ndarray, gamma: float, lam: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A = XᵀD(I − γλP)⁻¹(I − γP)X and b = XᵀD(I − γλP)⁻¹r (S&B 9.14 for λ = 0, Tsitsiklis & Van Roy 1997)."""
    ahead = np.column_stack([X - gamma * (process.P @ X), process.r])
    if lam:
        ahead = solve(process.P, ahead, gamma * lam)
    both = (X * d[:, None]).T @ ahead
    return both[:, :-1], both[:, -1]


def td_fixed_point(process: Chain, X: Matrix, d: np.ndarray, gamma: float, lam: float = 0.0) -> np.ndarray:
    """w with A w = b, where TD(λ) and LSTD(λ) stand still: [d].

    Raises RlnutError if A is singular and no w solves it.
    """
    if is_sparse(X):
        return _table_weights(process, X, d, gamma, lam)
    basis = _basis(X, d)
    A, b = key_matrices(process, X @ basis, d, gamma, lam)
    w = _least_squares(A, b)
    if np.abs(A @ w - b).max() > 1e-7 * max(1e-6, np.abs(b).max()):
        raise RlnutError("TD has no fixed point here: A is singular for these features and this state distribution")
    return basis @ w


def _table_weights(
    process: Chain, X: csr_array, d: np.ndarray, gamma: float, lam: float = 0.0, residual: bool = False
) -> np.ndarray:
    """The TD(λ) fixed point of a table X, or where the Bellman residual is least: [d].

    Where no visited state is followed by others, both are v = r + γPv on the visited states, whatever λ is. Else, with
    y the sum of δ̄ along a trace, which is 0 on visited states, w and the other y solve one system:

        w_K − γ P_KK w_K + γλ P_KO y_O = r_K,    y_O + γ P_OK w_K − γλ P_OO y_O = −r_O
    """
    from scipy.sparse import diags_array, eye_array
    from scipy.sparse.linalg import MatrixRankWarning, spsolve

    keep = d > 0
    inside, v = process.P[keep][:, keep], np.zeros(len(d))
    closed = inside.nnz == process.P[keep].nnz
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixRankWarning)
        if closed or not (lam or residual):
            v[keep] = solve(inside, process.r[keep], gamma)
        elif residual:
            M = (eye_array(len(d)) - gamma * process.P).tocsr()[keep]
            v = M.T @ spsolve((M @ M.T).tocsc(), process.r[keep])
        else:
            sign, scale = np.where(keep, 1.0, -1.0), np.where(keep, gamma, -gamma * lam)
            system = eye_array(len(d)) - diags_array(sign) @ process.P @ diags_array(scale)
            v = np.where(keep, spsolve(system.tocsc(), sign * process.r), 0.0)
    wrong = np.abs(bellman_error(process, v, gamma)[keep]).max() if closed or residual or not lam else 0.0
    if not np.isfinite(v).all() or wrong > 1e-7 * max(1.0, float(np.abs(v).max())):
        raise RlnutError("TD has no fixed point here: A is singular for these features and this state distribution")
    w = np.zeros(X.shape[1])
    w[X.indices] = v / X.data
    return w


def exact_lspi(
    mdp: MDP, X: np.ndarray, gamma: float, first: np.ndarray, d: np.ndarray | None = None, most: int = 100
) -> list[np.ndarray]:
    """The policies of least-squares policy iteration with the model in place of samples (Lagoudakis & Parr 2003).

    Each is a row of actions [S], greedy on wᵀx(s, a) with w the TD fixed point of the one before; the first is `first`,
    the last repeats an earlier one or is number `most`. X [S, d] serves each action; d(s, a) [S·A], uniform if None.
    """
    S, A = mdp.states, mdp.actions
    pairs = np.einsum("sd,ab->sabd", X, np.eye(A)).reshape(S * A, -1)
    weight = np.full(S * A, 1 / (S * A)) if d is None else d
    path = [np.asarray(first)]
    while len(path) < most:
        w = td_fixed_point(pair_chain(mdp, np.eye(A)[path[-1]]), pairs, weight, gamma)
        new = ties((pairs @ w).reshape(S, A)).argmax(1)
        path.append(new)
        if any((new == old).all() for old in path[:-1]):
            break
    return path


def projector(X: Matrix, d: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """v [S] -> w = argmin Σ d(s) (v(s) − wᵀx(s))² (S&B 9.1, 11.3): [d], with X factored once.

    Where no state has two features that are not 0 (tables, state aggregation), w_i is a mean over the states of
    feature i. States of weight 0 may hold NaN.
    """
    keep = d > 0
    some, weight = X[keep], d[keep]
    if is_sparse(X) or ((some != 0).sum(1) <= 1).all():
        which = some.indices if is_sparse(X) else (some != 0).argmax(1)
        x = some.data if is_sparse(X) else some[np.arange(len(some)), which]
        size = np.bincount(which, weight * x * x, X.shape[1])
        share = np.where(size > 0, size, 1)
        return lambda v: np.bincount(which, weight * x * v[keep], X.shape[1]) / share
    root = np.sqrt(weight)
    left, size, rows = np.linalg.svd(some * root[:, None], full_matrices=False)
    found = size > size.max(initial=0.0) * np.finfo(float).eps * max(some.shape)
    back, onto = rows[found].T / size[found], left[:, found].T * root
    return lambda v: back @ (onto @ v[keep])


def projection(v: np.ndarray, X: Matrix, d: np.ndarray) -> np.ndarray:
    """w = argmin Σ d(s) (v(s) − wᵀx(s))² (S&B 9.1, 11.3): [d]. States of weight 0 may hold NaN."""
    return projector(X, d)(v)


def bellman_residual(process: Chain, X: Matrix, d: np.ndarray, gamma: float) -> np.ndarray:
    """w = argmin Σ d(s) (r + γPXw − Xw)²(s) (S&B 11.5, residual gradient's end with independent samples): [d]."""
    keep = d > 0
    if is_sparse(X):
        return _table_weights(process, X, d, gamma, residual=True)
    root = np.sqrt(d[keep])
    return _least_squares((X - gamma * process.P @ X)[keep] * root[:, None], process.r[keep] * root)


def emphasis(process: Chain, d: np.ndarray, gamma: float, lam: float = 0.0) -> np.ndarray:
    """m = λd + (1 − λ)f with f = d + γPᵀf, interest 1 (Sutton, Mahmood & White 2016; S&B 11.8): [S]."""
    follow = solve(process.P, d, gamma, left=True)
    return lam * d + (1 - lam) * follow


def emphatic_fixed_point(process: Chain, X: Matrix, d: np.ndarray, gamma: float, lam: float = 0.0) -> np.ndarray:
    """w where emphatic TD(λ) ends: the TD(λ) fixed point with d replaced by the emphasis."""
    return td_fixed_point(process, X, emphasis(process, d, gamma, lam), gamma, lam)


def rms(x: np.ndarray, d: np.ndarray | None = None) -> float:
    """√ Σ d x², of weight > 0; d None: the plain RMS over entries that are not NaN."""
    if d is None:
        return float(np.sqrt(np.nanmean(x**2)))
    return float(np.sqrt(np.sum(d[d > 0] * x[d > 0] ** 2)))


def bellman_error(process: Chain, v: np.ndarray, gamma: float) -> np.ndarray:
    """δ̄(s) = r + γPv − v (S&B 11.19): [S]."""
    return process.r + gamma * process.P @ v - v


def linear_errors(
    process: Chain,
    w: np.ndarray,
    X: Matrix,
    d: np.ndarray,
    gamma: float,
    v: np.ndarray,
    project: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, float]:
    """√VE, √BE and √PBE of v_w = Xw under d (S&B 11.4): {"ve", "be", "pbe"}; v is the truth [S].

    project: `projector(X, d)`, where it is needed for many w.
    """
    delta = bellman_error(process, X @ w, gamma)
    projected = X @ (projector(X, d) if project is None else project)(delta)
    return {"ve": rms(v - X @ w, d), "be": rms(delta, d), "pbe": rms(projected, d)}


def td_error(law: Outcomes, policy: np.ndarray, v: np.ndarray, d: np.ndarray, gamma: float) -> float:
    """√TDE: the root of Σ d(s) E_π[(R + γv(S') − v(s))²] (S&B 11.22), exact for all kinds of rewards and ends."""
    return td_errors(law, policy, d, gamma)(v)


def td_errors(law: Outcomes, policy: np.ndarray, d: np.ndarray, gamma: float) -> Callable[[np.ndarray], float]:
    """v -> √TDE, for many v: what can happen is listed once."""
    step = jumps(law, policy)
    weight = d[step.state] * step.chance

    def error(v: np.ndarray) -> float:
        delta = step.reward + gamma * step.goes_on * v[step.successor] - v[step.state]
        return float(np.sqrt(np.sum((weight * (delta**2 + step.noise**2))[weight > 0])))

    return error


def return_error(law: Outcomes, policy: np.ndarray, v: np.ndarray, d: np.ndarray, gamma: float) -> float:
    """√RE: the root of Σ d(s) E_π[(G − v(s))²] = VE + Σ d Var[G | s] (S&B 11.24); its least w is that of VE."""
    process = mean_chain(law, policy)
    true, spread = values(process, gamma), return_variance(law, policy, gamma)
    keep = d > 0
    return float(np.sqrt(np.sum(d[keep] * ((true - v) ** 2 + spread)[keep])))
