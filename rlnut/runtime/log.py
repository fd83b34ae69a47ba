"""The progress of a run: a progress line, and rows of metrics.csv.

metrics.csv holds no clock times, so two runs of the same seed leave the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from rlnut.errors import RlnutError
from rlnut.runtime.digits import readable_number as readable_number
from rlnut.runtime.files import atomic_write, reason_of
from rlnut.runtime.notebook import NotebookBar, in_notebook
from rlnut.runtime.streams import on_terminal
from rlnut.runtime.streams import say as say

METRICS_FILE = "metrics.csv"
COLUMNS = (
    "step", "episodes", "return", "length", "epsilon", "updates", "delta", "cost", "value", "gradient",
    "eval_mean", "eval_std", "eval_length",
)  # fmt: skip


class MetricsFile:
    """metrics.csv: appended row by row; opened again at a step, later rows are dropped.

    content: the `checksum` that it had at that step; RlnutError if no part from its start has it now. What comes after
    that part may be damaged: rows that a power cut kept from the disk.
    """

    def __init__(
        self, path: Path, columns: tuple[str, ...], until: int | None = None, content: str | None = None
    ) -> None:
        self.path, self.columns = path, columns
        rows: list[dict[str, float]] = []
        if until is not None and path.exists():
            rows = read_metrics(path) if content is None else _rows(path, _part(path, content))[1]
        elif content is not None:
            say(f"{path} is missing: a new one is begun, without the rows until step {until:,}")
        kept = [row for row in rows if until is None or row["step"] <= until]
        # rows that were there before; another version may have written other columns
        self.kept = [{k: v for k, v in row.items() if k in columns} for row in kept]
        text = _table(columns, self.kept)
        self._hash = hashlib.sha256(text.encode())
        atomic_write(path, text)

    @property
    def checksum(self) -> str:
        """SHA-256 of all that was written."""
        return self._hash.hexdigest()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; what is not there or not a number stays empty."""
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerow({k: _cell(row.get(k)) for k in self.columns})
        try:
            with open(self.path, "r+", newline="", encoding="utf-8") as file:
                file.seek(0, io.SEEK_END)
                file.write(text.getvalue())
        except OSError as error:
            raise RlnutError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._hash.update(text.getvalue().encode())

    def sync(self) -> None:
        """Flush all rows to the disk; a file that was deleted has none."""
        try:
            with open(self.path, "r+b") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
        except OSError as error:
            raise RlnutError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics.csv as numbers (NaN where empty); a file that is not there has none.

    A last row that was cut short by the end of a process is left out; anything else that is no table of numbers with
    a column `step` raises RlnutError.
    """
    return read_log(path)[1] if path.exists() else []


def read_log(path: Path, counters: tuple[str, ...] = ("step",)) -> tuple[tuple[str, ...], list[dict[str, float]]]:
    """(names of the columns, rows) of a metrics.csv, which counts one of `counters`."""
    try:
        return _rows(path, path.read_bytes(), counters)
    except OSError as error:
        raise RlnutError(f"{path} cannot be read: {reason_of(error)}") from None


def _rows(
    path: Path, content: bytes, counters: tuple[str, ...] = ("step",)
) -> tuple[tuple[str, ...], list[dict[str, float]]]:
    """(names of the columns, rows) of a log's content, but for a last row that was cut short."""
    try:
        table = list(csv.reader(io.StringIO(content.rpartition(b"\n")[0].decode("utf-8")), strict=True))
        names = table[0] if table else [counters[0]]
        if not set(counters) & set(names):
            raise ValueError(f"no column {' or '.join(counters)}")
        rows = [{k: float(v) if v else math.nan for k, v in zip(names, row, strict=True)} for row in table[1:]]
    except (ValueError, csv.Error) as error:
        raise RlnutError(f"{path} is damaged: {error}") from None
    return tuple(names), rows


