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
from rlnut.explore import allowed
from rlnut.memory import Memory
from rlnut.returns import on_policy, returns
from rlnut.types import Array, Key, Params, Transition

Label = Callable[[Params, Transition], Transition]  # (θ, experience [T, N, ...]) -> the same with targets in it


def rollout(size: int, epochs: int) -> Memory:
    """The newest round of `size` rows in all, every row once in each of `epochs` passes, in an order of its own."""

    def init(seen: Transition, steps: int) -> Transition:
        if steps * len(seen.reward) != size:
            raise UsageError(f"--rollout {size:,} must be a multiple of the {len(seen.reward):,} environments")
        return jax.tree.map(lambda a: jnp.zeros((steps * a.shape[0], *a.shape[1:]), a.dtype), seen)

    def add(state: Transition, seen: Transition) -> Transition:
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), seen)

    def draw(state: Transition, key: Key, count: int) -> Array:
        orders = jax.vmap(lambda k: jax.random.permutation(k, size))(jax.random.split(key, epochs))
        return orders.reshape(-1)[:count]

    def read(state: Transition, rows: Array) -> Transition:
        return jax.tree.map(lambda a: a[rows], state)

    def weigh(state: Transition, rows: Array, steps: Array) -> Array:
        """Rows that are no experience count nothing."""
        return state.valid[rows].astype(jnp.float32)

    return Memory(init, add, draw, read, lambda state: state, weigh)


def q_lambda_labels(q: Callable[[Params, Array], Array], lam: float) -> Label:
    """Put the λ-return y into `reward` and 0 into `discount`; q: (θ, obs [B, ...]) -> q(s, ·) [B, A]."""

    def label(params: Params, seen: Transition) -> Transition:
        def value(obs: Array, mask: Array | None) -> Array:
            flat = q(params, obs.reshape(-1, *obs.shape[2:]))
            best = allowed(flat.reshape(*obs.shape[:2], *flat.shape[1:]), mask).max(-1)
            return best.reshape(*obs.shape[:2], -1).mean(-1)  # over groups of actions

        v, next_v = value(seen.obs, seen.mask), value(seen.next_obs, seen.next_mask)
        y = returns(v, seen.reward, seen.discount, next_v, seen.end, on_policy(lam))
        return seen._replace(reward=y, discount=jnp.zeros_like(seen.discount))

    return label
