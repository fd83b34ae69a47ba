"""Strict reading of what an environment returns: an observation (structure, shape, type, range), rewards, flags.

`observation_reader(space)` is a function from what an environment gives to a copy that the space holds, or `Mismatch`
with what came and what must come. Floats may have any precision; whole numbers pass as floats, floats never as whole
numbers. A space is Gymnasium's, or a `PlainSpace` from a file: importing this needs neither Gymnasium nor JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rlnut.learner.plain_spaces import NUMERIC, PlainSpace, kind_of

if TYPE_CHECKING:
    from gymnasium import spaces

LARGEST = float(np.finfo(np.float32).max)  # learners keep numbers as float32
FEW = 16  # numbers: so many are added faster as a list

Read = Callable[[Any], Any]


class Mismatch(ValueError):
    """What came, and what must come."""


def observation_reader(
    space: spaces.Space | PlainSpace, lead: tuple[int, ...] = (), values: bool = True, where: str = ""
) -> Read:
    """For observations of `space`, or for N of them side by side (`lead` = (N,)); `values` False: shapes and types."""
    kind, some = kind_of(space), cast(Any, space)
    if kind == "Dict":
        parts = some.spaces.items()
        return _mapping({k: observation_reader(part, lead, values, f"{where}[{k!r}]") for k, part in parts}, where)
    if kind == "Tuple":
        numbered = enumerate(some.spaces)
        return _sequence([observation_reader(part, lead, values, f"{where}[{i}]") for i, part in numbered], where)
    if kind == "Discrete" and not lead:
        return _number(some, values, where)
    if kind in NUMERIC:
        return _numbers(some, lead, values, where)
    return lambda raw: raw  # a part that no learner is shown


def batch_size(space: spaces.Space | PlainSpace, raw: Any) -> int | None:
    """N, if `raw` may be N observations side by side, judged by the first part of the space; else None."""
    some: Any = space
    while kind_of(some) in ("Dict", "Tuple") and some.spaces:
        key: Any = next(iter(some.spaces)) if kind_of(some) == "Dict" else 0
        try:
            raw, some = raw[key], some[key]
        except (TypeError, KeyError, IndexError):
            return None
    try:
        shape = np.shape(raw)
    except ValueError:
        return None
    return shape[0] if len(shape) == len(some.shape or ()) + 1 else None


def read_one_or_many(space: spaces.Space | PlainSpace, obs: object) -> tuple[Any, bool]:
    """An observation as the environment gives it, and True; or N side by side, and False. Mismatch for neither."""
    try:
        return observation_reader(space)(obs), True
    except Mismatch:
        if (count := batch_size(space, obs)) is None:
            raise
    return observation_reader(space, (count,))(obs), False


def _mapping(parts: dict[str, Read], where: str) -> Read:
    def read(raw: object) -> dict[str, object]:
        if not isinstance(raw, Mapping):
            raise Mismatch(
                f"the observation{where} {in_words(raw)}; it must be a dict with {', '.join(map(repr, parts))}"
            )
        if missing := [key for key in parts if key not in raw]:
            raise Mismatch(f"an observation{where} without {missing[0]!r}; it holds {', '.join(map(repr, raw))}")
        return {key: part(raw[key]) for key, part in parts.items()}

    return read


def _sequence(parts: list[Read], where: str) -> Read:
    def read(raw: object) -> tuple[object, ...]:
        if not isinstance(raw, tuple | list | np.ndarray) or len(raw) != len(parts):
            raise Mismatch(f"the observation{where} {in_words(raw)}; it must be a tuple of {len(parts)}")
        return tuple(part(one) for part, one in zip(parts, raw, strict=True))

    return read


def _number(space: Any, values: bool, where: str) -> Read:
    start, n = int(space.start), int(space.n)

    def read(raw: Any) -> int:
        if type(raw) is not int:
            found = _array(raw, where)
            if found.shape != () or found.dtype.kind not in "biu":
                raise Mismatch(f"the observation{where} {in_words(raw)}; {space} needs one whole number")
            raw = found.item()
        if values and not start <= raw < start + n:
            raise Mismatch(f"the observation{where} {raw}; {space} holds {start} … {start + n - 1}")
        return raw

    return read


def _numbers(space: Any, lead: tuple[int, ...], values: bool, where: str) -> Read:
    shape, dtype = (*lead, *(space.shape or ())), np.dtype(space.dtype)
    low, high = _range(space)
    floating = dtype.kind == "f"
    kinds = "biuf" if floating or kind_of(space) == "MultiBinary" else "biu"
    few = floating and values and len(shape) == 1 and shape[0] <= FEW and dtype.itemsize <= 4

    def read(raw: object) -> np.ndarray:
        if (
            few
            and type(raw) is np.ndarray
            and raw.dtype is dtype
            and raw.shape == shape
            and isfinite(sum(raw.tolist()))
        ):
            return raw.copy()  # the common case, fast: a sum of few numbers is as finite as they are
        x = _array(raw, where)
        if x.shape != shape:
            raise Mismatch(f"an observation{where} {_kind(x)}; {space} needs {dtype}{list(shape)}")
        if x.dtype != dtype:
            if x.dtype.kind not in kinds:
                raise Mismatch(f"an observation{where} {_kind(x)}; {space} needs {dtype}{list(shape)}")
            if not floating and values:
                x = _whole(x, dtype, space, where)
        if not values:
            return x
        if x.dtype.kind == "f" and not _finite(x):
            raise Mismatch(f"an observation{where} with {_odd(x)}; all numbers must be finite")
        if low is not None and ((x < low) | (x > high)).any():
            raise Mismatch(f"the observation{where} {in_words(raw)}, which {space} does not contain")
        return x

    return read


def _range(space: Any) -> tuple[int | np.ndarray, int | np.ndarray] | tuple[None, None]:
    """Smallest and largest whole numbers; a Box may be left, so it has none."""
    kind = kind_of(space)
    if kind == "Discrete":
        return int(space.start), int(space.start) + int(space.n) - 1
    if kind == "MultiDiscrete":
        return space.start, space.start + space.nvec - 1
    return (0, 1) if kind == "MultiBinary" else (None, None)


def _array(raw: object, where: str) -> np.ndarray:
    try:
        return np.array(raw)
    except (ValueError, TypeError) as error:
        raise Mismatch(f"the observation{where} {in_words(raw)}, which is no array: {error}") from None


def _whole(x: np.ndarray, dtype: np.dtype, space: object, where: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        found = x.astype(dtype)
    if (found != x).any():
        raise Mismatch(f"the observation{where} {in_words(x)}; {space} needs numbers that {dtype} can hold")
    return found


def _finite(x: np.ndarray) -> bool:
    """All within ±LARGEST: neither infinite nor NaN, nor so once it is kept in 32 bits."""
    return bool(np.isfinite(x).all() if x.dtype.itemsize <= 4 else (np.abs(x) <= LARGEST).all())


def _odd(x: np.ndarray) -> str:
    """The first number that is not finite, and where."""
    at = np.argwhere(~(np.abs(x.astype(np.float64)) <= LARGEST))[0]
    return f"{x[tuple(at)]} at index {', '.join(map(str, at))}" if len(at) else str(x)


def read_number(reward: object) -> float:
    """A reward as a float."""
    value = _plain(reward)
    if not (isinstance(value, bool | int | float) and -LARGEST <= value <= LARGEST):
        raise Mismatch(f"the reward {in_words(reward)}; it must be one finite number")
    return float(value)


def read_flag(name: str, value: object) -> bool:
    """`terminated` or `truncated` as a bool."""
    plain = _plain(value)
    if not (isinstance(plain, bool) or (isinstance(plain, int) and plain in (0, 1))):
        raise Mismatch(f"{name} = {in_words(value)}; it must be True or False")
    return bool(plain)


def read_numbers(reward: object, count: int) -> np.ndarray:
    """Rewards [N]."""
    found = _as_array(reward)
    if found is None or found.shape != (count,) or found.dtype.kind not in "biuf":
        raise Mismatch(f"the rewards {in_words(reward)}; they must be {count} numbers")
    if not (np.abs(found.astype(np.float64)) <= LARGEST).all():
        raise Mismatch(f"the rewards {in_words(reward)}; they must be finite")
    return found


def read_flags(name: str, value: object, count: int) -> np.ndarray:
    """Flags [N]."""
    found = _as_array(value)
    if found is None or found.shape != (count,) or found.dtype.kind not in "biu" or not np.isin(found, (0, 1)).all():
        raise Mismatch(f"{name} = {in_words(value)}; it must be {count} times True or False")
    return found.astype(bool)


def _plain(value: object) -> bool | int | float | None:
    """A number of any library as Python's own; None for what is no single number."""
    if isinstance(value, bool | int | float):
        return value
    found = value if isinstance(value, np.generic) else None if isinstance(value, str | bytes) else _as_array(value)
    return found.item() if found is not None and found.shape == () and found.dtype.kind in "biuf" else None


