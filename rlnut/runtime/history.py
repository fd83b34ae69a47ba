"""The log of a run as arrays: `run.history["eval_mean"]`; `history(folder)` is that of a folder, whoever wrote it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from rlnut.errors import RlnutError, UsageError, counted, unknown
from rlnut.runtime.files import as_path, is_folder
from rlnut.runtime.log import METRICS_FILE, read_log

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, SupportsFloat | None]


class History(Mapping[str, np.ndarray]):
    """The columns of a log by name: float64 arrays [rows], NaN where a row has no number.

    >>> from rlnut.runtime.history import History
    >>> found = History(("step", "eval_mean"), [[50, float("nan")], [100, 21.5]])
    >>> found.step, found["eval_mean"][-1].item(), list(found)
    (array([ 50, 100]), 21.5, ['step', 'eval_mean'])
    """

    def __init__(self, columns: Sequence[str], table: Sequence[Sequence[float]] | np.ndarray) -> None:
        self.columns = tuple(columns)
        self._table = np.asarray(table, float).reshape(-1, len(self.columns))

    @property
    def step(self) -> np.ndarray:
        """What the rows count, int64 [rows]: steps, of a fit epochs."""
        return self[self._counter].astype(np.int64)

    @property
    def _counter(self) -> str:
        return "step" if "step" in self.columns else self.columns[0]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise unknown("column", name, self.columns)
        return self._table[:, self.columns.index(name)].copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def get(self, name: str, default: object = None) -> np.ndarray | object:  # type: ignore[override]
        """The column of this name; `default` if there is none."""
        return self[name] if name in self.columns else default

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return self.columns == other.columns and np.array_equal(self._table, other._table, equal_nan=True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"History({counted(len(self._table), 'row')} of {', '.join(self.columns)})"

    def to_frame(self) -> pandas.DataFrame:
        """The same as a DataFrame; UsageError without pandas."""
        try:
            import pandas
        except ImportError:
            raise UsageError("to_frame needs pandas: pip install 'rlnut[pandas]'") from None
        return pandas.DataFrame(self._table.copy(), columns=list(self.columns)).astype({self._counter: "int64"})


class RowRecorder:
    """Rows of a log as they come, 8 bytes a number."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Row] = ()) -> None:
        self.columns, self._numbers = tuple(columns), array("d")
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """One more; what it does not have, or has as None, is NaN."""
        found = (row.get(name) for name in self.columns)
        self._numbers.extend(nan if number is None else float(number) for number in found)

    def history(self) -> History:
        """All of them until now."""
        return History(self.columns, np.array(self._numbers))


def history(folder: str | Path) -> History:
    """The log of a run, a prediction or a fit from its folder; of a running one, the log so far.

    Raises RlnutError if there is none or it is damaged, UsageError for a folder of several runs.
    """
    home = as_path(folder, "the folder of a run")
    path = home / METRICS_FILE
    if not path.exists():
        if is_folder(home) and (inner := sorted(home.glob(f"*/{METRICS_FILE}"))):
            names = ", ".join(str(path.parent) for path in inner[:5])
            raise UsageError(f"{home} holds {len(inner)} runs: choose one of {names}{', …' if inner[5:] else ''}")
        raise RlnutError(f"{path} is missing" if is_folder(home) else f"{home} is not the folder of a run")
    columns, rows = read_log(path, ("step", "epoch"))
    return RowRecorder(columns, rows).history()
