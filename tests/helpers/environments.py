"""Environments with what a test needs to see: masks, ends and starts that can be told apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv


class CounterState(NamedTuple):
    start: Any
    age: Any


class Counter(FuncEnv):
    """Counts from a random start; an episode terminates after 3 steps if the action is 1, and forbids action 0 then."""

    observation_space = spaces.Box(0, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2, start=5)

    def initial(self, rng: Any, params: Any = None) -> CounterState:
        return CounterState(jax.random.randint(rng, (), 0, 1000), jnp.int32(0))

    def transition(self, state: CounterState, action: Any, rng: Any, params: Any = None) -> CounterState:
        return CounterState(state.start, state.age + jnp.where(action == 6, 1, 10))

    def observation(self, state: CounterState, rng: Any, params: Any = None) -> Any:
        return jnp.stack([state.start, state.age]).astype(jnp.float32)

    def reward(self, state: CounterState, action: Any, next_state: CounterState, rng: Any, params: Any = None) -> Any:
        return next_state.age

    def terminal(self, state: CounterState, rng: Any, params: Any = None) -> Any:
        return state.age == 3

    def state_info(self, state: CounterState, params: Any = None) -> dict[str, Any]:
        return {"action_mask": jnp.stack([state.age != 2, state.age != 3])}
