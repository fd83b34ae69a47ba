"""Approximators g_θ: layers are models, `serial` composes them, and linear, MLP, CNN and LeNet differ only in the list.

A `Network` is an architecture without its head: called with the shape of one output it gives a `Model`, so the same
`mlp()` regresses a scalar (shape ()), classifies M digits (M,), or holds Q(s, ·) for A actions (A,).
Dense layers and activations are written against the array's own namespace: NumPy in, NumPy out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.errors import unknown
from rlnut.types import Array, Example, Inputs, Key, Model, Params, Shape, Shaped, namespace


def sigmoid(x: Shaped[Array, "*N"]) -> Shaped[Array, "*N"]:
    """σ(x) = 1/(1 + e⁻ˣ), written so that nothing overflows and every slope is a number (to 1e-7); NumPy or JAX."""
    return 0.5 + 0.5 * namespace(x).tanh(0.5 * x)


@jax.custom_jvp
def _relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


@_relu.defjvp
def _relu_slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The slope of a maximum as JAX has it, ½ where both are equal, without its division."""
    (x,), (tangent,) = primals, tangents
    half = jnp.where(x == 0, 0.5, 0.0).astype(tangent.dtype)
    return _relu(x), tangent * jnp.where(x > 0, jnp.ones_like(half), half)


def relu(x: Shaped[Array, "*N"]) -> Shaped[Array, "*N"]:
    """max(x, 0), with the slope ½ at 0; NumPy or JAX."""
    return _relu(x) if isinstance(x, jax.Array) else namespace(x).maximum(x, 0)


