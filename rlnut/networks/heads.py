"""Heads that change how a network makes the outputs of the actions: dueling streams, implicit quantiles.

Both take any `Network` as the body and are networks (or models) again, so they go with each other, with noisy layers
and with every readout.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.networks.architectures import trunk
from rlnut.networks.layers import activation, dense, function, head, serial
from rlnut.types import Array, Example, Key, Model, Network, Params, Shape, Shaped, call, namespace


def midpoints(n: int) -> np.ndarray:
    """τ̂_i = (2i + 1)/2n, i = 0 … n − 1: n quantiles that are nearest in W₁ (Dabney et al. 2018a, lemma 2)."""
    return ((2 * np.arange(n) + 1) / (2 * n)).astype(np.float32)


def at_midpoints(n: int) -> Model:
    """A layer that says of n values [..., n] that they are the quantiles at the midpoints: [..., n, 2]."""

    def apply(params: Params, x: Array) -> Array:
        xp = namespace(x)
        return xp.stack([x, xp.broadcast_to(xp.asarray(midpoints(n)), x.shape)], -1)

    return Model(lambda key, x: {}, apply, host=True)


COSINES = 64  # of a fraction's embedding (Dabney et al. 2018b, eq. 4)


def combined(centre: str) -> Model:
    """v + a − centre(a), centre the mean or the max over actions: [B, 1 + A, ...] (v first) -> [B, A, ...]."""

    def apply(x: Shaped[Array, "B A1 ..."]) -> Shaped[Array, "B A ..."]:
        advantage = x[:, 1:]
        base = advantage.mean(1, keepdims=True) if centre == "mean" else advantage.max(1, keepdims=True)
        return x[:, :1] + advantage - base

    return function(apply)


def dueling(network: Network, centre: str = "mean") -> Network:
    """Action values as v(s) + a(s, ·) − centre(a) (Wang et al. 2016, eq. 8 max, eq. 9 mean).

    Both streams are heads of one body (the paper gives each a hidden layer of its own).
    """
    return lambda shape: serial(network((shape[0] + 1, *shape[1:])), combined(centre))


def implicit(
    body: Network,
    width: int,
    learn: int = 8,
    act: int = 32,
    centre: str = "none",
    layer: Callable[..., Model] = dense,
    norm: bool = False,
    activation_name: str = "relu",
) -> Network:
    """IQN: q at fractions τ, f(ψ(s) ∘ φ(τ)), φ(τ) = relu(Σᵢ wᵢ cos πiτ + b) (Dabney et al. 2018b).

    With a key `learn` fractions are drawn from U(0, 1) for each row, without one the `act` midpoints are taken (the
    paper draws there too). Outputs are [B, A, n, 2]: a value and its fraction. ψ is `body` with `width` outputs, f has
    one hidden layer of `width`; `centre`: dueling; `norm`, `activation_name`: of both hidden layers.
    """
    cosine = serial(dense(width), activation("relu"))
    extra = 0 if centre == "none" else 1

    def build(shape: Shape) -> Model:
        below = trunk(body, width, norm, activation_name)
        above = trunk(lambda s: layer(*s), width, norm, activation_name)
        last = serial(above, head((shape[0] + extra,), layer=layer))
        parts = (below, cosine, last)
        waves = np.pi * np.arange(COSINES, dtype=np.float32)

        def init(key: Key, x: Example) -> Params:
            keys = jax.random.split(key, 3)
            inputs = (jnp.zeros(x.shape, x.dtype), jnp.zeros((1, COSINES)), jnp.zeros((1, width)))
            return tuple(part.init(k, i) for part, k, i in zip(parts, keys, inputs, strict=True))

        def apply(params: Params, x: Shaped[Array, "B ..."], key: Key | None = None) -> Shaped[Array, "B A n 2"]:
            tau_key, *keys = (None,) * 4 if key is None else jax.random.split(key, 4)
            features = call(below, params[0], x, keys[0])
            xp, rows = namespace(features), len(features)
            tau = xp.broadcast_to(xp.asarray(midpoints(act)), (rows, act))
            if tau_key is not None:
                tau = jax.random.uniform(tau_key, (rows, learn))
            n = tau.shape[1]
            phi = call(cosine, params[1], xp.cos(tau.reshape(-1, 1) * waves), keys[1]).reshape(rows, n, width)
            merged = (features[:, None] * phi).reshape(rows * n, width)
            out = xp.moveaxis(call(last, params[2], merged, keys[2]).reshape(rows, n, -1), 1, 2)  # [B, A, n]
            out = combined(centre).apply({}, out) if extra else out
            return xp.stack([out, xp.broadcast_to(tau[:, None], out.shape)], -1)

        return Model(init, apply, stochastic=True, host=below.host)

    return build
