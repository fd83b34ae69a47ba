"""The columns of a user's table before anything is learned from them: numbers or text, made of the cells of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError, counted, unknown
from rlnut.runtime.digits import only_digits

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
BOOLEANS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


class RawTable(NamedTuple):
    """A table column by column, as a file or a DataFrame holds it."""

    columns: list[
        np.ndarray
    ]  # [n] each: cells of a file (str), numbers (NaN: missing), or text (object; None: missing)
    names: list[str]  # "0", "1", … where there are none
    named: bool  # did the file give the names?
    lines: tuple[int, ...] = ()  # [n] the line of a .csv file on which each row begins, counted from 1
    note: str = ""  # what was understood, for people
    typed: bool = False  # does the type of a column tell whole numbers from others?

    def place(self, name: str) -> int:
        """The number of a column, given by its name or by its number; UsageError for others."""
        if name in self.names:
            return self.names.index(name)
        if only_digits(name) and int(name) < len(self.names):
            return int(name)
        raise unknown("column", name, self.names)

    def first(self, bad: np.ndarray) -> str:
        """Where the first of the rows `bad` [n] is."""
        row = int(np.flatnonzero(bad)[0])
        return f"the first in row {row + 1}" + (f" (line {self.lines[row]})" if self.lines else "")

    def of(self, places: Sequence[int]) -> RawTable:
        """Some of the columns."""
        return self._replace(columns=[self.columns[j] for j in places], names=[self.names[j] for j in places])

    def rows(self, kept: np.ndarray) -> RawTable:
        """Some of the rows: their numbers, or which of them [n]."""
        lines = tuple(np.asarray(self.lines)[kept].tolist()) if self.lines else ()
        return self._replace(columns=[column[kept] for column in self.columns], lines=lines)


def is_number(cell: str) -> bool:
    """Is the cell a decimal number? Text with underscores (1_02) is not, although Python's float() would take it."""
    return NUMBER.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def missing_in(column: np.ndarray) -> np.ndarray:
    """Which rows [n] of a typed column have no value."""
    return np.isnan(column) if column.dtype.kind == "f" else np.array([cell is None for cell in column], bool)


def is_text(column: np.ndarray) -> bool:
    """Is a typed column text, not numbers?"""
    return column.dtype.kind == "O"


def cells_of(column: np.ndarray) -> np.ndarray:
    """A column as text [n] (object; None: missing); whole numbers without a point."""
    if column.dtype.kind in "US":
        return _objects([None if is_missing(cell) else cell for cell in column.astype(str).tolist()])
    if column.dtype.kind == "f":
        return _objects([None if np.isnan(v) else str(int(v)) if v.is_integer() else str(v) for v in column.tolist()])
    return column if is_text(column) else _objects([str(value) for value in column.tolist()])


def typed_column(table: RawTable, j: int, advice: str, text: bool = True) -> np.ndarray:
    """Column j as numbers [n] (float64; NaN: missing) or, where no cell is a number, as text (object; None: missing).

    true and false (yes and no) are 1 and 0. Numbers with text among them, decimal commas and infinite values are
    refused; text as well, if `text` does not allow it. `advice`: what to do about text that is in the way.
    """
    name, column = table.names[j], table.columns[j]
    if column.dtype.kind in "US":
        column = _of_cells(table, name, column.astype(str), advice, text)
    elif column.dtype.kind not in "biufO":
        raise UsageError(f"column {name!r} must hold numbers or text, got {column.dtype}")
    if is_text(column):
        there = ~missing_in(column)
        if there.any() and not text:
            shown = f"such as {str(column[there][0])!r}, {table.first(there)}"
            raise UsageError(f"column {name!r} holds text {shown}: {advice}")
        return column
    numbers = column.astype(float)
    if (bad := np.isinf(numbers)).any():
        count = counted(int(bad.sum()), "infinite value")
        raise UsageError(f"column {name!r} has {count}, {table.first(bad)}")
    return numbers


def _of_cells(table: RawTable, name: str, cells: np.ndarray, advice: str, text: bool) -> np.ndarray:
    """Cells [n] of a file as numbers or text."""
    gone = np.array([is_missing(cell) for cell in cells], bool)
    number = np.array([is_number(cell) for cell in cells], bool)
    words = ~gone & ~number
    if not words.any():
        return np.where(gone, "nan", cells).astype(float)
    shown = f"such as {str(cells[words][0])!r}, {table.first(words)}"
    if all(DECIMAL_COMMA.fullmatch(cell) for cell in cells[words]):
        raise UsageError(f"column {name!r} holds numbers with a comma {shown}: write them with a decimal point")
    if {cell.lower() for cell in cells[~gone]} <= {*BOOLEANS, "0", "1"}:
        return np.array([np.nan if is_missing(cell) else BOOLEANS.get(cell.lower(), cell) for cell in cells], float)
    if number.any() or not text:
        raise UsageError(f"column {name!r} holds text {shown}: {advice}")
    return cells_of(cells)


def are_booleans(column: np.ndarray) -> bool:
    """Does a column of a file hold true and false, or yes and no, that are read as 1 and 0?"""
    return column.dtype.kind == "U" and not any(map(is_number, column)) and any(c.lower() in BOOLEANS for c in column)


def _objects(values: Sequence[object]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def array_table(x: np.ndarray, typed: Callable[[np.ndarray], np.ndarray] = lambda column: column) -> RawTable:
    """An array [n, p] as a table whose columns are numbered."""
    return RawTable([typed(column) for column in x.T], [str(j) for j in range(x.shape[1])], False)
