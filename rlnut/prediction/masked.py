"""Forbidden actions in prediction: an observation carries its mask to the policy that is asked what to do there."""

from __future__ import annotations

from typing import SupportsFloat

import gymnasium as gym
import numpy as np

from rlnut.envs.masks import MASK, Info
from rlnut.errors import RlnutError
from rlnut.truth.start_states import Element


class MaskedObservation(np.ndarray):
    """An observation with what its environment says of the actions that are allowed there; copies keep it."""

    mask: object

    def __array_finalize__(self, other: object) -> None:
        self.mask = getattr(other, "mask", None)


class ShowsMasks(gym.Wrapper):
    """Gives `MaskedObservation` wherever `info` has a mask."""

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Element, Info]:
        """Start an episode."""
        obs, info = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        return masked(obs, info), info

    def step(self, action: Element) -> tuple[Element, SupportsFloat, bool, bool, Info]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return masked(obs, info), reward, terminated, truncated, info


def masked(obs: Element, info: Info) -> Element:
    """The observation with the mask of `info`; as it is if there is none."""
    if MASK not in info:
        return obs
    found = np.array(obs).view(MaskedObservation)
    found.mask = info[MASK]
    return found


def mask_row(obs: object, actions: int) -> np.ndarray | None:
    """The mask [A] of an observation of numbered actions; None if nothing is forbidden. RlnutError for another shape.

    A mask that allows nothing belongs to the end of an episode, where nothing is asked.
    """
    mask = getattr(obs, "mask", None)
    if mask is None:
        return None
    row = np.asarray(mask)
    if row.shape != (actions,):
        raise RlnutError(f"info['action_mask'] has shape {list(row.shape)}, and there are {actions} actions")
    row = row.astype(bool)
    return row if row.any() else np.ones(actions, bool)
