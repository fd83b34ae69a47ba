"""The user's own file as a table: .csv, .parquet, .npy [rows, columns], or .npz with x and y; and new rows like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.data.csv_files import read_csv
from rlnut.data.dataset import FILES, Dataset
from rlnut.data.frames import raw_table, read_parquet
from rlnut.data.raw_tables import RawTable, array_table
from rlnut.data.sequences import cut_sequences
from rlnut.data.small_tables import Table, held_out
from rlnut.data.table_code import TableCode
from rlnut.data.table_settings import TableSettings
from rlnut.data.user_tables import (
    Share,
    answer_column,
    missing_answers,
    no_columns,
    table_dataset,
    target_dataset,
    typed_answers,
)
from rlnut.errors import UsageError, counted
from rlnut.runtime.digits import only_digits
from rlnut.runtime.files import read_npy, read_npz


class NewRows(NamedTuple):
    """Rows to predict for, in the columns that a model was fitted to."""

    x: np.ndarray  # [n, ...]
    y: np.ndarray | None  # [n], if the table has the target too
    ignored: tuple[str, ...]  # columns that the model has never seen
    note: str = ""  # how the table was understood


def read_user_file(
    path: str | Path,
    target: str | None,
    task: str,
    chosen: TableSettings,
    held: Share,
    reference: bool = False,
) -> Dataset:
    """The user's own file, with column `target` as y.

    .npz takes the arrays x [n, p] (or [n, ...]: images, sequences) and y [n] and no target; the others need one, a name
    or a number counted from 0. Sequences of unequal length have `lengths` [n] beside them, or NaN after their end.
    `task` auto: text, or at most 20 different integers, are classes; other numbers are values. `reference`: see
    `TableCode`.
    """
    path = _known(path)
    if path.suffix.lower() == ".npz":
        if target is not None:
            raise UsageError("an .npz file holds x and y: it takes no target")
        x, y = _arrays(path)
        if y is None or x.ndim < 2 or y.shape != (len(x),):
            shapes = "no y" if y is None else f"{list(x.shape)} and {list(y.shape)}"
            raise UsageError(f"{path}: x must be [n, p] or [n, ...] and y [n], got {shapes}")
        if x.ndim > 2:
            no_columns(chosen, x)
            return held_out(Table(x, typed_answers(y, "y", task), (), {}), path.name, *held)
        return table_dataset(array_table(x), y, "y", path.name, task, chosen, held, reference)
    found = _columns(path, () if target is None else (target,))
    if target is None:
        raise UsageError(f"say which column of {path} to learn with target: {', '.join(found.names[:40])}")
    return target_dataset(found, target, path.name, task, chosen, held, reference)


def read_rows(source: object, code: TableCode, target: str | None, name: str = "the table") -> NewRows:
    """New rows for a model that was fitted to the columns of `code` (none: to arrays) and `target`.

    `source`: a file as `read_user_file`'s, or a table. Columns are found by their names; in one without names (or with
    other ones than numbers were fitted to) by their order, and y is there if there is one column more.
    """
    wanted = [column.name for column in code.columns]
    if isinstance(source, (str, Path)):
        path = _known(source)
        name = str(path)
        if path.suffix.lower() == ".npz" or (path.suffix.lower() == ".npy" and not wanted):
            x, y = _arrays(path) if path.suffix.lower() == ".npz" else (read_npy(path), None)
            if x.ndim == 2 and not code.plain and x.shape[1] == len(wanted):
                x, notes = code.rows(array_table(x))
                return NewRows(x, y, (), "; ".join(notes))
            return NewRows(x, y, ())
        file = _columns(path, wanted)
    else:
        file = raw_table(source)
    if not file.columns or not len(file.columns[0]):
        raise UsageError(f"{name} has no rows")
    if not wanted:
        return NewRows(TableCode.of({"columns": file.names}).rows(file)[0], None, (), file.note)
    if not file.named or (all(word.isdecimal() for word in wanted) and not set(wanted) <= set(file.names)):
        file = file._replace(names=_by_order(file, wanted, target, name))
    missing = [word for word in wanted if word not in file.names]
    if missing:
        raise UsageError(
            f"{name} lacks column {missing[0]!r}, which the model was fitted to; it has {', '.join(file.names)}"
        )
    x, notes = code.rows(file.of([file.names.index(word) for word in wanted]))
    filled = [f"filled in: {', '.join(notes)}"] if notes else []
    y = None
    if target in file.names:
        y = file.columns[file.names.index(target)]
        gone = missing_answers(y)
        if gone.any():
            filled.append(f"{target} is missing in {counted(int(gone.sum()), 'row')}, so nothing is judged")
        y = None if gone.any() else answer_column(y, str(target), file)
    note = "; ".join([file.note] * bool(file.note) + filled)
    return NewRows(x, y, tuple(word for word in file.names if word not in (*wanted, target)), note)


def _by_order(file: RawTable, wanted: list[str], target: str | None, name: str) -> list[str]:
    """The names of columns that have none of their own."""
    p = len(wanted)
    if len(file.names) not in (p, p + 1):
        raise UsageError(
            f"{name} has {counted(len(file.names), 'column')}, but the model was fitted to {p} and {target!r}"
        )
    at = int(target) if target is not None and only_digits(target) and int(target) <= p else p
    names = list(wanted)
    if len(file.names) > p:
        names.insert(at, str(target))
    return names


def _known(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in FILES:
        raise UsageError(f"{path} must be a .csv, .npy, .npz or .parquet file")
    if not path.is_file():
        raise UsageError(f"{path} does not exist")
    return path


def _columns(path: Path, expected: Sequence[str]) -> RawTable:
    """The columns of a .csv, .npy or .parquet file, their names, and whether the file gave the names."""
    if path.suffix.lower() == ".csv":
        return read_csv(path, expected)
    if path.suffix.lower() == ".parquet":
        return read_parquet(path)
    whole = read_npy(path)
    if whole.ndim != 2:
        raise UsageError(f"{path} must hold an array [rows, columns], got {list(whole.shape)}")
    return array_table(whole)


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
