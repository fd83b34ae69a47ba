"""What a learner sees of an environment: observation and action spaces, or the reason why it cannot be served.

| space                   | stored as        | the network sees                                        |
|-------------------------|------------------|---------------------------------------------------------|
| Box, one axis           | float32 [D]      | MLP of the vector                                       |
| Box, image              | its type         | CNN; uint8 is scaled to 0 … 1; channels first is turned |
| Box, any other shape    | float32          | MLP of the flattened array                              |
| Discrete(n, start)      | int32            | one-hot of length n                                     |
| actions Discrete(n, s)  | int32 0 … n−1    | one output each; the environment gets s + a             |
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.errors import UsageError
from rlnut.networks import cnn, function, mlp, one_hot, serial, unit_scale
from rlnut.types import Array, Model, Network, namespace

SMALLEST_IMAGE = 5  # pixels a side: below that an array is a vector


class Spec(NamedTuple):
    """The learner's side of an environment."""

    shape: tuple[int, ...]  # of one stored observation
    dtype: np.dtype  # of a stored observation
    encoder: Model  # stored observations [B, ...] -> floats for the network
    image: bool  # the encoded observation is [H, W, C]
    actions: int
    first_action: int
    saw: str  # one line for people

    def read(self, raw: Any, xp: Any = np) -> Any:
        """Observations as the environment gives them, one or N -> as they are stored; xp: numpy or jax.numpy."""
        return xp.asarray(raw, self.dtype)

    def command(self, action: Array, xp: Any = np) -> Any:
        """Actions counted from 0, one or N -> as the environment takes them."""
        return xp.asarray(action) + self.first_action

    def commands(self, action: np.ndarray) -> list[Any]:
        """The same as a list for N environments on the host."""
        return self.command(action).tolist()

    low: np.ndarray | None = None  # of a box, flattened, may be infinite; of Discrete: its first value [1]
    high: np.ndarray | None = None  # the largest values
    discrete: bool = False  # every integer from low to high is an observation: a table can be made

    def example(self, envs: int) -> jax.ShapeDtypeStruct:
        """The shape and type of the observations of N environments."""
        return jax.ShapeDtypeStruct((envs, *self.shape), self.dtype)


def read_spaces(env: gym.Env | gym.vector.VectorEnv | FuncEnv) -> Spec:
    """Observation and action space -> Spec; raises UsageError with the reason if the learner cannot serve them."""
    if isinstance(env, gym.vector.VectorEnv):
        observation, action = env.single_observation_space, env.single_action_space
    else:
        observation, action = env.observation_space, env.action_space
    spec = getattr(env, "spec", None)
    name = spec.id if spec is not None else type(env).__name__
    if not isinstance(action, spaces.Discrete):
        raise UsageError(f"{name}: action space {action} is not served yet; allowed: Discrete")
    first, count = int(action.start), int(action.n)
    if isinstance(observation, spaces.Discrete):
        n, start = int(observation.n), int(observation.start)
        encoder = one_hot(n, start)
        saw = f"Discrete({n}) as one-hot [{n}]"
        low, high = np.array([start]), np.array([start + n - 1])
        return Spec((), np.dtype(np.int32), encoder, False, count, first, f"{saw}; {count} actions", low, high, True)
    if isinstance(observation, spaces.Box):
        dtype, encoder, image, saw = _read_box(observation, name)
        low, high = observation.low.reshape(-1), observation.high.reshape(-1)
        return Spec(observation.shape, dtype, encoder, image, count, first, f"{saw}; {count} actions", low, high)
    raise UsageError(f"{name}: observation space {observation} is not served yet; allowed: Box, Discrete")


def _read_box(box: spaces.Box, name: str) -> tuple[np.dtype, Model, bool, str]:
    shape = box.shape
    if math.prod(shape) == 0:
        raise UsageError(f"{name}: observation space {box} is empty")
    if not (np.issubdtype(box.dtype, np.number) or box.dtype == bool):
        raise UsageError(f"{name}: observations of type {box.dtype} are not numbers")
    byte = box.dtype == np.uint8
    small = byte or box.dtype == bool
    dtype = np.dtype(box.dtype if small else np.float32)
    scale = unit_scale(255.0) if byte and box.high.max() > 1 else function(lambda x: x.astype(np.float32))
    image = _is_image(shape, small)
    turn = image and len(shape) == 3 and shape[0] < min(shape[1:]) and shape[0] < shape[2]
    how = "scaled to 0 … 1 for" if byte and box.high.max() > 1 else "as float32 for"
    saw = f"{box.dtype}{list(shape)} {how} {'a CNN' if image else 'an MLP'}"
    if not image:
        return dtype, scale, False, saw
    shaping = [function(_channels_last)] if turn else [function(_one_channel)] if len(shape) == 2 else []
    return dtype, serial(scale, *shaping), True, saw


def _is_image(shape: tuple[int, ...], small: bool) -> bool:
    if len(shape) == 2:
        return small and min(shape) >= SMALLEST_IMAGE
    return len(shape) == 3 and sorted(shape)[1] >= SMALLEST_IMAGE


def _channels_last(x: Array) -> Array:
    return namespace(x).moveaxis(x, 1, -1)


def _one_channel(x: Array) -> Array:
    return x[..., None]


def default_network(spec: Spec, hidden: tuple[int, ...]) -> Network:
    """The network for what the learner sees: MLP for vectors, CNN for images (Mnih et al. 2015 for large ones)."""
    if not spec.image:
        return mlp(hidden)
    return cnn(hidden=hidden, window=1) if max(spec.shape) < 32 else cnn((32, 64), 8, 4, 1, hidden)


def value_model(spec: Spec, network: Network) -> Model:
    """q(s, ·): stored observations [B, ...] -> [B, A]."""
    return serial(spec.encoder, network((spec.actions,)))
