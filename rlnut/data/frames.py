"""DataFrames of pandas and polars, and Parquet files through either, as tables; neither is imported before."""

from __future__ import annotations

import math
import numbers
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rlnut.data.raw_tables import RawTable, array_table
from rlnut.errors import RlnutError, UsageError, counted

READERS = ("pandas", "polars")


def is_frame(thing: object) -> bool:
    """Is it a DataFrame of pandas or polars?"""
    return any(isinstance(thing, sys.modules[name].DataFrame) for name in READERS if name in sys.modules)


def is_series(thing: object) -> bool:
    """Is it a column of such a DataFrame?"""
    return any(isinstance(thing, sys.modules[name].Series) for name in READERS if name in sys.modules)


def is_table(thing: object) -> bool:
    """Is it a DataFrame, or an array [n, p] that holds text?"""
    return is_frame(thing) or (isinstance(thing, np.ndarray) and thing.ndim == 2 and thing.dtype.kind in "OUS")


def raw_table(thing: Any) -> RawTable:
    """A DataFrame or an array [n, p] as a table; the names of columns are text, the index of pandas is no column."""
    if not is_frame(thing):
        x = np.asarray(thing)
        return array_table(x, lambda column: column_of(column, "") if column.dtype.kind == "O" else column)
    names = [str(name) for name in thing.columns]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"the table has two columns named {twice[0]!r}")
    series = (thing.iloc[:, j] if hasattr(thing, "iloc") else thing[name] for j, name in enumerate(names))
    return RawTable([column_of(one, name) for one, name in zip(series, names, strict=True)], names, True, typed=True)


def column_of(series: Any, name: str) -> np.ndarray:
    """A column as numbers (NaN: missing), booleans, or text (object; None: missing); dates and others are refused."""
    values = np.asarray(series.to_numpy() if hasattr(series, "to_numpy") else series)
    if values.dtype.kind in "biuf":
        return values
    if values.dtype.kind in "mM":
        raise UsageError(f"column {name!r} holds dates or times: make numbers of them, or leave it out with drop")
    cells = [None if _is_gone(cell) else cell for cell in values.tolist()]
    there = [cell for cell in cells if cell is not None]
    odd = [cell for cell in there if not isinstance(cell, (str, numbers.Number))]
    if odd:
        raise UsageError(f"column {name!r} holds {type(odd[0]).__name__}, neither numbers nor text: leave it out")
    if there and all(isinstance(cell, bool) for cell in there) and len(there) == len(cells):
        return np.array(cells, bool)
    if not any(isinstance(cell, str) for cell in there):
        return np.array([math.nan if cell is None else float(cell) for cell in cells], float)
    if not all(isinstance(cell, str) for cell in there):
        word = next(cell for cell in there if isinstance(cell, str))
        raise UsageError(f"column {name!r} holds text such as {word!r} among numbers: correct it, or leave it out")
    text = np.empty(len(cells), object)
    text[:] = cells
    return text


def _is_gone(cell: object) -> bool:
    """None, NaN, and the missing values of pandas."""
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


def read_parquet(path: Path) -> RawTable:
    """The table of a Parquet file, through pandas (with pyarrow) or polars, whichever is installed."""
    able = {"pandas": all(map(find_spec, ("pandas", "pyarrow"))), "polars": find_spec("polars") is not None}
    reader = next((name for name in READERS if able[name]), None)
    if reader is None:
        raise RlnutError(f'{path} needs pandas and pyarrow, or polars: pip install "rlnut[tables]"')
    try:
        found = raw_table(import_module(reader).read_parquet(path))
    except UsageError:
        raise
    except Exception as error:  # each reader has its own errors for a damaged file
        line = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} cannot be read as Parquet: {line}") from None
    return found._replace(note=f"{counted(len(found.names), 'column')} of a Parquet file, read by {reader}")
