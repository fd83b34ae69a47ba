"""The log and the summary of a run folder, read only if they are what the run left. It needs no JAX.

summary.json has the `identity` of config.json and the checksum of metrics.csv in it, so one that was damaged, edited or
exchanged is refused.
"""

from __future__ import annotations

from pathlib import Path

from rlnut.control.recipe import CONFIG, SUMMARY, identity
from rlnut.errors import RlnutError
from rlnut.runtime.files import JsonObject, checksum_of, read_json
from rlnut.runtime.log import METRICS_FILE, read_metrics


def read_summary(folder: Path) -> JsonObject:
    """summary.json as `rlnut train` prints it; RlnutError if it is missing, damaged or of another run."""
    found = read_json(folder / SUMMARY)
    run = found.pop("run", None)  # earlier versions have none
    found.pop("metrics", None)
    if "eval" not in found or (run is not None and run != _identity_in(folder)):
        raise RlnutError(f"{folder / SUMMARY} does not belong to {CONFIG} beside it: one of them is of another run")
    return found


def checked_log(folder: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv as numbers; RlnutError if it is damaged, or not as the run left it when it ended."""
    path = folder / METRICS_FILE
    rows = read_metrics(path)
    stated = read_json(folder / SUMMARY).get("metrics") if (folder / SUMMARY).exists() else None
    if stated is not None and stated != checksum_of(path):
        raise RlnutError(f"{path} is damaged or was edited: {SUMMARY} has another checksum of it")
    return rows


def _identity_in(folder: Path) -> str:
    """That of a folder's config.json."""
    try:
        return identity(read_json(folder / CONFIG))
    except (KeyError, TypeError, AttributeError) as error:
        raise RlnutError(f"{folder / CONFIG} is damaged: {type(error).__name__}: {error}") from None
