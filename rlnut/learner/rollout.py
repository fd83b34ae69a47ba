"""Rollouts: learn from the newest T steps of N environments only, in minibatches, then forget them.

The λ-returns of greedy Q label the steps before they are stored (`q_lambda_labels`):

    y_t = r_{t+1} + D_t ((1 − λ) maxₐ q(s_{t+1}, a) + λ y_{t+1})

with maxₐ q(s_{t+1}, a) in the place of y_{t+1} where an episode or the rollout ends: nothing leaks from one episode
into another, and a time limit bootstraps from the true final observation. After a step that was not greedy it goes on
(Peng's Q(λ)), as in PQN (Gallici et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap

from rlnut.errors import UsageError
from rlnut.learner.replay import Memory
from rlnut.types import Array, Key, Params, Shaped, Transition, Window

if TYPE_CHECKING:
    from rlnut.learner.agent import LearnFn

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
        return jax.vmap(lambda k: permutation(k, parts))(jax.random.split(key, epochs)).reshape(-1)[:count]

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


def agents_in_turn(learn: LearnFn) -> LearnFn:
    """`learn`, of which `jax.vmap` over agents makes a loop on a CPU: the arrays of one agent stay in a core's cache.

    Of 16 agents (MLP 64-64, batches of 128) an update and its experience took 235 µs of CPU time side by side, and 134
    so. On an accelerator nothing changes: there all agents learn at once.
    """
    return sequential_vmap(learn) if jax.default_backend() == "cpu" else learn


def permutation(key: Key, n: int) -> Array:
    """0 … n − 1 in a random order, the one of `jax.random.permutation(key, n)`, several times as fast on a CPU: [n].

    The numbers are sorted by random words; where two of those could be equal, once more by other ones.
    """
    rounds = math.ceil(3 * math.log(max(1, n)) / math.log(2**32 - 1))
    order = jnp.arange(n)
    for _ in range(rounds):
        key, words_key = jax.random.split(key)
        order = order[sorting(jax.random.bits(words_key, (n,), jnp.uint32))]
    return order


def sorting(words: Shaped[Array, " N"]) -> Shaped[Array, " N"]:
    """The order in which words (uint32) rise, equal ones as they came: what `jnp.argsort` returns, int32 [N].

    XLA on a CPU sorts one array about five times as fast as an array by another. So the lowest bits of each word give
    way to its place, and neighbours whose highest bits are equal are then swapped until all words rise.
    """
    places = jnp.arange(len(words), dtype=jnp.uint32)
    low = jnp.uint32((1 << max(0, len(words) - 1).bit_length()) - 1)
    order = (jnp.sort((words & ~low) | places) & low).astype(jnp.int32)
    even = places[:-1] % 2 == 0  # pairs of neighbours that do not overlap, as the other ones do not

    def falls(order: jax.Array) -> jax.Array:
        return words[order[:-1]] > words[order[1:]]

    def swap(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        order, fall, turn = carry
        here = fall & (even == turn)
        none = jnp.zeros(1, bool)
        first, second = jnp.concatenate([here, none]), jnp.concatenate([none, here])
        order = jnp.where(first, jnp.roll(order, -1), jnp.where(second, jnp.roll(order, 1), order))
        return order, falls(order), ~turn

    return jax.lax.while_loop(lambda carry: carry[1].any(), swap, (order, falls(order), jnp.array(True)))[0]
