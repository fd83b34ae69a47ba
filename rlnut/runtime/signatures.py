"""One signature for functions that take the same: written once, seen by people and type checkers in each of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def with_signature_of(other: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """For a function that hands all its arguments on to `other`: its parameters are those of `other`."""

    def named(function: Callable[..., R]) -> Callable[P, R]:
        own = inspect.signature(function).return_annotation
        function.__signature__ = inspect.signature(other).replace(return_annotation=own)  # type: ignore[attr-defined]
        return cast(Callable[P, R], function)

    return named