def _as_array(value: object) -> np.ndarray | None:
    try:
        return np.array(value)
    except (ValueError, TypeError):
        return None


def outside_bounds(space: spaces.Space, obs: Any, where: str = "") -> str | None:
    """Words for the first number outside the bounds of a Box of the space; None if there is none."""
    kind, some = kind_of(space), cast(Any, space)
    if kind in ("Dict", "Tuple"):
        keyed = some.spaces.items() if kind == "Dict" else enumerate(some.spaces)
        found = (outside_bounds(part, obs[key], f"{where}[{key!r}]") for key, part in keyed)
        return next((words for words in found if words is not None), None)
    if kind != "Box":
        return None
    beyond = (obs < some.low) | (obs > some.high)
    if not beyond.any():
        return None
    low, high = (np.broadcast_to(bound, obs.shape)[beyond][0] for bound in (some.low, some.high))
    return f"the number {obs[beyond][0]} in its observation{where}, outside the bounds {low} … {high} of {space}"


def _kind(x: np.ndarray) -> str:
    """Type and shape, as in float32[3]."""
    return f"{x.dtype}{list(x.shape)}"


def in_words(value: object) -> str:
    """A value in a few words."""
    text = " ".join(repr(value).split())
    short = text if len(text) <= 60 else f"{text[:57]}…"
    return f"{short} ({_kind(value)})" if isinstance(value, np.ndarray) else short
