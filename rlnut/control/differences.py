"""What config.json recorded of the place where a run was made and what is not so now, and how that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rlnut.runtime.files import JsonObject


class Change(NamedTuple):
    """What was recorded, and what is so now."""

    before: object
    now: object


def shown_change(change: Change) -> str:
    """ "before → now"."""
    return f"{shown_value(change.before)} → {shown_value(change.now)}"


def shown_value(value: object) -> str:
    """A value from a file in a few characters, with control characters escaped."""
    text = str(value) if isinstance(value, (int, float, tuple)) or value is None else ascii(value)[1:-1]
    return text if len(text) <= 80 else f"{text[:60]}…{text[-15:]}"


def differences(recorded: JsonObject, now: JsonObject) -> dict[str, Change]:
    """What of a recorded place is not so now, by name; what was not recorded is not compared."""
    found: dict[str, Change] = {}
    for part in ("versions", "machine", "code"):
        before, here = _mapping(recorded.get(part)), now[part]
        for name, value in before.items():
            if name in here and here[name] != value:
                found[f"code of {name}" if part == "code" else name.replace("_", " ")] = Change(value, here[name])
            elif name not in here and part == "code":
                found[f"code of {name}"] = Change(value, None)
    commit = _shown_commit(recorded), _shown_commit(now)
    if "code of rlnut" in found and None not in commit:
        found["code of rlnut"] = Change(*commit)
    return found


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _shown_commit(place: JsonObject) -> str | None:
    """ "commit 1a2b3c4d5e, with changes"; None: it is of no checkout."""
    own = _mapping(_mapping(place.get("git")).get("rlnut"))
    if not isinstance(commit := own.get("commit"), str):
        return None
    return f"commit {commit[:10]}{', with changes' if own.get('dirty') else ''}"
