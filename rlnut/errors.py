"""Errors that a user sees as one line, with the exit status of the command line; near misses for wrong names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RlnutError(Exception):
    """The run failed: one line that says what was wrong and what is allowed. Exit status 1."""

    status = 1


class UsageError(RlnutError, ValueError):
    """The words are wrong (name, type, range, space, option). Exit status 2."""

    status = 2


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UsageError:
    """The error for a wrong name: near misses first, then the list."""
    names = sorted(allowed)
    lower = {n.lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(str(name).lower(), list(lower), n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}")


def counted(n: int, noun: str) -> str:
    """ "1 row", "2 rows", "10,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
