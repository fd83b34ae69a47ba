"""Feature words ("auto", "tiles:8", "one-hot", "mlp:64") -> φ of the observations that a `Spec` stores.

Control and prediction both lay their features here, so that the same words over the same box are the same features:

    found = observation_features("tiles:8", spec, box_of(spec))
    found.phi(obs)                                # stored observations [B, ...] -> [B, d], in NumPy and in JAX
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar

import jax
import numpy as np

from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features.parsing import over_box, parse_features
from rlnut.learner.spec import Spec
from rlnut.types import Array, namespace

Bounds = Sequence[float] | np.ndarray | None  # one number for each dimension of the observation; None: its space's
FeatureKind = Literal["table", "binary", "dense", "network"]
WIDEST = 1e6  # a dimension that is as wide as this has no bounds worth the name
RARE, WIDER = 0.01, 2.0  # of what was seen: the part at either end that counts as extreme, and the factor of the rest


class Box(NamedTuple):
    """Where features of an observation begin and end, dimension by dimension; a network's inputs are 0 … 1 there."""

    low: np.ndarray  # [k]
    high: np.ndarray  # [k]
    clip: bool = True  # an observation outside counts as the nearest one inside


class HasBounds(Protocol):
    """A config of an agent whose features lie over a box."""

    @property
    def features(self) -> str: ...
    @property
    def low(self) -> tuple[float, ...] | None: ...
    @property
    def high(self) -> tuple[float, ...] | None: ...
    def replace(self, **changes: Any) -> Self: ...


C = TypeVar("C", bound=HasBounds)


class ObservationFeatures(NamedTuple):
    """φ(observation), and what a learner has to know of it."""

    phi: maps.Features  # stored observations [B, ...] -> [B, d]; for a network what its first layer gets
    norm: float  # ‖φ‖² of a typical row
    kind: FeatureKind  # table: one 1; binary: a few; dense: real numbers; network: the inputs of one
    words: str  # what "auto" chose


def resolved_words(words: str, spec: Spec) -> str:
    """What "auto" stands for: a table of numbered observations, pixels as they are, tiles; UsageError if invalid."""
    if words == "auto":
        table = spec.discrete and states_of(spec) <= maps.LARGEST
        words = "one-hot" if table else "raw" if spec.image or spec.observed.images else "tiles:8"
    name, _ = parse_features(words)
    if name == "own":
        raise UsageError("--features own: an environment brings no features; choose a map, as in tiles:8")
    if name in ("one-hot", "aggregation") and not spec.discrete:
        raise UsageError(f"--features {name} is for numbered states; the observations are {spec.saw}")
    if (spec.image or spec.low is None) and name not in ("raw", "mlp", "random-fourier"):
        raise UsageError(f"--features {name} needs a vector of bounded numbers; the observations are {spec.saw}")
    return words


def smooth_words(spec: Spec) -> str:
    """What "auto" stands for in least squares: in more than 2 dimensions tiles are too many, and few rows see each."""
    words = resolved_words("auto", spec)
    if words != "tiles:8" or spec.low is None or len(spec.low) <= 2:
        return "auto"
    dims = len(spec.low)
    return "rbf:3" if dims <= 5 else "rbf:2" if dims <= 8 else "random-fourier:300"


def observation_features(words: str, spec: Spec, box: Box | None = None) -> ObservationFeatures:
    """φ for what `spec` stores, over `box` (see `box_of`), which tables do not need; None: bounds of the space.

    Without a box mlp and raw pixels are given what `spec.encoder` makes of an observation. Raises UsageError for
    features that do not fit the space, and for a box without bounds.
    """
    words = resolved_words(words, spec)
    name, numbers = parse_features(words)
    if name in ("one-hot", "aggregation"):
        index, states = numbered(spec)
        table = maps.one_hot(states) if name == "one-hot" else maps.aggregation(states, *numbers)
        return ObservationFeatures(maps.compose(index, table), 1.0, "table", words)
    pixels = spec.image or spec.low is None
    if box is None and (name == "mlp" or pixels):
        scaled = encoded(spec)
        if name == "mlp":
            return ObservationFeatures(scaled, 1.0, "network", words)
    else:
        box = box_of(spec) if box is None else box
        low, high = maps.bounds(box.low, box.high)
        unit = maps.affine(low, high - low, box.clip)
        scaled = maps.compose(maps.Features(lambda x: x.reshape(len(x), -1).astype(np.float32), unit.dim), unit)
    over = over_box(name, numbers, scaled.dim)
    phi = maps.compose(scaled, over)
    if name == "mlp":
        return ObservationFeatures(phi, 1.0, "network", words)
    inside = np.random.default_rng(0).random((500, scaled.dim), np.float32)
    if over.active is not None:
        return ObservationFeatures(phi, float(over.active(inside[:1]).shape[1]), "binary", words)
    return ObservationFeatures(phi, float((over(inside) ** 2).sum(1).mean()), "dense", words)