def elu(x: Shaped[Array, "*N"]) -> Shaped[Array, "*N"]:
    """x for x > 0, eˣ − 1 below, with the slope 1 at 0 (Clevert et al. 2016); NumPy or JAX."""
    xp = namespace(x)
    return xp.where(x > 0, x, xp.expm1(xp.where(x > 0, 0, x)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "tanh": lambda x: namespace(x).tanh(x),
    "sigmoid": sigmoid,
    "elu": elu,
    "identity": lambda x: x,
}
INITIALIZERS = {
    "he": jax.nn.initializers.he_uniform(),  # variance 2/fan_in (He et al. 2015)
    "glorot": jax.nn.initializers.glorot_uniform(),  # variance 2/(fan_in + fan_out) (Glorot & Bengio 2010)
    "orthogonal": jax.nn.initializers.orthogonal(math.sqrt(2)),  # (Saxe et al. 2014)
    "zeros": jax.nn.initializers.zeros,
}


def function(apply: Callable[[Array], Array], host: bool = True, name: str = "") -> Model:
    """A layer without parameters: x [B, ...] -> apply(x) [B, ...]."""
    return Model(lambda key, x: {}, lambda params, x: apply(x), host=host, name=name)


def activation(name: str) -> Model:
    """Elementwise non-linearity f(z): one of ACTIVATIONS."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return function(ACTIVATIONS[name], name=name)


def flatten() -> Model:
    """[B, ...] -> [B, D]."""
    return function(lambda x: x.reshape(len(x), -1), name="flatten")


def dense(width: int, initializer: str = "he") -> Model:
    """x [B, D] -> x W + b [B, width]; W from `initializer`, b = 0."""
    if initializer not in INITIALIZERS:
        raise unknown("initializer", initializer, INITIALIZERS)

    def init(key: Key, x: Example) -> Params:
        return {"w": INITIALIZERS[initializer](key, (x.shape[-1], width), jnp.float32), "b": jnp.zeros(width)}

    def apply(params: Params, x: Shaped[Array, "... D"]) -> Shaped[Array, "... W"]:
        return x @ params["w"] + params["b"]

    return Model(init, apply, host=True, name=f"dense {width}")


def noisy_dense(sigma: float = 0.5) -> Callable[..., Model]:
    """A maker of dense layers with learned noise: x (W + S∘εⁱⁿεᵒᵘᵗ) + b + s∘εᵒᵘᵗ, ε -> sign(ε)√|ε| of normal numbers.

    Factorised noisy networks (Fortunato et al. 2018, section 3): S = s = sigma/√fan_in at first, W and b from
    U(±1/√fan_in). Each row of a batch has noise of its own (the paper shares it): bootstrapping from one draw for all
    rows was measured to diverge. Without a key there is no noise.
    """

    def layer(width: int, initializer: str = "") -> Model:
        def init(key: Key, x: Example) -> Params:
            fan_in = x.shape[-1]
            w_key, b_key = jax.random.split(key)
            limit, spread = 1 / math.sqrt(fan_in), sigma / math.sqrt(fan_in)
            w = jax.random.uniform(w_key, (fan_in, width), jnp.float32, -limit, limit)
            b = jax.random.uniform(b_key, (width,), jnp.float32, -limit, limit)
            return {"w": w, "b": b, "w_noise": jnp.full((fan_in, width), spread), "b_noise": jnp.full(width, spread)}

        def apply(params: Params, x: Array, key: Key | None = None) -> Array:
            y = x @ params["w"] + params["b"]
            if key is None:
                return y
            e = jax.random.normal(key, (*x.shape[:-1], x.shape[-1] + width))
            e = jnp.sign(e) * jnp.sqrt(jnp.abs(e))
            into, out = e[..., : x.shape[-1]], e[..., x.shape[-1] :]
            return y + ((x * into) @ params["w_noise"] + params["b_noise"]) * out

        return Model(init, apply, stochastic=True, host=True, name=f"noisy {width}")

    return layer


def dropout(rate: float) -> Model:
    """Zero each input with probability `rate` and scale the rest by 1/(1 − rate); no key: off (Srivastava 2014)."""

    def apply(params: Params, x: Array, key: Key | None = None) -> Array:
        if key is None or rate == 0:
            return x
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    return Model(lambda key, x: {}, apply, stochastic=True, host=True, name=f"dropout {rate:g}")


def layer_norm() -> Model:
    """γ (x − mean)/√(variance + 1e-5) + β over the last axis, γ and β learned (Ba et al. 2016): [B, ..., D] -> same.

    1e-5 is what PyTorch and Haiku take; Flax takes 1e-6.
    """

    def apply(params: Params, x: Shaped[Array, "*B D"]) -> Shaped[Array, "*B D"]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / namespace(x).sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        return scaled * params["gamma"] + params["beta"]

    return Model(
        lambda key, x: {"gamma": jnp.ones(x.shape[-1]), "beta": jnp.zeros(x.shape[-1])},
        apply,
        host=True,
        name="layer norm",
    )


def serial(*layers: Model) -> Model:
    """Layers one after the other: θ is the tuple of their θ; a stochastic layer i draws from fold_in(key, i)."""

    def init(key: Key, x: Inputs) -> Params:
        params = []
        shape = jax.eval_shape(lambda a: a, x)
        for layer, k in zip(layers, jax.random.split(key, len(layers)), strict=True):
            params.append(layer.init(k, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)))
            shape = jax.eval_shape(layer.apply, params[-1], shape)
        return tuple(params)

    def apply(params: Params, x: Inputs, key: Key | None = None) -> Array:
        for i, (layer, theta) in enumerate(zip(layers, params, strict=True)):
            if layer.stochastic and key is not None:
                x = layer.apply(theta, x, jax.random.fold_in(key, i))
            else:
                x = layer.apply(theta, x)
        return x

    functions = [layer.apply for layer in layers]

    def plain(params: Params, x: Inputs) -> Array:
        for each, theta in zip(functions, params, strict=True):
            x = each(theta, x)
        return x

    stochastic = any(layer.stochastic for layer in layers)
    return Model(init, apply if stochastic else plain, stochastic, all(layer.host for layer in layers), "", layers)


def head(shape: Shape, initializer: str = "glorot", layer: Callable[..., Model] = dense) -> Model:
    """A dense layer whose output has any shape: [B, D] -> [B, *shape]; () gives one scalar a row."""
    width = math.prod(shape)
    return serial(layer(width, initializer), function(lambda x: x.reshape(len(x), *shape)))


def unit_scale(high: float = 255.0) -> Model:
    """Integers 0 … high -> float32 0 … 1, so that images are stored as uint8."""
    return function(lambda x: x.astype(np.float32) / np.float32(high), name=f"x/{high:g}")


def one_hot_layer(n: int, start: int = 0) -> Model:
    """Integers start … start+n−1, [B] -> [B, n]: with a linear head this is a table."""
    return function(lambda x: (x[..., None] == namespace(x).arange(start, start + n)).astype(np.float32))


def parameter_count(params: Params) -> int:
    """Number of scalars in θ."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
