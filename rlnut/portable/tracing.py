"""Any function that JAX can trace, as a `Program`: its operations are traced for two numbers of rows and compared.

What differs between the two (a shape, the end of a slice) is a·N + b. Calls are written out, what does not reach the
result is left out, and of what depends on the platform the general form is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from rlnut.errors import RlnutError
from rlnut.portable.operations import OPTIONS, supported
from rlnut.portable.program import Operation, Options, Program, ProgramInput, Reference

ROWS = (17, 19)  # two numbers of rows that are no other size
CALLS = ("call_jaxpr", "jaxpr", "fun_jaxpr")  # parameters that are programs


class NotPortable(RlnutError):
    """Why a function cannot be written as a program of operations that NumPy has."""


class _Trace:
    """The operations of one tracing, by which each value is named by a number."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.constants: dict[str, np.ndarray] = {}
        self.count = 0
        self.made: dict[str, tuple[Operation, list[Any]]] = {}  # value -> how, and of what shapes

    def new(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def run(self, jaxpr: Any, consts: list[Any], inputs: list[Reference]) -> list[Reference]:
        """Write out a program of JAX's; the names of its results."""
        known: dict[Any, Reference] = {
            var: value if isinstance(value, (str, list)) else self.constant(value)
            for var, value in [*zip(jaxpr.constvars, consts, strict=True), *zip(jaxpr.invars, inputs, strict=True)]
        }

        def read(atom: Any) -> Reference:
            return _number(atom) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            taken = [read(atom) for atom in equation.invars]
            for var, value in zip(equation.outvars, self.equation(equation, taken), strict=True):
                known[var] = value
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, equation: Any, taken: list[Reference]) -> list[Reference]:
        """One operation of JAX's, written out if it is a call."""
        name, given = equation.primitive.name, equation.params
        if name == "platform_index":
            return ["platform"]
        if name == "cond" and taken[0] == "platform":
            inner = given["branches"][-1]
            return self.run(inner.jaxpr, inner.consts, taken[1:])
        inner = next((given[key] for key in CALLS if key in given), None)
        if inner is not None and name not in ("scan", "while", "reduce"):
            return self.run(getattr(inner, "jaxpr", inner), list(getattr(inner, "consts", ())), taken)
        if name == "stop_gradient" or name in ("copy", "copy_p"):
            return taken
        options = _options(name, given, equation)
        if (short := self.shortened(name, options, equation, taken)) is not None:
            return [short]
        outputs = tuple(self.new() for _ in equation.outvars)
        dtypes = tuple(str(var.aval.dtype) for var in equation.outvars)
        self.operations.append(Operation(name, tuple(taken), outputs, dtypes, options))
        seen = [var.aval for var in equation.invars]
        self.made |= {output: (self.operations[-1], seen) for output in outputs}
        return list(outputs)

    def shortened(self, name: str, options: Options, equation: Any, taken: list[Reference]) -> Reference | None:
        """What an operation gives that undoes earlier ones: a part of what was joined, bytes as what they were.

        An observation with images is kept as bytes, which is of no concern here.
        """
        if name == "bitcast_convert_type" and str(equation.invars[0].aval.dtype) == options["new_dtype"]:
            return taken[0]
        source = self._source(taken)
        if source is None:
            return None
        (before, parts), result = source, equation.outvars[0]
        if name == "slice" and before.name == "concatenate":
            axis, end = before.options["dimension"], 0
            for reference, part in zip(before.inputs, parts, strict=True):
                begin, end = end, end + part.shape[axis]
                if options["start_indices"][axis] == begin and part.shape == result.aval.shape:
                    return reference if options["strides"] is None else None
        if name == "bitcast_convert_type":
            while before.name == "reshape" and (source := self._source(list(before.inputs))) is not None:
                before, parts = source
            if before.name == name and str(parts[0].dtype) == options["new_dtype"]:
                output = self.new()
                sizes = {"new_sizes": _plain(result.aval.shape)}
                self.operations.append(Operation("reshape", before.inputs, (output,), (options["new_dtype"],), sizes))
                self.made[output] = self.operations[-1], parts
                return output
        return None

    def _source(self, taken: list[Reference]) -> tuple[Operation, list[Any]] | None:
        """How the first of these values was made."""
        return self.made.get(taken[0]) if taken and isinstance(taken[0], str) else None


def _number(literal: Any) -> Reference:
    value = np.asarray(literal.val).item()
    return [value if type(value) is int else str(value), str(literal.aval.dtype)]


