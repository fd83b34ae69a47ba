"""Prioritised replay: rows are drawn in proportion to how surprising they were (Schaul et al. 2016).

    P(i) = pᵢ^α / Σₖ pₖ^α,     wᵢ = (N P(i))^(−β) / maxₖ (N P(k))^(−β) = (minₖ mₖ / mᵢ)^β,     mᵢ = pᵢ^α

New rows get the largest priority so far. Over the masses m stands a tree whose nodes hold the sum and the smallest
positive mass of 32 nodes below them. What is written or scored changes the nodes above it, each computed anew from
those below, so that rounding does not add up: nodes are a function of the masses (`with_nodes`), and are not saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.learner.replay import Memory, ReplayRows, ReplayState, replay, row_indices
from rlnut.types import Key, Shaped, Transition, Tree

MOST = 0.9  # η: the share of the largest surprise of a window in its priority
FAN = 32  # nodes below a node, a power of 2
FLOOR = 1e-6  # added to every priority, so that no row is never drawn again


class PrioritisedState(NamedTuple):
    """A memory and the mass of each row of its ring."""

    replay: Any  # the state of the memory
    mass: Array  # [L, N] p^α; 0 where no transition begins
    top: Array  # [] the largest priority so far
    sums: tuple[Array, ...] = ()  # of the masses, [⌈LN/32⌉] … [1]
    least: tuple[Array, ...] = ()  # the smallest positive ones, ∞ where there is none


def below(level: Shaped[Array, " n"], node: Shaped[Array, " M"], nothing: float) -> Shaped[Array, "M 32"]:
    """What is below these nodes in a level; `nothing` behind its end."""
    return level.at[node[:, None] * FAN + jnp.arange(FAN)].get(mode="fill", fill_value=nothing)


def total(parts: Shaped[Array, "M 32"]) -> Shaped[Array, " M"]:
    """Their sum, added in an order that does not depend on M: the same nodes are the same bits."""
    while parts.shape[1] > 1:
        half = parts.shape[1] // 2
        parts = parts[:, :half] + parts[:, half:]
    return parts[:, 0]


def positive(mass: Array) -> Array:
    """The mass; ∞ where there is none, which no minimum takes."""
    return jnp.where(mass > 0, mass, jnp.inf)


def with_nodes(state: PrioritisedState) -> PrioritisedState:
    """The state with the nodes that follow from its masses."""
    sums, least, count = [state.mass.reshape(-1)], [positive(state.mass.reshape(-1))], state.mass.size
    while count > 1 or len(sums) == 1:
        count = -(-count // FAN)
        sums.append(total(below(sums[-1], jnp.arange(count), 0.0)))
        least.append(below(least[-1], jnp.arange(count), jnp.inf).min(1))
    return state._replace(sums=tuple(sums[1:]), least=tuple(least[1:]))


def saved(tree: Tree) -> Tree:
    """A pytree with the prioritised memories in it as they are saved: without their nodes."""
    return _each(lambda state: state._replace(sums=(), least=()), tree)


def restored(tree: Tree) -> Tree:
    """What `saved` left, with its nodes."""
    return _each(with_nodes, tree)


def _each(change: Callable[[PrioritisedState], PrioritisedState], tree: Tree) -> Tree:
    def prioritised_one(part: object) -> bool:
        return isinstance(part, PrioritisedState)

    return jax.tree.map(lambda part: change(part) if prioritised_one(part) else part, tree, is_leaf=prioritised_one)


def changed(state: PrioritisedState, mass: Array, row: Array, env: Array) -> PrioritisedState:
    """The state with `mass`, which is another one in these rows only."""
    node = (row * mass.shape[1] + env).reshape(-1)
    flat = mass.reshape(-1)
    sums: list[Array] = []
    least: list[Array] = []
    for level, (sum_, low) in enumerate(zip(state.sums, state.least, strict=True)):
        above = node // FAN
        smallest = below(least[-1], above, jnp.inf) if level else positive(below(flat, above, 0.0))
        sums.append(sum_.at[above].set(total(below(sums[-1] if level else flat, above, 0.0)), mode="drop"))
        least.append(low.at[above].set(smallest.min(1), mode="drop"))
        node = above
    return state._replace(mass=mass, sums=tuple(sums), least=tuple(least))


def search(state: PrioritisedState, share: Shaped[Array, " B"]) -> Shaped[Array, " B"]:
    """The place in the masses [LN] where the running sum first exceeds share · Σ mass; share [B] in [0, 1) -> int32.

    A place of mass 0 is never found as long as there is any mass.
    """
    *between, top = state.sums
    place, u = jnp.zeros(len(share), jnp.int32), share * top[0]
    for level in (*reversed(between), state.mass.reshape(-1)):
        k, u = jax.vmap(_first_above)(below(level, place, 0.0), u)
        place = place * FAN + k
    return place


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
        return with_nodes(PrioritisedState(state, jnp.zeros(ring(state).begins.shape), jnp.ones(())))

    def add(state: PrioritisedState, seen: Transition) -> PrioritisedState:
        here, after, _ = row_indices(ring(state.replay), seen)
        mass = state.mass.at[after].set(0.0, mode="drop").at[here].set(state.top**alpha, mode="drop")
        row, env = jnp.stack([here[0], after[0]]), here[1]
        return changed(state._replace(replay=memory.add(state.replay, seen)), mass, row, env)

    def draw(state: PrioritisedState, key: Key, size: int) -> ReplayRows:
        share = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size
        row, env = jnp.divmod(search(state, share), state.mass.shape[1])
        return ReplayRows(row, env)

    def weigh(state: PrioritisedState, rows: ReplayRows, steps: Array | np.ndarray) -> Array:
        power = beta + (1 - beta) * jnp.clip(steps / beta_steps, 0, 1)
        weight = (state.least[-1][0] / state.mass[rows.row, rows.env]) ** power
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
        return changed(state, mass, rows.row, rows.env)

    def read(state: PrioritisedState, rows: ReplayRows) -> Transition:
        return memory.read(state.replay, rows)

    def cut(state: PrioritisedState) -> PrioritisedState:
        return state._replace(replay=memory.cut(state.replay))

    return Memory(init, add, draw, read, cut, weigh, score)
