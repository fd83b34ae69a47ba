"""Errors that a user sees as one line, with the exit status of the command line; near misses for wrong names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rlnut.other_names import AGENT_NAMES, COMMANDS, ELSEWHERE, OPTIONS, POLICY_LEARNERS, explained

SHOWN = 8  # of a long list of names
FEW = 12  # names that are shown in full
ENVIRONMENT = re.compile(r"-v\d+$|/")  # how names of environments look
REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")  # MODULE:NAME, of Python's identifiers
LONGEST_NAME = 100  # letters of what was typed, up to which near misses are looked for


class RlnutError(Exception):
    """The run failed: one line that says what was wrong and what is allowed. Exit status 1.

    learned: the best policy until then of a run that failed, the result of a prediction that a callback ended.
    """

    status = 1
    learned: object = None


class UsageError(RlnutError, ValueError):
    """What the user gave is invalid (name, type, range, space, option). Exit status 2."""

    status = 2


def unknown(kind: str, name: object, allowed: Iterable[str], *, other: object = None, see: str = "") -> UsageError:
    """The error for a wrong name: what other libraries' word is called here, else near misses, and what is known.

    `other` is the word beside it: if that one is allowed here, the two were swapped. `see` has the whole list.
    """
    names = sorted(allowed)
    text = f"unknown {kind} {repr(name[:LONGEST_NAME]) if isinstance(name, str) else repr(name)[:LONGEST_NAME]}"
    if other is not None and other in names:
        return UsageError(f"{text}, but {other!r} is one: the two are swapped")
    if isinstance(other, str) and ENVIRONMENT.search(str(name)) and REFERENCE.fullmatch(other):
        return UsageError(f"{text}: it names an environment, which comes after {other}: the two are swapped")
    word = kind.rpartition(" ")[2]
    usual = _usual(word, str(name), names)
    if usual:
        return UsageError(f"{text}: {usual}")
    near = near_misses(str(name), names)
    hint = f". Did you mean {' or '.join(near)}?" if near else "."
    see = see or LISTED.get(word, "")
    if len(names) <= FEW:
        return UsageError(f"{text}{hint} Known: {', '.join(names)}")
    if see and (near or word in ("environment", "option")):  # the first few names of so long a list are no help
        return UsageError(f"{text}{hint} {see} shows all{f' {len(names)}' if word != 'environment' else ''}")
    return UsageError(f"{text}{hint} Known: {', '.join(names[:SHOWN])}, … ({len(names)} in all{see and ': ' + see})")


def counted(n: int, noun: str) -> str:
    """ "1 row", "2 rows", "10,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


LISTED = {
    "agent": "rlnut list agents", "environment": "rlnut list envs", "method": "rlnut list methods",
    "model": "rlnut list models", "dataset": "rlnut list datasets", "figure": "rlnut list", "demo": "rlnut list",
}  # fmt: skip


def near_misses(name: str, allowed: Iterable[str], most: int = 3) -> list[str]:
    """The names that a slip of the finger, a missing end or a missing namespace turns into `name`, nearest first."""
    if len(name) > LONGEST_NAME:  # no slip of the finger; and comparing costs its length
        return []
    word = _bare(name)
    found = []
    for candidate in allowed:
        whole, tail = _bare(candidate), _bare(candidate.rpartition("/")[2])
        slips = min(distance(word, whole), distance(word, tail))
        if slips <= max(1, min(3, len(word) // 3)) and slips < len(word):
            found.append((slips, distance(name.lower(), candidate.lower()), candidate))
        elif len(word) >= 3 and whole.startswith(word):
            found.append((4, len(whole), candidate))
    exact = [row for row in found if row[0] == 0]
    return [candidate for _, _, candidate in sorted(exact or found)[:most]]


def _bare(name: str) -> str:
    """Without what many names share: dashes in front, a version at the end, the case."""
    return re.sub(r"-v\d+$", "", name.lower().lstrip("-").replace("_", "-"))


def distance(a: str, b: str) -> int:
    """Letters to add, drop, change or swap with a neighbour (Damerau 1964) to turn `a` into `b`."""
    before, row = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a):
        older, before, row = before, row, [i + 1]
        for j, y in enumerate(b):
            steps = [before[j] + (x != y), before[j + 1] + 1, row[j] + 1]
            if i and j and x == b[j - 1] and a[i - 1] == y:
                steps.append(older[j - 1] + 1)
            row.append(min(steps))
    return row[-1]


def _usual(word: str, name: str, allowed: list[str]) -> str:
    """What to use in the place of a name that other libraries have; empty if there is no such thing here."""
    plain = name.lower().lstrip("-").replace("_", "-")
    if word == "agent" and plain in POLICY_LEARNERS:
        nearest = POLICY_LEARNERS[plain]
        return f"it learns a policy directly; rlnut learns value functions and acts on them. Nearest to it: {nearest}"
    if word == "agent":
        return f"use {AGENT_NAMES[plain]}" if AGENT_NAMES.get(plain) in allowed else ""
    if word == "environment" and "/" in name:
        space = name.partition("/")[0] + "/"
        if not any(other.lower().startswith(space.lower()) for other in allowed):
            return f"nothing that is loaded registers {space}…; name its module in front, as in ale_py:ALE/Pong-v5"
    if word == "command":
        return f"use {COMMANDS[plain]}" if COMMANDS.get(plain) in allowed else ""
    if word != "option":
        return ""
    if text := explained(name, allowed):
        return text
    spelled = {option.lstrip("-").replace("_", "-"): option for option in allowed if not option.startswith("--no-")}
    ours = [spelled[option] for option, names in OPTIONS.items() if plain in names.split() and option in spelled]
    if ours:
        return f"use {' or '.join(ours)}"
    return ELSEWHERE.get(plain, "") if name.startswith("--") else ""
