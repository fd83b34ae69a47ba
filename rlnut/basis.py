"""Feature words of the command line, "fourier:5", made into maps for states or for boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlnut import features as maps
from rlnut.errors import UsageError, unknown
from rlnut.finite import Finite

DEFAULTS = {
    "one-hot": 0, "own": 0, "aggregation": 10, "polynomial": 5, "fourier": 5, "rbf": 10, "tiles": 8, "mlp": 64,
}  # fmt: skip


def parse(words: str) -> tuple[str, int]:
    """ "fourier:5" -> ("fourier", 5); a number left out has a default."""
    name, colon, number = words.partition(":")
    if name not in DEFAULTS:
        raise unknown("features", name, DEFAULTS)
    if not colon:
        return name, DEFAULTS[name]
    if not number.isdigit() or (name != "polynomial" and int(number) < 1) or name in ("one-hot", "own"):
        wanted = "no number" if name in ("one-hot", "own") else "a whole number, as in " + f"{name}:{DEFAULTS[name]}"
        raise UsageError(f"--features {name} takes {wanted}, got {words!r}")
    return name, int(number)


def over_box(name: str, number: int, dims: int) -> maps.Features:
    """A map of the unit box [0, 1]ᵏ; UsageError for maps that are made for numbered states."""
    if name == "polynomial":
        return maps.polynomial(dims, number)
    if name == "fourier":
        return maps.fourier(dims, number)
    if name == "rbf":
        return maps.rbf(maps.grid([0.0] * dims, [1.0] * dims, [number] * dims), 1 / max(1, number - 1))
    if name == "tiles":
        from rlnut.tiles import tile_coding

        tiles = 8 if dims <= 2 else 4
        most = 2**13  # beyond, tiles are hashed
        return tile_coding(
            [0.0] * dims, [1.0] * dims, number, tiles, size=None if (tiles + 1) ** dims * number <= most else most
        )
    raise UsageError(f"--features {name} is for numbered states; for boxes: polynomial, fourier, rbf, tiles or mlp")


def places(finite: Finite) -> np.ndarray:
    """Where states lie in the unit box: row and column of a grid, (s + 1)/S on a line: [S, k]."""
    S = len(finite.mdp.start)
    if not finite.shape:
        return (np.arange(S)[:, None] + 1.0) / S
    return np.stack(np.unravel_index(np.arange(S), finite.shape), 1) / (np.array(finite.shape) - 1.0)


def over_states(words: str, finite: Finite) -> tuple[np.ndarray, str]:
    """Features of every state [S, d], and the name of the map that "auto" chose."""
    S = len(finite.mdp.start)
    if words == "auto":
        words = "one-hot" if finite.features is None else "own"
    name, number = parse(words)
    if name == "own":
        if finite.features is None:
            raise UsageError("--features own: this problem brings no features")
        return np.asarray(finite.features, np.float64), words
    if name == "one-hot":
        return np.eye(S), words
    found: Any
    if name == "aggregation":
        found = maps.aggregation(S, number)(np.arange(S))
    elif name == "mlp":
        found = places(finite)
    else:
        where = places(finite)
        found = over_box(name, number, where.shape[1])(where)
    return np.asarray(found, np.float64), words
