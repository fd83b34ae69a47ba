"""Rollouts: learn from the newest T steps of N environments only, in minibatches, then forget them.

The λ-returns of greedy Q label the steps before they are stored (`q_lambda_labels`):

    y_t = r_{t+1} + D_t ((1 − λ) maxₐ q(s_{t+1}, a) + λ y_{t+1})

with maxₐ q(s_{t+1}, a) in the place of y_{t+1} where an episode or the rollout ends: nothing leaks from one episode
into another, and a time limit bootstraps from the true final observation. After a step that was not greedy it goes on
(Peng's Q(λ)), as in PQN (Gallici et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlnut.errors import UsageError
from rlnut.learner.replay import Memory
from rlnut.types import Array, Key, Params, Transition, Window

Label = Callable[[Params, Transition], Transition]  # (θ, experience [T, N, ...]) -> the same with targets in it


def rollout(size: int, epochs: int, length: int = 0) -> Memory:
    """The newest round of `size` rows in all, every row once in each of `epochs` passes, in an order of its own.

    `length` L > 0: what is drawn are windows of L consecutive steps of one environment, and a row is read with the
    `Window` that begins with what was carried into it; B windows are B·L rows.
    """
    parts = size // max(1, length)  # rows or windows

    def init(seen: Transition, steps: int) -> Transition:
        if steps * len(seen.reward) != size:
            raise UsageError(f"--rollout {size:,} must be a multiple of the {len(seen.reward):,} environments")
        if length and steps % length:
            raise UsageError(f"--sequence {length} must divide the {steps} steps of a round: --rollout / --num-envs")
        path = (length,) if length else ()
        return jax.tree.map(lambda a: jnp.zeros((parts, *path, *a.shape[1:]), a.dtype), seen)

    def add(state: Transition, seen: Transition) -> Transition:
        def rows(a: Array) -> Array:
            if not length:
                return a.reshape(-1, *a.shape[2:])
            split = a.reshape(-1, length, *a.shape[1:])  # [T/L, L, N, ...]
            return jnp.moveaxis(split, 2, 1).reshape(parts, length, *a.shape[2:])

        return jax.tree.map(rows, seen)

    def draw(state: Transition, key: Key, count: int) -> Array:
        orders = jax.vmap(lambda k: jax.random.permutation(k, parts))(jax.random.split(key, epochs))
        return orders.reshape(-1)[:count]

    def read(state: Transition, rows: Array) -> Transition:
        seen = jax.tree.map(lambda a: a[rows], state)
        if not length:
            return seen
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), seen)
        every = jnp.broadcast_to(jnp.arange(length), (len(rows), length))
        assert seen.fresh is not None  # it was there when the memory was made
        return flat._replace(window=Window(seen.obs, seen.fresh, jax.tree.map(lambda a: a[:, 0], seen.carry), every))

    def weigh(state: Transition, rows: Array, steps: Array) -> Array:
        """Rows that are no experience count nothing."""
        return state.valid[rows].reshape(-1).astype(jnp.float32)

    return Memory(init, add, draw, read, lambda state: state, weigh)
