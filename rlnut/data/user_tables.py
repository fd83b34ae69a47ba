"""The user's own table as a dataset: columns chosen, typed and encoded, gaps filled, test rows held out.

Text is one-hot encoded, columns of true and false (or yes and no) are read as 1 and 0. What cannot be learned from is
refused with the column's name: missing values unless `missing` says what to do, constant columns, a single class.
`Dataset.note` reports what was understood, converted, filled in and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlnut.data.dataset import TASKS, Dataset, as_array
from rlnut.data.frames import column_of, is_frame, is_series, is_table, raw_table
from rlnut.data.raw_tables import (
    DECIMAL_COMMA,
    RawTable,
    are_booleans,
    cells_of,
    is_number,
    is_text,
    missing_in,
    typed_column,
)
from rlnut.data.small_tables import Table, held_out, held_rows
from rlnut.data.table_code import TableCode, encoding_note, learned_code, refuse_missing
from rlnut.data.table_settings import TableSettings
from rlnut.errors import UsageError, counted, unknown

MOST_CLASSES = 20  # more different integers than this are values, not classes
LISTS = ("columns", "drop", "categorical")
AMONG = "correct it, leave the column out with drop, or name it in categorical"


class Share(NamedTuple):
    """How the test rows are held out."""

    share: float
    seed: int = 0


def given_dataset(
    x: object,
    y: object,
    target: str | None,
    task: str,
    chosen: TableSettings,
    held: Share,
    reference: bool = False,
) -> Dataset:
    """X and y as they are handed over in Python: a DataFrame and its `target`, or X (array or DataFrame) and y.

    An array of numbers is taken as it is, unless `chosen` asks for something. Floats in y are values; of integers at
    most 20 different ones are classes, as in a file.
    """
    if is_frame(x) and y is None:
        if target is None:
            raise UsageError(
                f"say which column of the table to learn with target: {', '.join(raw_table(x).names[:40])}"
            )
        return target_dataset(raw_table(x), target, "table", task, chosen, held, reference)
    if target is not None:
        raise UsageError("a target names a column of the table, but y is given beside it: leave one of them out")
    name, values = given_values(y)
    task = typed_task(values, task)
    if not is_table(x):
        x = as_array("X", x)
        if x.ndim < 2:
            raise UsageError(f"X must have the shape [rows, features], got {list(x.shape)}: perhaps X[:, None]?")
    rows = len(x)  # type: ignore[arg-type]
    if values.ndim == 0 or len(values) != rows:
        raise UsageError(f"X has {counted(rows, 'row')} but y has shape {list(values.shape)}")
    if not is_table(x) and chosen == TableSettings():
        return held_out(Table(np.asarray(x), typed_answers(values, name, task), (), {}, name), "arrays", *held)
    if not is_table(x) and np.ndim(x) > 2:  # type: ignore[arg-type]
        no_columns(chosen, np.asarray(x))
    table = raw_table(x)
    return table_dataset(table, values, name, "table", task, chosen, held, reference)


def divided_dataset(parts: Sequence[object], task: str, chosen: TableSettings, reference: bool = False) -> Dataset:
    """(x_train, y_train, x_test, y_test) with DataFrames as x: text and missing values as the training rows say."""
    train, test = raw_table(parts[0]), raw_table(parts[2])
    if set(train.names) - set(test.names):
        raise UsageError(f"x_test lacks column {min(set(train.names) - set(test.names))!r}, which x_train has")
    found = table_dataset(train, given_values(parts[1])[1], "y", "table", task, chosen, Share(0.0), reference)
    code = found.code or TableCode.of({"columns": found.columns})
    x, notes = code.rows(test.of([test.place(column.name) for column in code.columns]))
    _, y = given_values(parts[3])
    if len(y) != len(x):
        raise UsageError(f"x_test has {counted(len(x), 'row')} but y_test has shape {list(y.shape)}")
    note = found.note + (f"; of the test rows filled in: {', '.join(notes)}" if notes else "")
    y = typed_answers(y, "y", "regression") if found.y_train.dtype.kind == "f" else y
    return found._replace(x_test=x, y_test=y, note=note)


def target_dataset(
    table: RawTable, target: str, name: str, task: str, chosen: TableSettings, held: Share, reference: bool
) -> Dataset:
    place = table.place(target)
    by_name = {kind: tuple(table.names[table.place(name)] for name in getattr(chosen, kind)) for kind in LISTS}
    chosen = chosen.replace(**by_name)
    x = table.of([j for j in range(len(table.names)) if j != place])
    if table.names[place] in (*chosen.columns, *chosen.drop, *chosen.categorical):
        raise UsageError(f"{table.names[place]!r} is the target: it is no column to learn from, nor to leave out")
    y = table.columns[place]
    task = typed_task(y, task) if table.typed else task
    return table_dataset(x, y, table.names[place], name, task, chosen, held, reference)


def typed_task(y: np.ndarray, task: str) -> str:
    """What y is where its type says it: floats are values, also if all are whole."""
    return "regression" if task == "auto" and y.dtype.kind == "f" else task


def table_dataset(
    table: RawTable,
    y: np.ndarray,
    target: str,
    name: str,
    task: str,
    chosen: TableSettings,
    held: Share,
    reference: bool,
) -> Dataset:
    """A table and its answers y [n] as a dataset: columns chosen and typed, test rows held out, the rest encoded."""
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    table, notes = _chosen(table, chosen)
    if not table.columns or len(y) < 2:
        raise UsageError(f"there must be a column beside {target!r} and at least 2 rows")
    booleans = [name for name, column in zip(table.names, table.columns, strict=True) if are_booleans(column)]
    named = {table.names[table.place(column)] for column in chosen.categorical}
    typed = [
        cells_of(table.columns[j]) if column in named else typed_column(table, j, AMONG)
        for j, column in enumerate(table.names)
    ]
    table, y, left_out = _without_gaps(table._replace(columns=typed), y, target, chosen)
    values = typed_answers(y, target, task, table)
    _refuse_constant(table)
    train, test = held_rows(values, target, name, *held)
    code = learned_code(table.rows(train), chosen, reference)
    (x_train, filled), (x_test, more) = code.rows(table.rows(train)), code.rows(table.rows(test))
    notes += [f"read as 1 and 0: {', '.join(booleans)}"] if booleans else []
    notes += encoding_note(code) + left_out
    notes += [f"filled in: {', '.join(filled)}"] if filled else []
    notes += [f"in the test rows: {', '.join(more)}"] if more else []
    note = "; ".join([table.note] * bool(table.note) + notes)
    return Dataset(
        x_train, values[train], x_test, values[test], None, name, code.names, target, note,
        code=None if code.plain else code,
    )  # fmt: skip


def _chosen(table: RawTable, chosen: TableSettings) -> tuple[RawTable, list[str]]:
    """The columns that are learned from, in the order of the table, and what is left out."""
    if chosen.columns and chosen.drop:
        raise UsageError("columns says what to learn from and drop what to leave out: give one of them")
    named = {table.place(name) for name in (*chosen.columns, *chosen.drop)}
    kept = [j for j in range(len(table.names)) if not named or (j in named) == bool(chosen.columns)]
    left_out = [name for j, name in enumerate(table.names) if j not in kept]
    return table.of(kept), [f"left out: {', '.join(left_out)}"] if left_out else []


def _without_gaps(
    table: RawTable, y: np.ndarray, target: str, chosen: TableSettings
) -> tuple[RawTable, np.ndarray, list[str]]:
    """The rows that have an answer (missing drop: and all else), and what was dropped."""
    no_answer = missing_answers(y)
    if chosen.missing == "refuse":
        both = table._replace(names=[*table.names, target])
        refuse_missing(both, [*table.columns, np.where(no_answer, np.nan, 0.0)])
        return table, y, []
    bad, what = no_answer, f"without {target}"
    if chosen.missing == "drop":
        bad, what = np.any([no_answer, *map(missing_in, table.columns)], 0), "with missing values"
    if not bad.any():
        return table, y, []
    if (~bad).sum() < 2:
        raise UsageError(f"fewer than 2 of {counted(len(y), 'row')} are complete: leave columns out with drop")
    return table.rows(~bad), y[~bad], [f"dropped: {counted(int(bad.sum()), 'row')} {what}"]


def missing_answers(y: np.ndarray) -> np.ndarray:
    if y.ndim > 1:
        return np.isnan(y).any(1) if y.dtype.kind == "f" else np.zeros(len(y), bool)
    return missing_in(cells_of(y)) if y.dtype.kind in "US" else missing_in(y) if y.dtype.kind in "fO" else y != y


def _refuse_constant(table: RawTable) -> None:
    for name, column in zip(table.names, table.columns, strict=True):
        there = column[~missing_in(column)]
        if len(there) and len(there) == len(column) and (there == there[0]).all():
            shown = there[0] if is_text(column) else f"{there[0]:g}"
            raise UsageError(f"column {name!r} is constant ({shown}): leave it out with drop")


def no_columns(chosen: TableSettings, x: np.ndarray) -> None:
    if chosen != TableSettings():
        raise UsageError(
            f"columns are chosen and filled in tables [rows, columns], but x has the shape {list(x.shape)}"
        )


def given_values(y: object) -> tuple[str, np.ndarray]:
    """The name and the values of y as it is handed over in Python: an array or list, or a column of a DataFrame."""
    if is_frame(y):
        table = raw_table(y)
        if len(table.names) == 1:
            return table.names[0], table.columns[0]
        return "y", np.stack(
            [typed_column(table, j, "y holds several columns", text=False) for j in range(len(table.names))], 1
        )
    if is_series(y):
        name = str(getattr(y, "name", None) or "y")
        return name, column_of(y, name)
    values = as_array("y", y)
    return "y", column_of(values.astype(object), "y") if values.dtype.kind in "OUS" and values.ndim == 1 else values


def typed_answers(values: np.ndarray, target: str, task: str, table: RawTable | None = None) -> np.ndarray:
    """y as integers or text for classes, floats for values; a single one is refused."""
    y = answer_column(values, target, table)
    if y.dtype.kind == "b" and task == "regression":
        y = y.astype(float)
    if y.ndim > 1:
        return y
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


def answer_column(values: np.ndarray, name: str, table: RawTable | None = None) -> np.ndarray:
    """A column of answers as float64, as booleans, or as text where a cell is none of these; none may be missing."""
    place = table or RawTable([], [], False)
    if values.dtype.kind == "b" and values.ndim == 1:
        return values
    if values.dtype.kind in "US":
        words = np.array([not is_number(cell) for cell in values.astype(str)], bool)
        if not words.any():
            return values.astype(float)
        if all(DECIMAL_COMMA.fullmatch(cell) for cell in values[words].astype(str)):
            shown = f"such as {str(values[words][0])!r}, {place.first(words)}"
            raise UsageError(f"column {name!r} holds numbers with a comma {shown}: write them with a decimal point")
        return values.astype(str)
    if values.dtype.kind == "O":
        return np.array(values.tolist(), str)
    if values.dtype.kind not in "biuf":
        raise UsageError(f"column {name!r} must hold numbers, got {values.dtype}")
    y = values.astype(float)
    bad = ~np.isfinite(y) if y.ndim == 1 else ~np.isfinite(y).all(1)
    if bad.any():
        raise UsageError(
            f"column {name!r} has {counted(int(bad.sum()), 'missing or infinite value')}, {place.first(bad)}"
        )
    return y
