"""Tile coding: several shifted grids over a box; the features of x are the tiles that it falls in, one a grid.

`active` gives their indices, so a linear value costs θ[active(x)].sum(-1): as many additions as there are tilings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlnut.errors import UsageError
from rlnut.features.maps import LARGEST, Features, binary, bounds, rows, shown_number
from rlnut.types import Array, namespace

FARTHEST = 2.0**30  # steps of a tile's w/n from the box: what lies beyond counts as there, in NumPy and JAX alike
GOLDEN = 0x9E3779B9  # 2³²/golden ratio: multiples of it are spread out


def tile_coding(
    low: ArrayLike,
    high: ArrayLike,
    tilings: int = 8,
    tiles: int | Sequence[int] = 8,
    displacement: Sequence[int] | None = None,
    size: int | None = None,
) -> Features:
    """Tile coding (Sutton & Barto 2018, 9.5.4): φ has one 1 in each of n tilings, 0 elsewhere.

    The box [low, high] is `tiles` tiles of width w long in each dimension. Tiling t is moved by t·d·w/n, where the
    displacement d = (1, 3, 5, …) moves dimensions by different amounts, so that tile borders do not line up along
    diagonals (Miller & Glanz 1996); (1, 1, …) would be the uniform shift. The moved grid needs one more tile in each
    dimension, so dim = n·Π(tiles + 1). A point outside the box counts as the nearest one in it.

    With `size`, tiles are hashed into `size` features instead, and the grids go on far outside the box: unrelated tiles
    may share a feature (collision), which costs accuracy but bounds the memory. Two tiles collide with probability
    1/size, as under a random hash, whatever their tilings and places; NumPy and JAX give the same features.
    """
    lo, hi = bounds(low, high)
    dims = len(lo)
    counts = np.broadcast_to(np.asarray(tiles), dims) if np.ndim(tiles) == 0 else np.asarray(tiles)
    d = np.arange(1, 2 * dims, 2) if displacement is None else np.asarray(displacement)
    if tilings < 1 or counts.shape != (dims,) or counts.min() < 1:
        raise UsageError(f"tilings must be >= 1, and tiles one number >= 1 or {dims} of them; got {tilings}, {tiles}")
    if d.shape != (dims,) or not np.issubdtype(d.dtype, np.integer):
        raise UsageError(f"displacement must be {dims} integers, got {displacement}")
    if size is not None and not 1 <= size <= LARGEST:
        raise UsageError(f"size must be >= 1 and <= {LARGEST:,}, got {size}")
    # a shift by whole tiles changes no border, so only the part inside one tile is kept
    shift = (np.arange(tilings)[:, None] * d) % tilings  # [n, k], in units of w/n
    each = math.prod(int(c) + 1 for c in counts)
    if size is None and tilings * each > LARGEST:
        raise UsageError(
            f"{tilings} tilings of {shown_number(each)} tiles are over {LARGEST:,} features: hash them with size=..."
        )
    wide = () if size is not None else [math.prod(int(c) + 1 for c in counts[i + 1 :]) for i in range(dims)]
    place = np.array(wide, np.int32)  # of each dimension: how far apart neighbours are; a hash needs none
    fine = counts * tilings  # steps of w/n across the box
    edge = np.minimum((hi - lo) * (0.0 if size is None else FARTHEST / fine), 1e37)

    def coordinates(x: Array) -> Array:
        """Which tile of each tiling, counted from 0 in each dimension: [B, n, k]."""
        z = rows(x, dims)
        xp = namespace(z)
        z = xp.clip(z, xp.asarray(lo - edge, dtype=z.dtype), xp.asarray(hi + edge, dtype=z.dtype))
        z = (z - xp.asarray(lo, dtype=z.dtype)) / xp.asarray(hi - lo, dtype=z.dtype)
        z = xp.clip(z, 0, 1) if size is None else z
        steps = xp.floor(z * xp.asarray(fine, dtype=z.dtype)).astype(np.int32)
        return (steps[:, None, :] + shift.astype(np.int32)) // tilings

    def active(x: Array) -> Array:
        tile = coordinates(x)
        xp = namespace(tile)
        number = np.arange(tilings, dtype=np.int32)
        if size is None:
            return (tile * place).sum(-1).astype(np.int32) + number * np.int32(each)
        code = xp.zeros(tile.shape[:2], np.uint32) + _mixed(number.astype(np.uint32))
        for i in range(dims):
            code = _mixed(code + _mixed(tile[..., i].astype(np.uint32) + np.uint32(GOLDEN * (i + 1) % 2**32)))
        return (code % np.uint32(size)).astype(np.int32)

    return binary(active, tilings * each if size is None else size)


def _mixed(code: Array) -> Array:
    """A permutation of 32 bits whose every output bit depends on every input bit (MurmurHash3's finaliser, Appleby).

    Each coordinate is mixed by itself before it is combined with those before it: small whole numbers that were added
    or XORed as they are would cancel one another.
    """
    code = (code ^ (code >> 16)) * np.uint32(0x85EBCA6B)
    code = (code ^ (code >> 13)) * np.uint32(0xC2B2AE35)
    return code ^ (code >> 16)
