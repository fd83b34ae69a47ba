"""Convolution and pooling over images [B, H, W, C]; filters are [F, F, C, D] as in the lecture.

The forward pass is XLA's everywhere. So is the gradient, except on CPUs: there XLA's gradient of a convolution is slow,
and about ten times slower still inside a compiled loop, so the same sums are written as matrix products (below).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from rlnut.errors import UsageError, unknown
from rlnut.types import Array, Key, Model, Params, Shape

BLOCK = 2**20  # numbers in the patches that are held at once: about what a CPU's cache holds


def conv(depth: int, size: int = 3, stride: int = 1, padding: str = "SAME") -> Model:
    """D filters of F×F over x [B, H, W, C] -> [B, H', W', D], plus a bias; padding SAME or VALID."""
    if padding not in ("SAME", "VALID"):
        raise unknown("padding", padding, ("SAME", "VALID"))

    def init(key: Key, x: Array) -> Params:
        shape = (size, size, x.shape[-1], depth)
        return {"w": jax.nn.initializers.he_normal()(key, shape, jnp.float32), "b": jnp.zeros(depth)}

    def apply(params: Params, x: Array) -> Array:
        if padding == "VALID" and min(x.shape[1:3]) < size:
            raise UsageError(f"a filter of {size}×{size} does not fit into images of {x.shape[1]}×{x.shape[2]}")
        return convolve(jnp.asarray(x), params["w"], stride, padding) + params["b"]

    return Model(init, apply)


def _convolve(x: jax.Array, w: jax.Array, stride: int, padding: str) -> jax.Array:
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=dims)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, w: jax.Array, stride: int = 1, padding: str = "SAME") -> jax.Array:
    """out[b, p, q, d] = Σ_{i, j, c} x[b, p·s + i, q·s + j, c] w[i, j, c, d], x padded with zeros as `padding` says.

    x [B, H, W, C], w [F, G, C, D] -> [B, H', W', D]. Differentiable in reverse mode (its gradient is our own).
    """
    return _convolve(x, w, stride, padding)


def _forward(x: jax.Array, w: jax.Array, stride: int, padding: str) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(x, w, stride, padding), (x, w)


def _backward(
    stride: int, padding: str, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return lax.platform_dependent(
        *saved, g, cpu=partial(by_products, stride, padding), default=partial(by_transposes, stride, padding)
    )


convolve.defvjp(_forward, _backward)


def by_transposes(stride: int, padding: str, x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients (∂E/∂x, ∂E/∂w) from g = ∂E/∂out, as JAX derives them: transposed convolutions."""
    return jax.vjp(lambda x, w: _convolve(x, w, stride, padding), x, w)[1](g)


def by_products(stride: int, padding: str, x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same gradients as products of matrices: ∂E/∂w = patchesᵀ g, ∂E/∂x = what each patch hands back.

    The patches are made for a few images at a time, so that they stay in the cache.
    """
    size, depth = w.shape[:2], w.shape[3]
    room = max(1, BLOCK // max(1, g.shape[1] * g.shape[2] * math.prod(w.shape[:3])))
    block = next(n for n in range(min(room, len(x)), 0, -1) if len(x) % n == 0) if len(x) else 1

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, slope = part
        return total + jnp.tensordot(patches(rows, size, stride, padding), slope, ((0, 1, 2), (0, 1, 2))), None

    parts = (x.reshape(-1, block, *x.shape[1:]), g.reshape(-1, block, *g.shape[1:]))
    w_slope, _ = lax.scan(add, jnp.zeros((math.prod(w.shape[:3]), depth), w.dtype), parts)
    if stride == 1:
        before = [first for first, _ in _margins(x.shape, size, stride, padding)]
        around = [(f - 1 - b, n + b - m) for f, b, n, m in zip(size, before, x.shape[1:3], g.shape[1:3], strict=True)]
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
        dims = ("NHWC", "HWIO", "NHWC")
        x_slope = lax.conv_general_dilated(g, turned, (1, 1), around, dimension_numbers=dims)
    else:
        back = jax.vjp(lambda x: patches(x, size, stride, padding), x)[1]
        (x_slope,) = back(g @ w.reshape(-1, depth).T)
    return x_slope, w_slope.reshape(w.shape)


def _margins(shape: Shape, size: Sequence[int], stride: int, padding: str) -> list[tuple[int, int]]:
    """Rows and columns of zeros that `padding` puts around the images."""
    return lax.padtype_to_pads(shape[1:3], size, (stride, stride), padding)


def patches(x: jax.Array, size: Sequence[int], stride: int, padding: str) -> jax.Array:
    """What each position of a filter sees: [B, H, W, C] -> [B, H', W', F·G·C], so that convolution is one product."""
    margins = _margins(x.shape, size, stride, padding)
    x = jnp.pad(x, ((0, 0), *margins, (0, 0)))
    height, width = ((n - f) // stride + 1 for n, f in zip(x.shape[1:3], size, strict=True))
    down, right = (height - 1) * stride + 1, (width - 1) * stride + 1
    views = [x[:, i : i + down : stride, j : j + right : stride] for i in range(size[0]) for j in range(size[1])]
    return jnp.concatenate(views, -1)


def pool(window: int = 2, kind: str = "max") -> Model:
    """Maximum or mean over windows that do not overlap: [B, H, W, C] -> [B, H//window, W//window, C]."""
    if kind not in ("max", "average"):
        raise unknown("pooling", kind, ("max", "average"))

    def apply(params: Params, x: Array) -> Array:
        b, h, w, c = x.shape
        h, w = h // window, w // window
        if h == 0 or w == 0:
            raise UsageError(f"images of {x.shape[1]}×{x.shape[2]} are smaller than the pooling window {window}")
        cut = x[:, : h * window, : w * window].reshape(b, h, window, w, window, c)
        return cut.mean((2, 4)) if kind == "average" else cut.max((2, 4))

    return Model(lambda key, x: {}, apply)
