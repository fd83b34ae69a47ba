"""Prioritised replay: rows are drawn in proportion to how surprising they were (Schaul et al. 2016).

    P(i) = pᵢ^α / Σₖ pₖ^α,     wᵢ = (N P(i))^(−β) / maxₖ (N P(k))^(−β) = (minₖ mₖ / mᵢ)^β,     mᵢ = pᵢ^α

New rows get the largest priority so far. The masses m lie in √n blocks of √n: a draw finds its block by their sums,
then its place by the sums within, so no tree has to be kept, and what is drawn is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.learner.replay import Memory, ReplayRows, ReplayState, replay, row_indices
from rlnut.types import Key, Shaped, Transition

MOST = 0.9  # η: the share of the largest surprise of a window in its priority
FLOOR = 1e-6  # added to every priority, so that no row is never drawn again


class PrioritisedState(NamedTuple):
    """A memory and the mass of each row of its ring."""

    replay: Any  # the state of the memory
    mass: Array  # [L, N] p^α; 0 where no transition begins
    top: Array  # [] the largest priority so far


def search(mass: Shaped[Array, " n"], share: Shaped[Array, " B"]) -> Shaped[Array, " B"]:
    """The place in mass [n] where the running sum first exceeds share · Σ mass; share [B] in [0, 1) -> int32 [B].

    A place of mass 0 is never found as long as there is any mass.
    """
    width = math.ceil(math.sqrt(len(mass)))
    blocks = jnp.pad(mass, (0, -len(mass) % width)).reshape(-1, width)
    sums = blocks.sum(1)
    block, rest = jax.vmap(_first_above, (None, 0))(sums, share * sums.sum())
    return block * width + jax.vmap(_first_above)(blocks[block], rest)[0]


def _first_above(mass: Array, u: Array) -> tuple[Array, Array]:
    """First k of positive mass whose running sum exceeds u [], and what of u lies in k; never outside by rounding."""
    until = jnp.where(mass > 0, jnp.cumsum(mass), -jnp.inf)
    u = jnp.minimum(u, jnp.nextafter(until.max(), -jnp.inf))
    k = (until > u).argmax()
    return k.astype(jnp.int32), u - (until[k] - mass[k])


def prioritised(capacity: int, n: int = 1, alpha: float = 0.6, beta: float = 0.4, beta_steps: int = 50_000) -> Memory:
    """Replay of n-step transitions drawn with P(i); the weights wᵢ correct for it with β rising to 1 in `beta_steps`.

    A batch of B is stratified: row k falls in the k-th of B equal shares of Σ m (Schaul et al. 2016, appendix B.2.1).
    """
    return drawn_by_priority(replay(capacity, n), lambda state: state, 1, alpha, beta, beta_steps)


def prioritised_windows(
    memory: Memory, length: int, alpha: float = 0.6, beta: float = 0.4, beta_steps: int = 50_000
) -> Memory:
    """`windows` drawn with P(i), i the row where one begins, of which `length` steps are learned from.

    Of the surprises of its steps p = η max + (1 − η) mean (R2D2; Kapturowski et al. 2019, section 2.3).
    """
    return drawn_by_priority(memory, lambda state: state.replay, length, alpha, beta, beta_steps)


def drawn_by_priority(
    memory: Memory, ring: Callable[[Any], ReplayState], length: int, alpha: float, beta: float, beta_steps: int
) -> Memory:
    """A memory whose draws follow priorities. ring: its state -> the ring; length: steps learned from in each draw."""

    def init(seen: Transition, steps: int) -> PrioritisedState:
        state = memory.init(seen, steps)
        return PrioritisedState(state, jnp.zeros(ring(state).begins.shape), jnp.ones(()))

    def add(state: PrioritisedState, seen: Transition) -> PrioritisedState:
        here, after, _ = row_indices(ring(state.replay), seen)
        mass = state.mass.at[after].set(0.0, mode="drop").at[here].set(state.top**alpha, mode="drop")
        return state._replace(replay=memory.add(state.replay, seen), mass=mass)

    def draw(state: PrioritisedState, key: Key, size: int) -> ReplayRows:
        share = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size
        row, env = jnp.divmod(search(state.mass.reshape(-1), share), state.mass.shape[1])
        return ReplayRows(row, env)

    def weigh(state: PrioritisedState, rows: ReplayRows, steps: Array | np.ndarray) -> Array:
        least = jnp.where(state.mass > 0, state.mass, jnp.inf).min()
        power = beta + (1 - beta) * jnp.clip(steps / beta_steps, 0, 1)
        weight = (least / state.mass[rows.row, rows.env]) ** power
        if memory.weigh is None:
            return weight
        return jnp.repeat(weight, length) * memory.weigh(state.replay, rows, jnp.asarray(steps))

    def score(
        state: PrioritisedState, rows: ReplayRows, surprise: Shaped[Array | np.ndarray, " B"]
    ) -> PrioritisedState:
        if memory.weigh is not None:  # windows: their steps that are experience
            there = (memory.weigh(state.replay, rows, state.top) > 0).reshape(-1, length)
            steps = jnp.where(there, jnp.reshape(surprise, (-1, length)), 0)
            surprise = MOST * steps.max(1) + (1 - MOST) * steps.sum(1) / jnp.maximum(there.sum(1), 1)
        priority = surprise + FLOOR
        mass = state.mass.at[rows.row, rows.env].set(priority**alpha)
        return state._replace(mass=mass, top=jnp.maximum(state.top, priority.max()))

    def read(state: PrioritisedState, rows: ReplayRows) -> Transition:
        return memory.read(state.replay, rows)

    def cut(state: PrioritisedState) -> PrioritisedState:
        return state._replace(replay=memory.cut(state.replay))

    return Memory(init, add, draw, read, cut, weigh, score)
