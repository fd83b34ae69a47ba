"""Observation spaces: how an observation is stored, and how it is encoded for the network.

| space                           | stored as              | the network sees                                        |
|---------------------------------|------------------------|---------------------------------------------------------|
| Box, image                      | its type               | CNN; uint8 is scaled to 0 … 1; channels first is turned |
| Box, any other shape            | float32, uint8 or bool | MLP of the flattened array; uint8 is scaled             |
| Discrete(n, start)              | int32                  | one-hot of length n                                     |
| MultiDiscrete(nvec, start)      | int32                  | a one-hot for each number, side by side                 |
| MultiBinary(n)                  | int8                   | zeros and ones                                          |
| Dict, Tuple of these, no image  | one array              | the parts side by side                                  |
| Dict, Tuple with images         | one array of bytes     | a CNN for each image, joined with the other parts       |

Parts of other kinds (Text, Sequence, Graph, OneOf) are left out, which `saw` says; nothing else is refused for them.
One array holds an observation in each case, so a replay memory keeps it once, images as bytes.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import DTypeLike

from rlnut.errors import UsageError
from rlnut.learner.plain_spaces import PartPath, leaves_of, part_at
from rlnut.learner.spec import Observation
from rlnut.networks.layers import function, one_hot_layer, serial, unit_scale
from rlnut.types import Array, Model, Params, Tree, namespace

SMALLEST_IMAGE = 5  # pixels a side: below that an array is a vector


USABLE = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def observation(space: spaces.Space, name: str) -> Observation:
    """How `space` is encoded; UsageError with the reason if it is not supported."""
    leaves = list(leaves_of(space))
    usable = [(path, leaf) for path, leaf in leaves if isinstance(leaf, USABLE)]
    parts = [(path, leaf, _single(leaf, name)) for path, leaf in usable or leaves]
    if not parts:
        raise UsageError(f"{name}: observation space {space} is empty")
    if len(parts) == 1:
        path, _, only = parts[0]
        found = only._replace(read=lambda raw, xp: only.read(part_at(raw, path), xp)) if path else only
    else:
        found = _bytes(parts) if any(part.image for *_, part in parts) else _floats(parts)
    unused = [(path, leaf) for path, leaf in leaves if not isinstance(leaf, USABLE)]
    left = ", ".join(f"{'.'.join(map(str, path))} ({type(leaf).__name__})" for path, leaf in unused)
    return found._replace(saw=f"{found.saw}; left out: {left}") if left else found


def stored_parts(space: spaces.Space) -> list[tuple[PartPath, np.dtype, tuple[int, ...]]]:
    """The parts of an observation that a learner is shown: where, as what type they are stored, and their shape."""
    usable = [(path, leaf) for path, leaf in leaves_of(space) if isinstance(leaf, USABLE)]
    return [(path, _single(leaf, "").dtype, tuple(leaf.shape or ())) for path, leaf in usable]


def _single(space: spaces.Space, name: str) -> Observation:
    if isinstance(space, spaces.Discrete):
        n, start = int(space.n), int(space.start)
        low, high, saw = np.array([start]), np.array([start + n - 1]), f"Discrete({n}) as one-hot [{n}]"
        return _plain((), np.int32, one_hot_layer(n, start), saw)._replace(low=low, high=high, discrete=True)
    if isinstance(space, spaces.MultiDiscrete):
        low, most = space.start.reshape(-1), (space.start + space.nvec - 1).reshape(-1)
        return _plain(space.nvec.shape, np.int32, *_one_hots(space))._replace(low=low, high=most, discrete=True)
    if isinstance(space, spaces.MultiBinary):
        high, saw = np.ones(math.prod(space.shape), int), f"MultiBinary{list(space.shape)} as float32"
        found = _plain(space.shape, np.int8, function(_floating), saw)
        return found._replace(low=np.zeros_like(high), high=high, discrete=True)
    if isinstance(space, spaces.Box):
        return _box(space, name)
    kind = f"{type(space).__name__} observations are"
    raise UsageError(
        f"{name}: {kind} not supported; allowed: Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple of these"
    )


def _plain(
    shape: tuple[int, ...], kind: DTypeLike | None, encoder: Model, saw: str, image: bool = False
) -> Observation:
    dtype = np.dtype(kind)
    return Observation(shape, dtype, encoder, image, saw, lambda raw, xp: xp.asarray(raw, dtype))


def _floating(x: Array) -> Array:
    return x.astype(np.float32)


def _one_hots(space: spaces.MultiDiscrete) -> tuple[Model, str]:
    nvec, start = space.nvec.reshape(-1), space.start.reshape(-1)
    column = np.repeat(np.arange(len(nvec)), nvec)  # of each output: the number it looks at
    value = np.concatenate([np.arange(first, first + n) for n, first in zip(nvec, start, strict=True)])

    def encode(x: Array) -> Array:
        return (x.reshape(len(x), -1)[:, column] == namespace(x).asarray(value)).astype(np.float32)

    return function(encode), f"MultiDiscrete{nvec.tolist()} as one-hots [{len(value)}]"


def _box(box: spaces.Box, name: str) -> Observation:
    shape = box.shape
    if math.prod(shape) == 0:
        raise UsageError(f"{name}: observation space {box} is empty")
    if not (np.issubdtype(box.dtype, np.number) or box.dtype == bool):
        raise UsageError(f"{name}: observations of type {box.dtype} are not numbers")
    byte = box.dtype == np.uint8
    small = byte or box.dtype == bool
    scaled = byte and box.high.max() > 1
    scale = unit_scale(255.0) if scaled else function(_floating)
    image = _is_image(shape, small)
    saw = (
        f"{box.dtype}{list(shape)} {'scaled to 0 … 1' if scaled else 'as float32'} for {'a CNN' if image else 'an MLP'}"
    )
    turn = image and len(shape) == 3 and shape[0] < min(shape[1:]) and shape[0] < shape[2]
    shaping = [function(_channels_last)] if turn else [function(_one_channel)] if image and len(shape) == 2 else []
    found = _plain(shape, box.dtype if small else np.float32, serial(scale, *shaping) if shaping else scale, saw, image)
    return found._replace(low=box.low.reshape(-1), high=box.high.reshape(-1))


def _is_image(shape: tuple[int, ...], small: bool) -> bool:
    if len(shape) == 2:
        return small and min(shape) >= SMALLEST_IMAGE
    return len(shape) == 3 and sorted(shape)[1] >= SMALLEST_IMAGE


def _channels_last(x: Array) -> Array:
    return namespace(x).moveaxis(x, 1, -1)


def _one_channel(x: Array) -> Array:
    return x[..., None]


ObservationParts = list[tuple[PartPath, spaces.Space, Observation]]


def _said(parts: ObservationParts, joined: str) -> str:
    each = ", ".join(f"{'.'.join(map(str, path))}: {part.saw}" for path, _, part in parts)
    return f"{joined} ({each.replace(' for an MLP', '').replace(' for a CNN', '')})"


def _lead(raw: Array, part: Observation) -> tuple[int, ...]:
    """() for one observation, (N,) for N."""
    return raw.shape[: raw.ndim - len(part.shape)]


def _floats(parts: ObservationParts) -> Observation:
    """All parts in one array: int32 if all are whole numbers, else float32, where integers are exact up to 2²⁴."""
    discrete = all(part.discrete for *_, part in parts)
    dtype = np.dtype(np.int32 if discrete else np.float32)
    sizes = [math.prod(part.shape) for *_, part in parts]
    ends = np.cumsum(sizes)

    def read(raw: Tree, xp: ModuleType) -> Array:
        found = [(part.read(part_at(raw, path), xp), part) for path, _, part in parts]
        return xp.concatenate([x.reshape(*_lead(x, part), -1).astype(dtype) for x, part in found], -1)

    def encode(x: Array) -> Array:
        columns = zip(ends - sizes, ends, parts, strict=True)
        given = [(x[:, a:b].reshape(-1, *part.shape).astype(part.dtype), part) for a, b, (*_, part) in columns]
        return namespace(x).concatenate(
            [part.encoder.apply(_none(part), y).reshape(len(x), -1) for y, part in given], -1
        )

    width = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, int(ends[-1])), dtype)).shape[1]
    shape = (int(ends[-1]),)
    saw = _said(parts, f"{len(parts)} parts as float32[{width}] for an MLP")
    low, high = (np.concatenate([getattr(part, bound) for *_, part in parts]) for bound in ("low", "high"))
    return Observation(shape, dtype, function(encode), False, saw, read, low, high, discrete)


def _bytes(parts: ObservationParts) -> Observation:
    """All parts as the bytes they are stored in; encoded as a tuple: the images, then the rest as one vector."""
    sizes = [math.prod(part.shape) * part.dtype.itemsize for *_, part in parts]
    ends = np.cumsum(sizes)

    def read(raw: Tree, xp: ModuleType) -> Array:
        found = [(part.read(part_at(raw, path), xp), part) for path, _, part in parts]
        return xp.concatenate([_to_bytes(x.reshape(*_lead(x, part), -1), xp) for x, part in found], -1)

    def encode(x: Array) -> Any:
        images: list[Array] = []
        rest: list[Array] = []
        for a, b, (*_, part) in zip(ends - sizes, ends, parts, strict=True):
            y = part.encoder.apply(_none(part), _from_bytes(x[:, a:b], part.dtype).reshape(-1, *part.shape))
            (images if part.image else rest).append(y if part.image else y.reshape(len(x), -1))
        vector = namespace(x).concatenate(rest, -1) if rest else namespace(x).zeros((len(x), 0), np.float32)
        return (*images, vector)

    images = sum(part.image for *_, part in parts)
    saw = _said(parts, f"{len(parts)} parts, {images} of them for a CNN each")
    shape = (int(ends[-1]),)
    return Observation(shape, np.dtype(np.uint8), function(encode), False, saw, read, images=images)


def written_back(space: spaces.Space, stored: np.ndarray) -> Any:
    """One stored observation as the environment gives it; parts that are left out are None."""
    leaves = [(path, leaf) for path, leaf in leaves_of(space) if isinstance(leaf, USABLE)]
    if len(leaves) == 1:
        return assembled(space, (), {leaves[0][0]: _as_given(leaves[0][1], stored)})
    parts = [(path, leaf, _single(leaf, "")) for path, leaf in leaves]
    in_bytes = any(part.image for *_, part in parts)
    sizes = [math.prod(part.shape) * (part.dtype.itemsize if in_bytes else 1) for *_, part in parts]
    values = {}
    for (path, leaf, part), numbers in zip(parts, np.split(stored, np.cumsum(sizes)[:-1]), strict=True):
        values[path] = _as_given(leaf, np.asarray(_from_bytes(numbers, part.dtype) if in_bytes else numbers))
    return assembled(space, (), values)


def _as_given(leaf: spaces.Space, numbers: np.ndarray) -> Any:
    if isinstance(leaf, spaces.Discrete):
        return int(numbers.reshape(()))
    return numbers.reshape(leaf.shape or ()).astype(leaf.dtype)


def assembled(space: spaces.Space, path: PartPath, values: dict[PartPath, Any]) -> Any:
    """A nested observation from its parts; None where there is none."""
    if isinstance(space, spaces.Dict):
        return {key: assembled(inner, (*path, key), values) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(assembled(inner, (*path, i), values) for i, inner in enumerate(space.spaces))
    return values.get(path)


def component_names(space: spaces.Space) -> list[tuple[str, bool]]:
    """Of each number of a stored observation without images: its name, and whether it is of a Box."""
    found = []
    for path, leaf in leaves_of(space):
        if isinstance(leaf, USABLE):
            head = ".".join(map(str, path))
            numbers = [",".join(map(str, at)) for at in np.ndindex(leaf.shape or ())]
            found += [(f"{head}[{n}]" if n else head or "state", isinstance(leaf, spaces.Box)) for n in numbers]
    return found


def _none(part: Observation) -> Params:
    """The parameters of an encoder: it has none."""
    return part.encoder.init(jax.random.key(0), np.zeros((1, *part.shape), part.dtype))


def _to_bytes(x: Array, xp: ModuleType) -> Array:
    if x.dtype.itemsize == 1:
        return x.view(np.uint8) if xp is np else x.astype(jnp.uint8) if x.dtype == bool else _cast(x, jnp.uint8)
    if xp is np:
        return np.ascontiguousarray(x).view(np.uint8)
    return _cast(x, jnp.uint8).reshape(*x.shape[:-1], -1)


def _from_bytes(x: Array, dtype: np.dtype) -> Array:
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x).view(dtype)
    if dtype.kind == "b":
        return x.astype(bool)
    return _cast(x if dtype.itemsize == 1 else x.reshape(len(x), -1, dtype.itemsize), dtype)


def _cast(x: Array, dtype: np.dtype | type) -> Array:
    return jax.lax.bitcast_convert_type(x, dtype)
