"""The user's own file as a table: .csv (with or without a line of names), .npy [rows, columns], or .npz with x and y.

What cannot be learned from is refused with the column's name: missing values, text, constant columns, a single class.
Columns of true and false (or yes and no) are read as 1 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.data.csv_files import DECIMAL_COMMA, CsvTable, is_missing, is_number, read_csv
from rlnut.data.dataset import FILES, TASKS
from rlnut.data.sequences import cut_sequences
from rlnut.data.small_tables import Table
from rlnut.errors import UsageError, counted, unknown
from rlnut.runtime.digits import only_digits
from rlnut.runtime.files import read_npy, read_npz

MOST_CLASSES = 20  # more different integers than this are values, not classes
BOOLEANS = {"true": "1", "yes": "1", "false": "0", "no": "0"}


class NewRows(NamedTuple):
    """Rows to predict for, in the columns that a model was fitted to."""

    x: np.ndarray  # [n, ...]
    y: np.ndarray | None  # [n], if the file has the target too
    ignored: tuple[str, ...]  # columns that the model has never seen
    note: str = ""  # how a .csv file was understood


def read_table(path: str | Path, target: str | None = None, task: str = "auto") -> Table:
    """The user's own file, with column `target` as y: see the head of this file.

    .npz takes the arrays x [n, p] (or [n, ...]: images, sequences) and y [n] and no target; the others need one, a name
    or a number counted from 0. Sequences of unequal length have `lengths` [n] beside them, or NaN after their end.
    `task` auto: text, or at most 20 different integers, are classes; other numbers are values. `Table.note` says how a
    .csv file was understood.
    """
    path = _known(path)
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if path.suffix.lower() == ".npz":
        if target is not None:
            raise UsageError("an .npz file holds x and y: it takes no target")
        x, y = _arrays(path)
        if y is None or x.ndim < 2 or y.shape != (len(x),):
            shapes = "no y" if y is None else f"{list(x.shape)} and {list(y.shape)}"
            raise UsageError(f"{path}: x must be [n, p] or [n, ...] and y [n], got {shapes}")
        if x.ndim > 2:
            return Table(x, _answer(y, "y", task), (), {})
        return _table(CsvTable(list(x.T), [str(i) for i in range(x.shape[1])], False, (), ""), y, "y", task)
    found = _columns(path, () if target is None else (target,))
    if target is None:
        raise UsageError(f"say which column of {path} to learn with target: {', '.join(found.names[:40])}")
    if target not in found.names and only_digits(target) and int(target) < len(found.names):
        target = found.names[int(target)]
    if target not in found.names:
        raise unknown("column", target, found.names)
    place = found.names.index(target)
    answer = found.columns.pop(place)
    found.names.pop(place)
    return _table(found, answer, target, task)


def read_rows(path: str | Path, columns: Sequence[str], target: str | None) -> NewRows:
    """New rows for a model that was fitted to `columns` (none: to arrays) and `target`, from a file as `read_table`'s.

    Columns are found by their names; in a file without names (or with other ones than numbers were fitted to) by their
    order, and y is there if there is one column more.
    """
    path = _known(path)
    if path.suffix.lower() == ".npz" or (path.suffix.lower() == ".npy" and not columns):
        x, y = _arrays(path) if path.suffix.lower() == ".npz" else (read_npy(path), None)
        return NewRows(x, y, ())
    file = _columns(path, columns)
    found, names, lines = file.columns, file.names, file.lines
    if not found or not len(found[0]):
        raise UsageError(f"{path} has no rows")
    if not columns:
        x = np.stack([_numbers(name, column, lines) for name, column in zip(names, found, strict=True)], 1)
        return NewRows(x, None, (), file.note)
    if not file.named or (all(name.isdecimal() for name in columns) and not set(columns) <= set(names)):
        p = len(columns)
        if len(found) not in (p, p + 1):
            raise UsageError(
                f"{path} has {counted(len(found), 'column')}, but the model was fitted to {p} and {target!r}"
            )
        at = int(target) if target is not None and only_digits(target) and int(target) <= p else p
        names = list(columns)
        if len(found) > p:
            names.insert(at, str(target))
    table = dict(zip(names, found, strict=True))
    missing = [name for name in columns if name not in table]
    if missing:
        raise UsageError(
            f"{path} lacks column {missing[0]!r}, which the model was fitted to; it has {', '.join(names)}"
        )
    x = np.stack([_numbers(name, table[name], lines) for name in columns], 1)
    y = None if target not in table else _numbers(target, table[target], lines, text=True)
    return NewRows(x, y, tuple(name for name in names if name not in (*columns, target)), file.note)


def _known(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in FILES:
        raise UsageError(f"{path} must be a .csv, .npy or .npz file")
    if not path.is_file():
        raise UsageError(f"{path} is not there")
    return path


def _columns(path: Path, expected: Sequence[str]) -> CsvTable:
    """The columns of a .csv or .npy file, their names, and whether the file gave the names."""
    if path.suffix.lower() == ".csv":
        return read_csv(path, expected)
    whole = read_npy(path)
    if whole.ndim != 2:
        raise UsageError(f"{path} must hold an array [rows, columns], got {list(whole.shape)}")
    return CsvTable(list(whole.T), [str(i) for i in range(whole.shape[1])], False, (), "")


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """x and y (if it is there) of an .npz file; with `lengths` x is NaN after the end of each sequence."""
    found = read_npz(path)
    if "x" not in found:
        raise UsageError(f"{path} must hold the arrays x and y, got {', '.join(found) or 'none'}")
    x, lengths = found["x"], found.get("lengths")
    if lengths is not None:
        if x.ndim < 2 or lengths.shape != (len(x),) or lengths.dtype.kind not in "iu":
            raise UsageError(f"{path}: lengths must be whole numbers [n] beside x [n, T, ...]")
        if len(x) and (lengths.min() < 1 or lengths.max() > x.shape[1]):
            raise UsageError(f"{path}: lengths must lie between 1 and the {x.shape[1]} steps of x")
        x = cut_sequences(x, lengths)
    return x, found.get("y")


def _numbers(name: str, column: np.ndarray, lines: Sequence[int] = (), text: bool = False) -> np.ndarray:
    """A column as float64; text stays as it is if `text` allows it. `lines` are those of a .csv file's rows."""

    def first(bad: Sequence[int]) -> str:
        return f"the first in row {bad[0] + 1}" + (f" (line {lines[bad[0]]})" if len(lines) else "")

    if column.dtype.kind in "US":
        column = column.astype(str)
        missing = [i for i, cell in enumerate(column) if is_missing(cell)]
        if missing:
            raise UsageError(f"column {name!r} has {counted(len(missing), 'missing value')}, {first(missing)}")
        words = [i for i, cell in enumerate(column) if not is_number(cell)]
        commas = words and all(DECIMAL_COMMA.fullmatch(column[i]) for i in words)
        if commas:
            shown = f"such as {str(column[words[0]])!r}, {first(words)}"
            raise UsageError(f"column {name!r} holds numbers with a comma {shown}: write them with a decimal point")
        if words and text:
            return column
        if words and {cell.lower() for cell in column} <= set(BOOLEANS):
            column = np.array([BOOLEANS[cell.lower()] for cell in column])
        elif words:
            shown = f"such as {str(column[words[0]])!r}, {first(words)}"
            raise UsageError(f"column {name!r} holds text {shown}: only numbers can be learned from")
    elif column.dtype.kind not in "biuf":
        raise UsageError(f"column {name!r} must hold numbers, got {column.dtype}")
    numbers = column.astype(float)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise UsageError(f"column {name!r} has {counted(len(bad), 'missing or infinite value')}, {first(bad.tolist())}")
    return numbers


def _table(found: CsvTable, answer: np.ndarray, target: str, task: str) -> Table:
    if not found.columns or len(answer) < 2:
        raise UsageError(f"there must be a column beside {target!r} and at least 2 rows")
    pairs = list(zip(found.names, found.columns, strict=True))
    numbers = [_numbers(name, column, found.lines) for name, column in pairs]
    for name, column in zip(found.names, numbers, strict=True):
        if (column == column[0]).all():
            raise UsageError(f"column {name!r} is constant ({column[0]:g}): leave it out")
    booleans = [name for name, column in pairs if column.dtype.kind == "U" and not any(map(is_number, column))]
    note = found.note + (f"; read as 1 and 0: {', '.join(booleans)}" if booleans else "")
    y = _answer(answer, target, task, found.lines)
    return Table(np.stack(numbers, 1), y, tuple(found.names), {}, target, note)


def _answer(values: np.ndarray, target: str, task: str, lines: Sequence[int] = ()) -> np.ndarray:
    """y as integers or text for classes, floats for values; a single one is refused."""
    y = _numbers(target, values, lines, text=True)
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
    return y
