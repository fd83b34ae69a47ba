"""Transition matrices, dense arrays or SciPy's sparse rows: what can be reached along them, and x = b + c P x.

Rows of P are probabilities that sum to at most 1. Then I − cP is an M-matrix: it needs no pivoting, (I − cP)⁻¹ >= 0,
and for every h > 0 with g = h − cPh > 0 (Varga 2000, 3.5)

    ‖x − x*‖∞ <= ‖b + cPx − x‖∞ · max h / min g          h = 1: 1/(1 − c)
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from rlnut.errors import RlnutError

SparseRows: TypeAlias = Any  # scipy.sparse.csr_array, for which there are no types
Matrix: TypeAlias = Any  # np.ndarray | SparseRows

DENSE_TABLE = 2**22  # numbers of a table [S, A, S] up to which problems made from lists keep arrays
LARGEST_FACTOR = 2 * 10**8  # numbers in the envelope of a matrix up to which it is factored, else iterated
FEW_NODES = 128  # up to which what can be reached is found step by step
ROUNDING = 1e-13  # of the largest number in x and b: the residual at which iteration stops
ROUNDS, STEPS = 20, 2000  # of iteration: restarts, and steps of each


def is_sparse(P: Matrix) -> bool:
    """Sparse rows, or a dense array, of NumPy or of JAX?"""
    return hasattr(P, "indptr")


def reached(edges: Matrix, sources: np.ndarray) -> np.ndarray:
    """Which nodes can be reached from `sources` (bool [S]) along edges [S, S] that are not 0, themselves included."""
    if not is_sparse(edges) and len(sources) <= FEW_NODES:
        return _reached_by_few(np.asarray(edges) != 0, sources)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    graph, S = csr_array(edges != 0), len(sources)
    first = np.flatnonzero(sources)  # one more node leads to them
    indices, ends = np.append(graph.indices, first), np.append(graph.indptr, graph.nnz + len(first))
    whole = csr_array((np.ones(len(indices)), indices, ends), (S + 1, S + 1))
    found = np.zeros(S + 1, bool)
    found[breadth_first_order(whole, S, return_predecessors=False)] = True
    return found[:S]


def _reached_by_few(edges: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The same, one more step along the edges at a time: without SciPy, which takes a quarter of a second to import."""
    found = np.array(sources, bool)
    while (more := edges[found].any(0) & ~found).any():
        found |= more
    return found


def solve(P: Matrix, b: np.ndarray, c: float = 1.0, left: bool = False) -> np.ndarray:
    """x = b + c P x, or with `left` x = b + c x P: [S], or [S, k] for k right sides of the first kind.

    Dense and sparse matrices are factored; sparse ones whose factors would not fit are iterated until nothing but
    rounding is left. Raises RlnutError where that fails.
    """
    A = P.T if left else P
    if not is_sparse(P):
        return np.asarray(np.linalg.solve(np.eye(len(b)) - c * A, b))
    if not len(b):
        return np.array(b, np.float64)
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import splu

    system = (eye_array(len(b)) - c * A).tocsc()
    if envelope(P) > LARGEST_FACTOR:
        columns = [_iterated(system, column) for column in b.reshape(len(b), -1).T]
        return np.stack(columns, 1).reshape(b.shape)
    try:
        factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError as error:  # of SuperLU
        raise RlnutError(f"the values of {len(b):,} states are not determined: {error}") from None
    x = factors.solve(b)
    return np.asarray(x + factors.solve(b - system @ x))


def action_mean(policy: np.ndarray) -> Matrix:
    """The sparse matrix [S, S·A] that takes the mean over actions: Σ_a π(a|s) x(s, a)."""
    from scipy.sparse import csr_array

    S, A = policy.shape
    mean = csr_array((policy.reshape(-1).astype(float), np.arange(S * A), np.arange(S + 1) * A), (S, S * A))
    mean.eliminate_zeros()
    return mean


