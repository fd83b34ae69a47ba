"""Action spaces: the learner's integers and what the environment is given for them.

A learner chooses one of A actions, or one of K in each of D groups (decoupled: q(s, a) = mean_d q_d(s, a_d), DecQN,
Seyde et al. 2022). Each number of a MultiDiscrete, MultiBinary or Box action is a choice of its own; a Box is cut into
`bins` values from its lowest to its highest. A grid makes every combination one action.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlnut.errors import UsageError
from rlnut.learner.spec import Actions, Choice

BINS = 3  # values of one number of a Box
LARGEST_GRID = 64  # actions: above, numbers are decoupled if nothing else is asked for
MOST = 1_000_000  # actions of a grid that is asked for
KINDS = ("grid", "decoupled")


def actions(space: spaces.Space, choice: Choice, name: str) -> Actions:
    """How `space` is encoded; UsageError if it is not supported, or if the choice has no effect on it."""
    if choice.kind is not None and choice.kind not in KINDS:
        raise UsageError(f"actions must be one of {', '.join(KINDS)}, got {choice.kind!r}")
    if choice.bins is not None and not isinstance(space, spaces.Box):
        raise UsageError(f"{name}: bins have no effect on the action space {space}: they are for Box")
    if isinstance(space, spaces.Discrete):
        if choice.kind is not None:
            raise UsageError(f"{name}: actions {choice.kind} has no effect on the action space {space}")
        n = int(space.n)
        return Actions((n,), int(space.start), None, (), (n,), f"{n} actions")
    numbers = [values.astype(space.dtype) for values in _numbers(space, choice.bins or BINS, name)]
    counts, shape = tuple(len(values) for values in numbers), tuple(space.shape or ())
    size = math.prod(counts)
    kind = choice.kind or ("grid" if size <= LARGEST_GRID else "decoupled")
    if kind == "grid":
        if size > MOST:
            raise UsageError(f"{name}: a grid of {size:,} actions is too large: take --actions decoupled or fewer bins")
        grid = np.stack(np.meshgrid(*numbers, indexing="ij"), -1).reshape(size, *shape)
        return Actions((size,), 0, grid, shape, counts, f"{size} actions, a grid of {_said(counts)}", choice)
    most = max(counts)
    table = np.stack([np.pad(values, (0, most - len(values)), mode="edge") for values in numbers])
    return Actions(
        (len(counts), most), 0, table, shape, counts, f"{len(counts)} decoupled choices of {_said(counts)}", choice
    )


class GivenActions(Actions):
    """Actions that a policy gives as the environment takes them: there are no numbers to choose from."""

    def command(self, action: Any, xp: Any = np) -> Any:
        """As they are."""
        return action


def given_actions(space: spaces.Space) -> Actions:
    """How a policy acts that gives the environment's own actions, of whatever space."""
    return GivenActions((0,), 0, np.zeros((0, 0)), (), (), f"actions of {space} as the policy gives them")


def _numbers(space: spaces.Space, bins: int, name: str) -> list[np.ndarray]:
    """The values that each number of an action may take."""
    if bins < 2:
        raise UsageError(f"bins must be >= 2, got {bins}")
    if isinstance(space, spaces.MultiDiscrete):
        both = zip(space.nvec.reshape(-1), space.start.reshape(-1), strict=True)
        return [np.arange(start, start + n) for n, start in both]
    if isinstance(space, spaces.MultiBinary):
        return [np.arange(2)] * math.prod(space.shape)
    if not isinstance(space, spaces.Box):
        raise UsageError(
            f"{name}: action space {space} is not supported; allowed: Discrete, MultiDiscrete, MultiBinary, bounded Box"
        )
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    if not (np.isfinite(low) & np.isfinite(high)).all() or not len(low):
        raise UsageError(f"{name}: action space {space} has no bounds to put bins between")
    if not np.issubdtype(space.dtype, np.floating):
        raise UsageError(f"{name}: action space {space} is not of floats: bins would fall between its values")
    return [np.linspace(a, b, bins) for a, b in zip(low.astype(float), high.astype(float), strict=True)]


def _said(counts: tuple[int, ...]) -> str:
    return f"{len(counts)} × {counts[0]}" if len(set(counts)) == 1 else " × ".join(map(str, counts))
