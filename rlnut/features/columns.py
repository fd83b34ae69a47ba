"""Hand-made features for the rows of a table, by name: `rlnut fit ridge TABLE --features polynomial:3,rbf:9`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features.parsing import over_box, parse_features

TABLE: dict[str, tuple[int, ...]] = {  # as basis.DEFAULTS
    "power": (1,), "polynomial": (3,), "fourier": (5,), "rbf": (10,), "random-fourier": (500,), "tiles": (8, 0, 0),
    "one-hot": (), "aggregation": (10,),
}  # fmt: skip


class Columns(NamedTuple):
    """What features for a table must know of its training rows: a JSON-able summary that a folder keeps."""

    low: list[float]
    high: list[float]
    mean: list[float]
    deviation: list[float]  # 1 for a constant column
    whole: bool  # integers only

    @classmethod
    def of(cls, x: np.ndarray, alike: bool = False) -> Columns:
        """Of rows x [n, p]; `alike` columns (the pixels of images) are scaled as one."""
        axes, p = None if alike else 0, x.shape[1]
        low, high = (np.full(p, f(x, axes), float) for f in (np.min, np.max))
        mean, deviation = (np.full(p, f(x, axes, dtype=float), float) for f in (np.mean, np.std))
        deviation = np.where((low == high) | (deviation == 0), 1.0, deviation)
        whole = all(np.array_equal(part, np.round(part)) for part in x.T)
        return cls(low.tolist(), high.tolist(), mean.tolist(), deviation.tolist(), whole)


def over_table(words: Sequence[str], columns: Columns, seed: int = 0) -> maps.Features:
    """Maps of table rows [n, p], side by side; none holds a constant feature, because the model has an intercept.

    power:k xⱼᵏ; polynomial:n all products of total degree 1 … n; fourier:n, rbf:n (n a side) and tiles:n on the box of
    the training rows; random-fourier:D on standardised columns, width √p; one-hot and aggregation:k of whole numbers.
    """
    return maps.concatenate(*(_one_over_table(*parse_features(word, TABLE), columns, seed) for word in words))


def _one_over_table(name: str, numbers: tuple[int, ...], columns: Columns, seed: int) -> maps.Features:
    low, high = np.array(columns.low), np.array(columns.high)
    p, number = len(low), numbers[0] if numbers else 0
    if name == "power":
        return maps.monomials(number * np.eye(p, dtype=int))
    if name == "polynomial":
        if not number:
            raise UsageError("--features polynomial takes a degree >= 1 here: the intercept is the constant")
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
    phi = over_box(name, numbers, p)
    box = maps.min_max(low, high, clip=name == "tiles")
    return maps.compose(box, _without_first(phi) if name == "fourier" else phi)


def _without_first(phi: maps.Features) -> maps.Features:
    """The map without its first feature, the constant one."""
    return maps.Features(lambda x: phi(x)[:, 1:], phi.dim - 1, None if phi.rate is None else phi.rate[1:])


def _column(i: int, dims: int) -> maps.Features:
    """x [n, dims] -> its column i."""
    return maps.Features(lambda x: maps.rows(x, dims)[:, i : i + 1], 1)
