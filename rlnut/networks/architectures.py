"""Whole networks composed of layers: linear, MLP, CNN and LeNet, each a list of layers in front of a linear head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np

from rlnut.choices import ACTIVATIONS, INITIALIZERS, NORMS, PADDINGS, POOLINGS
from rlnut.errors import UsageError, unknown
from rlnut.networks.convolution import bias, conv, group_norm, pool
from rlnut.networks.layers import activation, dense, dropout, flatten, function, head, layer_norm, serial
from rlnut.types import Array, Model, Network, Shape


def linear(initializer: str = "zeros") -> Network:
    """g_θ(x) = θᵀ(x, 1): a single layer without activation; softmax regression when the loss is cross-entropy."""
    named("initializer", initializer, (*INITIALIZERS, "zeros"))
    return lambda shape: serial(flatten(), head(tuple(shape), initializer))


def mlp(
    hidden: tuple[int, ...] = (256, 256),
    activation_name: str = "relu",
    initializer: str = "he",
    drop: float = 0.0,
    norm: bool = False,
    layer: Callable[..., Model] = dense,
    first: Callable[..., Model] = dense,
    last: str = "glorot",
) -> Network:
    """Fully connected network: x⁽ˡ⁾ = f(W⁽ˡ⁾ x⁽ˡ⁻¹⁾ + b⁽ˡ⁾) for each width in `hidden`, then a linear head.

    `norm` puts a `layer_norm` before each f, `drop` a `dropout` after it; `first` makes the first hidden layer, `layer`
    the other dense layers; the head's W begins as `last` says (an initializer, or zeros).
    """
    hidden = whole("hidden", hidden)
    named("activation", activation_name, ACTIVATIONS)
    named("initializer", initializer, INITIALIZERS)
    _check_rate(drop)

    def build(shape: Shape) -> Model:
        layers = [flatten()]
        for i, width in enumerate(hidden):
            layers += [(layer if i else first)(width, initializer), *([layer_norm()] if norm else [])]
            layers += [activation(activation_name), *_drop(drop)]
        return serial(*layers, head(tuple(shape), last, layer))

    return build


def trunk(body: Network, width: int, norm: bool = False, activation_name: str = "relu") -> Model:
    """Hidden layers, f(norm(body)), the body's outputs being `width` units."""
    return serial(body((width,)), *([layer_norm()] if norm else []), activation(activation_name))


def cnn(
    channels: tuple[int, ...] = (32, 64),
    filter_size: int = 3,
    stride: int = 1,
    window: int = 2,
    hidden: tuple[int, ...] = (128,),
    drop: float = 0.0,
    norm: bool = False,
    layer: Callable[..., Model] = dense,
    padding: str = "same",
    pooling: str = "max",
    pool_stride: int | None = None,
    filter_norm: str = "none",
    dims: int = 2,
    activation_name: str = "relu",
    initializer: str = "he",
) -> Network:
    """Generic CNN: `filters` for each D in `channels`, then an MLP. x: [B, H, W(, C)], with dims=1 [B, T(, C)].

    `window` = 1 leaves the pooling out (the usual choice for Q-networks); `norm`, `layer` and `initializer` are those
    of the MLP.
    """
    channels, hidden = whole("channels", channels), whole("hidden", hidden)
    for name, value in (("filter_size", filter_size), ("stride", stride), ("window", window), ("dims", dims)):
        whole(name, (value,))
    named("padding", padding, PADDINGS)
    named("pooling", pooling, POOLINGS)
    named("norm", filter_norm, NORMS)
    named("activation", activation_name, ACTIVATIONS)
    named("initializer", initializer, INITIALIZERS)
    if dims > 2:
        raise UsageError(f"dims must be 1 (signals) or 2 (images), got {dims}")
    _check_rate(drop)

    def build(shape: Shape) -> Model:
        layers = [with_channels(dims)]
        for depth in channels:
            layers += filters(
                depth, filter_size, stride, padding, filter_norm, activation_name, window, pooling, pool_stride
            )
        dense_part = mlp(hidden, activation_name, initializer, drop, norm, layer, first=layer)
        return serial(*layers, *_drop(drop / 2), dense_part(shape))

    return build