def _part(path: Path, checksum: str) -> bytes:
    """What of a log, from its start, has this checksum; RlnutError if nothing has."""
    found, size = hashlib.sha256(), 0
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RlnutError(f"{path} cannot be read: {reason_of(error)}") from None
    for line in content.splitlines(keepends=True):
        found.update(line)
        size += len(line)
        if found.hexdigest() == checksum:
            return content[:size]
    raise RlnutError(
        f"{path} is damaged or was edited: its content does not match its checksum; delete the file to continue the run"
        " with a new log"
    )


def _table(columns: tuple[str, ...], rows: list[dict[str, float]]) -> str:
    """The text of a metrics.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{k: _cell(v) for k, v in row.items()} for row in rows])
    return text.getvalue()


def _cell(value: SupportsFloat | None) -> str:
    if value is None:
        return ""
    number = float(value)
    if math.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


# the numbers that matter most come first: a narrow terminal cuts the end off
COMPILING = "compiling …"  # what a bar says before the first step is done
BAR = "{percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}, {rate_fmt}]"


class Progress:
    """Steps, steps/s, return, ε, δ, time left: a bar on a terminal, plain lines where there is none.

    words: (name that is shown, key of the row); start: what the bar says until the first step is done. The bar has a
    fixed width, so that the numbers beside it stay in view, and its last state stays on the screen.
    """

    def __init__(
        self,
        total: int,
        done: int,
        quiet: bool = False,
        words: tuple[tuple[str, str], ...] = (),
        *,
        unit: str = " steps",
        start: str = "",
    ) -> None:
        self.words = words or WORDS
        self.total, self.first, self.began, self.said = total, done, time.perf_counter(), time.perf_counter()
        self.quiet = quiet
        self.newest: dict[str, float] = {}
        self.bar: Any = None
        if not quiet and in_notebook():
            self.bar = NotebookBar(total, min(done, total), unit, BAR, start or None)
        elif not quiet and on_terminal():
            from tqdm import tqdm

            line = {"bar_format": BAR, "dynamic_ncols": True, "postfix": start or None}
            self.bar = tqdm(total=total, initial=min(done, total), unit=unit, file=sys.stderr, **line)

    def expect(self, total: int) -> None:
        """So many steps in all, counted from now: what was compiled before is no part of their speed."""
        self.total, self.began = total, time.perf_counter()
        if self.bar is not None:
            self.bar.total = total

    def say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        elif not self.quiet:
            say(line)

    def move(self, step: int, words: str, at_once: bool = False) -> None:
        """Move the bar, where there is one, to `step`; it is drawn again when it is time, or `at_once`."""
        if self.bar is None:
            return
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(min(step, self.total) - self.bar.n)
        if at_once:
            self.bar.refresh()

    def due(self) -> bool:
        """Is it time to say something again?"""
        return not self.quiet and time.perf_counter() - self.said > (0.2 if self.bar is not None else 5.0)

    def show(self, step: int, row: Mapping[str, Any], plain: bool = False) -> None:
        """Refresh the bar, or print a plain line if `plain` or if the last one is some time ago."""
        if self.quiet or not (plain or self.due()):
            return
        self.said = time.perf_counter()
        now = {key: row[key] for _, key in self.words if row.get(key) is not None and row[key] == row[key]}
        self.newest = self.newest | now
        values = now if self.bar is None else self.newest  # a bar keeps the last evaluation in view
        words = [f"{name} {readable_number(values[key])}" for name, key in self.words if key in values]
        if self.bar is not None:
            self.move(step, ", ".join(words), at_once=True)
            return
        rate = (step - self.first) / max(self.said - self.began, 1e-9)
        left = max(0, self.total - step) / rate if rate > 0 else math.inf
        clock = f"{int(left // 60)}:{int(left % 60):02d} left" if math.isfinite(left) else ""
        say(f"step {step:,}/{self.total:,}  {rate:,.0f} steps/s  {'  '.join(words)}  {clock}")

    def close(self) -> None:
        """Leave the terminal clean."""
        if self.bar is not None:
            self.bar.close()


WORDS = (("return", "return"), ("ε", "epsilon"), ("|δ|", "delta"), ("q", "value"), ("greedy", "eval_mean"))
