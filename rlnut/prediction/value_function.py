"""The function that learns on an environment without tables: features of observations, or a network over them.

A `ValueRecipe` and two rows of numbers (shift and scale of what was seen) say all of it, so it can be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.default_networks import default_network
from rlnut.agents.observation_features import (
    Box,
    ObservationFeatures,
    box_of,
    encoded,
    observation_features,
    resolved_words,
)
from rlnut.envs.spaces import observing_spec
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features import parsing as basis
from rlnut.learner.spec import Spec
from rlnut.networks.architectures import cnn, mlp
from rlnut.networks.layers import serial
from rlnut.prediction.methods import Prediction
from rlnut.prediction.plan import check_network_size
from rlnut.settings import Settings, setting
from rlnut.types import Array, Model, Network

GIVEN = "given"  # a map or a network of the user's own, which no file can hold
KINDS = ("", "mlp", "spec", "cnn", GIVEN)


@dataclass(frozen=True)
class ValueRecipe(Settings):
    """A value function without its numbers; the observation space is kept beside it."""

    features: str = setting("raw", f"words, or {GIVEN}")
    actions: int = setting(0, "outputs of action values, of all groups; 0: state values", low=0)
    groups: int = setting(1, "of decoupled actions", low=1)
    network: str = setting("", "mlp: over the features; spec: over what training sees; empty: linear", choices=KINDS)
    hidden: tuple[int, ...] = setting((), "widths of its hidden layers", low=1)
    clip: bool = setting(False, "are scaled observations kept within the unit box?")
    # of folders that hold no space
    count: int = setting(0, "numbered observations; 0: a box", low=0)
    first: int = setting(0, "the first number")
    shape: tuple[int, ...] = setting((), "of an observation", low=0)
    dtype: str = setting("float32", "of an observation")
    pixels: bool = setting(False, "does the network see the observation itself, divided by the scale?")

    @property
    def space(self) -> gym.Space:
        """The observation space of a folder that does not hold it."""
        if self.count:
            return gym.spaces.Discrete(self.count, start=self.first)
        dtype = np.dtype(self.dtype)
        low, high = (-np.inf, np.inf) if dtype.kind == "f" else (0, 1) if dtype.kind == "b" else _range(dtype)
        return gym.spaces.Box(low, high, self.shape, dtype.type)


def _range(dtype: np.dtype) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


class ObservationScale(NamedTuple):
    """(x − shift)/scale of stored observations, flattened; empty where they are not scaled."""

    shift: np.ndarray  # [k]
    scale: np.ndarray  # [k]


UNSCALED = ObservationScale(np.zeros(0), np.zeros(0))


class ValueFunction(NamedTuple):
    """What learns, for stored observations (V) or observations and action weights (Q)."""

    model: td.Approximator
    active: Callable[[], sparse.Active] | None  # the same by active features, where these are few
    recipe: ValueRecipe
    scale: ObservationScale
    spec: Spec

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.recipe.features}, network" if self.recipe.network else self.recipe.features


def feature_words(config: Prediction, spec: Spec, network: bool) -> str:
    """The words for the features that "auto" chose, checked before anything is played."""
    words = config.features
    if words == "auto" and (network or config.hidden) and not isinstance(spec.observation_space, gym.spaces.Discrete):
        words = "raw"
    return resolved_words(words, spec)


def recipe_of(
    config: Prediction, spec: Spec, words: str, seen: np.ndarray, network: Network | None
) -> tuple[ValueRecipe, ObservationScale]:
    """What `config` asks for, scaled by stored observations [B, ...] that were seen."""
    name, numbers = (GIVEN, ()) if words == GIVEN else basis.parse_features(words)
    hidden = config.hidden or (numbers * 2 if name == "mlp" else ())
    groups, actions = len(spec.choices) == 2, int(np.prod(spec.choices))
    kind = GIVEN if network is not None else "mlp" if hidden else ""
    plain = isinstance(spec.observation_space, gym.spaces.Box) and not spec.image
    pixels = spec.image or spec.low is None
    # the encoder of training tells one-hots from numbers, and images from vectors
    whole = name in ("raw", "mlp") and (pixels or (bool(kind) and not plain))
    recipe = ValueRecipe(
        features=words,
        actions=actions if config.values == "q" else 0,
        groups=spec.choices[0] if groups and config.values == "q" else 1,
        network="spec" if whole and kind == "mlp" else kind,
        hidden=hidden,
    )
    if whole or name in (GIVEN, "one-hot", "aggregation"):
        return recipe, UNSCALED
    if name in ("raw", "mlp"):
        return recipe, ObservationScale(*maps.shift_and_scale(seen.reshape(len(seen), -1)))
    box = box_of(spec, seen=seen)
    return recipe.replace(clip=box.clip), ObservationScale(box.low, box.high - box.low)


def value_function(
    recipe: ValueRecipe,
    scale: ObservationScale,
    spec: Spec,
    features: maps.Features | None = None,
    network: Network | None = None,
    initial: float = 0.0,
) -> ValueFunction:
    """The function of a recipe; `features` and `network` where it says that they are given. Raises UsageError."""
    for kind, asked, given in (("features", recipe.features, features), ("network", recipe.network, network)):
        if asked == GIVEN and given is None:
            raise UsageError(f"these values were learned with {kind} of your own: give them again")
    example = jnp.zeros(spec.shape, spec.dtype)
    if recipe.pixels:  # as older versions saw images
        top = float(scale.scale[0])
        old = network or cnn(hidden=recipe.hidden, window=1)
        return _over(old, lambda s: s.astype(jnp.float32) / top, recipe, scale, spec)
    if recipe.network == "spec" or (recipe.network == GIVEN and _unscaled(recipe, scale)):
        whole = network or default_network(spec, recipe.hidden)
        model = checked_network(lambda shape: serial(spec.encoder, whole(shape)), recipe.actions, example)
        return ValueFunction(td.network_value(model, example), None, recipe, scale, spec)
    phi, dim, active = _features(recipe, scale, spec, features)
    if recipe.network:
        return _over(network or mlp(recipe.hidden), phi, recipe, scale, spec)
    start = jnp.full(dim * max(1, recipe.actions), initial)
    few = None if active is None else _active(active, dim, recipe.actions, start)
    return ValueFunction(td.over_features(phi, start), few, recipe, scale, spec)


def _unscaled(recipe: ValueRecipe, scale: ObservationScale) -> bool:
    """Does a network read what training sees?"""
    return not len(scale.scale) and recipe.features.split(":")[0] in ("raw", "mlp")


def _over(
    network: Network, encode: Callable[[Array], Array], recipe: ValueRecipe, scale: ObservationScale, spec: Spec
) -> ValueFunction:
    """A network over encoded observations; Q: one output for each action."""
    example = encode(jnp.zeros(spec.shape, spec.dtype))
    model = checked_network(network, recipe.actions, example)
    return ValueFunction(td.network_value(model, example, encode), None, recipe, scale, spec)


def checked_network(network: Network, actions: int, example: Array) -> Model:
    """The model for one value, or one for each of `actions`; UsageError if it gives something else."""
    shape = (actions,) if actions else ()
    model = network(shape)
    if not isinstance(model, Model):
        raise UsageError(f"a network maps an output shape to a Model, as rlnut.mlp((64,)) does; got {model!r}")
    params = jax.eval_shape(model.init, jax.random.key(0), example[None])
    check_network_size(sum(leaf.size for leaf in jax.tree.leaves(params)))
    out = jax.eval_shape(lambda: model.apply(model.init(jax.random.key(0), example[None]), example[None]))
    if out.shape != (1, *shape):
        raise UsageError(f"the network gives {list(out.shape)} for one observation; {[1, *shape]} is needed")
    return model


Row = Callable[[Array], Array]  # one observation -> [d]


def _features(
    recipe: ValueRecipe, scale: ObservationScale, spec: Spec, given: maps.Features | None
) -> tuple[Row, int, Row | None]:
    """φ of one stored observation, its length, and the features that are 1 where these are few."""
    if recipe.count and given is None:  # of a folder that holds no space: states lie on a line
        table = jnp.asarray(basis.over_numbers(recipe.features, recipe.count), jnp.float32)
        return (lambda s: table[s - recipe.first]), table.shape[1], None
    phi = _given(given, spec) if given is not None else laid_features(recipe, scale, spec)

    def one(map_: Callable[[Array], Array]) -> Row:
        return lambda s: map_(s[None])[0]

    return one(phi.apply), phi.dim, None if phi.active is None else one(phi.active)


def laid_features(recipe: ValueRecipe, scale: ObservationScale, spec: Spec) -> maps.Features:
    """φ of stored observations [B, ...]: the features of training over a box; raw numbers as they were scaled."""
    name, numbers = basis.parse_features(recipe.features)
    if name in ("raw", "mlp"):
        if not len(scale.scale):
            flat = encoded(spec)
            return maps.compose(flat, basis.over_box(name, numbers, flat.dim))
        flat = maps.Features(lambda x: x.reshape(len(x), -1).astype(np.float32), len(scale.scale))
        over = basis.over_box(name, numbers, flat.dim)
        return maps.compose(flat, maps.affine(scale.shift, scale.scale, recipe.clip), over)
    box = Box(scale.shift, scale.shift + scale.scale, recipe.clip) if len(scale.scale) else None
    found: ObservationFeatures = observation_features(recipe.features, spec, box)
    return found.phi


def _given(features: maps.Features, spec: Spec) -> maps.Features:
    """The user's map, which reads numbers side by side [B, k]; of images with other parts what a network sees."""
    if spec.observed.images:
        return maps.compose(encoded(spec), features)
    return maps.compose(maps.Features(lambda x: x.reshape(len(x), -1).astype(np.float32), 0), features)


