"""Which environments say that their observations are stacks of frames, so that a replay may keep each frame once.

Gymnasium's `FrameStackObservation` says so, and any wrapper or environment with an attribute `stack_size` (and perhaps
`padding_type` and `padding_value`, as Gymnasium's has them). It holds as long as no wrapper around it changes
observations or skips steps; what is played is checked.
"""

from __future__ import annotations

from typing import NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlnut.errors import RlnutError
from rlnut.learner.spec import FrameStack, Spec
from rlnut.runtime.wrappers import PLAIN, layers
from rlnut.types import Array, Transition

# wrappers that leave observations as they are, beside those of rewards and actions
KEEP = (*PLAIN, "NormalizeReward", "StickyAction", "RecordVideo", "RenderCollection", "HumanRendering", "CheckedEnv")


def frame_stack(env: gym.Env | gym.vector.VectorEnv, spec: Spec) -> tuple[FrameStack | None, str]:
    """How the observations are stacks, and "" or, for people, why they count as none although there is a stack."""
    if isinstance(env, gym.vector.VectorEnv):
        if type(env) is not gym.vector.SyncVectorEnv:
            return None, ""
        env = env.envs[0]
    around = ""  # the wrapper between the learner and the stack that may change it
    for layer in layers(env):
        k = getattr(layer, "stack_size", None)
        if isinstance(k, int | np.integer) and k > 1:
            if around:
                return None, f"{around} is around {type(layer).__name__}, which must be outermost for each frame once"
            return _stack(layer, int(k), spec), ""
        if not isinstance(layer, gym.RewardWrapper | gym.ActionWrapper) and type(layer).__name__ not in KEEP:
            around = around or type(layer).__name__
    return None, ""


def _stack(layer: gym.Env, k: int, spec: Spec) -> FrameStack | None:
    box = spec.observation_space
    if not isinstance(box, spaces.Box) or box.shape != spec.shape or spec.shape[0] != k:
        return None
    if getattr(layer, "padding_type", "reset") == "reset":
        return FrameStack(k)
    padding = np.asarray(getattr(layer, "padding_value", 0), spec.dtype)
    return FrameStack(k, np.broadcast_to(padding, spec.shape[1:]).tobytes())


def check_stacks(spec: Spec, seen: Transition) -> None:
    """RlnutError for experience [T, N] on the host whose observations are not stacks as the wrapper declares."""
    stack = spec.observed.stack
    if stack is None:
        return
    valid = np.asarray(seen.valid)
    assert seen.fresh is not None
    if (fresh := valid & seen.fresh).any():
        older, padding = seen.obs[fresh][:, :-1], seen.obs[fresh][:, -1:]
        if stack.padding is not None:
            padding = np.frombuffer(stack.padding, spec.dtype).reshape(spec.shape[1:])
        if not _equal(older, np.broadcast_to(padding, older.shape)):
            said = "the first one" if stack.padding is None else "its padding"
            _no_stack(spec, f"an episode begins with a stack whose older frames are not {said}")
    if not _equal(seen.next_obs[:, :, :-1], seen.obs[:, :, 1:], valid):
        _no_stack(spec, "a step returned a stack whose older frames are not those of the observation before")


def _no_stack(spec: Spec, found: str) -> NoReturn:
    raise RlnutError(f"{spec.name}: {found}, so frames cannot be kept once; keep whole stacks: --stacks whole")


def _equal(one: Array, other: Array, rows: np.ndarray | None = None) -> bool:
    """Bit for bit, where `rows` holds: −0 is not 0."""
    if rows is not None and not rows.all():
        one, other = one[rows], other[rows]
    one, other = (np.ascontiguousarray(x).view(np.uint8) for x in (one, other))
    return bool(np.array_equal(one, other))
