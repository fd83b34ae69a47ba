"""One linear method over many runs and step sizes at once, compiled: the sweeps behind the figures of the book."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.prediction.methods import Method
from rlnut.prediction.td_rows import few_active, table


def offline_table(X: Any, nexts: Any, w0: Any) -> td.Approximator:
    """The same for rows whose bootstrapped features are given."""
    return td.linear_value(lambda s: X[s], lambda x: x, w0)


def lambda_features(rows: td.TDRows, nexts: Any, lam: float) -> td.TDRows:
    """G^λ = R + wᵀg under fixed w: rows whose reward is R [T, N] and whose `then` is g [T, N, d] (S&B 12.2)."""
    on = jnp.asarray(~np.concatenate([rows.fresh[1:], np.ones_like(rows.fresh[:1])]))  # the episode goes on after it

    def back(carry: Any, row: Any) -> Any:
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
    method: Method, parts: tuple, rows: td.TDRows, alpha: Any, lam: Any, beta: Any, records: int, key: Any
) -> np.ndarray:
    """Weights [*sweep, N, K, d] for α, λ, β of one shape (numbers, or arrays that are swept)."""
    sizes = np.broadcast_arrays(*(np.asarray(x, np.float32) for x in (alpha, lam, beta)))
    hyper = td.TDHyper(*(jnp.asarray(x) for x in sizes))
    rule, parts = method.rule, tuple(jnp.asarray(x, jnp.float32) for x in parts)
    if (few := few_active(rule, parts, rows, float(sizes[1].max()))) is not None:
        length, (now, then) = few
        flat = jax.tree.map(jnp.ravel, hyper)
        count = now[0].shape[1]
        given = (*jax.tree.map(jnp.asarray, (now, then)), parts[2])
        w = np.asarray(
            sparse.swept_sparse_weights(rule, sparse.active_table, given, rows, flat, records, length, count)
        )
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
