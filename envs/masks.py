"""Action masks: which actions an environment allows, from `info`, the observation or a method.

| convention                     | where                                                                              |
|--------------------------------|------------------------------------------------------------------------------------|
| Gymnasium                      | `info["action_mask"]` of `reset` and `step`                                        |
| RLlib, PettingZoo, OpenSpiel   | a part "action_mask" of a Dict observation                                         |
| sb3-contrib                    | a method (or attribute) `action_masks` or `action_mask` without arguments          |

The first that is there counts. `masks_in_info` brings the others into the first form, so that all else reads `info`.
A mask has one number for each Discrete action; for a MultiDiscrete one row for each of its numbers, or all in a row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from rlnut.errors import UsageError
from rlnut.runtime.wrappers import layers

MASK = "action_mask"
Info = dict[str, Any]  # what `reset` and `step` tell beside an observation: Gymnasium's own type
VectorStep = tuple[Any, Any, Any, Any, Info]  # observations, rewards [N], terminated [N], truncated [N], info
METHODS = ("action_masks", MASK)  # in this order


class MasksInInfo(gym.Wrapper):
    """Puts a mask of the observation, or of a method, into `info`."""

    def __init__(self, env: gym.Env, method: str | None) -> None:
        super().__init__(env)
        self.method = method

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        given = self.env.reset(seed=seed, options=options) if options is not None else self.env.reset(seed=seed)
        return self._told(given)

    def step(self, action: object) -> tuple[object, SupportsFloat, bool, bool, Info]:
        return self._told(self.env.step(action))

    def _told(self, given: Any) -> Any:
        """What `reset` or `step` gave, with the mask in the dict at its end; anything else is left to the checks."""
        if not isinstance(given, tuple) or not isinstance(info := given[-1], dict) or MASK in info:
            return given
        if self.method is not None:
            found = self.env.get_wrapper_attr(self.method)
            mask = found() if callable(found) else found
        elif isinstance(given[0], dict) and MASK in given[0]:
            mask = given[0][MASK]
        else:
            return given
        return *given[:-1], {**info, MASK: in_rows(mask, self.env.action_space)}


class VectorMasksInInfo(gym.vector.VectorWrapper):
    """Puts the masks of N observations into `info`."""

    def reset(self, *, seed: Any = None, options: Info | None = None) -> tuple[Any, Info]:
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, self._told(obs, info)

    def step(self, actions: object) -> VectorStep:
        obs, reward, terminated, truncated, info = self.env.step(actions)
        if "final_obs" in info and MASK not in info.get("final_info", {}):
            last = [None if one is None else one[MASK] for one in info["final_obs"]]
            info = {**info, "final_info": {**info.get("final_info", {}), **self._rows(last)}}
        return obs, reward, terminated, truncated, self._told(obs, info)

    def _told(self, obs: Mapping[str, Iterable[object]], info: Info) -> Info:
        return info if MASK in info else {**info, **self._rows(list(obs[MASK]))}

    def _rows(self, masks: list[object]) -> Info:
        """As Gymnasium lays out the infos of N environments: an array, and which of its rows were given."""
        rows = np.empty(len(masks), object)
        rows[:] = [None if mask is None else in_rows(mask, self.env.single_action_space) for mask in masks]
        return {MASK: rows, f"_{MASK}": np.array([mask is not None for mask in masks])}


def masks_in_info(env: gym.Env) -> gym.Env:
    """The environment; with its masks in `info` if it gives them in another way."""
    if any(isinstance(layer, MasksInInfo) for layer in layers(env)):
        return env
    if in_observation(env.observation_space):
        return MasksInInfo(env, None)
    method = next((name for name in METHODS if _answers(env, name)), None)
    return env if method is None else MasksInInfo(env, method)


def vector_masks_in_info(env: gym.vector.VectorEnv) -> gym.vector.VectorEnv:
    """The same for N environments side by side; UsageError for a method, which only one can be asked."""
    if in_observation(env.single_observation_space):
        return VectorMasksInInfo(env)
    inner: gym.vector.VectorEnv = env.unwrapped
    for one in getattr(inner, "envs", ()):
        if isinstance(masks_in_info(one), MasksInInfo):
            raise UsageError(
                f"{type(one.unwrapped).__name__} says by a method which actions are allowed, and a VectorEnv does not"
                " pass that on: put info['action_mask'] into reset and step, or pass a function that makes one"
                " environment, with num_envs"
            )
    return env


def in_observation(space: gym.Space) -> bool:
    """Is a part of the observation a mask?"""
    return isinstance(space, gym.spaces.Dict) and MASK in space.spaces


def _answers(env: gym.Env, name: str) -> bool:
    """Can the environment, or a wrapper of it, be asked for a mask without arguments?"""
    if not env.has_wrapper_attr(name):
        return False
    found = env.get_wrapper_attr(name)
    if not callable(found):
        return isinstance(found, (np.ndarray, list, tuple))
    return _no_arguments(found)


def _no_arguments(function: Callable[..., object]) -> bool:
    try:
        needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    except (TypeError, ValueError):
        return False
    return all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in needed)


def in_rows(mask: object, space: gym.Space) -> object:
    """A mask of all values of several numbers in a row -> one row for each number; others as they are."""
    if isinstance(space, gym.spaces.MultiDiscrete):
        counts = space.nvec.reshape(-1).tolist()
    elif isinstance(space, gym.spaces.MultiBinary):
        counts = [2] * int(np.prod(space.shape))
    else:
        return mask
    if isinstance(mask, (list, tuple)) and any(np.ndim(row) for row in mask):
        return mask
    flat = np.asarray(mask)
    return tuple(np.split(flat, np.cumsum(counts)[:-1])) if flat.shape == (sum(counts),) and len(counts) > 1 else mask
