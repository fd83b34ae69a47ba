"""Tables as tests read them: all rows of a user's file, and the code of columns that are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlnut.data.small_tables import Table
from rlnut.data.table_code import TableCode
from rlnut.data.table_settings import TableSettings
from rlnut.data.user_files import read_user_file
from rlnut.data.user_tables import Share


def read_table(path: str | Path, target: str | None = None, task: str = "auto", **chosen: Any) -> Table:
    """The user's own file, with nothing held out."""
    found = read_user_file(path, target, task, TableSettings(**chosen), Share(0.0))
    return Table(found.x_train, found.y_train, found.columns, {}, found.target or "y", found.note)


def numbers(names: Sequence[str]) -> TableCode:
    """Of columns that hold numbers, as a fit without text and gaps has it."""
    return TableCode.of({"columns": names})
