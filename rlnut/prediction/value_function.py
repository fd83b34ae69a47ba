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
from rlnut.envs.observations import SMALLEST_IMAGE
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features import parsing as basis
from rlnut.networks.architectures import cnn, mlp
from rlnut.prediction.methods import Prediction
from rlnut.prediction.plan import check_network_size
from rlnut.settings import Settings, setting
from rlnut.types import Array, Model, Network

GIVEN = "given"  # a map or a network of the user's own, which no file can hold


@dataclass(frozen=True)
class ValueRecipe(Settings):
    """A value function without its numbers."""

    features: str = setting("raw", f"words, or {GIVEN}")
    count: int = setting(0, "numbered observations; 0: a box", low=0)
    first: int = setting(0, "the first number")
    shape: tuple[int, ...] = setting((), "of an observation", low=0)
    dtype: str = setting("float32", "of an observation")
    actions: int = setting(0, "action values of so many actions; 0: state values", low=0)
    network: str = setting("", "kind of the network; empty: linear", choices=("", "mlp", "cnn", GIVEN))
    hidden: tuple[int, ...] = setting((), "widths of its hidden layers", low=1)
    clip: bool = setting(False, "are scaled observations kept within the unit box?")
    pixels: bool = setting(False, "does the network see the observation itself, divided by the scale?")


class ObservationScale(NamedTuple):
    """(x − shift)/scale of observations, flattened; empty for numbered ones."""

    shift: np.ndarray  # [k]
    scale: np.ndarray  # [k]


class ValueFunction(NamedTuple):
    """What learns, for observations (V) or observations and action weights (Q)."""

    model: td.Approximator
    active: Callable[[], sparse.Active] | None  # the same by active features, where these are few
    recipe: ValueRecipe
    scale: ObservationScale

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.recipe.features}, network" if self.recipe.network else self.recipe.features


def feature_words(config: Prediction, space: gym.Space, title: str, network: bool) -> str:
    """The words for the features that "auto" chose, checked before anything is played."""
    numbered = isinstance(space, gym.spaces.Discrete)
    if not numbered and not (isinstance(space, gym.spaces.Box) and np.prod(space.shape) > 0):
        raise UsageError(f"{title}: observation space {space} is not supported; allowed: Box, Discrete")
    words = config.features
    if words == "auto":
        words = "one-hot" if numbered else "raw" if config.hidden or network else "tiles"
    name, _ = basis.parse_features(words)
    if not numbered and name in basis.STATES_ONLY:
        raise UsageError(f"--features {name} is for numbered states; for boxes: {', '.join(basis.set_of_boxes())}")
    if numbered and name == "own":
        raise UsageError(f"--features own: {title} brings no features")
    return words


def recipe_of(
    config: Prediction, space: gym.Space, words: str, seen: np.ndarray, actions: int, network: Network | None
) -> tuple[ValueRecipe, ObservationScale]:
    """What `config` asks for, scaled by observations [B, ...] that were seen."""
    name, numbers = (GIVEN, ()) if words == GIVEN else basis.parse_features(words)
    hidden = config.hidden or (numbers * 2 if name == "mlp" else ())
    shape = space.shape or ()
    kind = GIVEN if network is not None else "mlp" if hidden else ""
    pixels = bool(kind) and name == "raw" and len(shape) in (2, 3) and sorted(shape)[-2] >= SMALLEST_IMAGE
    recipe = ValueRecipe(
        features=words, shape=shape, dtype=str(seen.dtype), actions=actions, hidden=hidden, pixels=pixels,
        network="cnn" if pixels and kind == "mlp" else kind,
    )  # fmt: skip
    nothing = np.zeros(0)
    if isinstance(space, gym.spaces.Discrete):
        return recipe.replace(count=int(space.n), first=int(space.start)), ObservationScale(nothing, nothing)
    if words == GIVEN or not isinstance(space, gym.spaces.Box):
        return recipe, ObservationScale(nothing, nothing)
    if pixels:
        return recipe, ObservationScale(np.zeros(1), np.array([float(np.abs(seen).max()) or 1.0]))
    if name in ("raw", "mlp"):
        return recipe, ObservationScale(*maps.shift_and_scale(seen.reshape(len(seen), -1)))
    low, high = maps.bounds(*_box(space, seen))
    return recipe.replace(clip=True), ObservationScale(low, high - low)


