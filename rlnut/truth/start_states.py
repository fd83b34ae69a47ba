"""States of an environment to start from: kept as copies of it, or as the way there; found by what they show."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.errors import UsageError

TRIED = 20  # steps in which `state` must be what is shown, before it is set
SEARCH = 2000  # steps of the walk for each state that it must come by
NEAR = 1e-6  # relative difference of observations that count as equal

Element = Any  # of an environment's observation or action space: what it is, the space says
Act = Callable[[Element, np.random.Generator], Element]  # (observation, rng) -> action
Make = Callable[[], gym.Env]


class StartState(NamedTuple):
    """A state to start from."""

    obs: Element
    env: gym.Env | None  # a copy of the environment there, where it can be copied
    seed: int  # of the episode's reset
    path: list[Element]  # actions since


def copied(env: gym.Env) -> gym.Env | None:
    """A copy of the environment; None where it cannot be copied."""
    try:
        return copy.deepcopy(env)
    except Exception:  # whatever an environment holds: its states are then reached by playing again
        return None


def chosen_places(
    make: Make, walk: Act, wanted: np.ndarray, rng: np.random.Generator
) -> tuple[list[StartState], list[Element]]:
    """The states that show the observations `wanted` [K, ...], and what the walk does there.

    An environment whose `state` is what it shows (CartPole, MountainCar) is put there; in others the walk must come by
    within SEARCH steps for each state. Raises UsageError where it does not.
    """
    env = make()
    number = int(rng.integers(2**31))
    obs, _ = env.reset(seed=number)
    if np.shape(obs) != wanted.shape[1:] or not len(wanted):
        shape = ", ".join(map(str, ("K", *np.shape(obs))))
        raise UsageError(f"the states of the truth must have shape [{shape}], got {list(wanted.shape)}")
    wanted = wanted.astype(np.asarray(obs).dtype)
    found = _put_there(make, walk, wanted, rng) or _walked_to(env, obs, number, walk, wanted, rng)
    env.close()
    return found, [walk(place.obs, rng) for place in found]


def _put_there(make: Make, walk: Act, wanted: np.ndarray, rng: np.random.Generator) -> list[StartState]:
    """Copies of the environment with `state` set; none where that is not what it shows, or cannot be set."""
    env = make()
    obs, _ = env.reset(seed=int(rng.integers(2**31)))
    try:
        for _ in range(TRIED):
            state = getattr(env.unwrapped, "state", None)
            shows = np.asarray(state, float) if isinstance(state, (tuple, np.ndarray)) else np.zeros(0)
            if shows.shape != np.shape(obs) or not np.allclose(shows, obs, NEAR, NEAR):
                return []
            obs, _, terminated, truncated, _ = env.step(walk(obs, rng))
            if terminated or truncated:
                obs, _ = env.reset(seed=int(rng.integers(2**31)))
        env.reset(seed=int(rng.integers(2**31)))
        found = []
        for place in wanted:
            there: Any = copy.deepcopy(env)
            own = place.astype(np.asarray(state).dtype)
            there.unwrapped.state = own if isinstance(state, np.ndarray) else tuple(own.tolist())
            found.append(StartState(place, there, 0, []))
        return found
    except (TypeError, ValueError, AttributeError):  # its state is of another kind, or it cannot be copied
        return []
    finally:
        env.close()


def _walked_to(
    env: gym.Env, obs: Element, number: int, walk: Act, wanted: np.ndarray, rng: np.random.Generator
) -> list[StartState]:
    """The first visit of each wanted observation, on a walk from a reset with seed `number`."""
    found: dict[int, StartState] = {}
    path: list[Element] = []
    steps = SEARCH * len(wanted)
    flat = wanted.reshape(len(wanted), -1).astype(float)
    nearest, near = np.full(len(wanted), np.inf), NEAR * np.maximum(1, np.abs(flat).max(1))
    for _ in range(steps):
        far = np.abs(flat - np.asarray(obs, float).reshape(-1)).max(1)
        nearest = np.minimum(nearest, far)
        for k in np.flatnonzero(far <= near).tolist():
            if k not in found:
                found[k] = StartState(copy.deepcopy(obs), copied(env), number, list(path))
        if len(found) == len(wanted):
            return [found[k] for k in range(len(wanted))]
        action = walk(obs, rng)
        obs, _, terminated, truncated, _ = env.step(action)
        path.append(action)
        if terminated or truncated:
            number, path = int(rng.integers(2**31)), []
            obs, _ = env.reset(seed=number)
    k = next(k for k in range(len(wanted)) if k not in found)
    raise UsageError(
        f"state {k} of the truth, {wanted[k].tolist()}, was not met in {steps:,} steps of the behaviour (the nearest"
        f" differs by {nearest[k]:.3g}), and the environment cannot be put there: give states that it meets"
    )
