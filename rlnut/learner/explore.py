"""Exploration: how to act on q(s, ·): ε-greedy, Boltzmann, noisy weights.

The randomness of a whole round is drawn at once, from an explicit key, on the device; choosing an action from q and one
row of it is a few array operations in the array's own namespace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.runtime.keys import fast_key
from rlnut.types import Array, Carry, Key, Shaped, Tree, namespace

Schedule = Callable[[Array | int], Array]  # environment steps so far (array or number) -> value


class NoiseFn(Protocol):
    """(key, step counts [T], N) -> the noise of T steps of N environments, a pytree [T, N, ...]."""

    def __call__(self, key: Key, steps: Array, envs: int, /) -> Tree: ...


class SelectFn(Protocol):
    """(q [N, A], mask [N, A] or None: all, noise [N, ...] of one step) -> action [N]."""

    def __call__(self, q: Array, mask: Array | None, noise: Tree, /) -> Array: ...


class BeginFn(Protocol):
    """Noise [N, ...] of one step -> what exploration carries through an episode that begins there [N, ...]."""

    def __call__(self, noise: Tree, /) -> Carry: ...


class EpisodeSelectFn(Protocol):
    """(values [N, A, ...], mask [N, A] or None, noise [N, ...], carried [N, ...]) -> action [N], carried [N, ...]."""

    def __call__(self, q: Array, mask: Array | None, noise: Tree, carried: Carry, /) -> tuple[Array, Carry]: ...


class NoiseKeyFn(Protocol):
    """Noise [N, ...] of one step -> the key that a noisy network acts with."""

    def __call__(self, noise: Array, /) -> Key: ...


class Exploration(NamedTuple):
    """`draw` makes the noise of T steps of N environments, `select` spends one row of it."""

    draw: NoiseFn
    select: SelectFn
    rate: Schedule  # ε at a step, for the log
    key: NoiseKeyFn | None = None  # None: the network is not noisy
    read: Callable[[Array], Array] | None = None  # outputs [N, A, ...] -> what `select` chooses from; None: q [N, A]
    at: Callable[[Schedule], Exploration] | None = None  # the same with another ε; None: there is no ε


class EpisodeExploration(NamedTuple):
    """Exploration that carries something through an episode; `begin` draws it anew where one begins.

    The head that acts in bootstrapped DQN (Osband et al. 2016); how long an action is still to be repeated (Dabney et
    al. 2021). It is saved with the run.
    """

    draw: NoiseFn
    begin: BeginFn
    select: EpisodeSelectFn
    rate: Schedule
    key: NoiseKeyFn | None = None
    read: Callable[[Array], Array] | None = None
    at: Callable[[Schedule], EpisodeExploration] | None = None

    def empty(self, envs: int) -> Carry:
        """What N environments carry before their first step, where `begin` takes its place: zeros [N, ...]."""
        noise = jax.eval_shape(lambda key: self.draw(key, jnp.zeros(1, jnp.int32), envs), jax.random.key(0))
        row = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), noise)
        return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(self.begin, row))

    def act(
        self, q: Array, mask: Array | None, noise: Tree, carried: Carry, fresh: Shaped[Array, " N"]
    ) -> tuple[Array, Carry]:
        """(action [N], carried [N, ...]) of one step; `fresh`: an episode begins here."""

        def begun(new: Array, old: Array) -> Array:
            return namespace(new).where(fresh.reshape(fresh.shape + (1,) * (new.ndim - 1)), new, old)

        return self.select(q, mask, noise, jax.tree.map(begun, self.begin(noise), carried))


def linear_schedule(start: float, end: float, over: int) -> Schedule:
    """From start to end in `over` steps, then constant: a function of the steps done, never of those to come."""

    def value(step: Array | int) -> Array:
        share = step / max(over, 1)
        if isinstance(share, float):  # of a number: on the host, with nothing to compile
            return np.asarray(start + (end - start) * np.clip(np.float32(share), 0, 1))
        return start + (end - start) * jnp.clip(share, 0.0, 1.0)

    return value


def exponential_schedule(start: float, end: float, over: int) -> Schedule:
    """start (end/start)^(t/over) for `over` steps, then constant; both above 0."""
    return lambda step: start * (end / start) ** jnp.clip(step / max(over, 1), 0.0, 1.0)


def allowed(q: Shaped[Array, "*N A"], mask: Shaped[Array, "*N A"] | None) -> Shaped[Array, "*N A"]:
    """q where an action is allowed, −∞ elsewhere: to choose from, never to learn from."""
    return q if mask is None else namespace(q).where(mask, q, -np.inf)


def greedy(q: Shaped[Array, "*N A"], mask: Shaped[Array, "*N A"] | None = None) -> Shaped[Array, "*N"]:
    """argmax_a q(s, a) over the allowed actions: [N, A] -> [N]."""
    return namespace(q).asarray(allowed(q, mask).argmax(-1))  # an array for one row, too


def nth_allowed(mask: Shaped[Array, "*N A"], n: Shaped[Array, "*N"]) -> Shaped[Array, "*N"]:
    """The action number n mod (how many are allowed) among the allowed ones: mask [N, A], n [N] >= 0 -> [N]."""
    rank = mask.cumsum(-1)
    return (rank > (n % rank[..., -1])[..., None]).argmax(-1)


def epsilon_greedy(epsilon: Schedule, actions: int, spread: float = 0.0, groups: tuple[int, ...] = ()) -> Exploration:
    """With probability ε a uniform allowed action, else the greedy one (S&B section 2.2); noise −1 means greedy.

    Environment i of N has ε^(1 + spread·i/(N − 1)): some explore, some exploit (Horgan et al. 2018, section 4.1).
    Of D groups of actions, `groups` = (D,), all are random or none.
    """

    def draw(key: Key, steps: Shaped[Array, " T"], envs: int) -> Shaped[Array, "T N ..."]:
        shape = (len(steps), envs)
        coin, *action = jax.random.bits(key, (1 + math.prod(groups), *shape), jnp.uint32)
        power = 1 + spread * jnp.arange(envs) / max(envs - 1, 1)
        rates = epsilon(steps)[:, None] ** power if spread else epsilon(steps)[:, None]
        explores = ((coin >> 8) * 2.0**-24 < rates)[..., None]
        return jnp.where(explores, (jnp.stack(action, -1) >> 1).astype(jnp.int32), -1).reshape(*shape, *groups)

    def select(
        q: Shaped[Array, "*N A"], mask: Shaped[Array, "*N A"] | None, noise: Shaped[Array, "*N"]
    ) -> Shaped[Array, "*N"]:
        best = greedy(q, mask)
        if isinstance(noise, np.ndarray) and noise.max() < 0:  # on the host, where nobody explores
            return best
        random = noise % actions if mask is None else nth_allowed(mask, noise)
        return namespace(q).where(noise >= 0, random, best)

    return Exploration(draw, select, epsilon, at=lambda other: epsilon_greedy(other, actions, spread, groups))


def with_epsilon(explore: Exploration | EpisodeExploration, epsilon: Array | None) -> Exploration | EpisodeExploration:
    """The same with this ε at every step; as it is where that is None, or where there is no ε."""
    if epsilon is None or explore.at is None:
        return explore
    return explore.at(lambda step: jnp.broadcast_to(epsilon, jnp.shape(step)))


def nothing_random(step: Array | int) -> Array:
    """ε = 0."""
    return 0.0 * jnp.asarray(step, float)


def boltzmann_actions(temperature: float, choices: tuple[int, ...]) -> Exploration:
    """π(a|s) ∝ exp(q(s, a)/τ) over the allowed actions, as argmax_a q/τ + Gumbel noise (S&B 2.8, Gumbel 1954)."""

    def draw(key: Key, steps: Array, envs: int) -> Array:
        return jax.random.gumbel(key, (len(steps), envs, *choices), jnp.float32)

    def select(
        q: Shaped[Array, "*N A"], mask: Shaped[Array, "*N A"] | None, noise: Shaped[Array, "*N A"]
    ) -> Shaped[Array, "*N"]:
        return greedy(q / np.float32(temperature) + noise, mask)

    return Exploration(draw, select, nothing_random)


def noisy_weights() -> Exploration:
    """Greedy on a network whose weights are noisy, new ones at each step (Fortunato et al. 2018): noise is a key."""

    def draw(key: Key, steps: Array, envs: int) -> Array:
        return jax.random.key_data(jax.random.split(key, (len(steps), envs)))

    def select(q: Array, mask: Array | None, noise: Array) -> Array:
        return greedy(q, mask)

    return Exploration(draw, select, nothing_random, lambda noise: fast_key(jax.random.wrap_key_data(noise[0])))
