"""A visit to the device, compiled: store a round, learn from it, draw the noise of the next one.

Of a small network it is the number of arrays that takes time, not their size. So the random keys of an agent's state
stay where they are (JAX hands a key back at the price of ten arrays), and what is wanted on the host comes back as one
vector for each type of number.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.learner.agent import Agent, AgentState
from rlnut.runtime.compiling import program
from rlnut.types import Array, Key, Metrics, Params, Transition, Tree

METRICS = ("cost", "delta", "gradient", "value", "updates")  # of a round; NaN where no update was due


class Vectors:
    """How the leaves of a pytree lie one behind the other, in one vector for each type of number."""

    def __init__(self, like: Tree) -> None:
        leaves, self.tree = jax.tree.flatten(like)
        self.places: list[tuple[str, slice, tuple[int, ...]]] = []  # of each leaf: its vector, where in it, its shape
        ends: dict[str, int] = {}
        for leaf in leaves:
            kind = str(leaf.dtype)
            start = ends.get(kind, 0)
            ends[kind] = start + leaf.size
            self.places.append((kind, slice(start, ends[kind]), leaf.shape))

    def pack(self, tree: Tree) -> dict[str, Array]:
        """A pytree like it -> its vectors."""
        parts: dict[str, list[Array]] = {kind: [] for kind, *_ in self.places}
        for leaf, (kind, *_) in zip(jax.tree.leaves(tree), self.places, strict=True):
            parts[kind].append(leaf.reshape(-1))
        return {kind: jnp.concatenate(leaves) for kind, leaves in parts.items()}

    def unpack(self, vectors: dict[str, Array]) -> Tree:
        """Its vectors -> the pytree in NumPy; nothing is copied but from the device."""
        host = {kind: np.asarray(vector) for kind, vector in vectors.items()}
        return jax.tree.unflatten(self.tree, [host[kind][place].reshape(shape) for kind, place, shape in self.places])


class Keys(NamedTuple):
    """The keys of an agent's state; None where there is none, or no other than before."""

    fit: Key | None = None
    explore: Key | None = None
    replay: Key | None = None


def keys_of(state: AgentState) -> Keys:
    """The keys in a state."""
    return Keys(state.fit.key, state.explore_key, state.replay_key)


def having(state: AgentState, keys: Keys) -> AgentState:
    """The state with these keys in the place of its own."""
    fit = state.fit._replace(key=keys.fit)  # type: ignore[arg-type]
    return state._replace(fit=fit, explore_key=keys.explore, replay_key=keys.replay)  # type: ignore[arg-type]


def other_than(keys: Keys, before: Keys) -> Keys:
    """The keys that are not those of before."""
    return Keys(*(None if key is old else key for key, old in zip(keys, before, strict=True)))


class Pending(NamedTuple):
    """What a visit gives back; the device may still be at work on it."""

    state: AgentState
    acting: Params  # a copy of θ on the device; () where the agent acts in NumPy: then it is among the vectors
    vectors: dict[str, Array]


def drawn(agent: Agent, state: AgentState, envs: int, ahead: int = 0) -> Tree:
    """The noise [T, N, ...] of the next round, or of one so many rounds later."""
    if not ahead:
        return agent.draw(state, envs)
    return agent.draw(state._replace(steps=state.steps + ahead * envs * agent.pace.round_length(envs)), envs)


class Visit:
    """`visit(state, experience [T, N, ...])` -> `Pending`; the arrays of the state are given away, its keys are not.

    ahead: rounds that are being played while it learns, so that it draws the noise of the one after them.
    """

    def __init__(self, agent: Agent, envs: int, ahead: int = 0) -> None:
        self.agent, self.envs, self.ahead = agent, envs, ahead
        self.compiled = program(self._program, donate_argnums=0)

    def _program(self, keyless: AgentState, keys: Keys, seen: Transition) -> Pending:
        state, metrics = self.agent.learn(having(keyless, keys), seen)
        acting = jax.tree.map(jnp.copy, state.fit.params)  # the state's own buffers are given away at the next visit
        numbers = jnp.stack([metrics[name] for name in METRICS])
        told = (acting if self.agent.host else (), drawn(self.agent, state, self.envs, self.ahead), numbers)
        self.layout = Vectors(told)  # when it is traced
        keyless = having(state, other_than(keys_of(state), keys))
        return Pending(keyless, () if self.agent.host else acting, self.layout.pack(told))

    def __call__(self, state: AgentState, seen: Transition) -> Pending:
        keys = keys_of(state)
        state, acting, vectors = self.compiled(having(state, Keys()), keys, seen)
        kept = Keys(*(old if key is None else key for key, old in zip(keys_of(state), keys, strict=True)))
        return Pending(having(state, kept), acting, vectors)

    def result(self, pending: Pending) -> tuple[Params, Tree, Metrics]:
        """Waits for (θ as `act` wants it, noise of the next round [T, N, ...], METRICS)."""
        acting, noise, numbers = self.layout.unpack(pending.vectors)
        names = dict(zip(METRICS, numbers.tolist(), strict=True))
        return acting if self.agent.host else pending.acting, noise, names
