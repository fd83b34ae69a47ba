"""What is done with the columns of a user's own table: options of `rlnut fit`. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from rlnut.settings import Options, Settings, setting


@dataclass(frozen=True)
class TableSettings(Settings):
    """Which columns of a table are learned from, and what is done about text and missing values."""

    columns: tuple[str, ...] = setting((), "columns to learn from, by name or number (none: all but the target)")
    drop: tuple[str, ...] = setting((), "columns to leave out, such as names and row numbers")
    categorical: tuple[str, ...] = setting(
        (), "columns of numbers that are names, such as postcodes: one-hot encoded, as columns of text are"
    )
    missing: str = setting(
        "refuse",
        "missing values: refuse them; fill them with the mean or median of the training rows (text: with the most "
        "frequent one); or drop their rows",
        choices=("refuse", "mean", "median", "drop"),
    )
    unseen: str = setting(
        "refuse",
        "text that is in no training row: refuse it, or zero: all columns of its encoding are 0",
        choices=("refuse", "zero"),
    )

    @classmethod
    def taken_from(cls, given: Options) -> Self:
        """Its own options of those that were `given`, which are taken out there; one name may stand for itself."""
        own = {f.name: given.pop(f.name) for f in fields(cls) if f.name in given}
        lists = {f.name for f in fields(cls) if f.default == ()}
        found = {name: (v,) if name in lists and isinstance(v, str) else v for name, v in own.items()}
        return cls().replace(**found)
