"""Convolution and pooling over images [B, H, W, C]; filters are [F, F, C, D] as in the lecture."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from rlnut.types import Array, Key, Model, Params


def conv(depth: int, size: int = 3, stride: int = 1, padding: str = "SAME") -> Model:
    """D filters of F×F over x [B, H, W, C] -> [B, H', W', D], plus a bias; padding SAME or VALID."""

    def init(key: Key, x: Array) -> Params:
        shape = (size, size, x.shape[-1], depth)
        return {"w": jax.nn.initializers.he_normal()(key, shape, jnp.float32), "b": jnp.zeros(depth)}

    def apply(params: Params, x: Array) -> Array:
        dims = ("NHWC", "HWIO", "NHWC")
        out = lax.conv_general_dilated(x, params["w"], (stride, stride), padding, dimension_numbers=dims)
        return out + params["b"]

    return Model(init, apply)


def pool(window: int = 2, kind: str = "max") -> Model:
    """Maximum or mean over windows that do not overlap: [B, H, W, C] -> [B, H//window, W//window, C]."""
    reduce = {"max": jnp.max, "average": jnp.mean}[kind]

    def apply(params: Params, x: Array) -> Array:
        b, h, w, c = x.shape
        h, w = h // window, w // window
        cut = x[:, : h * window, : w * window]
        return reduce(cut.reshape(b, h, window, w, window, c), axis=(2, 4))

    return Model(lambda key, x: {}, apply)
