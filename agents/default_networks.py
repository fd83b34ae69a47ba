"""Which network suits the observations of an environment: MLP for vectors, CNN for images, branches for both."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jax

from rlnut.agents.network_agent import NetworkAgent
from rlnut.choices import SMALLEST_IMAGE
from rlnut.errors import UsageError
from rlnut.learner.spec import Observation, Spec
from rlnut.networks.architectures import cnn, lenet, mlp, nature, trunk
from rlnut.networks.layers import dense, serial
from rlnut.networks.residual_networks import impala, resnet
from rlnut.types import Array, Inputs, Key, Model, Network, Params, Shape, namespace

USUAL = {f.name: f.default for f in fields(NetworkAgent)}
FEATURES = 128  # of an image, where other parts are seen beside it


def network_of_options(
    config: NetworkAgent, spec: Spec, own: Network | None, hidden: tuple[int, ...], **options: Any
) -> Network:
    """The network that the options of an agent describe, or the user's `own`, which takes its place.

    options: of `mlp`: norm, layer. Raises UsageError for an option that would have no effect.
    """
    moved = [name for name in ("network", "activation", "initializer") if getattr(config, name) != USUAL[name]]
    if own is not None:
        if moved:
            raise UsageError(
                f"{moved[0]} has no effect on a network of your own, which takes the place of the default one"
            )
        return own
    images = bool(spec.observed.images or spec.image) and config.network != "mlp"
    if "activation" in moved and not images and not config.hidden:
        raise UsageError("activation has no effect here: there are no hidden layers")
    if "initializer" in moved and (not hidden or (spec.image and images and options.get("layer", dense) is not dense)):
        raise UsageError(
            "initializer has no effect here: it is for dense hidden layers without noise, but for the last one where a"
            " memory or implicit quantiles follow"
        )
    return default_network(spec, hidden, config.network, config.activation, config.initializer, **options)


def default_network(
    spec: Spec,
    hidden: tuple[int, ...],
    name: str = "auto",
    activation_name: str = "relu",
    initializer: str = "he",
    **options: Any,
) -> Network:
    """The network for what the learner sees: MLP for vectors, CNN for images (Mnih et al. 2015 for large ones).

    name: another one, of `NETWORKS`; UsageError where it cannot take the observation. options: of `mlp`: norm, layer.
    """
    if name in ("auto", "mlp") and not spec.observed.images and (name == "mlp" or not spec.image):
        return mlp(hidden, activation_name, initializer, **options)
    how = (hidden, name, activation_name, initializer)
    if spec.observed.images and name != "mlp":
        return branches(spec.observed, *how, **options)
    if not spec.image:
        needs = "one array" if name == "mlp" else "images"
        raise UsageError(f"network {name} takes {needs}, and the observations are {spec.observed.saw}: use auto")
    return image_network(encoded_shapes(spec.observed).shape[1:], *how, **options)


def image_network(
    shape: Shape, hidden: tuple[int, ...], name: str, activation_name: str, initializer: str, **options: Any
) -> Network:
    """A network for images of this size, with `hidden` layers behind its convolutions.

    auto, cnn: for small ones a single layer of 16 filters (MinAtar, Young & Tian 2019).
    """
    least, sides = SMALLEST_IMAGE.get(name, 1), shape[:2]
    if min(sides) < least:
        raise UsageError(f"network {name} needs images of at least {least}×{least}, got {sides[0]}×{sides[1]}")
    layer = options.get("layer", dense)
    tail = mlp(hidden, activation_name, initializer, norm=options.get("norm", False), layer=layer, first=layer)
    if name == "lenet":
        return lenet(activation_name, tail=tail)
    if name == "resnet":
        return resnet(activation_name=activation_name, tail=tail)
    if name == "nature":
        return nature(activation_name, tail=tail)
    if name == "impala":
        return impala(activation_name=activation_name, tail=tail)
    filters, size, stride = ((16,), 3, 1) if max(shape) < 32 else ((32, 64), 8, 4)
    units: dict[str, Any] = {"activation_name": activation_name, "initializer": initializer}
    return cnn(filters, size, stride, 1, hidden, **units, **options)


def encoded_shapes(seen: Observation) -> Any:
    """What the encoder makes of one stored observation, as shapes."""
    encode = seen.encoder
    example = jax.ShapeDtypeStruct((1, *seen.shape), seen.dtype)
    return jax.eval_shape(lambda x: encode.apply(encode.init(jax.random.key(0), x), x), example)


def branches(
    seen: Observation, hidden: tuple[int, ...], name: str, activation_name: str, initializer: str, **options: Any
) -> Network:
    """A CNN for each image, its features beside the vector, then an MLP: (images [B, H, W, C] …, vector) -> [B, …].

    name: another network for the images.
    """

    def features_of(shape: Shape) -> Model:
        body = image_network(shape, (), name, activation_name, initializer, **options)
        return trunk(body, FEATURES, options.get("norm", False), activation_name)

    images = [features_of(part.shape[1:]) for part in encoded_shapes(seen)[:-1]]

    def init(key: Key, x: Inputs) -> Params:
        keys = jax.random.split(key, len(images))
        return tuple(model.init(k, image) for model, k, image in zip(images, keys, x[:-1], strict=True))

    def apply(params: Params, x: Inputs) -> Array:
        features = [model.apply(theta, image) for model, theta, image in zip(images, params, x[:-1], strict=True)]
        return namespace(x[-1]).concatenate([*features, x[-1]], -1)

    joined = Model(init, apply, host=all(model.host for model in images))
    return lambda shape: serial(joined, mlp(hidden, activation_name, initializer, **options)(shape))


def value_model(spec: Spec, network: Network) -> Model:
    """q(s, ·): stored observations [B, ...] -> [B, A], or [B, D, K] for D groups of actions."""
    return serial(spec.encoder, network(spec.choices))
