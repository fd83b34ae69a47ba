"""One linear method over many runs and step sizes at once, compiled: the sweeps behind the figures of the book."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.prediction.methods import Method
from rlnut.prediction.td_rows import few_active, table
from rlnut.types import Array, Key


def offline_table(X: Array, nexts: Array, w0: Array) -> td.Approximator:
    """A `table` for rows whose bootstrapped features are given."""

    def given(w: Array, x: td.Input) -> tuple[Array, Array]:
        assert not isinstance(x, tuple)
        return w @ x, x

    return table(X, nexts, w0)._replace(next=given)


def lambda_features(rows: td.TDRows, nexts: Array, lam: float) -> td.TDRows:
    """G^λ = R + wᵀg under fixed w: rows whose reward is R [T, N] and whose `then` is g [T, N, d] (S&B 12.2)."""
    on = jnp.asarray(~np.concatenate([rows.fresh[1:], np.ones_like(rows.fresh[:1])]))  # the episode goes on after it

    Four = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

    def back(carry: tuple[jax.Array, jax.Array], row: Four) -> tuple[tuple, tuple]:
        R, g = carry
        reward, discount, then, on = row
        R = reward + jnp.where(on, discount * lam * R, 0)
        later = jnp.where(on[:, None], (1 - lam) * nexts[then] + lam * g, nexts[then])
        g = discount[:, None] * later
        return (R, g), (R, g)

    start = (jnp.zeros_like(rows.reward[0]), jnp.zeros((*rows.reward.shape[1:], nexts.shape[1])))
    parts = (jnp.asarray(rows.reward), jnp.asarray(rows.discount), jnp.asarray(rows.then), on)
    R, g = jax.lax.scan(back, start, parts, reverse=True)[1]
    return rows._replace(reward=R, then=g, other=g, discount=jnp.ones_like(R))


def sweep(
    method: Method,
    parts: td.Parts,
    rows: td.TDRows,
    alpha: ArrayLike,
    lam: ArrayLike,
    beta: ArrayLike,
    records: int,
    key: Key,
) -> np.ndarray:
    """Weights [*sweep, N, K, d] for α, λ, β of one shape (numbers, or arrays that are swept)."""
    sizes = np.broadcast_arrays(*(np.asarray(x, np.float32) for x in (alpha, lam, beta)))
    hyper = td.TDHyper(*(jnp.asarray(x) for x in sizes))
    rule, parts = method.rule, tuple(jnp.asarray(x, jnp.float32) for x in parts)
    if (few := few_active(rule, parts, rows, float(sizes[1].max()))) is not None:
        flat, given = jax.tree.map(jnp.ravel, hyper), jax.tree.map(jnp.asarray, few.parts)
        w = np.asarray(sparse.swept_sparse_weights(rule, few.make, given, rows, flat, records, few.length, few.width))
        return w.reshape(*sizes[0].shape, *w.shape[1:])
    if not rule.offline:
        return np.asarray(td.swept_weights(rule, table, parts, rows, hyper, records, key))
    # λ is in the rows here, so each λ is a call of its own, with all its α at once
    found = np.zeros(())
    for lam_value in np.unique(sizes[1]):
        ready = lambda_features(rows, parts[1], float(lam_value))
        still = hyper._replace(lam=jnp.zeros_like(hyper.lam))
        w = np.asarray(td.swept_weights(rule, offline_table, parts, ready, still, records, key))
        found = np.where((sizes[1] == lam_value).reshape(*sizes[1].shape, 1, 1, 1), w, found)
    return found
