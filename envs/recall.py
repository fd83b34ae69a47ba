"""A memory task whose values are known: see a cue, wait, then act on it (rlnut/Recall-v0).

The observation is (cue, go): the cue ±1 in the first step only, go 1 in the last step only. There the action that
belongs to the cue (1 to +1, 0 to −1) earns 1, the other −1; no other action matters. With a memory

    q*(s_t, a) = γ^(delay − t),     q*(s_delay, right) = 1,     q*(s_delay, wrong) = −1

and without one the last observation is always the same: nothing better than 0 can be earned.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.functional import FuncGym
from rlnut.envs.states import RowsOf
from rlnut.errors import UsageError
from rlnut.types import Array, Key


class RecallState(NamedTuple):
    """A pytree."""

    cue: Array  # [] float32, ±1
    time: Array  # [] int32
    reward: Array  # [] of the step that led here

    @property
    def at(self) -> RowsOf:
        """For `state.at[rows].set(others)`."""
        return RowsOf(self)


class RecallFunc(FuncEnv):
    """The task as pure functions; an episode has delay + 1 steps."""

    def __init__(self, delay: int = 6) -> None:
        if delay < 1:
            raise UsageError(f"delay must be >= 1, got {delay}")
        self.delay = delay
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.Discrete(2)
        super().__init__()

    def get_default_params(self, **kwargs: object) -> None:
        """No parameters."""

    def initial(self, rng: Key, params: None = None) -> RecallState:
        """A cue, either with chance ½."""
        return RecallState(jax.random.rademacher(rng, (), jnp.float32), jnp.int32(0), jnp.zeros(()))

    def transition(self, state: RecallState, action: Array, rng: Key, params: None = None) -> RecallState:
        """One step on."""
        earned = state.cue * jnp.where(action == 1, 1.0, -1.0)
        return RecallState(state.cue, state.time + 1, jnp.where(state.time == self.delay, earned, 0.0))

    def observation(self, state: RecallState, rng: Key, params: None = None) -> Array:
        """(cue, go)."""
        return jnp.stack([jnp.where(state.time == 0, state.cue, 0.0), jnp.where(state.time == self.delay, 1.0, 0.0)])

    def reward(
        self, state: RecallState, action: Array, next_state: RecallState, rng: Key, params: None = None
    ) -> Array:
        """Of the step to `next_state`."""
        return next_state.reward

    def terminal(self, state: RecallState, rng: Key, params: None = None) -> Array:
        """After the step that counts."""
        return state.time > self.delay


class Recall(FuncGym):
    """The task as a Gymnasium environment; `func` is its functional form."""

    def __init__(self, delay: int = 6) -> None:
        super().__init__(RecallFunc(delay))
