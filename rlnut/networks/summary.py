"""What a network is made of: its layers with their output shapes and numbers of parameters, and θ by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.errors import UsageError
from rlnut.networks.layers import parameter_count
from rlnut.types import Example, Model, Network, Params, Shape


class LayerSummary(NamedTuple):
    """A row of the table."""

    name: str
    shape: Shape  # of what comes out, of one row
    parameters: int


class NetworkSummary(NamedTuple):
    """The layers in order; printing it shows the table."""

    input_shape: Shape
    layers: tuple[LayerSummary, ...]
    parameters: int  # of all layers

    def __str__(self) -> str:
        rows = [("input", self.input_shape, 0), *self.layers]
        cells = [(name, shown_shape(shape), f"{count:,}" if count else "") for name, shape, count in rows]
        cells = [("layer", "output", "parameters"), *cells, ("total", "", f"{self.parameters:,}")]
        wide = [max(len(row[i]) for row in cells) for i in range(3)]
        return "\n".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in cells)

    def __repr__(self) -> str:
        return str(self)


def shown_shape(shape: Shape) -> str:
    """As [28, 28]; a single number as "1 number"."""
    return str(list(shape)) if shape else "1 number"


def summary(network: Network | Model, input_shape: Shape | int, output_shape: Shape | int = ()) -> NetworkSummary:
    """The layers of a network for one row of `input_shape`; `output_shape` is that of its head (a `Model` has one).

    >>> import rlnut
    >>> rlnut.summary(rlnut.mlp((8,)), (4,), (3,)).parameters  # (4 + 1)·8 + (8 + 1)·3
    67
    """
    row, head = ((s,) if isinstance(s, int) else tuple(s) for s in (input_shape, output_shape))
    if not (isinstance(network, Model) or callable(network)):
        raise UsageError(f"network must be a network such as rlnut.mlp() or a Model, got {network!r}")
    if any(not isinstance(n, (int, np.integer)) or n < 1 for n in (*row, *head)):
        raise UsageError(f"shapes must be whole numbers >= 1, got {input_shape!r} and {output_shape!r}")
    model = network if isinstance(network, Model) else network(head)
    x = jax.ShapeDtypeStruct((1, *row), jnp.float32)
    params = jax.eval_shape(lambda key: model.init(key, jnp.zeros(x.shape, x.dtype)), jax.random.key(0))
    return model_summary(model, params, x)


def model_summary(model: Model, params: Params, x: Example) -> NetworkSummary:
    """The same of a model with its θ, for rows like x [B, ...]."""
    rows, shape = [], jax.ShapeDtypeStruct(x.shape, x.dtype)
    for layer, theta in layers_of(model, params):
        before, shape = shape, jax.eval_shape(layer.apply, theta, shape)
        if layer.name or parameter_count(theta) or before.shape != shape.shape:
            rows.append(LayerSummary(layer.name or "function", tuple(shape.shape[1:]), parameter_count(theta)))
    return NetworkSummary(tuple(x.shape[1:]), tuple(rows), parameter_count(params))


def layers_of(model: Model, params: Params) -> Iterator[tuple[Model, Params]]:
    """The layers of nested `serial` models in order, each with its θ; a model of another kind is one layer."""
    if not model.parts:
        yield model, params
        return
    for part, theta in zip(model.parts, params, strict=True):
        yield from layers_of(part, theta)


def named_parameters(model: Model, params: Params) -> dict[str, np.ndarray]:
    """θ by names: "dense_1/w" is W of the first dense layer; arrays are those of `params`."""
    found: dict[str, np.ndarray] = {}
    count: Counter[str] = Counter()
    for layer, theta in layers_of(model, params):
        leaves = jax.tree_util.tree_flatten_with_path(theta)[0]
        if not leaves:
            continue
        kind = layer.name.split(" ")[0] or "layer"
        count[kind] += 1
        for path, leaf in leaves:
            words = [str(getattr(step, "key", getattr(step, "idx", getattr(step, "name", step)))) for step in path]
            found["/".join([f"{kind}_{count[kind]}", *words])] = np.asarray(leaf)
    return found
