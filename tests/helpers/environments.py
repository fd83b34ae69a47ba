"""Environments with what a test needs to see: masks, ends and starts that can be told apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.control.native_loop import ENVS
from rlnut.envs.functional import FuncVector, func_vector
from rlnut.envs.twins import twin
from rlnut.envs.vector import HostVector, Step
from rlnut.runtime.wrappers import time_limit


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


class Corridor(gym.Env):
    """Five states in a row: action 0 costs 1 and goes on, action 1 is forbidden, which is said in one of four ways.

    With γ = 1 the values are −5 −4 −3 −2 −1. A forbidden action raises, or costs `fine` and ends the episode.
    """

    action_space = spaces.Discrete(2)

    def __init__(self, told: str = "info", fine: float | None = None) -> None:
        self.told, self.fine = told, fine
        place: spaces.Space = spaces.Discrete(5)
        mask: spaces.Space = spaces.Box(0, 1, (2,), np.int8)
        self.observation_space = (
            spaces.Dict({"observation": place, "action_mask": mask}) if told == "observation" else place
        )
        if told in ("action_masks", "action_mask"):
            setattr(self, told, lambda: np.array([True, False]))

    def _given(self) -> tuple[Any, dict[str, Any]]:
        mask, place = np.array([1, 0], np.int8), min(self.place, 4)
        if self.told == "observation":
            return {"observation": place, "action_mask": mask}, {}
        return place, {"action_mask": mask} if self.told == "info" else {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return self._given()

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action != 0:
            if self.fine is None:
                raise RuntimeError("a forbidden action was played")
            return *self._given()[:1], -self.fine, True, False, self._given()[1]
        self.place += 1
        obs, info = self._given()
        return obs, -1.0, self.place == 5, False, info


class OnHost(HostVector):
    """A FuncVector stepped from the host, one compiled call for each step, with the keys of the compiled loop."""

    def __init__(self, vector: FuncVector) -> None:
        self.spec, self.num_envs = vector.spec, vector.num_envs
        self._reset, self._step = jax.jit(vector.reset), jax.jit(vector.step)

    def reset(self, seed: int) -> np.ndarray:
        self.lanes, look = self._reset(jax.random.fold_in(jax.random.key(seed), ENVS))
        self.mask = None if look.mask is None else np.asarray(look.mask)
        return np.asarray(look.obs)

    def step(self, action: np.ndarray) -> Step:
        self.lanes, look, step = self._step(self.lanes, action)
        self.mask = None if look.mask is None else np.asarray(look.mask)
        return jax.tree.map(np.asarray, step)


def vector_of(name: str, envs: int, **kwargs: Any) -> FuncVector:
    env = gym.make(name, **kwargs)
    return func_vector(twin(env), envs, time_limit(env))
