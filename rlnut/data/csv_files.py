"""A .csv file as columns of text, as spreadsheets, pandas, R and NumPy write it; `note` reports what was understood.

Separators are comma, semicolon, tab or |; cells may be quoted; lines that start with # are comments; empty lines and an
unnamed column of row numbers are left out. Nothing is guessed in silence: see `RawTable.note`.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from rlnut.data.raw_tables import DECIMAL_COMMA, RawTable, is_missing, is_number
from rlnut.errors import RlnutError, UsageError, counted
from rlnut.runtime.digits import only_digits

SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "vertical bar", ",": "comma"}  # of equally good ones the first
WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
ROW_NUMBERS = re.compile(r"(Unnamed: \d+)?")  # the header of pandas' index column
YEARS = range(1500, 2500)


def read_csv(path: Path, expected: Sequence[str] = ()) -> RawTable:
    """The table of a .csv file. `expected` are columns that the caller asks for: found in the first row, they name it.

    Raises UsageError, with the line, for text that is not UTF-8, rows of unequal length, quotes that do not close,
    columns without a name or with the same one; RlnutError if the file cannot be read.
    """
    text, comments = _text(path), 0
    lines: list[tuple[int, str]] = []
    heading: tuple[int, str] | None = None  # a comment right above the first row: perhaps it names the columns
    for number, line, comment in _lines(text):
        comments += comment
        if not comment:
            lines.append((number, line))
        elif not any(line.strip() for _, line in lines):
            heading = (number, line.lstrip()[1:])
    if not any(line.strip() for _, line in lines):
        raise UsageError(f"{path} is empty")
    given = re.fullmatch(r"sep=(.)\s*", lines[0][1])
    separator = given[1] if given else _separator(lines)
    lines = lines[1:] if given else lines
    try:
        rows = list(_records(lines, separator))
    except csv.Error as error:
        raise UsageError(f"{path} is not a table: {error} (perhaps a quote that is not closed)") from None
    named = _names_columns([cells for _, cells in rows], expected)
    if not named and heading is not None and len(rows[0][1]) > 1:
        above = next(_records([heading], separator), (0, [""]))[1]
        if len(above) == len(rows[0][1]) and not any(map(is_number, above)):  # as numpy.savetxt(header=...) writes it
            rows, named, comments = [(heading[0], above), *rows], True, comments - 1
    names = rows.pop(0)[1] if named else [str(i) for i in range(len(rows[0][1]))]
    if named and not rows:
        raise UsageError(f"{path} has no rows, only a line of column names")
    if named and all(len(cells) == len(names) + 1 for _, cells in rows):
        names = ["", *names]  # as R's write.table names its columns: none for the row names
    for place, (at, cells) in enumerate(rows, start=1):
        if len(cells) != len(names):
            hint = "; are these decimal commas? Write numbers with a point" if len(cells) == 2 * len(names) else ""
            raise UsageError(
                f"{path}: row {place} has {counted(len(cells), 'cell')}, expected {len(names)} (line {at}){hint}"
            )
    columns = [np.array(column) for column in zip(*(cells for _, cells in rows), strict=True)]
    columns, names, left_out = _named_columns(path, columns, names)
    note = _note(SEPARATORS.get(separator, repr(separator)), len(columns), named, comments, left_out)
    return RawTable(columns, names, named, tuple(at for at, _ in rows), note)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RlnutError(f"{path} cannot be read: {error.strerror or error}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise UsageError(f"{path} cannot be read as text in UTF-8 (UTF-16, or no text at all): save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise UsageError(
            f"{path} cannot be read as UTF-8: byte {byte:#04x} in line {line} (Latin-1 or a Windows code page?); "
            "save it as CSV in UTF-8"
        ) from None


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """(number from 1, line, is it a comment?); a # inside of quotes that go over several lines begins none."""
    quoted = False
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        comment = not quoted and line.lstrip().startswith("#")
        if not comment and line.count('"') % 2:
            quoted = not quoted
        yield number, line, comment