def loaded_spec(space: gym.Space, name: str) -> Spec:
    """How observations of a saved function are read."""
    return observing_spec(space, gym.spaces.Discrete(1), name)


def _active(active: Row, dim: int, actions: int, start: jax.Array) -> Callable[[], sparse.Active]:
    """The linear function by its active features; Q: those of each action, weighted."""

    def state(s: td.Input) -> tuple[Array, Array]:
        assert not isinstance(s, tuple)
        index = active(s)
        return index, jnp.ones(len(index))

    def pair(s: td.Input) -> tuple[Array, Array]:
        assert isinstance(s, tuple)
        index = active(s[0])
        return (jnp.arange(actions)[:, None] * dim + index).reshape(-1), jnp.repeat(s[1], len(index))

    few = pair if actions else state
    return lambda: sparse.Active(start, few, few)


def values_reader(learned: ValueFunction, obs: Array, weights: Array | None) -> Callable[[np.ndarray], np.ndarray]:
    """w [N, d] -> values [N, K] at stored observations [K, ...]; for Q with weights [K, A] of the outputs."""
    some = jnp.asarray(obs)
    inputs = some if weights is None else (some, jnp.asarray(weights, jnp.float32))
    read = jax.jit(jax.vmap(lambda w: jax.lax.map(lambda s: learned.model.at(w, s)[0], inputs)))
    return lambda w: np.asarray(read(jnp.asarray(w, jnp.float32)), np.float64)
