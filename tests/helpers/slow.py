"""Cases of a test of which only some run every time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(names: Iterable[str], *usual: str) -> list[Any]:
    """All names as parameters; those that are not `usual` are slow tests."""
    return [name if name in usual else pytest.param(name, marks=pytest.mark.slow) for name in names]
