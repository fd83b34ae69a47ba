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
from rlnut.networks import cnn, mlp, serial, trunk
from rlnut.types import Array, Key, Model, Network, Params, Shape, namespace

AS_IT_SUITS = Choice()
FEATURES = 128  # of an image, where other parts are seen beside it


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


def default_network(spec: Spec, hidden: tuple[int, ...], **options: Any) -> Network:
    """The network for what the learner sees: MLP for vectors, CNN for images (Mnih et al. 2015 for large ones).

    options: of both `mlp` and `cnn`: norm, layer.
    """
    if spec.observed.images:
        return branches(spec.observed, hidden, **options)
    if not spec.image:
        return mlp(hidden, **options)
    return image_network(spec.shape, hidden, **options)


def image_network(shape: Shape, hidden: tuple[int, ...], **options: Any) -> Network:
    """A CNN for images of this size: for small ones a single layer of 16 filters (MinAtar, Young & Tian 2019)."""
    small = max(shape) < 32
    return cnn((16,), hidden=hidden, window=1, **options) if small else cnn((32, 64), 8, 4, 1, hidden, **options)


def branches(seen: Observation, hidden: tuple[int, ...], **options: Any) -> Network:
    """A CNN for each image, its features beside the vector, then an MLP: (images [B, H, W, C] …, vector) -> [B, …]."""
    size: Any = jax.eval_shape(seen.encoder.apply, {}, jax.ShapeDtypeStruct((1, *seen.shape), seen.dtype))
    images = [
        trunk(image_network(part.shape[1:], (), **options), FEATURES, options.get("norm", False)) for part in size[:-1]
    ]

    def init(key: Key, x: Any) -> Params:
        keys = jax.random.split(key, len(images))
        return tuple(model.init(k, image) for model, k, image in zip(images, keys, x[:-1], strict=True))

    def apply(params: Params, x: Any) -> Array:
        features = [model.apply(theta, image) for model, theta, image in zip(images, params, x[:-1], strict=True)]
        return namespace(x[-1]).concatenate([*features, x[-1]], -1)

    joined = Model(init, apply, host=all(model.host for model in images))
    return lambda shape: serial(joined, mlp(hidden, **options)(shape))


def value_model(spec: Spec, network: Network) -> Model:
    """q(s, ·): stored observations [B, ...] -> [B, A], or [B, D, K] for D groups of actions."""
    return serial(spec.encoder, network(spec.choices))