def filters(
    depth: int,
    size: int = 3,
    stride: int = 1,
    padding: str = "same",
    norm: str = "none",
    activation_name: str = "relu",
    window: int = 1,
    pooling: str = "max",
    pool_stride: int | None = None,
    variance: float = 2.0,
) -> list[Model]:
    """The layers of one stage of a CNN, pooling(f(x ∗ w + b)): [B, H, W, C] -> [B, H', W', D].

    `norm`: none, weight (`convolution.standardised` filters, which cost nothing a pixel) or group (`group_norm` in the
    place of b). Batch normalisation is left out: its running means are state beside θ, and in it the rows of a batch
    depend on one another; these two are pure functions of θ and one row. A maximum is taken before b and f: f is
    monotone, so without group_norm nothing changes but the work. `variance`: of the first weights, see `conv`.
    """
    named("norm", norm, NORMS)
    linear_part = conv(depth, size, stride, padding, bias=False, standard=norm == "weight", variance=variance)
    then = [group_norm() if norm == "group" else bias(), activation(activation_name)]
    pools = [pool(window, pooling, pool_stride)] if window > 1 else []
    return [linear_part, *pools, *then] if pooling == "max" else [linear_part, *then, *pools]


def with_channels(dims: int) -> Model:
    """A channel axis for rows that have none: [B, H, W] -> [B, H, W, 1] (dims=2), [B, T] -> [B, T, 1] (dims=1)."""

    def apply(x: Array) -> Array:
        if x.ndim not in (dims + 1, dims + 2):
            raise UsageError(
                f"filters in {dims} dimensions take rows of {dims} or {dims + 1} axes, got {list(x.shape[1:])}"
            )
        return x[..., None] if x.ndim == dims + 1 else x

    return function(apply)


def lenet(activation_name: str = "tanh", pooling: str = "average", tail: Network | None = None) -> Network:
    """LeNet-5 (LeCun et al. 1998, figure 2) as read today: x [B, H, W(, C)], made for 28 × 28.

    6 filters 5×5 (same), pooling by 2, 16 filters 5×5 (valid), pooling by 2, then layers of 120, 84 and the head.
    Not as in 1998: all 16 filters see all 6 maps, pooling has no weights, tanh is not stretched, the head is linear.
    `tail` takes the place of the layers behind the poolings.
    """
    named("activation", activation_name, ACTIVATIONS)
    named("pooling", pooling, POOLINGS)

    def build(shape: Shape) -> Model:
        layers = [with_channels(2)]
        for depth, padding in ((6, "same"), (16, "valid")):
            layers += filters(depth, 5, 1, padding, "none", activation_name, 2, pooling)
        return serial(*layers, (tail or mlp((120, 84), activation_name, "glorot"))(shape))

    return build


def nature(activation_name: str = "relu", tail: Network | None = None) -> Network:
    """The network of DQN (Mnih et al. 2015) for images x [B, H, W(, C)] of 36 × 36 or more, made for 84 × 84 × 4.

    32 filters 8×8 by 4, 64 filters 4×4 by 2, 64 filters 3×3 (all valid), a layer of 512 and the head. `tail` takes the
    place of the last two.
    """
    named("activation", activation_name, ACTIVATIONS)

    def build(shape: Shape) -> Model:
        layers = [with_channels(2)]
        for depth, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            layers += filters(depth, size, stride, "valid", activation_name=activation_name)
        return serial(*layers, (tail or mlp((512,), activation_name))(shape))

    return build


def whole(name: str, values: object) -> tuple[int, ...]:
    """Whole numbers >= 1, checked when a network is described and not when it is first used."""
    good = isinstance(values, (tuple, list)) and all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1 for v in values
    )
    if not good:
        raise UsageError(f"{name} must be whole numbers >= 1, as in (64, 32), got {values!r}")
    return tuple(int(v) for v in cast(tuple[int, ...], values))


def named(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones."""
    if name not in known:
        raise unknown(kind, name, known)


def _check_rate(drop: float) -> None:
    if isinstance(drop, bool) or not isinstance(drop, (int, float)) or not 0 <= drop < 1:
        raise UsageError(f"dropout must be a share >= 0 and < 1, got {drop!r}")


def _drop(rate: float) -> list[Model]:
    return [dropout(rate)] if rate else []
