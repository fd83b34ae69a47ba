"""The numbers in which states are drawn, and the observation that shows a state: what the axes of maps are.

| observation                                   | coordinates                                                     |
|-----------------------------------------------|-----------------------------------------------------------------|
| Discrete of tables that lie in a grid         | row, column                                                     |
| Taxi                                          | row, column, passenger, destination                             |
| other Discrete                                | the state                                                       |
| MultiDiscrete, MultiBinary, parts of these    | each of the numbers                                             |
| Pendulum, Acrobot                             | angles and velocities: sine and cosine cannot vary by themselves |
| Box, not an image                             | each of the numbers                                             |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.envs.meanings import OBSERVATIONS, known_class
from rlnut.errors import UsageError
from rlnut.learner.spec import Spec
from rlnut.truth.dynamic_programming import occupied, true_values, uniform
from rlnut.truth.finite import Finite

TAXI = (5, 5, 5, 4)  # row, column, passenger, destination
PLACES = ("R", "G", "Y", "B")
SPIN = 8.0  # Pendulum's largest angular velocity
STARTS = 4  # so many states in which an episode begins are marked
CLIFF = "rlnut.envs.gridworlds:cliff"
SPINS = (4 * math.pi, 9 * math.pi)  # Acrobot's


class Coordinates(NamedTuple):
    """C numbers that a state is drawn by."""

    names: tuple[str, ...]
    low: np.ndarray  # [C], may be infinite
    high: np.ndarray  # [C]
    whole: bool  # they are integers
    observe: Callable[[np.ndarray], np.ndarray]  # coordinates [N, C] -> observations as they are stored [N, ...]
    read: Callable[[np.ndarray], np.ndarray]  # stored [N, ...] -> coordinates [N, C]
    words: tuple[tuple[str, ...], ...] = ()  # of each coordinate: what its values are called; (): by their numbers
    rows_down: bool = False  # the first is a row, counted from above
    shown: tuple[int, int] = (0, 1)  # the two that a map is drawn over, where nothing else is asked for: x, y


def coordinates(env: gym.Env, spec: Spec, finite: Finite | None) -> Coordinates:
    """The coordinates of an environment's states; UsageError for observations that cannot be drawn as numbers."""
    seen, known = spec.observed, known_class(env)
    if seen.image or seen.images or seen.low is None or seen.high is None or seen.stack is not None:
        raise UsageError(
            f"{spec.name}: values cannot be drawn over the observations {seen.saw}; possible: Discrete, MultiDiscrete,"
            " MultiBinary, a Box of numbers, and Dict or Tuple of these"
        )
    if seen.discrete and seen.shape == ():
        return _numbered(known, int(seen.low[0]), int(seen.high[0]), spec, finite)
    if known == "PendulumEnv":
        return _pendulum()
    if known == "AcrobotEnv":
        return _acrobot()
    names = OBSERVATIONS.get(known, ())
    if len(names) != len(seen.low):
        names = tuple(f"observation[{i}]" for i in range(len(seen.low)))

    def observe(c: np.ndarray) -> np.ndarray:
        return c.reshape(-1, *spec.shape).astype(spec.dtype)

    def read(stored: np.ndarray) -> np.ndarray:
        return stored.reshape(len(stored), -1).astype(float)

    low, high = (np.asarray(bound, float) for bound in (seen.low, seen.high))
    if known == "BlackjackEnv":
        return Coordinates(names, low, high, True, observe, read, ((), (), ("no", "yes")), shown=(1, 0))
    shown = (2, 3) if known == "CartPoleEnv" else (0, 1)
    return Coordinates(names, low, high, seen.discrete, observe, read, shown=shown)


