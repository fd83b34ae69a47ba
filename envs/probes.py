"""Probe environments: the smallest ones that show which part of a learner is broken, each with its true Q.

| id                       | what must work                | true Q (γ = ½)                            |
|--------------------------|-------------------------------|-------------------------------------------|
| rlnut/ProbeConstant-v0   | regression onto the reward    | 1                                         |
| rlnut/ProbeObs-v0        | reading the observation       | the observation, −1 or 1                  |
| rlnut/ProbeDelay-v0      | bootstrapping and γ           | ½ before the reward, 1 at it              |
| rlnut/ProbeAction-v0     | the action's own output       | −1 for action 0, 1 for action 1           |
| rlnut/ProbeBoth-v0       | observation and action        | 1 if action and observation agree, else −1|
| rlnut/ProbeLimit-v0      | a time limit bootstraps       | 2 = 1 / (1 − γ): the episode never ends   |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.masks import Info
from rlnut.envs.states import RowsOf
from rlnut.types import Array, Key

GAMMA = 0.5
Number = float | Array  # of one environment, or of many


class Probe(NamedTuple):
    """What a probe shows and pays."""

    observations: tuple[float, ...]  # where an episode starts: one of these
    length: int  # steps of an episode
    actions: int
    reward: Callable[[Number, Number, Number], Number]  # (observation, time, action) -> reward, of numbers or arrays
    terminates: bool  # False: the episode is cut at its length
    q: Callable[[float, int], float]  # (observation, action) -> true Q at γ = ½


# Functions with names, so that a probe can be pickled.
def _one(o: Number, t: Number, a: Number) -> Number:
    return 1.0


def _observed(o: Number, t: Number, a: Number) -> Number:
    return o


def _second(o: Number, t: Number, a: Number) -> Number:
    return 1.0 * (t == 1)


def _acted(o: Number, t: Number, a: Number) -> Number:
    return 2.0 * a - 1


def _agreed(o: Number, t: Number, a: Number) -> Number:
    return o * (2.0 * a - 1)


def _q_one(o: float, a: int) -> float:
    return 1.0


def _q_observed(o: float, a: int) -> float:
    return o


def _q_delay(o: float, a: int) -> float:
    return 1.0 if o else GAMMA


def _q_acted(o: float, a: int) -> float:
    return 2.0 * a - 1


def _q_agreed(o: float, a: int) -> float:
    return o * (2.0 * a - 1)


def _q_endless(o: float, a: int) -> float:
    return 1 / (1 - GAMMA)


PROBES: dict[str, Probe] = {
    "Constant": Probe((0.0,), 1, 1, _one, True, _q_one),
    "Obs": Probe((-1.0, 1.0), 1, 1, _observed, True, _q_observed),
    "Delay": Probe((0.0,), 2, 1, _second, True, _q_delay),
    "Action": Probe((0.0,), 1, 2, _acted, True, _q_acted),
    "Both": Probe((-1.0, 1.0), 1, 2, _agreed, True, _q_agreed),
    "Limit": Probe((0.0,), 3, 1, _one, False, _q_endless),
}


class ProbeState(NamedTuple):
    """The functional form's state: a pytree."""

    start: Array  # [] the observation that the episode began with
    time: Array  # int32 []
    reward: Array  # [] of the step that led here

    @property
    def at(self) -> RowsOf:
        """For `state.at[rows].set(others)`."""
        return RowsOf(self)


class ProbeFunc(FuncEnv):
    """A probe as pure functions."""

    def __init__(self, probe: Probe, counts: bool) -> None:
        self.probe, self.counts = probe, counts
        self.observation_space = spaces.Box(-1.0, 2.0, (1,), np.float32)
        self.action_space = spaces.Discrete(probe.actions)
        super().__init__()

    def get_default_params(self, **kwargs: object) -> None:
        """No parameters."""

    def initial(self, rng: Key, params: None = None) -> ProbeState:
        """One of the observations, each as likely."""
        import jax
        import jax.numpy as jnp

        start = jax.random.choice(rng, jnp.asarray(self.probe.observations, jnp.float32))
        return ProbeState(start, jnp.zeros((), jnp.int32), jnp.zeros(()))

    def transition(self, state: ProbeState, action: Array, rng: Key, params: None = None) -> ProbeState:
        """One step."""
        import jax.numpy as jnp

        reward = jnp.asarray(self.probe.reward(state.start, state.time, action), jnp.float32)
        return ProbeState(state.start, state.time + 1, reward)

    def observation(self, state: ProbeState, rng: Key, params: None = None) -> Array:
        """[1] where the episode began, or the time."""
        import jax.numpy as jnp

        return jnp.asarray(state.time if self.counts else state.start, jnp.float32)[None]

    def reward(self, state: ProbeState, action: Array, next_state: ProbeState, rng: Key, params: None = None) -> Array:
        """Of the step to `next_state`."""
        return next_state.reward

    def terminal(self, state: ProbeState, rng: Key, params: None = None) -> Array:
        """Is the episode over? Never where only its length cuts it."""
        return (state.time >= self.probe.length) & self.probe.terminates


class ProbeEnv(gym.Env[np.ndarray, np.integer]):
    """One of PROBES; the observation of `Delay` is the time, so that its two states differ."""

    metadata: Info = {"render_modes": []}  # noqa: RUF012  Gymnasium's own form

    def __init__(self, probe: str) -> None:
        self.probe = PROBES[probe]
        self.counts = probe == "Delay"
        self.observation_space = spaces.Box(-1.0, 2.0, (1,), np.float32)
        self.action_space = spaces.Discrete(self.probe.actions)

    @property
    def func(self) -> ProbeFunc:
        """The functional form, for compiled loops; the time limit of `Limit` is in its registration."""
        return ProbeFunc(self.probe, self.counts)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        self.time = 0
        self.start = float(self.np_random.choice(self.probe.observations))
        return self._obs(), {}

    def step(self, action: np.integer) -> tuple[np.ndarray, float, bool, bool, Info]:
        reward = float(self.probe.reward(self.start, self.time, int(action)))
        self.time += 1
        over = self.time >= self.probe.length
        return self._obs(), reward, over and self.probe.terminates, over and not self.probe.terminates, {}

    def _obs(self) -> np.ndarray:
        return np.array([self.time if self.counts else self.start], np.float32)
