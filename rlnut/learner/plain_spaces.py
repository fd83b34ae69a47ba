"""Spaces without Gymnasium: what a record in a file says of one (`envs.space_records`), and the kind of any space.

`PlainSpace` has the attributes of Gymnasium's spaces that reading an observation needs, so one reader serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = ("Dict", "Tuple", "Discrete", "MultiDiscrete", "MultiBinary", "Box")
NUMERIC = KINDS[2:]
PartPath = tuple[str | int, ...]  # keys and places that lead to a part of a nested observation
LARGEST = 2**26  # numbers in one observation of a file, and values of one of them


@dataclass(frozen=True)
class PlainSpace:
    """One of KINDS, or "left out": a part that no learner is shown."""

    kind: str
    shape: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    n: int = 0  # of Discrete
    nvec: np.ndarray | None = None  # of MultiDiscrete
    start: Any = 0  # of both
    spaces: Any = ()  # of Dict: {key: part}, of Tuple: (part, ...)

    def __getitem__(self, key: Any) -> PlainSpace:
        return self.spaces[key]

    def __str__(self) -> str:
        if self.kind == "Discrete":
            return f"Discrete({self.n})" if not self.start else f"Discrete({self.n}, start={self.start})"
        if self.nvec is not None:
            return f"MultiDiscrete({self.nvec.tolist()})"
        return f"{self.kind}{list(self.shape or ())} of {self.dtype}"


def plain_space(record: dict[str, Any]) -> PlainSpace:
    """The space of a record; KeyError, TypeError or ValueError for what is none."""
    kind = record["kind"]
    if kind == "Dict":
        return PlainSpace(kind, spaces={key: plain_space(part) for key, part in record["parts"]})
    if kind == "Tuple":
        return PlainSpace(kind, spaces=tuple(plain_space(part) for part in record["parts"]))
    if kind == "Discrete":
        (n,) = _shape([record["n"]])
        return PlainSpace(kind, (), np.dtype(np.int64), n=n, start=int(record["start"]))
    if kind == "MultiDiscrete":
        nvec = np.array(record["nvec"], np.int64)
        _shape([int(nvec.sum())])
        return PlainSpace(kind, nvec.shape, np.dtype(np.int64), nvec=nvec, start=np.array(record["start"], np.int64))
    if kind == "MultiBinary":
        return PlainSpace(kind, _shape(record["n"]), np.dtype(np.int8))
    if kind == "Box":
        return PlainSpace(kind, _shape(record["shape"]), np.dtype(record["dtype"]))
    if kind == "left out":
        return PlainSpace(kind)
    raise ValueError(f"a space of kind {kind!r}")


def _shape(numbers: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in numbers)
    if min(shape, default=1) < 0 or math.prod(shape) > LARGEST:
        raise ValueError(f"a shape {list(shape)}")
    return shape


def kind_of(space: object) -> str:
    """Which of KINDS a space of Gymnasium's (or of a subclass), or a `PlainSpace`, is; another text: none."""
    if isinstance(space, PlainSpace):
        return space.kind
    bases = (base for base in type(space).__mro__ if base.__module__.startswith("gymnasium."))
    return next((base.__name__ for base in bases if base.__name__ in KINDS), "")


def leaves_of(space: Any, path: PartPath = ()) -> Iterator[tuple[PartPath, Any]]:
    """The parts of a nested space that are not nested, each with the keys that lead to it."""
    kind = kind_of(space)
    if kind not in ("Dict", "Tuple"):
        yield path, space
        return
    for key, part in space.spaces.items() if kind == "Dict" else enumerate(space.spaces):
        yield from leaves_of(part, (*path, key))


def part_at(raw: Any, path: PartPath) -> Any:
    """The part of a nested observation that `path` leads to."""
    for key in path:
        raw = raw[key]
    return raw