def _numbered(known: str, first: int, last: int, spec: Spec, finite: Finite | None) -> Coordinates:
    """Of a Discrete observation: where its number lies in a grid, else the number itself."""
    shape: tuple[int, ...] = (last - first + 1,)
    names, words, down = ("state",), ((),), False  # type: tuple[str, ...], tuple[tuple[str, ...], ...], bool
    if known == "TaxiEnv":
        shape, names, down = TAXI, ("row", "column", "passenger", "destination"), True
        words = ((), (), (*PLACES, "in the taxi"), PLACES)
    elif finite is not None and len(finite.shape) == 2 and first == 0:
        shape, names, down, words = finite.shape, ("row", "column"), True, ()
    elif finite is not None and finite.labels and len(finite.labels) == shape[0]:
        words = (finite.labels,)

    def observe(c: np.ndarray) -> np.ndarray:
        numbers = np.ravel_multi_index(tuple(c.T.astype(np.int64)), shape)
        return (numbers + first).astype(spec.dtype)

    def read(stored: np.ndarray) -> np.ndarray:
        return np.stack(np.unravel_index(stored.astype(np.int64) - first, shape), 1).astype(float)

    high = np.array(shape, float) - 1
    return Coordinates(names, np.zeros(len(shape)), high, True, observe, read, words, down, (1, 0) if down else (0, 1))


def cell_letters(env: gym.Env, finite: Finite) -> np.ndarray:
    """What the cells of a grid are, a letter for each state [S]: S start, F frozen, H hole, G goal, C cliff, or ""."""
    inner, known, S = env.unwrapped, known_class(env), finite.mdp.states
    if known == "FrozenLakeEnv":
        return np.array([cell.decode() for cell in np.asarray(getattr(inner, "desc", ())).reshape(-1)])
    letters = np.full(S, "", "<U1")
    if known == "TaxiEnv":
        for letter, (row, column) in zip(PLACES, getattr(inner, "locs", ()), strict=False):
            letters.reshape(TAXI)[row, column] = letter
        return letters
    acts = uniform(finite.mdp) if finite.allowed is None else finite.allowed / finite.allowed.sum(1, keepdims=True)
    alive = occupied(finite.mdp, acts)
    ended = np.isfinite(true_values(finite.mdp, acts, 0.5)) & ~alive
    if np.count_nonzero(finite.mdp.start) <= STARTS:
        letters[finite.mdp.start > 0] = "S"
    letters[ended] = "G"
    kwargs = getattr(inner.spec, "kwargs", {}) if inner.spec is not None else {}
    if known == "CliffWalkingEnv" or kwargs.get("source") == CLIFF:
        letters[~alive & ~ended] = "C"
    return letters


def _pendulum() -> Coordinates:
    """θ (0 is upright) and its velocity, which the environment shows as cos θ, sin θ, θ̇."""

    def observe(c: np.ndarray) -> np.ndarray:
        return np.stack([np.cos(c[:, 0]), np.sin(c[:, 0]), c[:, 1]], 1).astype(np.float32)

    def read(stored: np.ndarray) -> np.ndarray:
        return np.stack([np.arctan2(stored[:, 1], stored[:, 0]), stored[:, 2]], 1).astype(float)

    high = np.array([math.pi, SPIN])
    return Coordinates(("angle (0: upright)", "angular velocity"), -high, high, False, observe, read)


def _acrobot() -> Coordinates:
    """θ₁, θ₂ and their velocities, which the environment shows by sine and cosine."""

    def observe(c: np.ndarray) -> np.ndarray:
        a, b = c[:, 0], c[:, 1]
        return np.stack([np.cos(a), np.sin(a), np.cos(b), np.sin(b), c[:, 2], c[:, 3]], 1).astype(np.float32)

    def read(stored: np.ndarray) -> np.ndarray:
        angles = np.arctan2(stored[:, [1, 3]], stored[:, [0, 2]])
        return np.concatenate([angles, stored[:, 4:]], 1).astype(float)

    names = ("angle of link 1", "angle of link 2", "velocity of link 1", "velocity of link 2")
    high = np.array([math.pi, math.pi, *SPINS])
    return Coordinates(names, -high, high, False, observe, read)
