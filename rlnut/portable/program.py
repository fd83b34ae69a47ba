"""A function as data: inputs, arrays, and operations one after the other, in the words of XLA's operations.

    y = Program.run({"": x}, weights)        # in NumPy, for any number of rows N

A number in an operation's options that depends on N is `{"rows": a, "plus": b}`: a·N + b. Nothing in a program is
code: a name that is not in `operations.OPERATIONS` is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rlnut.errors import RlnutError
from rlnut.portable.operations import OPERATIONS

Options = dict[str, Any]  # of an operation, as JSON holds them
Reference = str | list[Any]  # the name of a value, or a number: [text (of a whole number itself), type]
MOST = 100_000  # operations


class ProgramInput(NamedTuple):
    """An array that is given, [N, *shape]."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Operation(NamedTuple):
    """outputs = name(*inputs; options)."""

    name: str
    inputs: tuple[Reference, ...]
    outputs: tuple[str, ...]
    dtypes: tuple[str, ...]  # of the outputs
    options: Options


class Program(NamedTuple):
    """A function of N rows."""

    inputs: tuple[ProgramInput, ...]
    weights: dict[str, tuple[str, tuple[int, ...]]]  # name -> type and shape of the arrays that are learned
    constants: dict[str, np.ndarray]
    operations: tuple[Operation, ...]
    output: str

    def record(self) -> Options:
        """What JSON holds of it: all but the constants."""
        return {
            "inputs": [[one.name, list(one.shape), one.dtype] for one in self.inputs],
            "weights": {name: [dtype, list(shape)] for name, (dtype, shape) in self.weights.items()},
            "operations": [[*one] for one in self.operations],
            "output": self.output,
        }

    def fitting(self, given: Mapping[str, np.ndarray], where: object) -> dict[str, np.ndarray]:
        """The weights of this program among `given`; RlnutError for a missing one, another shape or type, and NaN."""
        for name, (dtype, shape) in self.weights.items():
            if name not in given:
                raise RlnutError(f"{where} does not fit this configuration: it has no {name}")
            found = given[name]
            if (str(found.dtype), found.shape) != (dtype, shape):
                was, now = f"{found.dtype}{list(found.shape)}", f"{dtype}{list(shape)}"
                raise RlnutError(f"{where} does not fit this configuration: {name} is {was}, expected {now}")
            if found.dtype.kind == "f" and not np.isfinite(found).all():
                raise RlnutError(f"{where} is damaged: it holds weights that are not finite")
        return {name: given[name] for name in self.weights}

    def run(self, inputs: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The function, in NumPy: inputs by their names, each [N, ...]."""
        return self.values(inputs, weights)[self.output]

    def values(self, inputs: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same with all that is computed on the way."""
        rows = len(inputs[self.inputs[0].name]) if self.inputs else 1
        known: dict[str, np.ndarray] = {**weights, **self.constants, **inputs}
        with np.errstate(all="ignore"):
            for one in self.operations:
                values = [known[ref] if isinstance(ref, str) else literal(at_rows(ref, rows)) for ref in one.inputs]
                found = OPERATIONS[one.name](at_rows(one.options, rows), *values)
                results = found if isinstance(found, tuple) else (found,)
                for name, dtype, value in zip(one.outputs, one.dtypes, results, strict=True):
                    known[name] = np.asarray(value).astype(dtype, copy=False)
        return known


def literal(reference: list[Any]) -> np.ndarray:
    """The array of no axes that [text or whole number, type] stands for."""
    text, dtype = reference
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return np.asarray(text == "True")
    return np.asarray(int(text) if kind.kind in "iu" else float(text), kind)


def at_rows(options: Any, rows: int) -> Any:
    """Options with the numbers that depend on N."""
    if isinstance(options, dict):
        if options.keys() == {"rows", "plus"}:
            return options["rows"] * rows + options["plus"]
        return {key: at_rows(value, rows) for key, value in options.items()}
    return [at_rows(value, rows) for value in options] if isinstance(options, list) else options


def read_program(record: Any, constants: Mapping[str, np.ndarray], where: object) -> Program:
    """The program that a file says; RlnutError for what is none."""
    try:
        inputs = tuple(
            ProgramInput(str(name), tuple(map(int, shape)), str(np.dtype(dtype)))
            for name, shape, dtype in record["inputs"]
        )
        weights = {str(name): (str(dtype), tuple(shape)) for name, (dtype, shape) in record["weights"].items()}
        if len(record["operations"]) > MOST:
            raise ValueError(f"{len(record['operations']):,} operations")
        operations = tuple(
            Operation(str(name), tuple(refs), tuple(outputs), tuple(dtypes), dict(options))
            for name, refs, outputs, dtypes, options in record["operations"]
        )
        output = str(record["output"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RlnutError(f"{where} is damaged: {type(error).__name__}: {error}") from None
    if unknown := {one.name for one in operations} - OPERATIONS.keys():
        raise RlnutError(f"{where} has an operation that this rlnut does not know: {sorted(unknown)[0][:60]}")
    return Program(inputs, weights, dict(constants), operations, output)
