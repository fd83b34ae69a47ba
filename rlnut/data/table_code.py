"""How the columns of a table become numbers: learned from the training rows, kept with the fit, used for new rows.

A column of numbers stays as it is; text is one-hot encoded, x[city=Ulm] = 1 where city is Ulm. Missing values are
filled with what the training rows say, or refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlnut.data.raw_tables import RawTable, cells_of, is_text, missing_in, typed_column
from rlnut.data.table_settings import TableSettings
from rlnut.errors import UsageError, counted
from rlnut.runtime.files import JsonObject

MOST_LEVELS = 1000  # of a column of text that is not called categorical
FEW_LEVELS = 10  # up to which text may differ in most of the rows
SHOWN = 6  # levels, in a message
FILL = "set missing to mean, median or drop, or leave the column out with drop"


class ColumnCode(NamedTuple):
    """What is known of one column."""

    name: str
    levels: tuple[str, ...] | None  # the texts of the training rows, in order; None: a column of numbers
    fill: float | str | None  # what stands for a missing value; None: missing values are refused


class TableCode(NamedTuple):
    """Columns of numbers and text [n] -> x [n, p]."""

    columns: tuple[ColumnCode, ...]
    reference: bool = False  # the first level of each column has no column of its own: all others are 0 there
    unseen: str = "refuse"  # see TableSettings

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of x."""
        return tuple(name for column in self.columns for name in self._names(column))

    def _names(self, column: ColumnCode) -> list[str]:
        if column.levels is None:
            return [column.name]
        return [f"{column.name}={level}" for level in column.levels[self.reference :]]

    @property
    def plain(self) -> bool:
        """Does it leave every column as it is?"""
        return all(column.levels is None and column.fill is None for column in self.columns)

    def rows(self, table: RawTable) -> tuple[np.ndarray, list[str]]:
        """x [n, p] of a table with these columns, in this order, and what was filled in, for people.

        UsageError for missing values that nothing is known for, for text in a column of numbers, and for text that no
        training row had, unless `unseen` is zero.
        """
        parts, notes = [], []
        for j, code in enumerate(self.columns):
            if code.levels is None:
                advice = "the model was fitted to numbers there"
                found, note = self._numbers(typed_column(table, j, advice, text=False), code, table)
            else:
                found, note = self._one_hot(cells_of(table.columns[j]), code, table)
            parts.append(found)
            notes += note
        return np.concatenate(parts, 1) if parts else np.empty((0, 0)), notes

    def _numbers(self, column: np.ndarray, code: ColumnCode, table: RawTable) -> tuple[np.ndarray, list[str]]:
        gone = missing_in(column)
        if not gone.any():
            return column[:, None], []
        if code.fill is None:
            _refuse_missing(code.name, gone, table)
        column = column.copy()
        column[gone] = code.fill
        return column[:, None], [f"{code.name} {gone.sum()} × {code.fill:.6g}"]

    def _one_hot(self, cells: np.ndarray, code: ColumnCode, table: RawTable) -> tuple[np.ndarray, list[str]]:
        assert code.levels is not None
        gone, notes = missing_in(cells), []
        if gone.any():
            if code.fill is None:
                _refuse_missing(code.name, gone, table)
            cells = cells.copy()
            cells[gone] = code.fill
            notes.append(f"{code.name} {gone.sum()} × {code.fill!r}")
        place = {level: i for i, level in enumerate(code.levels)}
        found = np.array([place.get(cell, -1) for cell in cells], int)
        if (new := found < 0).any():
            if self.unseen == "refuse":
                first = f"{str(cells[new][0])!r}, {table.first(new)}"
                known = ", ".join(code.levels[:SHOWN]) + (", …" if len(code.levels) > SHOWN else "")
                raise UsageError(
                    f"column {code.name!r} holds text that is in no training row: {first}; known: {known} "
                    "(to let it count as 0 in all of them, fit with unseen set to zero)"
                )
            notes.append(f"{code.name} {counted(int(new.sum()), 'unseen text')} as 0")
        hot = (found[:, None] == np.arange(len(code.levels))).astype(float)
        return hot[:, self.reference :], notes

    def as_json(self) -> JsonObject:
        """What config.json keeps."""
        columns = [list(column) for column in self.columns]
        return {"columns": columns, "reference": self.reference, "unseen": self.unseen}

    @classmethod
    def of(cls, about: JsonObject) -> TableCode:
        """That of a fit, from its config.json: all columns are numbers unless it says otherwise."""
        kept = about.get("encoding")
        if kept is None:
            return cls(tuple(ColumnCode(name, None, None) for name in about["columns"]))
        columns = (ColumnCode(name, levels and tuple(levels), fill) for name, levels, fill in kept["columns"])
        return cls(tuple(columns), kept["reference"], kept["unseen"])


