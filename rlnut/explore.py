"""Exploration: how to act on q(s, ·). The randomness of a whole round is drawn at once, from an explicit key, on the
device; choosing an action from q and one row of it is a few array operations in the array's own namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.types import Array, Key, namespace

Schedule = Callable[[Any], Array]  # environment steps so far (array or number) -> value


class Exploration(NamedTuple):
    """`draw` makes the noise of T steps of N environments, `select` spends one row of it."""

    draw: Callable[[Key, Array, int], Any]  # (key, step counts [T], N) -> noise, a pytree [T, N, ...]
    select: Callable[[Array, Array | None, Any], Array]  # (q [N, A], mask [N, A] or None, noise [N, ...]) -> action [N]
    rate: Schedule  # ε at a step, for the log


def linear_schedule(start: float, end: float, over: int) -> Schedule:
    """From start to end in `over` steps, then constant: a function of the steps done, never of those to come."""
    return lambda step: start + (end - start) * jnp.clip(step / max(over, 1), 0.0, 1.0)


def allowed(q: Array, mask: Array | None) -> Array:
    """q where an action is allowed, −∞ elsewhere: to choose from, never to learn from."""
    return q if mask is None else namespace(q).where(mask, q, -np.inf)


def greedy(q: Array, mask: Array | None = None) -> Array:
    """argmax_a q(s, a) over the allowed actions: [N, A] -> [N]."""
    return allowed(q, mask).argmax(-1)


def nth_allowed(mask: Array, n: Array) -> Array:
    """The action number n mod (how many are allowed) among the allowed ones: mask [N, A], n [N] >= 0 -> [N]."""
    rank = mask.cumsum(-1)
    return (rank > (n % rank[..., -1])[..., None]).argmax(-1)


def epsilon_greedy(epsilon: Schedule, actions: int) -> Exploration:
    """With probability ε a uniform allowed action, else the greedy one (S&B section 2.2); noise −1 means greedy."""

    def draw(key: Key, steps: Array, envs: int) -> Array:
        coin, action = jax.random.bits(key, (2, len(steps), envs), jnp.uint32)
        explores = (coin >> 8) * 2.0**-24 < epsilon(steps)[:, None]
        return jnp.where(explores, (action >> 1).astype(jnp.int32), -1)

    def select(q: Array, mask: Array | None, noise: Array) -> Array:
        random = noise % actions if mask is None else nth_allowed(mask, noise)
        return namespace(q).where(noise >= 0, random, greedy(q, mask))

    return Exploration(draw, select, epsilon)
