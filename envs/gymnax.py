"""gymnax environments (extra `gymnax`) as functional ones, registered as `gymnax/NAME`, e.g. gymnax/Breakout-MinAtar.

gymnax 1.0 tells termination and its own time limit apart, and so do we: a limit truncates, and bootstraps. Its
`step_env` is used, which resets nothing, so the true last observation is seen.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import jax.numpy as jnp
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.functional import FuncGym
from rlnut.envs.states import RowsOf
from rlnut.errors import UsageError
from rlnut.types import Array, Key, Tree

PREFIX = "gymnax/"


class GymnaxState(NamedTuple):
    """gymnax's state and what its last step said: a pytree."""

    inner: Tree
    obs: Tree
    reward: Array
    terminated: Array
    truncated: Array

    @property
    def at(self) -> RowsOf:
        """For `state.at[rows].set(others)`."""
        return RowsOf(self)


class Gymnax(FuncEnv):
    """One of gymnax's environments; `options` replace its parameters (`max_steps_in_episode`, …).

    UsageError for an unknown option, and for a gymnax older than 1.0, whose `done` mixes ends and limits.
    """

    def __init__(self, name: str, **options: object) -> None:
        import gymnax
        from gymnax.environments.spaces import gymnax_space_to_gym_space as to_gymnasium

        self.env, params = gymnax.make(name)
        if not hasattr(self.env, "is_truncated"):
            raise UsageError(f"{PREFIX}{name} needs gymnax 1.0 or newer: an older one mixes terminal states and limits")
        try:
            self.params = params.replace(**options)
        except TypeError as error:
            raise UsageError(f"{PREFIX}{name}: {error}") from None
        self.observation_space = to_gymnasium(self.env.observation_space(self.params))
        self.action_space = to_gymnasium(self.env.action_space(self.params))
        super().__init__()

    def get_default_params(self, **kwargs: object) -> None:
        """They are `self.params`."""

    def initial(self, rng: Key, params: None = None) -> GymnaxState:
        """The first state of an episode."""
        obs, inner = self.env.reset_env(rng, self.params)
        return GymnaxState(inner, obs, jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))

    def transition(self, state: GymnaxState, action: Array, rng: Key, params: None = None) -> GymnaxState:
        """One step."""
        obs, inner, reward, terminated, _ = self.env.step_env(rng, state.inner, action, self.params)
        truncated = jnp.asarray(self.env.is_truncated(inner, self.params), bool)
        return GymnaxState(inner, obs, jnp.asarray(reward, jnp.float32), jnp.asarray(terminated, bool), truncated)

    def observation(self, state: GymnaxState, rng: Key, params: None = None) -> Tree:
        """What the step showed."""
        return state.obs

    def reward(
        self, state: GymnaxState, action: Array, next_state: GymnaxState, rng: Key, params: None = None
    ) -> Array:
        """Of the step to `next_state`."""
        return next_state.reward

    def terminal(self, state: GymnaxState, rng: Key, params: None = None) -> Array:
        """Did the episode come to an end of its own?"""
        return state.terminated

    def state_info(self, state: GymnaxState, params: None = None) -> dict[str, Array]:
        """`truncated`: gymnax's own time limit."""
        return {"truncated": state.truncated}


def register() -> None:
    """Name every environment of gymnax's `gymnax/…`; UsageError if gymnax is not installed."""
    try:
        import gymnax
    except ImportError as error:
        raise UsageError(f"{PREFIX}… needs gymnax: pip install 'rlnut[gymnax]' ({error})") from None
    for name in gymnax.registered_envs:
        if f"{PREFIX}{name}" not in gymnasium.registry:
            gymnasium.register(f"{PREFIX}{name}", lambda name=name, **options: FuncGym(Gymnax(name, **options)))
