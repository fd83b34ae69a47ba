"""Images that are moved a little, at random, each time they are seen: so a network learns what does not matter."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from rlnut.types import Array, Key


def shifted(x: Array, rows: Array, most: int, key: Key) -> Array:
    """Images `rows` of x [N, H, W, ...], each moved by up to `most` pixels on both axes; what comes in is 0."""
    _, height, width = x.shape[:3]
    move = jax.random.randint(key, (2, len(rows), 1), -most, most + 1)
    down = (jnp.arange(height) + move[0])[:, :, None]  # [B, H, 1]
    right = (jnp.arange(width) + move[1])[:, None, :]  # [B, 1, W]
    inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
    moved = x[rows[:, None, None], jnp.clip(down, 0, height - 1), jnp.clip(right, 0, width - 1)]
    return jnp.where(inside.reshape(inside.shape + (1,) * (x.ndim - 3)), moved, 0)


def turned(x: Array, angle: Array) -> Array:
    """Images x [B, H, W, ...], each turned about its middle by angle [B] in radians, from the first axis to the second.

    Between pixels the value is interpolated linearly; what comes in is 0. Float32 [B, H, W, ...].
    """
    middle = [(n - 1) / 2 for n in x.shape[1:3]]
    down, right = (jnp.arange(n) - m for n, m in zip(x.shape[1:3], middle, strict=True))
    cos, sin = (f(angle)[:, None, None] for f in (jnp.cos, jnp.sin))
    from_down = cos * down[:, None] + sin * right + middle[0]  # [B, H, W]
    from_right = cos * right - sin * down[:, None] + middle[1]
    sample = partial(map_coordinates, order=1, mode="constant", cval=0.0)
    maps = x.astype(jnp.float32).reshape(*x.shape[:3], -1)
    over_channels = jax.vmap(sample, (-1, None), -1)
    return jax.vmap(over_channels)(maps, (from_down, from_right)).reshape(x.shape)


def augmented(x: Array, rows: Array, shift: int, turn: float, key: Key) -> Array:
    """Images `rows` of x, moved by up to `shift` pixels and turned by up to `turn` degrees; 0 and 0: as they are."""
    shift_key, turn_key = jax.random.split(key)
    images = shifted(x, rows, shift, shift_key) if shift else x[rows]
    if not turn:
        return images
    return turned(images, jax.random.uniform(turn_key, (len(rows),), minval=-1) * jnp.deg2rad(turn))
