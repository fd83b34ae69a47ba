"""A `Program` as an ONNX model: the same operations in ONNX's words, for any number of rows.

The inputs are the parts of an observation, [batch, ...], the output is q, [batch, ...]. Needs the package onnx; what
runs the model needs neither rlnut nor JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlnut.errors import RlnutError
from rlnut.portable.program import Operation, Program, at_rows, literal

OPSET, IR_VERSION = 18, 9  # of 2022: what today's runtimes read
EXAMPLE = 2  # rows that are run to see which axes there are
LAST = 2**63 - 1  # the end of an axis, for ONNX's Slice
SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "neg": "Neg",
    "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "tanh": "Tanh", "sinh": "Sinh", "cosh": "Cosh", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "erf": "Erf", "logistic": "Sigmoid", "eq": "Equal", "lt": "Less",
    "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "add_any": "Add",
}  # fmt: skip
BITS = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}
REDUCED = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


class OnnxGraph:
    """The nodes of a model, one after the other."""

    def __init__(self, program: Program, values: Mapping[str, np.ndarray]) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.from_array = helper, numpy_helper.from_array
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values = values  # of some observations: what has which axes
        self.first = program.inputs[0].name
        self.rows = ""  # the name of N, [1] int64

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; its name."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """An array that the model holds; its name."""
        name = f"k{len(self.constants)}"
        self.constants.append(self.from_array(np.asarray(value, dtype), name))
        return name

    def sizes(self, numbers: list[Any]) -> str:
        """A vector of whole numbers, of which some depend on N."""
        if all(isinstance(n, int) for n in numbers):
            return self.constant(numbers)
        if not self.rows:
            self.rows = self.node("Shape", self.first, start=0, end=1)
        parts = []
        for n in numbers:
            if isinstance(n, int):
                parts.append(self.constant([n]))
            else:
                scaled = self.node("Mul", self.rows, self.constant([n["rows"]]))
                parts.append(self.node("Add", scaled, self.constant([n["plus"]])))
        return self.node("Concat", *parts, axis=0)

    def cast(self, x: str, dtype: str) -> str:
        """x as another type."""
        return self.node("Cast", x, to=self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def unsqueezed(self, x: str, axes: list[int]) -> str:
        """x with new axes."""
        return self.node("Unsqueeze", x, self.constant(axes)) if axes else x

    def operation(self, one: Operation, names: list[str], shown: list[np.ndarray]) -> list[str]:
        """The nodes of an operation; the names of its outputs. names, shown: of its inputs, and what they may be."""
        o, kind = one.options, one.name
        if kind in SAME:
            return [self.node(SAME[kind], *names)]
        if kind in BITS:
            bits = shown[0].dtype.kind != "b"
            return [self.node(f"Bitwise{BITS[kind]}" if bits else BITS[kind], *names)]
        if kind.startswith("reduce_") and kind.removeprefix("reduce_") in REDUCED:
            axes = self.constant(o["axes"])
            return [self.node(REDUCED[kind.removeprefix("reduce_")], names[0], axes, keepdims=0)]
        if kind == "split":
            outputs = [f"{name} of split {len(self.nodes)}" for name in one.outputs]
            sizes = self.constant(o["sizes"])
            self.nodes.append(self.helper.make_node("Split", [names[0], sizes], outputs, axis=o["axis"]))
            return outputs
        if kind not in WRITERS:
            raise RlnutError(f"this policy cannot be exported to ONNX: its operation {kind} is not supported there")
        return [WRITERS[kind](self, one, names, shown)]


Writer = Callable[[OnnxGraph, Operation, list[str], list[np.ndarray]], str]


def _unsupported(one: Operation, what: str) -> RlnutError:
    return RlnutError(f"this policy cannot be exported to ONNX: its operation {one.name} {what} is not supported there")


def _broadcast(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    shape, places = one.options["shape"], one.options["broadcast_dimensions"]
    x = g.unsqueezed(names[0], [axis for axis in range(len(shape)) if axis not in places])
    return g.node("Expand", x, g.sizes(shape))


def _reshape(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    sizes = one.options["new_sizes"]
    if sum(not isinstance(n, int) for n in sizes) == 1:
        sizes = [n if isinstance(n, int) else -1 for n in sizes]
    return g.node("Reshape", names[0], g.sizes(sizes))


def _product(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    (left, right), (left_batch, right_batch) = one.options["dimension_numbers"]
    x, y = shown
    if left == [x.ndim - 1] and right == [0] and y.ndim == 2 and not left_batch:
        return g.node("MatMul", *names)
    letters = [chr(ord("a") + i) for i in range(x.ndim + y.ndim)]
    first, second = letters[: x.ndim], letters[x.ndim :]
    for a, b in zip([*left, *left_batch], [*right, *right_batch], strict=True):
        second[b] = first[a]
    out = [first[a] for a in left_batch]
    out += [c for a, c in enumerate(first) if a not in left and a not in left_batch]
    out += [c for b, c in enumerate(second) if b not in right and b not in right_batch]
    return g.node("Einsum", *names, equation=f"{''.join(first)},{''.join(second)}->{''.join(out)}")


def _gather(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    """Whole slices at places along some axes; windows are not needed by features, tables and tiles."""
    numbers, (operand, indices) = one.options["dimension_numbers"], shown
    sizes, axes = at_rows(one.options["slice_sizes"], EXAMPLE), numbers["start_index_map"]
    rest = [axis for axis in range(operand.ndim) if axis not in axes]
    whole = [sizes[axis] for axis in rest] == [operand.shape[axis] for axis in rest]
    if not whole or sorted(axes) != numbers["collapsed_slice_dims"] or numbers["operand_batching_dims"]:
        raise _unsupported(one, "of windows")
    lowest, highest = g.constant(0), g.constant([operand.shape[axis] - 1 for axis in axes])
    index = g.node("Min", g.node("Max", g.cast(names[1], "int64"), lowest), highest)
    found = g.node("GatherND", g.node("Transpose", names[0], perm=[*axes, *rest]), index)
    offsets, count = numbers["offset_dims"], indices.ndim - 1 + len(rest)
    order = [*(i for i in range(count) if i not in offsets), *offsets]  # where each axis of ONNX's result belongs
    return g.node("Transpose", found, perm=[order.index(i) for i in range(count)])


def _convolution(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    o = one.options
    x_spec, w_spec, out_spec = o["dimension_numbers"]
    if any(min(pair) < 0 for pair in o["padding"]):
        raise _unsupported(one, "with negative padding")
    x, w = g.node("Transpose", names[0], perm=x_spec), g.node("Transpose", names[1], perm=w_spec)
    pads = [low for low, _ in o["padding"]] + [high for _, high in o["padding"]]
    how = {"strides": o["window_strides"], "dilations": o["rhs_dilation"], "group": o["feature_group_count"]}
    return g.node("Transpose", g.node("Conv", x, w, pads=pads, **how), perm=np.argsort(out_spec).tolist())


def _pool(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    o, axes = one.options, list(range(shown[0].ndim))
    sides, steps, margins = o["window_dimensions"], o["window_strides"], o["padding"]
    inner = {sides[0], sides[-1], steps[0], steps[-1]} == {1} and margins[0] == margins[-1] == [0, 0]
    if not inner or any(n != 1 for n in [*o["base_dilation"], *o["window_dilation"]]) or len(axes) < 3:
        raise _unsupported(one, "over these axes")
    x = g.node("Transpose", names[0], perm=[0, axes[-1], *axes[1:-1]])
    pads = [low for low, _ in margins[1:-1]] + [high for _, high in margins[1:-1]]
    how = {"kernel_shape": sides[1:-1], "strides": steps[1:-1], "pads": pads}
    if one.name == "reduce_window_max":
        x = g.node("MaxPool", x, **how)
    else:
        mean = g.node("AveragePool", x, count_include_pad=1, **how)
        x = g.node("Mul", mean, g.constant(float(np.prod(sides)), np.float32))
    return g.node("Transpose", x, perm=[0, *axes[2:], 1])


def _pad(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    config = one.options["padding_config"]
    if any(gap or low < 0 or high < 0 for low, high, gap in config):
        raise _unsupported(one, "between rows")
    pads = [low for low, _, _ in config] + [high for _, high, _ in config]
    return g.node("Pad", names[0], g.constant(pads), names[1])


def _slice(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    o = one.options
    starts, ends = g.sizes(o["start_indices"]), g.sizes(o["limit_indices"])
    axes, steps = g.constant(list(range(shown[0].ndim))), g.constant(o["strides"] or [1] * shown[0].ndim)
    return g.node("Slice", names[0], starts, ends, axes, steps)


def _iota(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    shape, axis = one.options["shape"], one.options["dimension"]
    end = g.node("Squeeze", g.sizes([shape[axis]]), g.constant([0]))
    count = g.node("Range", g.constant(0), end, g.constant(1))
    spread = g.unsqueezed(count, [i for i in range(len(shape)) if i != axis])
    return g.cast(g.node("Expand", spread, g.sizes(shape)), one.dtypes[0])


def _any_or_all(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    kind = "ReduceMax" if one.name == "reduce_or" else "ReduceMin"
    return g.cast(g.node(kind, g.cast(names[0], "int32"), g.constant(one.options["axes"]), keepdims=0), "bool")


def _rounded(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    if one.options["rounding_method"] != 1:
        raise _unsupported(one, "away from zero")
    return g.node("Round", names[0])


def _selected(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    if len(names) != 3 or shown[0].dtype.kind != "b":
        raise _unsupported(one, "of several cases")
    return g.node("Where", names[0], names[2], names[1])


def _running_sum(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    return g.node("CumSum", names[0], g.constant(one.options["axis"]), reverse=int(one.options["reverse"]))


def _turned(g: OnnxGraph, one: Operation, names: list[str], shown: list[np.ndarray]) -> str:
    axes = one.options["dimensions"]
    ends = [g.constant([value] * len(axes)) for value in (-1, -LAST)]
    return g.node("Slice", names[0], *ends, g.constant(axes), g.constant([-1] * len(axes)))


WRITERS: dict[str, Writer] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": lambda g, one, n, v: g.node("Squeeze", n[0], g.constant(one.options["dimensions"])),
    "transpose": lambda g, one, n, v: g.node("Transpose", n[0], perm=one.options["permutation"]),
    "concatenate": lambda g, one, n, v: g.node("Concat", *n, axis=one.options["dimension"]),
    "stack": lambda g, one, n, v: g.node(
        "Concat", *(g.unsqueezed(x, [one.options["axis"]]) for x in n), axis=one.options["axis"]
    ),
    "convert_element_type": lambda g, one, n, v: g.cast(n[0], one.dtypes[0]),
    "round": _rounded,
    "rev": _turned,
    "dot_general": _product,
    "gather": _gather,
    "conv_general_dilated": _convolution,
    **dict.fromkeys(("reduce_window_max", "reduce_window_sum"), _pool),
    **dict.fromkeys(("reduce_and", "reduce_or"), _any_or_all),
    "argmax": lambda g, one, n, v: g.node("ArgMax", n[0], axis=one.options["axes"][0], keepdims=0),
    "argmin": lambda g, one, n, v: g.node("ArgMin", n[0], axis=one.options["axes"][0], keepdims=0),
    "cumsum": _running_sum,
    "pad": _pad,
    "slice": _slice,
    "select_n": _selected,
    "iota": _iota,
    "rem": lambda g, one, n, v: g.node("Mod", *n, fmod=1),
    "ne": lambda g, one, n, v: g.node("Not", g.node("Equal", *n)),
    "integer_pow": lambda g, one, n, v: g.node("Pow", n[0], g.constant(one.options["y"], v[0].dtype)),
    "square": lambda g, one, n, v: g.node("Mul", n[0], n[0]),
    "rsqrt": lambda g, one, n, v: g.node("Reciprocal", g.node("Sqrt", n[0])),
    "expm1": lambda g, one, n, v: g.node("Sub", g.node("Exp", n[0]), g.constant(1, v[0].dtype)),
    "log1p": lambda g, one, n, v: g.node("Log", g.node("Add", n[0], g.constant(1, v[0].dtype))),
    "erfc": lambda g, one, n, v: g.node("Sub", g.constant(1, v[0].dtype), g.node("Erf", n[0])),
    "clamp": lambda g, one, n, v: g.node("Min", g.node("Max", n[1], n[0]), n[2]),
    "is_finite": lambda g, one, n, v: g.node("Not", g.node("Or", g.node("IsInf", n[0]), g.node("IsNaN", n[0]))),
}


def onnx_model(program: Program, weights: Mapping[str, np.ndarray], about: Mapping[str, str]) -> bytes:
    """The model as the bytes of an .onnx file; RlnutError without the package onnx, and for what ONNX lacks.

    about: words that the model carries.
    """
    try:
        from onnx import checker, helper
    except ModuleNotFoundError:
        raise RlnutError('writing ONNX needs the package onnx: pip install "rlnut[onnx]"') from None

    example = {one.name: np.zeros((EXAMPLE, *one.shape), one.dtype) for one in program.inputs}
    values = program.values(example, weights)
    graph = OnnxGraph(program, values)
    names: dict[str, str] = {one.name: one.name for one in program.inputs}
    for name, array in {**weights, **program.constants}.items():
        names[name] = graph.constant(array, array.dtype)
    for one in program.operations:
        taken, shown = [], []
        for ref in one.inputs:
            if not isinstance(ref, str) and not isinstance(ref[0], (str, int)):
                taken.append(graph.cast(graph.node("Squeeze", graph.sizes([ref[0]]), graph.constant([0])), ref[1]))
                shown.append(np.zeros((), ref[1]))
                continue
            shown.append(values[ref] if isinstance(ref, str) else literal(ref))
            taken.append(names[ref] if isinstance(ref, str) else graph.constant(shown[-1], shown[-1].dtype))
        found = graph.operation(one, taken, shown)
        for name, dtype, made in zip(one.outputs, one.dtypes, found, strict=True):
            names[name] = graph.cast(made, dtype) if one.name.startswith("arg") else made
    graph.nodes.append(helper.make_node("Identity", [names[program.output]], ["q"]))

    def described(name: str, array: np.ndarray) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, ["batch", *array.shape[1:]])

    inputs = [described(one.name, example[one.name]) for one in program.inputs]
    whole = helper.make_graph(graph.nodes, "q", inputs, [described("q", values[program.output])], graph.constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, producer_name="rlnut", opset_imports=opset, ir_version=IR_VERSION)
    helper.set_model_props(model, dict(about))
    checker.check_model(model)
    return bytes(model.SerializeToString())
