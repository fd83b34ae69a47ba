"""Residual networks: layers that add to what they are given, x + f(x), so that depth does no harm."""

from __future__ import annotations

import jax.numpy as jnp

from rlnut.networks.architectures import filters, with_channels
from rlnut.networks.convolution import pool
from rlnut.networks.layers import activation, dropout, function, head, serial
from rlnut.types import Array, Example, Key, Model, Network, Params, Shape


def residual(inner: Model) -> Model:
    """x + α f(x), f = `inner` of x's own shape, α learned from 0: a block begins as the identity (De & Smith 2020)."""

    def init(key: Key, x: Example) -> Params:
        return {"f": inner.init(key, x), "scale": jnp.zeros(())}

    def apply(params: Params, x: Array, *noise: Key | None) -> Array:
        return x + params["scale"] * inner.apply(params["f"], x, *noise)

    return Model(init, apply, inner.stochastic, inner.host)


def resnet(
    channels: tuple[int, ...] = (32, 64),
    blocks: int = 1,
    filter_size: int = 3,
    drop: float = 0.0,
    norm: str = "weight",
    skip: bool = True,
    dims: int = 2,
) -> Network:
    """ResNet (He et al. 2015) for small images x [B, H, W(, C)], or with dims=1 for [B, T(, C)].

    For each D in `channels`: one convolution to D maps, maximum pooling by 2 (but for the first before the convolution,
    so that nothing is convolved in vain), and `blocks` residual blocks x + α (w₂ ∗ f(w₁ ∗ f(x))), f = ReLU before the
    filters (He et al. 2016). At the end the mean over all places, and a linear head. `norm` as in `networks.filters`;
    with weight-standardised filters and α no activation needs to be normalised (Brock et al. 2021). `skip` = False
    leaves out "x +" and α: the plain network of the same depth.
    """

    def build(shape: Shape) -> Model:
        layers = [with_channels(dims)]
        for stage, depth in enumerate(channels):
            layers += [activation("relu"), pool(2)] if stage else []
            layers += filters(depth, filter_size, norm=norm, activation_name="identity", window=1 if stage else 2)
            for _ in range(blocks):
                inner = [activation("relu"), *filters(depth, filter_size, norm=norm)]
                inner += filters(depth, filter_size, norm=norm, activation_name="identity")
                layers += [residual(serial(*inner))] if skip else inner
        layers += [activation("relu"), function(lambda x: x.mean(tuple(range(1, x.ndim - 1))))]
        layers += [dropout(drop)] if drop else []
        return serial(*layers, head(tuple(shape)))

    return build
