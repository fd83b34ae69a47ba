"""Observation spaces as data for a file, and made again from it: structure, shapes, types, bounds.

Parts that no learner is shown (Text, Sequence, Graph, OneOf) are kept as places that are left out.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from gymnasium import spaces

Record = dict[str, Any]  # what JSON holds


def space_record(space: spaces.Space) -> Record:
    """A space as data."""
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "parts": [[key, space_record(part)] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "parts": [space_record(part) for part in space.spaces]}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": list(space.shape)}
    if isinstance(space, spaces.Box):
        low, high = _one_or_all(space.low), _one_or_all(space.high)
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), "low": low, "high": high}
    return {"kind": "left out"}


def _one_or_all(bound: np.ndarray) -> Any:
    """One number where all are equal; numbers as text, so that infinities pass."""
    same = bound.size and (bound == bound.flat[0]).all()
    return str(bound.flat[0].item()) if same else [str(x) for x in bound.reshape(-1).tolist()]


def recorded_space(record: Record) -> spaces.Space:
    """The space of a record; KeyError, TypeError or ValueError for what is none."""
    kind = record["kind"]
    if kind == "Dict":
        return spaces.Dict(OrderedDict((key, recorded_space(part)) for key, part in record["parts"]))  # in this order
    if kind == "Tuple":
        return spaces.Tuple(recorded_space(part) for part in record["parts"])
    if kind == "Discrete":
        return spaces.Discrete(record["n"], start=record["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.array(record["nvec"]), start=np.array(record["start"]))
    if kind == "MultiBinary":
        return spaces.MultiBinary(record["n"] if len(record["n"]) > 1 else record["n"][0])
    if kind == "Box":
        dtype, shape = np.dtype(record["dtype"]), tuple(record["shape"])
        low, high = (_bound(record[name], shape, dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "left out":
        return spaces.Text(1)
    raise ValueError(f"a space of kind {kind!r}")


def _bound(given: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    numbers = [given] if isinstance(given, str) else given
    each = {"True": 1, "False": 0}
    read = [each[x] if x in each else float(x) if dtype.kind == "f" else int(x) for x in numbers]
    return np.broadcast_to(np.array(read, dtype).reshape(() if isinstance(given, str) else shape), shape).copy()
