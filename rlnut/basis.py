"""Feature words of the command line, "fourier:5", made into maps for states, for boxes, or for the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlnut import features as maps
from rlnut.errors import UsageError, unknown
from rlnut.finite import Finite

DEFAULTS = {
    "one-hot": 0, "own": 0, "aggregation": 10, "polynomial": 5, "fourier": 5, "rbf": 10, "tiles": 8, "mlp": 64,
}  # fmt: skip
TABLE = {
    "power": 1, "polynomial": 3, "fourier": 5, "rbf": 10, "random-fourier": 500, "tiles": 8, "one-hot": 0,
    "aggregation": 10,
}  # fmt: skip


def parse(words: str, known: Mapping[str, int] = DEFAULTS) -> tuple[str, int]:
    """ "fourier:5" -> ("fourier", 5); a number left out has a default."""
    name, colon, number = words.partition(":")
    if name not in known:
        raise unknown("features", name, known)
    if not colon:
        return name, known[name]
    if (
        not number.isdigit()
        or int(number) < (0 if name == "polynomial" and known is DEFAULTS else 1)
        or name in ("one-hot", "own")
    ):
        wanted = "no number" if name in ("one-hot", "own") else "a whole number, as in " + f"{name}:{known[name]}"
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


class Columns(NamedTuple):
    """What features for a table must know of its training rows: a JSON-able summary that a folder keeps."""

    low: list[float]
    high: list[float]
    mean: list[float]
    deviation: list[float]  # 1 for a constant column
    whole: bool  # integers only

    @classmethod
    def of(cls, x: np.ndarray) -> Columns:
        """Of rows x [n, p]."""
        low, high = x.min(0).astype(float), x.max(0).astype(float)
        mean, deviation = x.mean(0, dtype=float), x.std(0, dtype=float)
        deviation = np.where((low == high) | (deviation == 0), 1.0, deviation)
        whole = all(np.array_equal(part, np.round(part)) for part in x.T)
        return cls(low.tolist(), high.tolist(), mean.tolist(), deviation.tolist(), whole)


def over_table(words: Sequence[str], columns: Columns, seed: int = 0) -> maps.Features:
    """Maps of table rows [n, p], side by side; none holds a constant feature, because the model has an intercept.

    power:k xⱼᵏ; polynomial:n all products of total degree 1 … n; fourier:n, rbf:n (n a side) and tiles:n on the box of
    the training rows; random-fourier:D on standardised columns, width √p; one-hot and aggregation:k of whole numbers.
    """
    return maps.concatenate(*(_one_over_table(*parse(word, TABLE), columns, seed) for word in words))


def _one_over_table(name: str, number: int, columns: Columns, seed: int) -> maps.Features:
    low, high = np.array(columns.low), np.array(columns.high)
    p = len(low)
    if name == "power":
        return maps.monomials(number * np.eye(p, dtype=int))
    if name == "polynomial":
        return _without_first(maps.polynomial(p, number, total=True))
    if name == "random-fourier":
        import jax

        mean, deviation = np.array(columns.mean), np.array(columns.deviation)
        waves = maps.random_fourier(jax.random.key(seed), p, number, math.sqrt(p))
        return maps.compose(maps.min_max(mean, mean + deviation), waves)
    if name in ("one-hot", "aggregation"):
        if not columns.whole:
            raise UsageError(f"features {name} are for whole numbers, but the table holds others")
        counts = [int(b - a) + 1 for a, b in zip(low, high, strict=True)]
        groups = [n if name == "one-hot" else min(number, n) for n in counts]
        each = [maps.aggregation(n, k, int(a)) for n, k, a in zip(counts, groups, low, strict=True)]
        return maps.concatenate(*(maps.compose(_column(i, p), phi) for i, phi in enumerate(each)))
    constant = np.flatnonzero(low == high)
    if len(constant):
        raise UsageError(f"features {name} span the box of the rows, but column {constant[0]} is constant")
    phi = over_box(name, number, p)
    box = maps.min_max(low, high, clip=name == "tiles")
    return maps.compose(box, _without_first(phi) if name == "fourier" else phi)


def _without_first(phi: maps.Features) -> maps.Features:
    """The map without its first feature, the constant one."""
    return maps.Features(lambda x: phi(x)[:, 1:], phi.dim - 1, None if phi.rate is None else phi.rate[1:])


def _column(i: int, dims: int) -> maps.Features:
    """x [n, dims] -> its column i."""
    return maps.Features(lambda x: maps.rows(x, dims)[:, i : i + 1], 1)
