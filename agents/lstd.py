"""Least-squares TD(λ): solve for the fixed point of the data at hand (Bradtke & Barto 1996, Boyan 1999; S&B 9.8).

    A = Σ u_t e_t (x_t − D_t x_{t+1})ᵀ,   b = Σ u_t e_t r_t,   w = w₀ + A⁺(b − A w₀)

With a table and λ = 0 that is the certainty-equivalence answer, the end of batch TD(0) from w₀; with λ = 1 the batch
Monte-Carlo answer. What the data do not determine stays at w₀. All in float64.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents.td import Approximator, Maker, Parts, TDRows
from rlnut.learner.least_squares import Sums, check_system_size
from rlnut.types import Array

LARGEST = 1500  # features
Tree = TypeVar("Tree")  # a pytree of arrays
BLOCK = 2048  # rows whose outer products are summed by one matrix product


def lstd(make: Maker, parts: Parts, rows: TDRows, lam: float, w0: np.ndarray, records: int) -> np.ndarray:
    """w [N, K, d] at K records of rows [T, N], `make(*parts)` a linear approximator: O(d²) a row, O(d³) a record."""
    A, b, _ = td_sums(make, parts, rows, lam, len(w0), records)
    w0 = np.asarray(w0, np.float64)
    return w0 + np.einsum("nkij,nkj->nki", np.linalg.pinv(A, rcond=1e-12), b - A @ w0)


def td_sums(make: Maker, parts: Parts, rows: TDRows, lam: float, d: int, records: int, gram: bool = False) -> Sums:
    """A [N, K, d, d] and b [N, K, d] of the rows up to each of K records, G [N, K, d, d] if `gram`."""
    check_system_size(d, LARGEST)
    with jax.enable_x64(True):
        found: Sums = jax.tree.map(np.asarray, _sums(make, _double(parts), _double(rows), lam, d, records, gram))
        return found


def recursive_lstd(
    make: Maker, parts: Parts, rows: TDRows, lam: float, w0: np.ndarray, records: int, epsilon: float = 1e-3
) -> np.ndarray:
    """The same by Sherman-Morrison from A₀ = εI, O(d²) for each new w (S&B 9.22): w [N, K, d]."""
    check_system_size(len(w0), LARGEST)
    with jax.enable_x64(True):
        return np.asarray(
            _recursive(make, _double(parts), _double(rows), lam, jnp.asarray(w0, float), records, epsilon)
        )


def _double(tree: Tree) -> Tree:
    def cast(x: Array) -> Array:
        x = np.asarray(x)
        return jnp.asarray(x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x)

    doubled: Tree = jax.tree.map(cast, tree)
    return doubled


def _traced(model: Approximator, w: Array, lam: Array, e: Array, row: TDRows) -> tuple[Array, tuple]:
    """The trace e, and (z, x, D x', r); a padded or invalid row has rate 0 and counts nothing."""
    x = model.at(w, row.now)[1]
    e = row.decay * lam * e + x
    return e, (row.gain * jnp.sign(row.rate) * e, x, row.discount * model.next(w, row.then)[1], row.reward)


@partial(jax.jit, static_argnums=(0, 4, 5, 6))
def _sums(make: Maker, parts: Parts, rows: TDRows, lam: Array, d: int, records: int, gram: bool) -> Sums:
    model, w = make(*parts), jnp.zeros(d)
    T = len(rows.reward)
    blocks = -(-T // BLOCK)

    def blocked(x: Array) -> Array:
        return jnp.pad(x, [(0, blocks * BLOCK - T)] + [(0, 0)] * (x.ndim - 1)).reshape(blocks, BLOCK, *x.shape[1:])

    def run(rows: TDRows) -> Sums:
        def block(carry: tuple, rows: TDRows) -> tuple[tuple, None]:
            e, (z, x, after, r) = jax.lax.scan(partial(_traced, model, w, lam), carry[0], rows)
            own = jnp.where(rows.slot[:, None] == jnp.arange(records), 1.0, 0.0)[:, :, None] * z[:, None, :]
            return (e, carry[1].plus(own.reshape(BLOCK, records * d), x, after, r)), None

        square = jnp.zeros((records * d, d))
        start = Sums(square, square[:, 0], square if gram else None)
        found = jax.lax.scan(block, (jnp.zeros(d), start), rows)[0][1]
        each: Sums = jax.tree.map(lambda s: s.reshape(records, d, *s.shape[1:]).cumsum(0), found)
        return each

    return jax.vmap(lambda one: run(jax.tree.map(blocked, one)), in_axes=1)(rows)


@partial(jax.jit, static_argnums=(0, 5))
def _recursive(make: Maker, parts: Parts, rows: TDRows, lam: Array, w0: Array, records: int, epsilon: float) -> Array:
    model, d = make(*parts), len(w0)

    def run(rows: TDRows) -> Array:
        def one(carry: tuple, row: TDRows) -> tuple[tuple, None]:
            w, e, P, kept = carry
            e, (z, x, after, reward) = _traced(model, w, lam, e, row)
            y = x - after
            Pz = P @ z
            gain = Pz / (1 + y @ Pz)
            w = w + gain * (reward - y @ w)
            return (w, e, P - jnp.outer(gain, y @ P), kept.at[row.slot].set(w)), None

        start = (w0, jnp.zeros(d), jnp.eye(d) / epsilon, jnp.broadcast_to(w0, (records + 1, d)))
        return jax.lax.scan(one, start, rows)[0][3][:-1]

    return jax.vmap(run, in_axes=1)(rows)
