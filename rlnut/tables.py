"""Small tables to learn from: synthetic ones whose truth is known, scikit-learn's real ones, and the user's own file.

A file is .csv (comma-separated, with or without a line of names), .npy [rows, columns], or .npz with x and y. What
cannot be learned from is refused with the column's name: missing values, text, constant columns, a single class.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlnut.data import TASKS, Dataset, split
from rlnut.errors import RlnutError, UsageError, unknown

MOST_CLASSES = 20  # more different integers than this are values, not classes
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


class Table(NamedTuple):
    """Rows of numbers and what to say about them; y holds integers or text for classes, floats for values."""

    x: np.ndarray  # [n, p] float64
    y: np.ndarray  # [n]
    columns: tuple[str, ...]  # of x
    truth: dict[str, Any]  # what a good fit finds; empty for real data

    @property
    def classify(self) -> bool:
        return self.y.dtype.kind != "f"


def ohm(rows: int = 100, seed: int = 0) -> Table:
    """V = θI with resistance θ = 5 Ω, I in [−2, 2] A, and noise of 0.5 V."""
    rng = np.random.default_rng(seed)
    current = rng.uniform(-2, 2, (rows, 1))
    return Table(current, 5.0 * current[:, 0] + 0.5 * rng.normal(size=rows), ("I",), {"theta": [5.0], "noise": 0.5})


def sparse(rows: int = 200, seed: int = 0) -> Table:
    """50 normal columns of which 5 matter: y = θᵀx + noise of 0.5."""
    rng = np.random.default_rng(seed)
    theta = np.zeros(50)
    theta[:5] = 3, -2, 1.5, -1, 0.5
    x = rng.normal(size=(rows, 50))
    names = tuple(f"x{i}" for i in range(50))
    return Table(x, x @ theta + 0.5 * rng.normal(size=rows), names, {"theta": theta.tolist(), "noise": 0.5})


def thermal(rows: int = 2000, seed: int = 0) -> Table:
    """A two-state system in a bath: P(y = 1 | β) = 1/(1 + e^{βΔε}) with Δε = 1, β in [0, 3]: logistic with θ = −Δε."""
    rng = np.random.default_rng(seed)
    beta = rng.uniform(0, 3, (rows, 1))
    y = (rng.random(rows) < 1 / (1 + np.exp(beta[:, 0]))).astype(int)
    return Table(beta, y, ("beta",), {"theta": [-1.0], "intercept": 0.0})


def spirals(rows: int = 400, seed: int = 0) -> Table:
    """Two spirals, one and a half turns each, that no plane separates."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    t = 3 * np.pi * np.sqrt(rng.uniform(0.01, 1, rows))
    x = np.stack([t * np.cos(t + np.pi * y), t * np.sin(t + np.pi * y)], 1) / (3 * np.pi)
    return Table(x + 0.02 * rng.normal(size=x.shape), y, ("x", "y"), {"linear_accuracy": 0.5})


def xor(rows: int = 400, seed: int = 0) -> Table:
    """y = 1 where exactly one of two inputs in [−1, 1] is positive: no single layer can learn it."""
    x = np.random.default_rng(seed).uniform(-1, 1, (rows, 2))
    return Table(x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int), ("a", "b"), {"linear_accuracy": 0.5})


SYNTHETIC: dict[str, Callable[..., Table]] = {
    "ohm": ohm, "sparse": sparse, "thermal": thermal, "spirals": spirals, "xor": xor,
}  # fmt: skip
REAL = {"iris": "load_iris", "wine": "load_wine", "breast-cancer": "load_breast_cancer", "diabetes": "load_diabetes"}


def real(name: str) -> Table:
    """One of the tables that scikit-learn carries: iris, wine, breast-cancer (classes), diabetes (values)."""
    if name not in REAL:
        raise unknown("table", name, REAL)
    try:
        from sklearn import datasets
    except ImportError:
        raise RlnutError(f'{name} needs scikit-learn: pip install "rlnut[sklearn]"') from None
    found = getattr(datasets, REAL[name])()
    names = tuple(map(str, found.feature_names))
    if "target_names" not in found:
        return Table(np.asarray(found.data, float), np.asarray(found.target, float), names, {})
    return Table(np.asarray(found.data, float), np.asarray(found.target), names, {})


