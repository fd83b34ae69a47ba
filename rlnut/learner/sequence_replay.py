"""Replay of sequences: consecutive steps of experience, for recurrent networks.

A window is W consecutive rows of the replay of one environment. It may hold the end of an episode and the beginning of
the next: there the carry starts anew. What the actor carried into the first row was stored with it, and the rows of
the burn-in bring it up to date with the present weights and are not learned from (R2D2; Kapturowski et al. 2019).
A window that reaches the newest row ends there: what lies behind it in a full ring are the oldest rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.learner.frames import observations
from rlnut.learner.replay import Memory, ReplayRows, ReplayState, ages, replay, row_indices, sampled
from rlnut.learner.returns import fold
from rlnut.types import Array, Carry, Key, Transition, Window


class WindowState(NamedTuple):
    """A replay and what was carried into each of its rows."""

    replay: ReplayState
    carry: Carry  # a pytree [L, N, ...]


def windows(
    capacity: int, length: int, burn_in: int = 0, n: int = 1, start: Callable[[int], Carry] | None = None
) -> Memory:
    """Replay whose `draw` gives B windows; `read` makes of each `length` n-step transitions: rows [B·length].

    Its `window` and `next_window` share their observations. Rows where no transition begins weigh 0, as do rows
    behind the newest one. start: N -> the carry with which episodes begin (`Actor.carry`); None: zeros.
    """
    uniform = replay(capacity, n)
    width = burn_in + length + n

    def init(seen: Transition, steps: int) -> WindowState:
        state = uniform.init(seen, steps)
        rows = len(state.begins)
        return WindowState(state, jax.tree.map(lambda a: jnp.zeros((rows, *a.shape), a.dtype), seen.carry))

    def first(seen: Transition) -> Carry:
        """The carry [N, ...] with which episodes begin."""
        envs = seen.reward.shape[1]
        return jax.tree.map(lambda a: jnp.zeros_like(a[0]), seen.carry) if start is None else start(envs)

    def begun(fresh: Array, carried: Array, begin: Array) -> Array:
        """What is carried into rows [T, N]; into those where an episode begins it is `begin` [N, ...]."""
        return jnp.where(fresh.reshape(fresh.shape + (1,) * (carried.ndim - 2)), begin, carried)

    def add(state: WindowState, seen: Transition) -> WindowState:
        here, _, _ = row_indices(state.replay, seen)
        carry = seen.carry if seen.fresh is None else jax.tree.map(partial(begun, seen.fresh), seen.carry, first(seen))
        carry = jax.tree.map(lambda all_, new: all_.at[here].set(new, mode="drop"), state.carry, carry)
        return WindowState(uniform.add(state.replay, seen), carry)

    def draw(state: WindowState, key: Key, size: int) -> ReplayRows:
        return uniform.draw(state.replay, key, size)

    def path(state: WindowState, rows: ReplayRows) -> tuple[Array, Array, Array]:
        """The rows of each window [W, B], their environment [B], and whether a transition begins there [W, B]."""
        held, ahead = state.replay, jnp.arange(width)[:, None]
        row = (rows.row + ahead) % len(held.begins)
        newest = (held.head[rows.env] - rows.row) % len(held.begins)
        return row, rows.env, held.begins[row, rows.env] & (ahead <= newest)

    def read(state: WindowState, rows: ReplayRows) -> Transition:
        held, (row, env, begins) = state.replay, path(state, rows)
        end = ~held.begins[(row + 1) % len(held.begins), env]  # the successor is a last observation, or the newest
        reward, discount, last = fold(held.reward[row, env], held.discount[row, env], end, n)
        before = ~held.begins[row - 1, env]  # nothing began in the row before: an episode begins here
        oldest = (held.head[env] + 1) % len(
            held.begins
        )  # before it in a full ring is the newest row, which says nothing
        before = before.at[0].set(before[0] & (row[0] != oldest))
        taken = burn_in + jnp.arange(length)

        def flat(a: Array) -> Array:
            """[W, B, ...] -> the rows that are learned from, [B·L, ...]."""
            return jnp.moveaxis(a[taken], 0, 1).reshape(-1, *a.shape[2:])

        successor = jnp.take_along_axis(row, last + 1, axis=0)
        path_obs = observations(held.obs, held.head, row, env)  # [W, B, ...]
        carry = jax.tree.map(lambda a: a[rows.row, rows.env], state.carry)
        obs = flat(path_obs)  # a recurrent network reads the windows instead
        next_obs = flat(observations(held.obs, held.head, successor, env))
        now = Window(jnp.moveaxis(path_obs, 0, 1), before.T, carry, jnp.broadcast_to(taken, (len(env), length)))
        then = now._replace(at=(last + 1)[taken].T)
        action, valid = flat(held.action[row, env]), flat(begins)
        seen = Transition(obs, action, flat(reward), flat(discount), next_obs, flat(end), valid)
        kept = jax.tree.map(lambda a: flat(a[row, env]), held.kept)
        seen = seen._replace(window=now, next_window=then, kept=kept)
        if held.mask is None:
            return seen
        return seen._replace(mask=flat(held.mask[row, env]), next_mask=flat(held.mask[successor, env]))

    def weigh(state: WindowState, rows: ReplayRows, steps: Array) -> Array:
        """1 where a transition begins, 0 elsewhere, scaled to mean 1."""
        begins = path(state, rows)[2][burn_in : burn_in + length].T.reshape(-1).astype(jnp.float32)
        return begins / jnp.maximum(begins.mean(), 1e-6)

    def cut(state: WindowState) -> WindowState:
        return state._replace(replay=uniform.cut(state.replay))

    def age(state: WindowState, rows: ReplayRows) -> np.ndarray:
        return ages(state.replay, rows)

    def sample(state: WindowState, rng: np.random.Generator, size: int) -> ReplayRows:
        return sampled(state.replay, rng, size)

    return Memory(init, add, draw, read, cut, weigh, age=age, sample=sample)
