"""Replay memory: a ring of observations for each environment, kept on the device, every observation stored once.

A row is an observation and what was done there; the next row of the same environment is its successor. The last
observation of an episode takes a row of its own where nothing begins (`begins` False), so the true final observation
is there to bootstrap from and a reset observation never stands in for it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.errors import UsageError
from rlnut.learner.frames import Frames, RowIndex, added, cut_frames, no_observations, observations, ring_rows
from rlnut.learner.returns import fold
from rlnut.types import Experience, Key, Transition

AT_ONCE = 4  # candidates for each row of a draw


class ReplayState(NamedTuple):
    """L rows for each of N environments."""

    obs: Array | Frames  # [L, N, ...]; of stacks of frames each frame once
    action: Array  # [L, N] int32, or [L, N, D] of D groups
    reward: Array  # [L, N]
    discount: Array  # [L, N] γ·(1 − terminated)
    begins: Array  # [L, N] True where a transition begins
    mask: Array | None  # [L, N, A] bool: actions allowed there; None = all
    head: Array  # [N] the row of the newest observation
    filled: Array  # [] rows in use, the most of any environment
    kept: Any = ()  # a pytree [L, N, ...]: what the agent keeps beside each transition


class ReplayRows(NamedTuple):
    """Places in a replay memory."""

    row: Array  # [B]
    env: Array  # [B]


State = Any  # a memory's own pytree
Rows = Any  # places in it, a pytree [B]


class MemoryInitFn(Protocol):
    """(one row [N, ...] of experience, of which shapes and types are read; steps T of a round) -> empty memory."""

    def __call__(self, seen: Transition, steps: int, /) -> State: ...


class AddFn(Protocol):
    """(memory, experience [T, N, ...]) -> memory."""

    def __call__(self, state: State, seen: Transition, /) -> State: ...


class DrawFn(Protocol):
    """(memory, key, B) -> B rows to learn from."""

    def __call__(self, state: State, key: Key, size: int, /) -> Rows: ...


class ReadFn(Protocol):
    """(memory, rows [B]) -> what happened there [B, ...]."""

    def __call__(self, state: State, rows: Rows, /) -> Transition: ...


class CutFn(Protocol):
    """memory -> the same, where what is added next begins new episodes."""

    def __call__(self, state: State, /) -> State: ...


class WeighFn(Protocol):
    """(memory, rows [B], transitions seen so far []) -> the weight of each row [B]."""

    def __call__(self, state: State, rows: Rows, steps: Array | np.ndarray, /) -> Array | np.ndarray: ...


class ScoreFn(Protocol):
    """(memory, rows [B], how surprising they were [B]) -> memory."""

    def __call__(self, state: State, rows: Rows, surprise: Array | np.ndarray, /) -> State: ...


class AgeFn(Protocol):
    """(memory, rows) -> steps, of all environments, that have been seen since each of them [B]; on the host."""

    def __call__(self, state: State, rows: Rows, /) -> np.ndarray: ...


class SampleFn(Protocol):
    """(memory, generator, B) -> B rows with the chances of `draw`, on the host: nothing is compiled."""

    def __call__(self, state: State, rng: np.random.Generator, size: int, /) -> Rows: ...


class Memory(NamedTuple):
    """Where experience waits until it is learned from: pure functions."""

    init: MemoryInitFn
    add: AddFn
    draw: DrawFn
    read: ReadFn
    cut: CutFn
    weigh: WeighFn | None = None  # None: every row has weight 1
    score: ScoreFn | None = None  # None: what is learned does not change what is drawn
    age: AgeFn | None = None  # None: all rows are of the newest round
    sample: SampleFn | None = None  # None: rows are drawn by `draw` only


def cut_episodes(state: ReplayState) -> ReplayState:
    """Leave the running episodes where they are: what is added next begins new ones."""
    length, obs = len(state.begins), state.obs
    newest = 1 - state.begins[state.head, jnp.arange(len(state.head))]  # 0: the oldest is there still, after an end
    return state._replace(
        obs=cut_frames(obs, newest) if isinstance(obs, Frames) else obs,
        head=(state.head + newest) % length,
        filled=jnp.minimum(state.filled + 1, length),
    )


def row_indices(state: ReplayState, seen: Experience) -> tuple[RowIndex, RowIndex, Array]:
    """`ring_rows` of a replay."""
    return ring_rows(state.head, len(state.begins), seen)


def replay(capacity: int, n: int = 1) -> Memory:
    """Uniform replay of the newest `capacity` observations; `read` folds n steps (fewer at an episode's end).

    capacity: in all, divided over the environments. An n-step return that runs into the newest observation
    bootstraps there, as it does at a time limit.
    """

    def rows(envs: int) -> int:
        return max(2, math.ceil(capacity / envs)) + 1  # the newest observation has no transition yet

    def init(seen: Experience, steps: int) -> ReplayState:
        envs = len(seen.reward)
        if 2 * steps + 1 > rows(envs):
            need = 2 * steps * envs
            raise UsageError(f"a round is {steps * envs:,} steps: give --replay {need:,} or more")
        shape = (rows(envs), envs)
        return ReplayState(
            obs=no_observations(seen.obs, rows(envs)),
            action=jnp.zeros((rows(envs), *seen.action.shape), jnp.int32),
            reward=jnp.zeros(shape, jnp.float32),
            discount=jnp.zeros(shape, jnp.float32),
            begins=jnp.zeros(shape, bool),
            mask=None if seen.mask is None else jnp.zeros((rows(envs), *seen.mask.shape), bool),
            head=jnp.zeros(envs, jnp.int32),
            filled=jnp.zeros((), jnp.int32),
            kept=jax.tree.map(lambda a: jnp.zeros((rows(envs), *a.shape), a.dtype), seen.kept),
        )

    def add(state: ReplayState, seen: Experience) -> ReplayState:
        length = len(state.begins)
        if 2 * len(seen.reward) + 1 > length:
            raise ValueError(f"{len(seen.reward)} steps at once do not fit a replay of {length - 1} per environment")
        here, after, offset = row_indices(state, seen)
        begins = state.begins.at[after].set(False, mode="drop").at[here].set(True, mode="drop")
        return ReplayState(
            obs=added(state.obs, here, after, seen),
            action=state.action.at[here].set(seen.action, mode="drop"),
            reward=state.reward.at[here].set(seen.reward, mode="drop"),
            discount=state.discount.at[here].set(seen.discount, mode="drop"),
            begins=begins,
            mask=None
            if state.mask is None
            else state.mask.at[after].set(seen.next_mask, mode="drop").at[here].set(seen.mask, mode="drop"),
            head=(state.head + offset) % length,
            filled=jnp.minimum(length, jnp.maximum(state.filled, 1) + offset.max()),
            kept=jax.tree.map(lambda all_, new: all_.at[here].set(new, mode="drop"), state.kept, seen.kept),
        )

    def draw(state: ReplayState, key: Key, size: int) -> ReplayRows:
        """Rows where a transition begins, uniform: of each row's candidates t = 0, 1, … the first one that is good.

        The first few are drawn at once, further ones one at a time and for all rows.
        """
        bounds = jnp.stack([state.filled, jnp.int32(state.begins.shape[1])]).astype(jnp.uint32)[:, None]

        def candidate(t: Array) -> tuple[Array, Array]:
            bits = jax.random.bits(jax.random.fold_in(key, t), (2, size), jnp.uint32)
            rows = (bits % bounds).astype(jnp.int32)  # bias of the remainder: L / 2³²
            return rows, state.begins[rows[0], rows[1]]

        def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            t, rows, decided = carry
            new, good = candidate(t)
            return t + 1, jnp.where(decided, rows, new), decided | good

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return ~carry[2].all() & (carry[0] < 200)  # at most half the rows are bad: 2⁻²⁰⁰; ends when empty, too

        first, good = jax.vmap(candidate)(jnp.arange(AT_ONCE))  # [T, 2, B], [T, B]
        decided = good.any(0)
        chosen = jnp.where(decided, good.argmax(0), AT_ONCE - 1)
        rows = jnp.take_along_axis(first, chosen[None, None], 0)[0]
        _, rows, _ = jax.lax.while_loop(unfinished, again, (jnp.int32(AT_ONCE), rows, decided))
        return ReplayRows(rows[0], rows[1])

    def read(state: ReplayState, rows: ReplayRows) -> Transition:
        row, env = rows
        length = len(state.begins)
        path = (row + jnp.arange(n)[:, None]) % length  # [n, B]
        stop = ~state.begins[(path + 1) % length, env]  # the episode ends here, or its successor is the newest row
        folded = fold(state.reward[path, env], state.discount[path, env], stop, n)
        reward, discount, last = (part[0] for part in folded)
        successor = (row + last + 1) % length
        end = ~state.begins[successor, env]
        action = state.action[row, env]
        next_obs = observations(state.obs, state.head, successor, env)
        obs = observations(state.obs, state.head, row, env)
        seen = Transition(obs, action, reward, discount, next_obs, end, jnp.ones_like(end))
        seen = seen._replace(kept=jax.tree.map(lambda a: a[row, env], state.kept))
        return (
            seen
            if state.mask is None
            else seen._replace(mask=state.mask[row, env], next_mask=state.mask[successor, env])
        )

    return Memory(init, add, draw, read, cut_episodes, age=ages, sample=sampled)


def sampled(state: ReplayState, rng: np.random.Generator, size: int) -> ReplayRows:
    """Rows where a transition begins, uniform; of an empty memory its first row."""
    begins = np.asarray(state.begins)
    places = np.flatnonzero(begins)
    chosen = rng.choice(places, size) if len(places) else np.zeros(size, int)
    return rows_at(chosen, begins.shape[1])


def rows_at(places: np.ndarray, envs: int) -> ReplayRows:
    """Places [B] in the ring [L, N], counted through, as rows."""
    row, env = np.divmod(places.astype(np.int32), np.int32(envs))
    return ReplayRows(jnp.asarray(row), jnp.asarray(env))


def ages(state: ReplayState, rows: ReplayRows) -> np.ndarray:
    """Transitions of the same environment that were stored after each row [B], times the N environments; in NumPy."""
    head, row, env = np.asarray(state.head), np.asarray(rows.row), np.asarray(rows.env)
    begun = np.cumsum(np.asarray(state.begins), 0, dtype=np.int32)  # [L, N] up to and with a row of the ring
    after = begun[head[env], env] - begun[row, env]
    return (after + np.where(row > head[env], begun[-1, env], 0)) * len(head)