def read_table(path: str | Path, target: str | None = None, task: str = "auto") -> Table:
    """The user's own file, with column `target` as y: see the head of this file.

    .npz takes the arrays x [n, p] and y [n] and no target; the others need one, a name or a number counted from 0.
    `task` auto: text, or at most 20 different integers, are classes; other numbers are values.
    """
    path = Path(path)
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if path.suffix not in (".csv", ".npy", ".npz"):
        raise UsageError(f"{path} must be a .csv, .npy or .npz file")
    if not path.is_file():
        raise UsageError(f"{path} is not there")
    if path.suffix == ".npz":
        if target is not None:
            raise UsageError("an .npz file holds x and y: it takes no target")
        x, y = (_array(path, name) for name in ("x", "y"))
        if x.ndim != 2 or y.shape != (len(x),):
            raise UsageError(f"{path}: x must be [n, p] and y [n], got {list(x.shape)} and {list(y.shape)}")
        columns, names, answer = list(x.T), [str(i) for i in range(x.shape[1])], y
        return _table(columns, names, answer, "y", task)
    if path.suffix == ".npy":
        whole = _array(path)
        if whole.ndim != 2:
            raise UsageError(f"{path} must hold an array [rows, columns], got {list(whole.shape)}")
        columns, names = list(whole.T), [str(i) for i in range(whole.shape[1])]
    else:
        columns, names = _csv(path)
    if target is None:
        raise UsageError(f"say which column of {path} to learn with target: {', '.join(names[:40])}")
    if target not in names:
        raise unknown("column", target, names)
    place = names.index(target)
    answer = columns.pop(place)
    names.pop(place)
    return _table(columns, names, answer, target, task)


def _array(path: Path, name: str | None = None) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
        if name is None:
            return found
        with found:
            if name not in found:
                raise UsageError(f"{path} must hold the arrays x and y, got {', '.join(found) or 'none'}")
            return found[name]
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise RlnutError(f"{path} cannot be read: {error}") from None


def _csv(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Columns of text and their names; without a line of names they are numbered."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RlnutError(f"{path} cannot be read: {error}") from None
    if not lines:
        raise UsageError(f"{path} is empty")
    header = not any(_is_number(cell) or cell.lower() in MISSING for cell in lines[0])
    names = lines.pop(0) if header else [str(i) for i in range(len(lines[0]))]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{path} has two columns named {twice[0]!r}")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise UsageError(f"{path}: row {number} has {len(line)} cells, expected {len(names)}")
    return [np.array(column) for column in zip(*lines, strict=True)], list(names)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(name: str, column: np.ndarray, text: bool = False) -> np.ndarray:
    """A column as float64; text stays as it is if `text` allows it."""
    if column.dtype.kind in "US":
        column = column.astype(str)
        missing = [i for i, cell in enumerate(column) if cell.lower() in MISSING]
        if missing:
            raise UsageError(f"column {name!r} has {len(missing)} missing values, the first in row {missing[0] + 1}")
        words = [cell for cell in column if not _is_number(cell)]
        if words and text:
            return column
        if words:
            raise UsageError(f"column {name!r} holds text such as {str(words[0])!r}: only numbers can be learned from")
    elif column.dtype.kind not in "biuf":
        raise UsageError(f"column {name!r} must hold numbers, got {column.dtype}")
    numbers = column.astype(float)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise UsageError(f"column {name!r} has {len(bad)} missing or infinite values, the first in row {bad[0] + 1}")
    return numbers


def _table(columns: Sequence[np.ndarray], names: Sequence[str], answer: np.ndarray, target: str, task: str) -> Table:
    if not columns or len(answer) < 2:
        raise UsageError(f"there must be a column beside {target!r} and at least 2 rows")
    numbers = [_numbers(name, column) for name, column in zip(names, columns, strict=True)]
    for name, column in zip(names, numbers, strict=True):
        if (column == column[0]).all():
            raise UsageError(f"column {name!r} is constant ({column[0]:g}): leave it out")
    y = _numbers(target, answer, text=True)
    if y.dtype.kind == "f":
        whole = np.array_equal(y, np.round(y)) and np.abs(y).max() < 2**53
        if task == "classification" and not whole:
            raise UsageError(f"column {target!r} holds numbers such as {y[y != np.round(y)][0]:g}: they are no classes")
        if whole and task != "regression" and (task == "classification" or len(np.unique(y)) <= MOST_CLASSES):
            y = y.astype(np.int64)
    elif task == "regression":
        raise UsageError(f"column {target!r} holds text such as {str(y[0])!r}: it can only be classified")
    if (y == y[0]).all():
        raise UsageError(f"column {target!r} holds a single {'value' if y.dtype.kind == 'f' else 'class'}, {y[0]}")
    return Table(np.stack(numbers, 1), y, tuple(names), {})


def load_table(name: str, data: str | Path | None = None) -> Table:
    """A table by its name; only the user's own is a file, so `data` has no meaning here."""
    if data is not None:
        raise UsageError(f"{name} is made or carried by a library: --data has no meaning for it")
    return SYNTHETIC[name]() if name in SYNTHETIC else real(name)


def dataset(table: Table, name: str, share: float = 0.2, seed: int = 0) -> Dataset:
    """A table with a `share` of its rows held out as test rows: dealt by `seed`, every class in proportion."""
    train, test = split(len(table.y), share, seed, table.y if table.classify else None)
    return Dataset(table.x[train], table.y[train], table.x[test], table.y[test], None, name)