def encoded(spec: Spec) -> maps.Features:
    """What a network sees of an observation, flattened, parts side by side."""
    encoder = spec.encoder
    params = encoder.init(jax.random.key(0), np.zeros((1, *spec.shape), spec.dtype))

    def flat(x: Array) -> Array:
        seen = encoder.apply(params, x)
        parts = seen if isinstance(seen, tuple) else (seen,)
        return namespace(parts[0]).concatenate([part.reshape(len(x), -1) for part in parts], 1)

    return maps.Features(flat, jax.eval_shape(flat, spec.example(1)).shape[1])


def states_of(spec: Spec) -> int:
    """How many observations a discrete space has."""
    assert spec.low is not None and spec.high is not None
    return math.prod(int(n) for n in spec.high - spec.low + 1)


def numbered(spec: Spec) -> tuple[maps.Features, int]:
    """Discrete observations, of one component or several, as one number each: the map to [B, 1], and how many."""
    assert spec.low is not None and spec.high is not None
    counts, states = [int(n) for n in spec.high - spec.low + 1], states_of(spec)
    if states > maps.LARGEST:
        raise UsageError(f"a table of {states:,} states is too large: at most {maps.LARGEST:,}")
    place = np.array([math.prod(counts[i + 1 :]) for i in range(len(counts))], np.int32)
    low = spec.low.astype(np.int32)

    def index(x: Array) -> Array:
        return ((x.reshape(len(x), -1).astype(np.int32) - low) * place).sum(-1, keepdims=True)

    return maps.Features(index, 1), states


def box_of(spec: Spec, low: Bounds = None, high: Bounds = None, seen: np.ndarray | None = None) -> Box:
    """The bounds of the observation: given, else of its space, else (where that has none) of those `seen` [B, ...].

    A dimension that never changes becomes one wide. Raises UsageError for observations that are no vector of numbers,
    for a wrong number of bounds, and for a dimension of which nothing is known.
    """
    if spec.low is None or spec.high is None:
        raise UsageError(f"features need a vector of bounded numbers; the observations are {spec.saw}")
    dims, found = len(spec.low), []
    wide = unbounded(spec)
    flat = None if seen is None else np.asarray(seen, np.float64).reshape(len(seen), dims)
    for name, given, own in (("low", low, spec.low), ("high", high, spec.high)):
        if given is not None and len(given) != dims:
            raise UsageError(
                f"--{name} takes {dims} numbers, one for each dimension of the observation, got {len(given)}"
            )
        bound = np.asarray(own if given is None else given, np.float64)
        if given is None and flat is not None:
            bound = np.where(wide, flat.min(0) if name == "low" else flat.max(0), bound)
        found.append(bound)
    wide = ~(found[1] - found[0] < WIDEST)
    if wide.any():
        raise UsageError(
            f"dimension {int(wide.argmax())} of the observation has no bounds to lay features over:"
            f" give --low and --high, {dims} numbers each"
        )
    still = (found[0] == found[1]) & (low is None or high is None)
    return Box(found[0], np.where(still, found[0] + 1, found[1]))


def unbounded(spec: Spec) -> np.ndarray:
    """Of which dimensions does the space give no bounds worth the name? bool [k]."""
    assert spec.low is not None and spec.high is not None
    return ~(spec.high.astype(np.float64) - spec.low.astype(np.float64) < WIDEST)


def with_bounds(config: C, spec: Spec, play: Callable[[], np.ndarray]) -> C:
    """A config with `features`, `low` and `high` whose bounds hold for `spec`: those that are missing are found.

    play: observations [B, ...] of a uniform policy, asked for only where neither the config nor the space has bounds.
    """
    name, _ = parse_features(resolved_words(config.features, spec))
    vector = not spec.image and spec.low is not None and name not in ("one-hot", "aggregation", "mlp")
    if not vector or None not in (config.low, config.high) or not unbounded(spec).any():
        return config
    low, high, _ = box_of(spec, config.low, config.high, reach(play()))
    found = (tuple(float(f"{x:.6g}") for x in bounds) for bounds in (low, high))  # as options that can be typed
    return config.replace(**dict(zip(("low", "high"), found, strict=True)))


def reach(seen: np.ndarray) -> np.ndarray:
    """The corners [2, k] of a box for what a policy will meet that learns, from observations of one that does not.

    In each dimension the middle 98 % of what was seen, widened to twice their length: a policy that balances, climbs
    or flies goes where chance does not. Rare extremes do not stretch it. Bounds have three digits.
    """
    flat = np.asarray(seen, np.float64).reshape(len(seen), -1)
    low, high = np.quantile(flat, RARE, 0), np.quantile(flat, 1 - RARE, 0)
    rare = low == high  # a number that seldom moves: all that it did
    low, high = np.where(rare, flat.min(0), low), np.where(rare, flat.max(0), high)
    middle, half = (low + high) / 2, WIDER * (high - low) / 2
    half = np.where(half > 0, half, 1.0)
    digits = (2 - np.floor(np.log10(half))).astype(int)
    corners = [
        [round(m + sign * h, d) for m, h, d in zip(middle, half, digits.tolist(), strict=True)] for sign in (-1, 1)
    ]
    return np.array(corners)
