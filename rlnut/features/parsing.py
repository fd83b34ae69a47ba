"""Feature specifications such as "fourier:5" or "tiles:8,10,4096", made into maps for states or for boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rlnut.errors import UsageError, unknown
from rlnut.features import maps
from rlnut.runtime.digits import only_digits

# name -> the numbers that may follow, with what stands for those left out
DEFAULTS: dict[str, tuple[int, ...]] = {
    "one-hot": (), "own": (), "raw": (), "aggregation": (10,), "polynomial": (5,), "fourier": (5,), "rbf": (10,),
    "random-fourier": (100,), "tiles": (8, 0, 0), "mlp": (64,),
}  # fmt: skip
UNHASHED = 2**13  # tiles; beyond, tile coding without a size is hashed into so many features
STATES_ONLY = ("one-hot", "own", "aggregation")


def parse_features(words: str, known: Mapping[str, tuple[int, ...]] = DEFAULTS) -> tuple[str, tuple[int, ...]]:
    """ "fourier:5" -> ("fourier", (5,)); numbers left out have defaults."""
    name, colon, given = words.partition(":")
    if name not in known:
        raise unknown("features", name, known)
    usual = known[name]
    numbers = given.split(",") if colon else []
    good = len(numbers) <= len(usual) and all(only_digits(x) and (name == "polynomial" or int(x) > 0) for x in numbers)
    if not good or (colon and not given):
        shown = f"{name}:{','.join(str(x or 8 * 8**i) for i, x in enumerate(usual))}"
        wanted = "no number" if not usual else f"whole numbers > 0, as in {shown}"
        wanted = f"a whole number, as in {shown}" if len(usual) == 1 else wanted
        raise UsageError(f"--features {name} takes {wanted}, got {words!r}")
    return name, (*map(int, numbers), *usual[len(numbers) :])


def over_box(name: str, numbers: tuple[int, ...], dims: int) -> maps.Features:
    """A map of the unit box [0, 1]ᵏ; UsageError for maps that are made for numbered states."""
    if name in ("raw", "mlp"):
        return maps.monomials(np.concatenate([np.zeros((1, dims), int), np.eye(dims, dtype=int)]))
    if name == "polynomial":
        return maps.polynomial(dims, numbers[0])
    if name == "fourier":
        return maps.fourier(dims, numbers[0])
    if name == "rbf":
        (number,) = numbers
        return maps.rbf(maps.grid([0.0] * dims, [1.0] * dims, [number] * dims), 1 / max(1, number - 1))
    if name == "random-fourier":
        import jax

        return maps.random_fourier(jax.random.key(0), dims, numbers[0], 0.25 * float(np.sqrt(dims)))
    if name == "tiles":
        from rlnut.features.tiles import tile_coding

        tilings, tiles, size = numbers
        tiles = tiles or (8 if dims <= 2 else 4)
        hashed = size or (UNHASHED if not numbers[1] and (tiles + 1) ** dims * tilings > UNHASHED else None)
        return tile_coding([0.0] * dims, [1.0] * dims, tilings, tiles, size=hashed)
    raise UsageError(f"--features {name} is for numbered states; for boxes: {', '.join(set_of_boxes())}")


def set_of_boxes() -> list[str]:
    """Names of the maps that serve boxes."""
    return [name for name in DEFAULTS if name not in STATES_ONLY]


def state_places(states: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Where states lie in the unit box: row and column of a grid, (s + 1)/S on a line: [S, k]."""
    if not shape:
        return (np.arange(states)[:, None] + 1.0) / states
    return np.stack(np.unravel_index(np.arange(states), shape), 1) / np.maximum(np.array(shape) - 1.0, 1)


def over_numbers(words: str, states: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Features of numbered states that lie on a line or in a grid: [S, d]."""
    name, numbers = parse_features(words)
    if name == "one-hot":
        return np.eye(states)
    if name == "own":
        raise UsageError("--features own: this problem brings no features")
    if name == "aggregation":
        return np.asarray(maps.aggregation(states, *numbers)(np.arange(states)), np.float64)
    where = state_places(states, shape)
    return np.asarray(over_box(name, numbers, where.shape[1])(where), np.float64)
