"""Fitted Q evaluation: every iteration is one regression onto targets made of a fixed set of transitions.

    w <- argmin_w Σ (r + D Σ_a π(a|s') q⁻(s', a) − q_w(s, a))²        (Le, Voloshin & Yue 2019, algorithm 3)

Linear functions are solved exactly: with G = Σ x xᵀ and LSTD's A, b the minimiser is w⁻ + G⁺ (b − A w⁻), so that a
fixed point of the iteration is LSTD's. Networks go on from w⁻ by epochs of minibatches with Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlnut.agents.lstd import sums
from rlnut.agents.offline import passes
from rlnut.agents.td import Approximator, Input, Parts, TDRows
from rlnut.runtime.arrays import owned
from rlnut.types import Array, Key

BATCH = 128  # rows of one update of a network
STILL = 1e-12  # change of w, relative to w, that counts as none
PART = 4096  # rows whose values are computed at once

Make = Callable[..., Approximator]
Weights = Iterator[tuple[np.ndarray, float]]  # (w [N, d], √mean δ² of the targets) after each iteration


def linear_fqe(make: Make, parts: Parts, rows: TDRows, w0: np.ndarray, iterations: int) -> Weights:
    """Linear `make(*parts)` over rows [T, N], in float64; ends where w does not change any more."""
    rows = rows._replace(slot=np.zeros_like(rows.slot))
    A, b = sums(make, parts, rows, 0.0, len(w0), 1)
    G, _ = sums(make, parts, rows._replace(discount=np.zeros_like(rows.discount)), 0.0, len(w0), 1)
    A, b, inverse = A[:, 0], b[:, 0], np.linalg.pinv(G[:, 0], rcond=1e-12, hermitian=True)
    w = np.broadcast_to(np.asarray(w0, np.float64), b.shape)
    for _ in range(iterations):
        step = np.einsum("nij,nj->ni", inverse, b - np.einsum("nij,nj->ni", A, w))
        w = w + step
        yield w, float("nan")
        if not np.abs(step).max() > STILL * np.abs(w).max():
            return


def network_fqe(
    make: Make, parts: Parts, rows: TDRows, key: Key, iterations: int, epochs: int, alpha: float
) -> Weights:
    """A network by `epochs` passes of Adam with step size `alpha` in each iteration."""
    rows, parts = jax.tree.map(jnp.asarray, rows), jax.tree.map(jnp.asarray, parts)
    keys = jax.random.split(key, rows.reward.shape[1])
    w = owned(jax.jit(jax.vmap(make(*parts).init))(keys))  # donated, as the moments are
    moments = owned(jax.vmap(optax.adam(alpha).init)(w))
    for k in range(iterations):
        now = jax.vmap(partial(jax.random.fold_in, data=k))(keys)
        w, moments, square = _iteration(make, epochs, alpha, parts, w, moments, rows, now)
        yield np.asarray(w, np.float64), float(jnp.sqrt(square.mean()))


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=(4, 5))
def _iteration(
    make: Make, epochs: int, alpha: float, parts: Parts, w: Array, moments: optax.OptState, rows: TDRows, keys: Key
) -> tuple[Array, optax.OptState, Array]:
    """(w [N, d], Adam's moments, mean δ² [N] of the new targets) after one regression."""
    model, optimizer = make(*parts), optax.adam(alpha)

    def run(w: Array, moments: optax.OptState, rows: TDRows, key: Key) -> tuple[Array, optax.OptState, Array]:
        def values(at: Callable[[Array, Input], tuple[Array, Array]], inputs: Input) -> Array:
            return jax.lax.map(lambda x: at(w, x)[0], inputs, batch_size=PART)

        counts = (rows.rate > 0).astype(jnp.float32)
        y = rows.reward + rows.discount * values(model.next, rows.then)
        square = (counts * (y - values(model.at, rows.now)) ** 2).sum() / jnp.maximum(1, counts.sum())

        def cost(w: Array, i: Array) -> Array:
            x = jax.tree.map(lambda a: a[i], rows.now)
            return (counts[i] * (y[i] - jax.vmap(model.at, (None, 0))(w, x)[0]) ** 2).mean() / 2

        def update(carry: tuple[Array, optax.OptState], i: Array) -> tuple[tuple[Array, optax.OptState], None]:
            w, moments = carry
            change, moments = optimizer.update(jax.grad(cost)(w, i), moments)
            return (optax.apply_updates(w, change), moments), None

        (w, moments), _ = passes(update, (w, moments), key, len(y), epochs, BATCH)
        return w, moments, square

    return jax.vmap(run, (0, 0, 1, 0))(w, moments, rows, keys)
