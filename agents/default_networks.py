"""Which network suits the observations of an environment: MLP for vectors, CNN for images, branches for both."""

from __future__ import annotations

from typing import Any

import jax

from rlnut.learner.spec import Observation, Spec
from rlnut.networks.architectures import cnn, mlp, trunk
from rlnut.networks.layers import serial
from rlnut.types import Array, Inputs, Key, Model, Network, Params, Shape, namespace

FEATURES = 128  # of an image, where other parts are seen beside it


def default_network(spec: Spec, hidden: tuple[int, ...], **options: Any) -> Network:
    """The network for what the learner sees: MLP for vectors, CNN for images (Mnih et al. 2015 for large ones).

    options: of both `mlp` and `cnn`: norm, layer.
    """
    if spec.observed.images:
        return branches(spec.observed, hidden, **options)
    if not spec.image:
        return mlp(hidden, **options)
    return image_network(spec.shape, hidden, **options)


def image_network(shape: Shape, hidden: tuple[int, ...], **options: Any) -> Network:
    """A CNN for images of this size: for small ones a single layer of 16 filters (MinAtar, Young & Tian 2019)."""
    small = max(shape) < 32
    return cnn((16,), hidden=hidden, window=1, **options) if small else cnn((32, 64), 8, 4, 1, hidden, **options)


def branches(seen: Observation, hidden: tuple[int, ...], **options: Any) -> Network:
    """A CNN for each image, its features beside the vector, then an MLP: (images [B, H, W, C] …, vector) -> [B, …]."""
    size: Any = jax.eval_shape(seen.encoder.apply, {}, jax.ShapeDtypeStruct((1, *seen.shape), seen.dtype))
    images = [
        trunk(image_network(part.shape[1:], (), **options), FEATURES, options.get("norm", False)) for part in size[:-1]
    ]

    def init(key: Key, x: Inputs) -> Params:
        keys = jax.random.split(key, len(images))
        return tuple(model.init(k, image) for model, k, image in zip(images, keys, x[:-1], strict=True))

    def apply(params: Params, x: Inputs) -> Array:
        features = [model.apply(theta, image) for model, theta, image in zip(images, params, x[:-1], strict=True)]
        return namespace(x[-1]).concatenate([*features, x[-1]], -1)

    joined = Model(init, apply, host=all(model.host for model in images))
    return lambda shape: serial(joined, mlp(hidden, **options)(shape))


def value_model(spec: Spec, network: Network) -> Model:
    """q(s, ·): stored observations [B, ...] -> [B, A], or [B, D, K] for D groups of actions."""
    return serial(spec.encoder, network(spec.choices))