def _refuse_missing(name: str, gone: np.ndarray, table: RawTable) -> None:
    count = counted(int(gone.sum()), "missing value")
    raise UsageError(
        f"column {name!r} has {count}, {table.first(gone)}; the model was fitted without a value to fill in: "
        "fit with missing set to mean or median"
    )


def refuse_missing(table: RawTable, columns: Sequence[np.ndarray]) -> None:
    """UsageError that counts the missing values of typed columns, if there are any."""
    count = {name: int(missing_in(c).sum()) for name, c in zip(table.names, columns, strict=True)}
    count = {name: n for name, n in count.items() if n}
    if not count:
        return
    gone = np.any([missing_in(column) for column in columns], 0)
    values = counted(sum(count.values()), "missing value")
    if len(count) == 1:
        raise UsageError(f"column {next(iter(count))!r} has {values}, {table.first(gone)}: {FILL}")
    shown = [f"{name!r} ({n})" for name, n in count.items()]
    more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
    raise UsageError(f"columns {', '.join(shown[:10])}{more} have {values}, {table.first(gone)}: {FILL}")


def learned_code(table: RawTable, chosen: TableSettings, reference: bool) -> TableCode:
    """The code of typed columns, from the training rows alone."""
    named = {table.names[table.place(name)] for name in chosen.categorical}
    columns = []
    for name, column in zip(table.names, table.columns, strict=True):
        there = column[~missing_in(column)]
        fills = chosen.missing in ("mean", "median")
        if not len(there):
            raise UsageError(f"column {name!r} has no value in the training rows: leave it out with drop")
        if not is_text(column):
            by = np.median if chosen.missing == "median" else np.mean
            columns.append(ColumnCode(name, None, float(by(there)) if fills else None))
            continue
        count = Counter(there.tolist())
        levels = tuple(sorted(count))
        if name not in named and (len(levels) > MOST_LEVELS or FEW_LEVELS < len(levels) > len(there) / 2):
            raise UsageError(
                f"column {name!r} holds {len(levels):,} different texts in {counted(len(there), 'row')}, such as "
                f"{levels[0]!r}: leave it out with drop, or name it in categorical to encode them all"
            )
        most = max(levels, key=lambda level: count[level])  # of equally frequent ones the first
        columns.append(ColumnCode(name, levels, most if fills else None))
    return TableCode(tuple(columns), reference, chosen.unseen)


def encoding_note(code: TableCode) -> list[str]:
    """Which columns of text are encoded, and how, for people."""
    parts = []
    for column in code.columns:
        if column.levels is not None:
            shown = ", ".join(column.levels[:SHOWN]) + (", …" if len(column.levels) > SHOWN else "")
            count = f"{len(column.levels)} levels: " if len(column.levels) > SHOWN else ""
            first = f"; {column.levels[0]} is the reference" if code.reference else ""
            parts.append(f"{column.name} ({count}{shown}{first})")
    return [f"one-hot encoded: {', '.join(parts)}"] if parts else []
