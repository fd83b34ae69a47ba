"""Exploration: how to act on q(s, ·). The randomness of a whole round is drawn at once, from an explicit key, on the
device; choosing an action from q and one row of it is a few array operations in the array's own namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlnut.types import Array, Key, namespace

Schedule = Callable[[Any], Array]  # environment steps so far (array or number) -> value


class Exploration(NamedTuple):
    """`draw` makes the noise of T steps of N environments, `select` spends one row of it."""

    draw: Callable[[Key, Array, int], Array]  # (key, step counts [T], N) -> noise [T, N]
    select: Callable[[Array, Array], Array]  # (q [N, A], noise [N]) -> action [N] int32
    rate: Schedule  # ε at a step, for the log


def linear_schedule(start: float, end: float, over: int) -> Schedule:
    """From start to end in `over` steps, then constant: a function of the steps done, never of those to come."""
    return lambda step: start + (end - start) * jnp.clip(step / max(over, 1), 0.0, 1.0)


def epsilon_greedy(epsilon: Schedule, actions: int) -> Exploration:
    """With probability ε a uniform action, else argmax_a q(s, a) (S&B section 2.2); noise −1 means greedy."""

    def draw(key: Key, steps: Array, envs: int) -> Array:
        coin, action = jax.random.bits(key, (2, len(steps), envs), jnp.uint32)
        explores = (coin >> 8) * 2.0**-24 < epsilon(steps)[:, None]
        return jnp.where(explores, (action % actions).astype(jnp.int32), -1)

    def select(q: Array, noise: Array) -> Array:
        return namespace(q).where(noise >= 0, noise, q.argmax(-1))

    return Exploration(draw, select, epsilon)
