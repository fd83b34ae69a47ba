"""What a learner knows of an environment: how observations are stored and encoded, and which actions there are.

`rlnut.envs.spaces` makes a `Spec` from a Gymnasium environment's spaces; agents are built for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from rlnut.errors import RlnutError
from rlnut.learner.actions import Actions as Actions
from rlnut.learner.actions import Choice as Choice
from rlnut.types import Array, Model

if TYPE_CHECKING:
    from gymnasium import spaces


@jax.tree_util.register_static
@dataclass(frozen=True)
class FrameStack:
    """Observations [k, ...] are the last k frames of an episode, the newest last."""

    frames: int  # k
    padding: bytes | None = None  # of the frame that stands before an episode's first; None: the first one itself


class StackedExample(jax.ShapeDtypeStruct):
    """The shape and type of observations that are stacks of frames: a memory may keep each frame once."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, stack: FrameStack) -> None:
        super().__init__(shape, dtype)
        self.stack = stack


class Observation(NamedTuple):
    """How a space is stored and encoded."""

    shape: tuple[int, ...]  # of one stored observation
    dtype: np.dtype
    encoder: Model  # stored observations [B, ...] -> floats for the network; with `images` > 0 a tuple of arrays
    image: bool  # the encoded observation is one image [H, W, C]
    saw: str  # one line for people
    read: Callable[[Any, Any], Any]  # (as the environment gives it, one or N; numpy or jax.numpy) -> stored
    low: np.ndarray | None = None  # of a box, flattened, may be infinite; of Discrete: its first value [1]
    high: np.ndarray | None = None
    discrete: bool = False  # every integer from low to high is an observation: a table can be made
    images: int = 0  # the encoded observation is a tuple: so many images, then a vector
    stack: FrameStack | None = None  # the stored observation is a stack of frames, each of which is kept once


class Spec(NamedTuple):
    """The learner's side of an environment."""

    observed: Observation
    acts: Actions
    name: str
    observation_space: spaces.Space
    action_space: spaces.Space

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one stored observation."""
        return self.observed.shape

    @property
    def dtype(self) -> np.dtype:
        """Of a stored observation."""
        return self.observed.dtype

    @property
    def encoder(self) -> Model:
        """Stored observations [B, ...] -> floats for the network."""
        return self.observed.encoder

    @property
    def image(self) -> bool:
        """Is the encoded observation [H, W, C]?"""
        return self.observed.image

    @property
    def low(self) -> np.ndarray | None:
        """Smallest values, flattened, may be infinite; None for spaces of several parts."""
        return self.observed.low

    @property
    def high(self) -> np.ndarray | None:
        """Largest values."""
        return self.observed.high

    @property
    def discrete(self) -> bool:
        """Is every integer from low to high an observation, so that a table can be made?"""
        return self.observed.discrete

    @property
    def choices(self) -> tuple[int, ...]:
        """(A,): one of A actions; (D, K): one of K in each of D groups."""
        return self.acts.choices

    @property
    def actions(self) -> int:
        """Actions to choose from, in one group."""
        return self.acts.choices[-1]

    @property
    def first_action(self) -> int:
        """What the environment calls action 0 of a Discrete space."""
        return self.acts.start

    @property
    def saw(self) -> str:
        """One line for people."""
        return f"{self.observed.saw}; {self.acts.saw}"

    def read(self, raw: Any, xp: Any = np) -> Any:
        """Observations as the environment gives them, one or N -> as they are stored; xp: numpy or jax.numpy."""
        try:
            return self.observed.read(raw, xp)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise RlnutError(f"{self.name} gave an observation that its space does not hold: {text}") from None

    def command(self, action: Array, xp: Any = np) -> Any:
        """Actions of the learner, N of them -> as the environment takes them."""
        return self.acts.command(action, xp)

    def commands(self, action: np.ndarray) -> list[Any]:
        """The same as a list for N environments on the host."""
        acts = self.acts
        if acts.values is not None:
            return list(acts.command(action))
        numbers: list[int] = np.asarray(action).tolist()
        return [number + acts.start for number in numbers] if acts.start else numbers

    def example(self, envs: int) -> jax.ShapeDtypeStruct:
        """The shape and type of the observations of N environments."""
        shape, stack = (envs, *self.shape), self.observed.stack
        return jax.ShapeDtypeStruct(shape, self.dtype) if stack is None else StackedExample(shape, self.dtype, stack)