def envelope(P: SparseRows) -> int:
    """A bound on the numbers in the factors of I − P: its envelope in reverse Cuthill-McKee order (George & Liu 1981).

    States that lead to very many others, or these to them, are left out: they come last, and add one row to a factor.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    S, edges = P.shape[0], P.tocoo()
    most = 10 + 10 * P.nnz / S
    few = np.maximum(*(np.bincount(x, minlength=S) for x in (edges.row, edges.col))) <= most
    keep = few[edges.row] & few[edges.col]
    row, col = edges.row[keep], edges.col[keep]
    place = np.empty(S, int)
    place[reverse_cuthill_mckee(coo_array((np.ones(len(row)), (row, col)), (S, S)).tocsr())] = np.arange(S)
    high, low = np.maximum(place[row], place[col]), np.minimum(place[row], place[col])
    width = np.zeros(S, int)
    np.maximum.at(width, high, high - low)
    return int(width.sum() + S * (~few).sum())


def _iterated(A: SparseRows, b: np.ndarray) -> np.ndarray:
    """A⁻¹b by BiCGSTAB, started again from what is left; GMRES where that makes no progress."""
    from scipy.sparse.linalg import bicgstab, gmres

    x, worst = np.zeros(len(b)), np.inf
    for _ in range(ROUNDS):
        left = b - A @ x
        size = float(np.abs(left).max())
        if size <= ROUNDING * max(float(np.abs(b).max()), float(np.abs(x).max())):
            return x
        method = bicgstab if size < worst / 2 else gmres
        worst = min(worst, size)
        step, _ = method(A, left, rtol=1e-8, maxiter=STEPS if method is bicgstab else STEPS // 20)
        x = x + step if np.isfinite(step).all() else x
    raise RlnutError(f"the values of {len(b):,} states did not converge: the largest residual is still {worst:.3g}")


def error_bound(P: Matrix, r: np.ndarray, v: np.ndarray, c: float) -> float:
    """A bound on max |v − x| for x = r + c P x: [] (see above); ∞ where none is found."""
    residual = float(np.abs(r + c * (P @ v) - v).max(initial=0.0))
    h = solve(P, np.ones(len(r))) if c == 1 else np.ones(len(r))
    least = float((h - c * (P @ h)).min(initial=np.inf))
    return residual * float(h.max(initial=0.0)) / least if least > 0 else np.inf


def restarting(P: Matrix, start: np.ndarray, seen: np.ndarray) -> tuple[Matrix, np.ndarray]:
    """P and the start over the states `seen`, with a new episode after each end.

    Of sparse rows with one state more: ends lead to it, and from there all episodes start.
    """
    over, first = 1 - P.sum(1), start[seen]
    if not is_sparse(P):
        return (P + np.outer(over, start))[np.ix_(seen, seen)], first
    from scipy.sparse import block_array, csr_array

    over[over < 1e-12] = 0.0
    whole = block_array([[P[seen][:, seen], csr_array(over[seen][:, None])], [csr_array(first[None]), None]])
    return whole.tocsr(), np.append(first, 0.0)


def stationary(P: Matrix, start: np.ndarray, count: int) -> np.ndarray:
    """The long-run share of time of the first `count` states, from `start` [S] along P, whose rows sum to 1.

    Each recurrent class has the weight with which the start leads to it.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    edges = csr_array(P != 0)
    _, label = connected_components(edges, connection="strong")
    row, to = edges.nonzero()
    leaves = np.zeros(label.max() + 1, bool)
    leaves[label[row[label[row] != label[to]]]] = True
    passing = leaves[label]
    time = solve(P[passing][:, passing], start[passing], left=True)
    arriving = start + time @ P[passing]
    found = (_sparse_shares if is_sparse(P) else _shares)(P, label, ~passing, arriving)[:count]
    return np.clip(found, 0, None) / found.sum()


def _shares(P: np.ndarray, label: np.ndarray, stays: np.ndarray, arriving: np.ndarray) -> np.ndarray:
    """Stationary distributions of the closed classes, side by side, each times what arrives in it: [S]."""
    found = np.zeros(len(label))
    for c in np.unique(label[stays]):
        inside = P[label == c][:, label == c]
        # the ones add the equation Σ μ = 1 to μ(I − P) = 0 and make it regular
        share = np.linalg.solve(np.eye(len(inside)) - inside.T + 1, np.ones(len(inside)))
        found[label == c] = share * arriving[label == c].sum()
    return found


def _sparse_shares(P: SparseRows, label: np.ndarray, stays: np.ndarray, arriving: np.ndarray) -> np.ndarray:
    """The same, all classes at once: visits between two to one state of each, which is met often."""
    often, found = stays.astype(float), np.zeros(len(label))
    for _ in range(100):
        often = (often + often @ P) / 2
    order = np.flatnonzero(stays)
    order = order[np.lexsort((-often[order], label[order]))]
    first = np.append(True, np.diff(label[order]) != 0)
    base, rest = order[first], order[~first]
    found[base] = 1.0
    found[rest] = solve(P[rest][:, rest], P[base][:, rest].sum(0), left=True)
    total, mass = (np.bincount(label, x * stays) for x in (found, arriving))
    return found * (mass / np.where(total > 0, total, 1))[label]
