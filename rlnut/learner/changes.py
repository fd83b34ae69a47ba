"""What may be changed during a run: step size, ε, the interval of target copies.

Such a number is a part of the run's state, so it is saved with it. As long as it is None it is no input of the compiled
programs, which are those of the config. The first change of a number compiles them once more, with it as an input;
later changes of it compile nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from rlnut.errors import UsageError
from rlnut.types import Array


class Changes(NamedTuple):
    """The numbers that were changed, each [], float32 but for the interval; None: as the config says."""

    lr: Array | None = None  # factor of every step: new α / α of the config
    epsilon: Array | None = None  # ε from now on
    target_every: Array | None = None  # int32, updates between two copies


class Changeable(NamedTuple):
    """What an agent can change."""

    lr: float | None = None  # α of its config; None: it cannot be changed
    epsilon: tuple[float, float] | None = None  # lowest and highest; None: nothing to change
    target_every: bool = False
    why: str = ""  # an agent can change nothing


def with_changes(before: Changes, able: Changeable, wanted: Mapping[str, float]) -> Changes:
    """The changes before and these; UsageError for what the agent does not have, or a number out of its range."""
    for name, number in wanted.items():
        if getattr(able, name) in (None, False):
            known = [
                field for field in Changeable._fields if field != "why" and getattr(able, field) not in (None, False)
            ]
            what = f"; it has {', '.join(known)}" if known else f": {able.why}" if able.why else "; it has none"
            raise UsageError(f"this agent has no {name} that can be changed while it learns{what}")
        if isinstance(number, bool) or not hasattr(number, "__float__") or not math.isfinite(number):
            raise UsageError(f"{name} must be a finite number, got {number!r}")
        if name == "lr":
            if not number > 0:
                raise UsageError(f"lr must be > 0, got {number}")
            before = before._replace(lr=jnp.float32(number / (able.lr or 1.0)))
        elif name == "epsilon":
            low, high = able.epsilon or (0.0, 1.0)
            if not low <= number <= high:
                most = f" and <= {high:g}" if high < math.inf else ""
                raise UsageError(f"epsilon must be >= {low:g}{most}, got {number}")
            before = before._replace(epsilon=jnp.float32(number))
        else:
            if number != int(number) or not 1 <= number < 2**31:
                raise UsageError(f"target_every must be a whole number >= 1, got {number}")
            before = before._replace(target_every=jnp.int32(number))
    return before
