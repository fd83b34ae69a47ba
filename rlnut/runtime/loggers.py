"""Loggers: what else takes the rows of a log, beside metrics.csv. `trackers` has those of TensorBoard, W&B and MLflow.

    class Print(rlnut.Logger):
        def log(self, step, numbers):
            print(step, numbers.get("eval_mean"))

    rlnut.train("dqn", "CartPole-v1", loggers=[Print()])

Loggers never affect a run: an exception in one of them is reported once, and the run continues without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

from rlnut.errors import UsageError
from rlnut.runtime.history import History, Row, RowRecorder
from rlnut.runtime.log import METRICS_FILE, MetricsFile, say
from rlnut.runtime.observing import shown_error, shown_name


class LoggedRun(NamedTuple):
    """What a logger gets before the first row."""

    config: Mapping[str, object]  # what config.json says
    folder: Path | None  # None: the run keeps no files
    since: int | None = None  # the step from which a run continues: later rows come again; None: it is new


class Logger:
    """Base of a logger: `log` takes the rows; `check`, `start` and `close` may be left as they are."""

    def check(self, run: LoggedRun) -> None:
        """Before anything is written: raise a UsageError for a run that cannot be logged."""

    def start(self, run: LoggedRun) -> None:
        """Before the first row."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row: the numbers that it has, by the names of the columns of metrics.csv."""
        raise NotImplementedError(f"{type(self).__name__} has no method log(step, numbers)")

    def close(self) -> None:
        """After the last row, however the run ended."""


class Loggers:
    """All loggers of a run; UsageError for what is none: any object with a method `log` is one."""

    def __init__(self, given: Iterable[object] = ()) -> None:
        if not isinstance(given, (list, tuple)):
            raise UsageError(f"loggers must be a list, each with a method log(step, numbers); got {shown_name(given)}")
        for one in given:
            if isinstance(one, type):
                raise UsageError(f"the logger {shown_name(one)} is a class: make one, {shown_name(one)}(…)")
            if not callable(getattr(one, "log", None)):
                raise UsageError(f"loggers must have a method log(step, numbers); {shown_name(one)} has none")
        self.given: list[object] = list(given)

    def check(self, run: LoggedRun) -> None:
        """Before anything is written."""
        for one in self.given:
            _method(one, "check")(run)

    def start(self, run: LoggedRun) -> None:
        """Before the first row."""
        self._all("start", run)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row."""
        self._all("log", step, numbers)

    def close(self) -> None:
        """After the last row; once only."""
        self._all("close")
        self.given = []

    def _all(self, which: str, *arguments: object) -> None:
        for one in list(self.given):
            try:
                _method(one, which)(*arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a logger may raise anything, SystemExit too
                self.given = [other for other in self.given if other is not one]
                say(f"the logger {shown_name(one)} failed, and the run continues without it: {shown_error(error)}")
                if which != "close":
                    with contextlib.suppress(Exception):
                        _method(one, "close")()


def _method(one: object, name: str) -> Callable[..., object]:
    found = getattr(one, name, None)
    return found if callable(found) else lambda *_: None


class RowLog:
    """Where the rows of a log go: into memory, into metrics.csv of a folder, to the loggers.

    until, content: of a resumed run, see `MetricsFile`.
    """

    def __init__(
        self,
        columns: Sequence[str],
        loggers: Loggers,
        folder: Path | None = None,
        until: int | None = None,
        content: str | None = None,
    ) -> None:
        self.loggers, self.columns = loggers, tuple(columns)
        self.file = None if folder is None else MetricsFile(folder / METRICS_FILE, self.columns, until, content)
        self._recorder = RowRecorder(columns, self.file.kept if self.file is not None else ())

    def write(self, row: Row) -> None:
        """One more row; its first column counts."""
        if self.file is not None:
            self.file.write(row)
        self._recorder.add(row)
        if self.loggers.given:
            found = {name: float(number) for name in self.columns if (number := row.get(name)) is not None}
            step = int(found.pop(self.columns[0]))
            self.loggers.log(step, {name: number for name, number in found.items() if not isnan(number)})

    def history(self) -> History:
        """All rows until now, with those from before a run was interrupted."""
        return self._recorder.history()