def _options(name: str, given: Mapping[str, Any], equation: Any) -> Options:
    if name == "gather":
        fill = given["fill_value"]
        dtype = np.dtype(equation.outvars[0].aval.dtype)
        if fill is None:
            fill = "nan" if dtype.kind == "f" else 0 if dtype.kind == "b" else np.iinfo(dtype).min
        numbers = given["dimension_numbers"]._asdict() if hasattr(given["dimension_numbers"], "_asdict") else {}
        mode = "fill" if "FILL" in str(given["mode"]).upper() else "clip"
        return {
            "dimension_numbers": {key: _plain(value) for key, value in numbers.items()},
            "slice_sizes": _plain(given["slice_sizes"]), "mode": mode, "fill": str(fill),
        }  # fmt: skip
    return {key: _plain(given[key]) for key in OPTIONS.get(name, ()) if key in given}


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if hasattr(value, "_asdict"):  # of a convolution: where the axes are
        return [_plain(part) for part in value]
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return str(np.dtype(value))
    if hasattr(value, "__index__"):
        return int(value)
    return str(np.dtype(value))


def traced(function: Callable[[Any, dict[str, Any]], Any], weights: Any, inputs: tuple[ProgramInput, ...]) -> Program:
    """function(weights, {name: [N, ...]}) -> [N, ...] as a program; NotPortable if it has no such form.

    weights: a pytree of arrays, which are named as in files (`runtime.arrays`).
    """
    named = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(weights)]
    found = []
    for rows in ROWS:
        example = {one.name: jax.ShapeDtypeStruct((rows, *one.shape), one.dtype) for one in inputs}
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), weights)
        closed, shape = jax.make_jaxpr(function, return_shape=True)(shapes, example)
        if not hasattr(shape, "shape") or shape.shape[:1] != (rows,):
            raise NotPortable("its result is not one array with a row for each input")
        names: list[Reference] = [name for name, _ in named]
        names += [one.name for one in sorted(inputs)]  # a dict's leaves come in the order of its keys
        trace = _Trace()
        (output,) = trace.run(closed.jaxpr, list(closed.consts), names)
        if not isinstance(output, str):
            raise NotPortable("its result does not depend on its input")
        found.append((trace, output))
    (first, output), (second, other) = found
    if output != other or len(first.operations) != len(second.operations):
        raise NotPortable("its operations are others for another number of rows")
    operations, constants = _used(first, second, output)
    used = {ref for one in operations for ref in one.inputs if isinstance(ref, str)} | {output}
    learned = {name: (str(leaf.dtype), tuple(leaf.shape)) for name, leaf in named if name in used}
    return Program(inputs, learned, constants, operations, output)


def _used(first: _Trace, second: _Trace, output: str) -> tuple[tuple[Operation, ...], dict[str, np.ndarray]]:
    """The operations that reach the result, with what depends on N, and their constants."""
    needed, kept, constants, before = {output}, [], {}, []
    for one, two in zip(reversed(first.operations), reversed(second.operations), strict=True):
        if (one.name, one.outputs, one.dtypes) != (two.name, two.outputs, two.dtypes):
            raise NotPortable("its operations are others for another number of rows")
        inputs = tuple(_by_rows(a, b) for a, b in zip(one.inputs, two.inputs, strict=True))
        if not needed.isdisjoint(one.outputs):
            if not supported(one.name, one.options):
                raise NotPortable(f"its operation {one.name} has no form in NumPy here")
            needed |= {ref for ref in one.inputs if isinstance(ref, str)}
            kept.append(one._replace(inputs=inputs, options=_by_rows(one.options, two.options)))
    for name in sorted(needed & first.constants.keys()):
        a, b = first.constants[name], second.constants[name]
        if a.shape == b.shape and a.tobytes() == b.tobytes():
            constants[name] = a
        elif a.shape[1:] == b.shape[1:] and (a == a[:1]).all() and (b == a[:1]).all():  # the same row N times
            shape = [{"rows": 1, "plus": 0}, *a.shape[1:]]
            options = {"shape": shape, "broadcast_dimensions": list(range(a.ndim))}
            constants[f"{name} row"] = a[:1]
            before.append(Operation("broadcast_in_dim", (f"{name} row",), (name,), (str(a.dtype),), options))
        else:
            raise NotPortable("it holds an array that depends on the number of rows")
    return (*before, *reversed(kept)), constants


def _by_rows(one: Any, two: Any) -> Any:
    """Options for any number of rows, from those for two."""
    if isinstance(one, dict):
        return {key: _by_rows(one[key], two[key]) for key in one}
    if isinstance(one, list):
        if len(one) != len(two):
            raise NotPortable("its operations are others for another number of rows")
        return [_by_rows(a, b) for a, b in zip(one, two, strict=True)]
    if one == two:
        return one
    if not (isinstance(one, int) and isinstance(two, int)):
        raise NotPortable("its operations are others for another number of rows")
    times, rest = divmod(two - one, ROWS[1] - ROWS[0])
    if rest:
        raise NotPortable("its operations are others for another number of rows")
    return {"rows": times, "plus": one - times * ROWS[0]}
