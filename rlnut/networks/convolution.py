"""Convolution and pooling along one or more axes: x [B, T, C] or [B, H, W, C], filters [F, C, D] or [F, F, C, D].

The forward pass is XLA's (on CPUs a matrix product where patches are small). So is the gradient, except on CPUs: there
XLA's gradient of a convolution is slow, and about ten times slower still inside a compiled loop, so the same sums are
written as matrix products (below).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from rlnut.choices import PADDINGS, POOLINGS
from rlnut.errors import UsageError, unknown
from rlnut.types import Array, Example, Key, Model, Params, Shape

BLOCK = 2**18  # numbers in the patches that are held at once: about what the cache of one core holds
FEW = 27  # numbers in one patch up to which a product is at least as fast on CPUs as XLA's convolution: 3 × 3 × 3


def conv(
    depth: int,
    size: int = 3,
    stride: int = 1,
    padding: str = "same",
    bias: bool = True,
    standard: bool = False,
    variance: float = 2.0,
) -> Model:
    """D filters of F (×F) over x [B, T, C] or [B, H, W, C] -> [B, ..., D], plus a bias; x says how many axes there are.

    `padding`: same (zeros around x, so that ceil(n/stride) positions come out) or valid (none). `standard`: see
    `standardised`. The first weights have variance 2/(F·F·C) (He et al. 2015), or `variance` in the place of 2.
    """
    if padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)

    def init(key: Key, x: Example) -> Params:
        shape = (size,) * (x.ndim - 2) + (x.shape[-1], depth)
        law = jax.nn.initializers.variance_scaling(variance, "fan_in", "truncated_normal")
        params = {"w": law(key, shape, jnp.float32)}
        return params | ({"b": jnp.zeros(depth)} if bias else {}) | ({"gain": jnp.ones(depth)} if standard else {})

    def apply(params: Params, x: Array) -> Array:
        if padding == "valid" and min(x.shape[1:-1]) < size:
            raise UsageError(f"a filter of side {size} does not fit into rows of shape {list(x.shape[1:-1])}")
        w = standardised(params["w"], params["gain"]) if standard else params["w"]
        out = convolve(jnp.asarray(x), w, stride, padding)
        return out + params["b"] if bias else out

    return Model(init, apply, name=f"conv {depth} of side {size}" + (f", stride {stride}" if stride > 1 else ""))


def standardised(w: Array, gain: Array) -> Array:
    """Filters of mean 0 and one length, times a learned gain: w [F, F, C, D], gain [D] -> [F, F, C, D].

    The length keeps the variance through ReLU, as He's first weights do:
    ŵ = gain · √2 (w − mean)/(σ √n), n = F·F·C numbers in a filter (Qiao et al. 2019; Brock et al. 2021, equation 3).
    """
    axes = tuple(range(w.ndim - 1))
    centred = w - w.mean(axes)
    return gain * math.sqrt(2) * centred / jnp.sqrt((centred * centred).sum(axes) + 1e-5)


def _convolve(x: jax.Array, w: jax.Array, stride: int, margins: Sequence[tuple[int, int]]) -> jax.Array:
    n = x.ndim - 2
    outer = (0, n + 1, *range(1, n + 1))  # where batch, channels and the axes of space are
    dims = lax.ConvDimensionNumbers(outer, (n + 1, n, *range(n)), outer)
    return lax.conv_general_dilated(x, w, (stride,) * n, margins, dimension_numbers=dims)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, w: jax.Array, stride: int = 1, padding: str = "same") -> jax.Array:
    """out[b, p, q, d] = Σ_{i, j, c} x[b, p·s + i, q·s + j, c] w[i, j, c, d], x padded with zeros as `padding` says.

    x [B, H, W, C], w [F, G, C, D] -> [B, H', W', D]; and so for any number of axes between B and C: x [B, T, C],
    w [F, C, D] -> [B, T', D]. Differentiable in reverse mode (its gradient is our own).
    """
    by_xla = partial(xla_forward, stride, padding)
    few = math.prod(w.shape[:-1]) <= FEW
    return lax.platform_dependent(
        x, w, cpu=partial(product_forward, stride, padding) if few else by_xla, default=by_xla
    )


def xla_forward(stride: int, padding: str, x: jax.Array, w: jax.Array) -> jax.Array:
    """`convolve` as XLA has it."""
    return _convolve(x, w, stride, _margins(x.shape, w.shape, stride, padding))


def product_forward(stride: int, padding: str, x: jax.Array, w: jax.Array) -> jax.Array:
    """`convolve` as one product of all patches with the filters."""
    return patches(x, w.shape[:-2], stride, padding) @ w.reshape(-1, w.shape[-1])


def _forward(x: jax.Array, w: jax.Array, stride: int, padding: str) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, w, stride, padding), (x, w)


def _backward(
    stride: int, padding: str, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return lax.platform_dependent(
        *saved, g, cpu=partial(by_products, stride, padding), default=partial(by_transposes, stride, padding)
    )


convolve.defvjp(_forward, _backward)


def by_transposes(stride: int, padding: str, x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients (∂E/∂x, ∂E/∂w) from g = ∂E/∂out, as JAX derives them: transposed convolutions."""
    return jax.vjp(partial(xla_forward, stride, padding), x, w)[1](g)


def by_products(stride: int, padding: str, x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same gradients as products of matrices: ∂E/∂w = patchesᵀ g, ∂E/∂x = what each patch hands back.

    The patches are made for a few images at a time, so that they stay in the cache.
    """
    size, depth = w.shape[:-2], w.shape[-1]
    numbers = math.prod(w.shape[:-1])  # in one patch
    room = max(1, BLOCK // max(1, math.prod(g.shape[1:-1]) * numbers))
    block = next(n for n in range(min(room, len(x)), 0, -1) if len(x) % n == 0) if len(x) else 1
    summed = tuple(range(g.ndim - 1))

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, slope = part
        return total + jnp.tensordot(patches(rows, size, stride, padding), slope, (summed, summed)), None

    parts = (x.reshape(-1, block, *x.shape[1:]), g.reshape(-1, block, *g.shape[1:]))
    w_slope, _ = lax.scan(add, jnp.zeros((numbers, depth), w.dtype), parts)
    if stride == 1:
        before = [first for first, _ in _margins(x.shape, w.shape, stride, padding)]
        sides = zip(size, before, x.shape[1:-1], g.shape[1:-1], strict=True)
        around = [(f - 1 - b, n + b - m) for f, b, n, m in sides]
        turned = jnp.flip(w, range(len(size))).swapaxes(-1, -2)
        x_slope = _convolve(g, turned, 1, around)
    else:
        back = jax.vjp(lambda x: patches(x, size, stride, padding), x)[1]
        (x_slope,) = back(g @ w.reshape(-1, depth).T)
    return x_slope, w_slope.reshape(w.shape)


def _margins(shape: Shape, size: Sequence[int], stride: int, padding: str) -> list[tuple[int, int]]:
    """Zeros that `padding` puts before and after each axis of space; `size` begins with a filter's sides."""
    space = shape[1:-1]
    return lax.padtype_to_pads(space, size[: len(space)], (stride,) * len(space), padding.upper())


def patches(x: jax.Array, size: Sequence[int], stride: int, padding: str) -> jax.Array:
    """What each position of a filter sees: [B, H, W, C] -> [B, H', W', F·G·C], so that convolution is one product."""
    x = jnp.pad(x, ((0, 0), *_margins(x.shape, size, stride, padding), (0, 0)))
    ends = [(n - f) // stride * stride + 1 for n, f in zip(x.shape[1:-1], size, strict=True)]
    views = []
    for first in product(*map(range, size)):
        views.append(x[(slice(None), *(slice(i, i + end, stride) for i, end in zip(first, ends, strict=True)))])
    return jnp.concatenate(views, -1)


def pool(window: int = 2, kind: str = "max", stride: int | None = None, padding: str = "valid") -> Model:
    """Maximum or mean over windows of side k: [B, H, W, C] -> [B, (H − k)//stride + 1, (W − k)//stride + 1, C].

    stride None: the window, so that windows do not overlap; what fills no window is left out. Any number of axes.
    padding same: windows may reach beyond the edges, where nothing is: ceil(H/stride) × ceil(W/stride) come out.
    """
    if kind not in POOLINGS:
        raise unknown("pooling", kind, POOLINGS)
    if padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)
    step = window if stride is None else stride

    def apply(params: Params, x: Array) -> Array:
        if padding == "valid" and min(x.shape[1:-1]) < window:
            raise UsageError(f"rows of shape {list(x.shape[1:-1])} are smaller than the pooling window {window}")
        x = jnp.asarray(x)
        if step == window and padding == "valid":
            return max_pool(x, window) if kind == "max" else _tiles(x, window).mean(_inside(x))
        sides, steps = ((1, *(n,) * (x.ndim - 2), 1) for n in (window, step))
        if kind == "max":
            return lax.reduce_window(x, -jnp.inf, lax.max, sides, steps, padding)

        def total(a: jax.Array) -> jax.Array:
            return lax.reduce_window(a, 0.0, lax.add, sides, steps, padding)

        return total(x) / (math.prod(sides) if padding == "valid" else total(jnp.ones_like(x)))

    return Model(lambda key, x: {}, apply, name=f"{kind} pool {window}")


def _tiles(x: jax.Array, window: int) -> jax.Array:
    """[B, H, W, C] -> [B, H//k, k, W//k, k, C]."""
    counts = [n // window for n in x.shape[1:-1]]
    cut = x[(slice(None), *(slice(m * window) for m in counts))]
    return cut.reshape(len(x), *(side for m in counts for side in (m, window)), x.shape[-1])


def _inside(x: jax.Array) -> tuple[int, ...]:
    """The axes of `_tiles(x)` that run inside a window."""
    return tuple(range(2, 2 * (x.ndim - 2) + 1, 2))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, window: int) -> jax.Array:
    """The maximum of each window [B, H, W, C] -> [B, H//k, W//k, C]; its gradient goes to the first place that has it.

    JAX's own gradient shares among equals, and passes over the large array several times more for it.
    """
    return _tiles(x, window).max(_inside(x))


def _max_forward(x: jax.Array, window: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    tiles, best = _tiles(x, window), max_pool(x, window)
    place = jnp.zeros(best.shape, jnp.int32)
    for i, at in reversed(list(enumerate(product(range(window), repeat=x.ndim - 2)))):
        seen = tiles[(slice(None), *(index for j in at for index in (slice(None), j)))]
        place = jnp.where(seen == best, i, place)
    return best, (place, jnp.zeros((0, *x.shape[1:])))  # of x only the shape is needed


def _max_backward(window: int, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array]:
    place, like = saved
    axes, n = _inside(g), g.ndim - 2
    number = jnp.arange(window**n).reshape([1, *(side for _ in range(n) for side in (1, window)), 1])
    slope = jnp.where(jnp.expand_dims(place, axes) == number, jnp.expand_dims(g, axes), 0)
    slope = slope.reshape(len(g), *(m * window for m in g.shape[1:-1]), g.shape[-1])
    rest = [(0, whole - part) for whole, part in zip(like.shape[1:-1], slope.shape[1:-1], strict=True)]
    return (jnp.pad(slope, ((0, 0), *rest, (0, 0))),)


max_pool.defvjp(_max_forward, _max_backward)


def bias() -> Model:
    """x + b, one learned number for each channel: [B, ..., C] -> the same."""
    return Model(
        lambda key, x: {"b": jnp.zeros(x.shape[-1])}, lambda params, x: x + params["b"], host=True, name="bias"
    )


def group_norm(groups: int = 8) -> Model:
    """γ (x − mean)/√(variance + 1e-5) + β, mean and variance over space and the channels of a group, for each row.

    [B, ..., C] -> the same; γ and β [C] are learned; as many groups as divide C, at most `groups` (Wu & He 2018).
    """

    def apply(params: Params, x: Array) -> Array:
        parts = math.gcd(groups, x.shape[-1])
        grouped = x.reshape(len(x), -1, parts, x.shape[-1] // parts)
        centred = grouped - grouped.mean((1, 3), keepdims=True)
        scale = jax.lax.rsqrt((centred * centred).mean((1, 3), keepdims=True) + 1e-5)
        return (centred * scale).reshape(x.shape) * params["gamma"] + params["beta"]

    return Model(
        lambda key, x: {"gamma": jnp.ones(x.shape[-1]), "beta": jnp.zeros(x.shape[-1])}, apply, name="group norm"
    )
