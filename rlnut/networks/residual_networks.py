"""Residual networks: layers that add to what they are given, x + f(x), so that depth does no harm."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from rlnut.choices import ACTIVATIONS
from rlnut.networks.architectures import filters, mlp, named, whole, with_channels
from rlnut.networks.convolution import pool
from rlnut.networks.layers import activation, dropout, function, head, serial
from rlnut.types import Array, Example, Key, Model, Network, Params, Shape


def residual(inner: Model, scaled: bool = True) -> Model:
    """x + α f(x), f = `inner` of x's own shape, α learned from 0: a block begins as the identity (De & Smith 2020).

    `scaled` = False: x + f(x) (He et al. 2016).
    """

    def init(key: Key, x: Example) -> Params:
        return {"f": inner.init(key, x)} | ({"scale": jnp.zeros(())} if scaled else {})

    def apply(params: Params, x: Array, *noise: Key | None) -> Array:
        change = inner.apply(params["f"], x, *noise)
        return x + (params["scale"] * change if scaled else change)

    return Model(init, apply, inner.stochastic, inner.host, "residual block")


def resnet(
    channels: tuple[int, ...] = (32, 64),
    blocks: int = 1,
    filter_size: int = 3,
    drop: float = 0.0,
    norm: str = "weight",
    skip: bool = True,
    dims: int = 2,
    activation_name: str = "relu",
    tail: Network | None = None,
) -> Network:
    """ResNet (He et al. 2015) for small images x [B, H, W(, C)], or with dims=1 for [B, T(, C)].

    For each D in `channels`: one convolution to D maps, maximum pooling by 2 (but for the first before the convolution,
    so that nothing is convolved in vain), and `blocks` residual blocks x + α (w₂ ∗ f(w₁ ∗ f(x))), f = ReLU before the
    filters (He et al. 2016). At the end the mean over all places, and a linear head, or `tail`. `norm` as in `filters`;
    with weight-standardised filters and α no activation needs to be normalised (Brock et al. 2021). `skip` = False
    leaves out "x +" and α: the plain network of the same depth.
    """

    def build(shape: Shape) -> Model:
        layers = [with_channels(dims)]
        for stage, depth in enumerate(channels):
            layers += [activation(activation_name), pool(2)] if stage else []
            layers += filters(depth, filter_size, norm=norm, activation_name="identity", window=1 if stage else 2)
            for _ in range(blocks):
                inner = [
                    activation(activation_name),
                    *filters(depth, filter_size, norm=norm, activation_name=activation_name),
                ]
                inner += filters(depth, filter_size, norm=norm, activation_name="identity")
                layers += [residual(serial(*inner))] if skip else inner
        layers += [
            activation(activation_name),
            function(lambda x: x.mean(tuple(range(1, x.ndim - 1))), name="mean over places"),
        ]
        layers += [dropout(drop)] if drop else []
        return serial(*layers, tail(shape) if tail else head(tuple(shape)))

    return build


def impala(
    channels: tuple[int, ...] = (16, 32, 32),
    blocks: int = 2,
    hidden: tuple[int, ...] = (256,),
    drop: float = 0.0,
    activation_name: str = "relu",
    tail: Network | None = None,
) -> Network:
    """The residual network of IMPALA (Espeholt et al. 2018, figure 3, right) for images x [B, H, W(, C)].

    For each D in `channels`: a convolution of 3 × 3 to D maps, maximum pooling of 3 × 3 by 2, and `blocks` residual
    blocks x + w₂ ∗ f(w₁ ∗ f(x)); all with zeros around, so that every stage halves the sides, rounded up. Then f, a
    layer for each width in `hidden`, and a linear head. `tail` takes the place of these layers and the head. The first
    filters have variance 1/(F·F·C), so that the sums of the blocks begin small.
    """
    named("activation", activation_name, ACTIVATIONS)
    last = tail or mlp(whole("hidden", hidden), activation_name, drop=drop)
    depths = whole("channels", channels)

    def build(shape: Shape) -> Model:
        layers = [with_channels(2)]
        for depth in depths:
            filtered = partial(filters, depth, variance=1.0)
            layers += [*filtered(activation_name="identity"), pool(3, "max", 2, "same")]
            for _ in range(blocks):
                inner = [activation(activation_name), *filtered(activation_name=activation_name)]
                layers += [residual(serial(*inner, *filtered(activation_name="identity")), scaled=False)]
        return serial(*layers, activation(activation_name), last(shape))

    return build
