"""The features of the hidden layers of any network, read from the program that JAX makes of it.

A layer is a product or a convolution of what came from the input with weights. What enters a layer, having come through
an earlier one, are the features of a hidden layer, behind its activation: so they are found in networks of Flax, Haiku
or your own as in those of `architectures`, and no network needs special code for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from rlnut.types import Array, Inputs, Params

PRODUCTS = ("dot_general", "conv_general_dilated")
CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call")
REPEATED = ("scan", "while")  # recurrent layers: what enters them is no feature of a layer, what comes out is


class HiddenLayer(NamedTuple):
    """The features of one hidden layer."""

    units: Array  # [..., C] the outputs of its C units; of filters at every place
    rows: Array  # [B, D] as the layer above reads them; a convolution at every place


class _Value(NamedTuple):
    """A value of the program, and where it comes from."""

    value: Array
    depth: int = 0  # layers of weights that it has come through
    of_input: bool = False
    of_weights: bool = False
    places: Array | None = None  # [B, ..., C] what it was before it was laid into rows [B, D]


def hidden_layers(apply: Callable[[Params, Inputs], Array], params: Params, x: Inputs) -> list[HiddenLayer]:
    """The hidden layers of apply(θ, x), from the first to the last; none of a linear function. Works under `jax.jit`.

    >>> import jax, jax.numpy as jnp, rlnut
    >>> model, x = rlnut.mlp((8, 4))(()), jnp.ones((3, 2))
    >>> [layer.rows.shape for layer in hidden_layers(model.apply, model.init(jax.random.key(0), x), x)]
    [(3, 8), (3, 4)]
    """
    return outputs_and_hidden_layers(apply, params, x)[1]


def outputs_and_hidden_layers(
    apply: Callable[[Params, Inputs], Array], params: Params, x: Inputs
) -> tuple[Array, list[HiddenLayer]]:
    """apply(θ, x), and its hidden layers."""
    program = jax.make_jaxpr(apply)(params, x)
    weights = [_Value(leaf, of_weights=True) for leaf in jax.tree.leaves(params)]
    inputs = [_Value(leaf, of_input=True) for leaf in jax.tree.leaves(x)]
    found: list[HiddenLayer] = []
    (outputs,) = _run(program.jaxpr, program.consts, [*weights, *inputs], found)
    return outputs.value, found


def _run(jaxpr: Any, consts: Sequence[Array], inputs: list[_Value], found: list[HiddenLayer]) -> list[_Value]:
    """Evaluate a program operation by operation, with what is known of every value."""
    known: dict[Any, _Value] = dict(zip(jaxpr.constvars, map(_Value, consts), strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> _Value:
        return _Value(atom.val) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        taken = [read(atom) for atom in equation.invars]
        if equation.primitive.name in CALLS:
            inner = equation.params["call_jaxpr" if "call_jaxpr" in equation.params else "jaxpr"]
            outputs = _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), taken, found)
        else:
            outputs = _operation(equation, taken, found)
        known |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _operation(equation: Any, taken: list[_Value], found: list[HiddenLayer]) -> list[_Value]:
    """The outputs of one operation; if it is a layer, what enters it is noted."""
    name, primitive = equation.primitive.name, equation.primitive
    options = primitive.get_bind_params(equation.params)
    functions, options = options if isinstance(options, tuple) else ((), options)  # a pair until jax 0.9
    result = primitive.bind(*functions, *(one.value for one in taken), **options)
    depth = max((one.depth for one in taken), default=0)
    entering = next((one for one in taken if one.of_input), None)
    weights = any(one.of_weights and not one.of_input for one in taken)
    if entering is not None and weights and (name in PRODUCTS or name == "gather" or _holds_programs(equation.params)):
        if entering.depth and name not in REPEATED:
            found.append(_layer(equation, taken.index(entering), entering))
        depth += 1
    of_input, of_weights = entering is not None, any(one.of_weights for one in taken)
    outputs = result if primitive.multiple_results else [result]
    return [_Value(one, depth, of_input, of_weights, _places(name, taken, one)) for one in outputs]


def _holds_programs(options: dict[str, Any]) -> bool:
    """Is the operation made of others (a convolution with a gradient of its own, a scan, a branch)?"""
    parts = [part for value in options.values() for part in (value if isinstance(value, (tuple, list)) else [value])]
    return any(hasattr(part, "eqns") for part in parts)


def _places(name: str, taken: list[_Value], output: Array) -> Array | None:
    """[B, ..., C] before a reshape to [B, D]; None for all else."""
    before = taken[0].value if name == "reshape" else None
    if before is None or output.ndim != 2 or before.ndim < 3 or len(before) != len(output):
        return None
    return before


def _layer(equation: Any, position: int, entering: _Value) -> HiddenLayer:
    """The features that enter an operation as its argument `position`."""
    axis, name = -1, equation.primitive.name
    numbers = equation.params.get("dimension_numbers")
    if name == "dot_general" and len(numbers[0][position]) == 1:
        axis = numbers[0][position][0]
    elif name == "conv_general_dilated":
        axis = numbers.lhs_spec[1]
    features = jnp.moveaxis(jnp.asarray(entering.value), axis, -1)
    rows = features.reshape(math.prod(features.shape[:-1]), features.shape[-1])
    return HiddenLayer(features if entering.places is None else entering.places, rows)
