"""What a learner sees of an environment: its observations (`observations.py`) and actions (`actions.py`), or the
reason why it cannot be served; and the network that fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.actions import Actions, Choice, actions
from rlnut.envs.observations import Observation, observation
from rlnut.errors import RlnutError
from rlnut.types import Array, Model

AS_IT_SUITS = Choice()


class Spec(NamedTuple):
    """The learner's side of an environment."""

    observed: Observation
    acts: Actions
    name: str

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
        taken = self.acts.command(action)
        return taken.tolist() if self.acts.values is None else list(taken)

    def example(self, envs: int) -> jax.ShapeDtypeStruct:
        """The shape and type of the observations of N environments."""
        return jax.ShapeDtypeStruct((envs, *self.shape), self.dtype)


def read_spaces(env: gym.Env | gym.vector.VectorEnv | FuncEnv, choice: Choice = AS_IT_SUITS) -> Spec:
    """Observation and action space -> Spec; raises UsageError with the reason if the learner cannot serve them."""
    if isinstance(env, gym.vector.VectorEnv):
        seen, action = env.single_observation_space, env.single_action_space
    else:
        seen, action = env.observation_space, env.action_space
    spec = getattr(env, "spec", None)
    name = spec.id if spec is not None else type(env).__name__
    return Spec(observation(seen, name), actions(action, choice, name), name)