def _records(lines: Sequence[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty."""
    reader = csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True, strict=True)
    begin = 0
    for row in reader:
        line, begin = lines[begin][0], reader.line_num
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield line, cells


def _separator(lines: Sequence[tuple[int, str]]) -> str:
    """The separator that cuts the largest share of the rows into the same number of cells, more than one."""

    def agreement(separator: str) -> float:
        try:
            widths = Counter(len(cells) for _, cells in _records(lines[:1000], separator))
        except csv.Error:
            return 0.0
        width, rows = widths.most_common(1)[0]
        return rows / widths.total() if width > 1 else 0.0

    best = max(SEPARATORS, key=agreement)
    return best if agreement(best) else ","


def _names_columns(rows: list[list[str]], expected: Sequence[str]) -> bool:
    """Does the first row hold names, not data? Where `expected` does not settle it, it does

    if all its cells are text, or one is text above a column of numbers, or if all its numbers are whole (2019, 0 1 2)
    and stand above columns in which this is unlikely: decimals, or no years, or rows that do not count so.
    """
    first, rest = rows[0], rows[1:]
    asked = [name for name in expected if not (only_digits(name) and int(name) < len(first))]
    if any(name in first for name in asked):
        return True
    numbers = [j for j, cell in enumerate(first) if is_number(cell) or DECIMAL_COMMA.fullmatch(cell)]
    words = [j for j, cell in enumerate(first) if j not in numbers and not is_missing(cell)]
    below = [[row[j] for row in rest if j < len(row) and not is_missing(row[j])] for j in range(len(first))]
    if words and not numbers:
        return True
    if any(below[j] and all(map(is_number, below[j])) for j in words):
        return True
    found = [below[j] for j in numbers]
    if not numbers or not all(found) or not all(is_number(cell) for column in found for cell in column):
        return False
    return all(WHOLE.fullmatch(first[j]) for j in numbers) and _stand_out([int(first[j]) for j in numbers], found)


def _stand_out(labels: list[int], below: list[list[str]]) -> bool:
    """Are different whole numbers unlikely to be one more row of the columns below them?"""
    if len(set(labels)) < len(labels):
        return False
    chance = [(sum(WHOLE.fullmatch(cell) is not None for cell in column) + 1) / (len(column) + 2) for column in below]
    if math.prod(chance) < 0.05:
        return True
    values = [[float(cell) for cell in column] for column in below]
    if len(labels) > 1 and all(label in YEARS for label in labels):
        return not any(all(value in YEARS for value in column) for column in values)
    second = [column[0] for column in values]
    alike = sorted(second) == labels or {b - a for a, b in pairwise(second)} == {1.0}
    return len(labels) > 2 and labels[0] in (0, 1) and labels == list(range(labels[0], labels[-1] + 1)) and not alike


def _named_columns(
    path: Path, columns: list[np.ndarray], names: list[str]
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """The columns without row numbers and without empty ones that have no name, and what was left out."""
    kept, left_out = [], []
    for j, (name, column) in enumerate(zip(names, columns, strict=True)):
        if j == 0 and len(columns) > 1 and ROW_NUMBERS.fullmatch(name):
            left_out.append("the first column, which has no name (row numbers)")
        elif not name and not any(column):
            left_out.append(f"column {j}, which is empty")
        elif not name:
            raise UsageError(f"{path}: column {j} (counted from 0) has no name")
        else:
            kept.append(j)
    found = [names[j] for j in kept]
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise UsageError(f"{path} has two columns named {twice[0]!r}")
    return [columns[j] for j in kept], found, left_out


def _note(separator: str, width: int, named: bool, comments: int, left_out: list[str]) -> str:
    parts = [f"{counted(width, 'column')} separated by {separator}" if width > 1 else "one column"]
    parts.append("named by the first row" if named else "without names, so numbered from 0")
    parts += [f"{counted(comments, 'line')} of comment left out"] if comments else []
    parts += [f"left out: {', '.join(left_out)}"] if left_out else []
    return "; ".join(parts)