def _box(space: gym.spaces.Box, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of the box, flattened, and of what was seen where it has none worth the name."""
    flat = seen.reshape(len(seen), -1).astype(np.float64)
    low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
    wide = ~((high - low) < 1e6)
    return np.where(wide, flat.min(0), low), np.where(wide, np.maximum(flat.max(0), flat.min(0) + 1e-6), high)


def value_function(
    recipe: ValueRecipe,
    scale: ObservationScale,
    features: maps.Features | None = None,
    network: Network | None = None,
    initial: float = 0.0,
) -> ValueFunction:
    """The function of a recipe; `features` and `network` where it says that they are given. Raises UsageError."""
    for kind, asked, given in (("features", recipe.features, features), ("network", recipe.network, network)):
        if asked == GIVEN and given is None:
            raise UsageError(f"these values were learned with {kind} of your own: give them again")
    if recipe.pixels:
        net = network or cnn(hidden=recipe.hidden, window=1)
        top = float(scale.scale[0])
        return _over(net, lambda s: s.astype(jnp.float32) / top, recipe, scale)
    phi, dim, active = _features(recipe, scale, features)
    if recipe.network:
        return _over(network or mlp(recipe.hidden), phi, recipe, scale)
    start = jnp.full(dim * max(1, recipe.actions), initial)
    few = None if active is None else _active(active, dim, recipe.actions, start)
    return ValueFunction(td.over_features(phi, start), few, recipe, scale)


def _over(
    network: Network, encode: Callable[[Array], Array], recipe: ValueRecipe, scale: ObservationScale
) -> ValueFunction:
    """A network over encoded observations; Q: one output for each action."""
    example = encode(jnp.full(recipe.shape, recipe.first, recipe.dtype))
    model = checked_network(network, recipe.actions, example)
    return ValueFunction(td.network_value(model, example, encode), None, recipe, scale)


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


def _features(recipe: ValueRecipe, scale: ObservationScale, given: maps.Features | None) -> tuple[Row, int, Row | None]:
    """φ of one observation, its length, and the features that are 1 where these are few."""
    if recipe.count and given is None:
        table = jnp.asarray(basis.over_numbers(recipe.features, recipe.count), jnp.float32)
        return (lambda s: table[s - recipe.first]), table.shape[1], None
    whole = given
    if whole is None:
        name, numbers = basis.parse_features(recipe.features)
        over = basis.over_box(name, numbers, int(np.prod(recipe.shape)))
        whole = maps.compose(maps.affine(scale.shift, scale.scale, recipe.clip), over)
    phi, active = whole.apply, whole.active

    def one(map_: Callable[[Array], Array]) -> Row:
        return lambda s: map_(s.reshape(1, -1).astype(jnp.float32))[0]

    return one(phi), whole.dim, None if active is None else one(active)


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


def values_reader(learned: ValueFunction, obs: Array, action: Array | None) -> Callable[[np.ndarray], np.ndarray]:
    """w [N, d] -> values [N, K] at observations [K, ...], or at pairs with actions [K]."""
    some = jnp.asarray(obs)
    inputs = some if action is None else (some, jnp.eye(learned.recipe.actions)[np.asarray(action, int)])
    read = jax.jit(jax.vmap(lambda w: jax.lax.map(lambda s: learned.model.at(w, s)[0], inputs)))
    return lambda w: np.asarray(read(jnp.asarray(w, jnp.float32)), np.float64)
