"""The choices of a learner, and what they mean to an environment; needs no JAX."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from rlnut.types import Array


class Choice(NamedTuple):
    """What the user wants of actions that are not one number; None: what suits the space."""

    kind: str | None = None  # of KINDS
    bins: int | None = None


class Actions(NamedTuple):
    """The learner's choices."""

    choices: tuple[int, ...]  # (A,): one of A; (D, K): one of K in each of D groups
    start: int  # of Discrete; else 0
    values: np.ndarray | None  # [A, *shape] what each action of a grid means, [D, K] what each choice of a group means
    shape: tuple[int, ...]  # of the environment's action
    counts: tuple[int, ...]  # of each number of the action: how many values it may take
    saw: str
    choice: Choice = Choice()  # how they were asked for

    @property
    def padded(self) -> bool:
        """Do some groups have fewer than K choices?"""
        return len(self.choices) == 2 and min(self.counts) < self.choices[1]

    def allowed(self, mask: Any = None, xp: Any = np) -> Any:
        """A mask as Gymnasium's spaces take them -> [A] or [D, K] bool; None: all that exist.

        One row for a Discrete action, else one for each number of the action; ValueError for other lengths.
        """
        if mask is None:
            rows = [xp.ones(n, bool) for n in self.counts]
        else:
            rows = [xp.asarray(row, bool) for row in ([mask] if self.values is None else mask)]
        if [row.shape for row in rows] != [(n,) for n in self.counts]:
            raise ValueError(f"shapes {[row.shape for row in rows]}, and the action takes {list(self.counts)} values")
        if len(self.choices) == 2:
            return xp.stack([xp.pad(row, (0, self.choices[1] - n)) for row, n in zip(rows, self.counts, strict=True)])
        return reduce(lambda all_, row: (all_[:, None] & row).reshape(-1), rows)

    def command(self, action: Array, xp: Any = np) -> Any:
        """Actions [N] or [N, D] -> as the environment takes them, [N, *shape]."""
        action = xp.asarray(action)
        if self.values is None:
            return action + self.start
        values = xp.asarray(self.values)
        if len(self.choices) == 1:
            return values[action]
        return values[np.arange(self.choices[0]), action].reshape(*action.shape[:-1], *self.shape)
