"""Two run folders beside each other, byte for byte."""

from __future__ import annotations

from pathlib import Path

from rlnut.control.recipe import CHECKPOINT, CONFIG, POLICY
from rlnut.runtime.files import JsonObject, read_json
from rlnut.runtime.log import METRICS_FILE

EXACT = (POLICY, CHECKPOINT, METRICS_FILE, CONFIG)
CHECKOUT = (
    "git",
    "code",
)  # in config.json: a commit, or an edit, between two runs of a test is no difference of theirs


def recorded(folder: Path) -> JsonObject:
    """config.json without what it says of the checkout."""
    return {name: value for name, value in read_json(folder / CONFIG).items() if name not in CHECKOUT}


def differing_files(a: Path, b: Path) -> list[str]:
    """Names of the files of EXACT that are not the same in two run folders."""
    names = [name for name in EXACT if name != CONFIG and (a / name).read_bytes() != (b / name).read_bytes()]
    return names if recorded(a) == recorded(b) else [*names, CONFIG]
