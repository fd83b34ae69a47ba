"""Prioritised replay: rows are drawn by the size of their TD errors (Schaul et al. 2016).

    P(i) = pᵢ^α / Σₖ pₖ^α,     wᵢ = (N P(i))^(−β) / maxₖ (N P(k))^(−β) = (minₖ mₖ / mᵢ)^β,     mᵢ = pᵢ^α

New rows get the largest priority so far. Over the masses m stands a tree whose nodes hold the sum and the smallest
positive mass of 32 nodes below them. What is written or scored changes the nodes above it, each computed anew from
those below, so that rounding does not add up: nodes are a function of the masses (`with_nodes`), and are not saved.
Levels above one of at most `WHOLE` nodes are computed for each draw, which costs less than to follow the changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.learner.replay import Memory, ReplayRows, ReplayState, ages, replay, row_indices, rows_at
from rlnut.types import Key, Shaped, Transition, Tree

MOST = 0.9  # η: the share of the largest surprise of a window in its priority
FAN = 32  # nodes below a node
WHOLE = 32_768  # a level of so few nodes has none above it that are kept
FLOOR = 1e-6  # added to every priority, so that no row is never drawn again


class PrioritisedState(NamedTuple):
    """A memory and the mass of each row of its ring."""

    replay: Any  # the state of the memory
    mass: Array  # [L, N] p^α; 0 where no transition begins
    top: Array  # [] the largest priority so far
    sums: tuple[Array, ...] = ()  # of the masses, [⌈LN/32⌉], [⌈LN/32²⌉] … until at most `WHOLE`
    least: tuple[Array, ...] = ()  # the smallest positive ones, ∞ where there is none


def below(level: Shaped[Array, " n"], node: Shaped[Array, " M"], nothing: float) -> Shaped[Array, "32 M"]:
    """What is below these nodes in a level; `nothing` behind its end."""
    return level.at[node * FAN + jnp.arange(FAN)[:, None]].get(mode="fill", fill_value=nothing)


def above(level: Shaped[Array, " n"], nothing: float) -> Shaped[Array, "32 M"]:
    """`below` of all nodes above a level."""
    return jnp.pad(level, (0, -len(level) % FAN), constant_values=nothing).reshape(-1, FAN).T


def ordered_sum(parts: Shaped[Array, "32 M"]) -> Shaped[Array, " M"]:
    """Their sum, added one after the other: in every program, of any M, the same bits."""
    return reduce(jnp.add, parts)


def positive(mass: Array) -> Array:
    """The mass; ∞ where there is none, which no minimum takes."""
    return jnp.where(mass > 0, mass, jnp.inf)


def with_nodes(state: PrioritisedState) -> PrioritisedState:
    """The state with the nodes that follow from its masses."""
    sums, least = [state.mass.reshape(-1)], [positive(state.mass.reshape(-1))]
    while len(sums[-1]) > WHOLE:
        sums.append(ordered_sum(above(sums[-1], 0.0)))
        least.append(above(least[-1], jnp.inf).min(0))
    return state._replace(sums=tuple(sums[1:]), least=tuple(least[1:]))


def without_nodes(tree: Tree) -> Tree:
    """A pytree with the prioritised memories in it as they are saved: without their nodes."""
    return _each(lambda state: state._replace(sums=(), least=()), tree)


def with_all_nodes(tree: Tree) -> Tree:
    """What `without_nodes` left, with its nodes."""
    return _each(with_nodes, tree)


def _each(change: Callable[[PrioritisedState], PrioritisedState], tree: Tree) -> Tree:
    def prioritised_one(part: object) -> bool:
        return isinstance(part, PrioritisedState)

    return jax.tree.map(lambda part: change(part) if prioritised_one(part) else part, tree, is_leaf=prioritised_one)


def with_mass(state: PrioritisedState, mass: Array, row: Array, env: Array) -> PrioritisedState:
    """The state with `mass`, which is another one in these rows only."""
    node = (row * mass.shape[1] + env).reshape(-1)
    sums, least = [mass.reshape(-1)], [mass.reshape(-1)]
    for level, (sum_, low) in enumerate(zip(state.sums, state.least, strict=True)):
        node = node // FAN
        parts = below(sums[-1], node, 0.0)
        lows = below(least[-1], node, jnp.inf) if level else positive(parts)
        sums.append(sum_.at[node].set(ordered_sum(parts), mode="drop"))
        least.append(low.at[node].set(lows.min(0), mode="drop"))
    return state._replace(mass=mass, sums=tuple(sums[1:]), least=tuple(least[1:]))


def search(state: PrioritisedState, share: Shaped[Array, " B"]) -> Shaped[Array, " B"]:
    """The place in the masses [LN] where the running sum first exceeds share · Σ mass; share [B] in [0, 1) -> int32.

    A place of mass 0 is never found as long as there is any mass.
    """
    levels = [state.mass.reshape(-1), *state.sums]
    while len(levels[-1]) > 1:
        levels.append(above(levels[-1], 0.0).sum(0))
    place, u = jnp.zeros(len(share), jnp.int32), share * levels.pop()
    for level in reversed(levels):
        place, u = _first_above(place * FAN, below(level, place, 0.0), u)
    return place


def _first_above(first: Array, parts: Shaped[Array, "32 B"], u: Shaped[Array, " B"]) -> tuple[Array, Array]:
    """Place of the first positive one whose running sum exceeds u, and what of u lies in it; never outside by rounding.

    first [B]: the place of parts[0]. Reductions, which XLA computes once, not for each part that is read next.
    """
    place = first + jnp.arange(FAN)[:, None]
    until = jnp.where(parts > 0, jnp.matmul(np.tri(FAN, dtype=np.float32), parts, precision="highest"), -jnp.inf)
    u = jnp.minimum(u, jnp.nextafter(until.max(0), jnp.float32(-jnp.inf)))
    found = jnp.where(until > u, place, first + FAN - 1).min(0)
    return found, u - jnp.where(place == found, until - parts, -jnp.inf).max(0)


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
        return with_nodes(PrioritisedState(state, jnp.zeros(ring(state).begins.shape), jnp.ones(())))

    def add(state: PrioritisedState, seen: Transition) -> PrioritisedState:
        here, after, _ = row_indices(ring(state.replay), seen)
        mass = state.mass.at[after].set(0.0, mode="drop").at[here].set(state.top**alpha, mode="drop")
        row, env = jnp.stack([here[0], after[0]]), here[1]
        return with_mass(state._replace(replay=memory.add(state.replay, seen)), mass, row, env)

    def draw(state: PrioritisedState, key: Key, size: int) -> ReplayRows:
        share = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size
        row, env = jnp.divmod(search(state, share), state.mass.shape[1])
        return ReplayRows(row, env)

    def weigh(state: PrioritisedState, rows: ReplayRows, steps: Array | np.ndarray) -> Array:
        power = beta + (1 - beta) * jnp.clip(steps / beta_steps, 0, 1)
        least = state.least[-1] if state.least else positive(state.mass)
        weight = (least.min() / state.mass[rows.row, rows.env]) ** power
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
        state = state._replace(top=jnp.maximum(state.top, priority.max()))
        return with_mass(state, mass, rows.row, rows.env)

    def read(state: PrioritisedState, rows: ReplayRows) -> Transition:
        return memory.read(state.replay, rows)

    def cut(state: PrioritisedState) -> PrioritisedState:
        return state._replace(replay=memory.cut(state.replay))

    def age(state: PrioritisedState, rows: ReplayRows) -> np.ndarray:
        return ages(ring(state.replay), rows)

    def sample(state: PrioritisedState, rng: np.random.Generator, size: int) -> ReplayRows:
        until = np.cumsum(np.asarray(state.mass, np.float64))
        share = (np.arange(size) + rng.random(size)) / size * until[-1]
        return rows_at(np.minimum(np.searchsorted(until, share, "right"), len(until) - 1), state.mass.shape[1])

    return Memory(init, add, draw, read, cut, weigh, score, age, sample)
