"""The numbers behind maps of a trained agent: max_a q and the greedy action over two coordinates, v* where known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.control.policy import FRESH, Policy, evaluator_of
from rlnut.envs.coordinates import Coordinates, cell_letters, coordinates
from rlnut.envs.make import maker
from rlnut.envs.masks import Info
from rlnut.envs.meanings import action_names
from rlnut.envs.tabular import from_env
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.explore import allowed, greedy
from rlnut.truth.dynamic_programming import chain, occupied, ties, uniform, value_iteration, visits
from rlnut.truth.finite import Finite, observed

POINTS = 81  # of a coordinate that is not whole
SLICES = 24  # maps side by side, for the values of further whole coordinates
EPISODES, LONGEST = 5, 1000  # greedy episodes that are played to see where the policy goes, and their steps
ROOM = 0.05  # of the range that was visited, around it


class Truth(NamedTuple):
    """What is known of a finite environment, by state [S]."""

    stored: np.ndarray  # [S, ...] the observation of each
    alive: np.ndarray  # bool [S]: an episode goes on from there
    letters: np.ndarray  # str [S]
    allowed: np.ndarray | None  # bool [S, A]
    best: np.ndarray | None  # [S] v*; None: it does not exist, or not in the units of what was learned
    ties: np.ndarray | None  # bool [S, A] the best actions


class ValueSlice(NamedTuple):
    """One map: rows are values of the second coordinate, columns of the first."""

    at: np.ndarray  # [C] the coordinates that are held; NaN for those of the map
    v: np.ndarray  # [Y, X] max_a q (of D decoupled choices their mean); NaN where no episode goes on
    actions: np.ndarray  # int [Y, X, D] the greedy ones; −1 there
    stored: np.ndarray  # [Y, X, ...] observations
    exact: np.ndarray | None = None  # [Y, X] v*
    optimal: np.ndarray | None = None  # bool [Y, X, A]
    letters: np.ndarray | None = None  # str [Y, X]


class ValueMap(NamedTuple):
    """Maps of a policy over one or two of its coordinates."""

    coordinates: Coordinates
    dims: tuple[int, ...]  # which of them: x, then y; of a line only x
    x: np.ndarray  # [X]
    y: np.ndarray  # [Y]; of a line one number
    slices: list[ValueSlice]
    names: list[list[str]]  # of the actions, by group
    visited: np.ndarray  # [M, C] where greedy episodes went; none where the states are whole numbers
    note: str  # what was held, and why there is no truth


def value_map(
    policy: Policy, dims: Sequence[int] | None = None, at: Sequence[float] | None = None, seed: int = 0
) -> ValueMap:
    """max_a q(s, a) and the greedy action on a grid of states.

    dims: one or two coordinates, by number; None: those that suit the environment. at: values of the others, in their
    order; None: each of their values if they are few whole numbers, else the mean of the states that greedy episodes
    visit. UsageError for observations that cannot be drawn, and for coordinates that are not there.
    """
    env = maker(policy.env)()
    try:
        finite = from_env(env)
        coords = coordinates(env, policy.spec, finite)
        names = action_names(env, policy.spec)
        truth = None if finite is None else _truth(policy, env, finite)
    finally:
        env.close()
    chosen = _checked_dims(coords, dims)
    others = [c for c in range(len(coords.names)) if c not in chosen]
    if at is not None and len(at) != len(others):
        which = ", ".join(coords.names[c] for c in others) or "none"
        raise UsageError(f"at must have {len(others)} values, of the coordinates that are held: {which}; got {len(at)}")
    visited = np.zeros((0, len(coords.names))) if coords.whole else visited_states(policy, coords, seed)
    axes = [_axis(coords, c, visited) for c in chosen]
    places, note = _held(coords, others, at, visited)
    notes = [note] if note else []
    if truth is not None and truth.best is None:
        notes.append("No v*: it is not defined here, or rewards were clipped.")
    x, y = axes[0], axes[1] if len(axes) > 1 else np.zeros(1)
    slices = [_slice(policy, coords, chosen, x, y, place, truth) for place in places]
    return ValueMap(coords, chosen, x, y, slices, names, visited, " ".join(notes))


def state_values(policy: Policy, stored: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """max_a q(s, a) [N] and the greedy actions [N, D] of observations as they are stored; mask: allowed actions."""
    acts = policy.spec.acts
    if mask is None and acts.padded:
        mask = np.broadcast_to(acts.allowed(), (len(stored), *acts.choices))
    q = policy.values(stored)
    v = np.asarray(allowed(q, mask)).max(-1)
    return (v.mean(1) if v.ndim > 1 else v), np.asarray(greedy(q, mask)).reshape(len(stored), -1)


def _checked_dims(coords: Coordinates, dims: Sequence[int] | None) -> tuple[int, ...]:
    count = len(coords.names)
    if dims is None:
        return (0,) if count == 1 else coords.shown
    found = tuple(dims)
    if not 1 <= len(found) <= 2 or len(set(found)) != len(found) or not all(0 <= d < count for d in found):
        which = ", ".join(f"{i} {name}" for i, name in enumerate(coords.names))
        raise UsageError(f"dims must be one or two different numbers of {which}; got {', '.join(map(str, found))}")
    return found


def _axis(coords: Coordinates, c: int, visited: np.ndarray) -> np.ndarray:
    """The values of a coordinate: all of them, or points between its bounds, or between where the policy goes."""
    low, high = coords.low[c], coords.high[c]
    if coords.whole:
        return np.arange(low, high + 1)
    if not (np.isfinite(low) and np.isfinite(high)):
        least, most = visited[:, c].min(), visited[:, c].max()
        room = ROOM * (most - least) or 1.0
        low, high = max(low, least - room), min(high, most + room)
    return np.linspace(low, high, POINTS)


def _held(
    coords: Coordinates, others: list[int], at: Sequence[float] | None, visited: np.ndarray
) -> tuple[list[np.ndarray], str]:
    """The places [C] of the maps, NaN in the coordinates that vary, and a word for people."""
    place = np.full(len(coords.names), np.nan)
    if not others:
        return [place], ""
    if at is not None:
        place[others] = _within(coords, others, np.asarray(at, float))
        return [place], f"Held at {_words(coords, others, place)} (as asked for)."
    if coords.whole:
        ranges = [np.arange(coords.low[c], coords.high[c] + 1) for c in others]
        if np.prod([len(one) for one in ranges]) <= SLICES:
            found = []
            for values in np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(others)):
                found.append(place.copy())
                found[-1][others] = values
            return found, ""
        place[others] = np.floor((coords.low + coords.high)[others] / 2)
        return [place], f"Held at {_words(coords, others, place)} (the middle of their range)."
    place[others] = visited[:, others].mean(0)
    where = f"mean of {len(visited):,} states of greedy episodes"
    return [place], f"Held at {_words(coords, others, place)} ({where})."


def _within(coords: Coordinates, others: list[int], values: np.ndarray) -> np.ndarray:
    for c, value in zip(others, values, strict=True):
        whole = not coords.whole or float(value).is_integer()
        if not (np.isfinite(value) and coords.low[c] <= value <= coords.high[c] and whole):
            kind = "a whole number" if coords.whole else "a number"
            raise UsageError(
                f"{coords.names[c]} must be {kind} of {coords.low[c]:g} … {coords.high[c]:g}, got {value:g}"
            )
    return values


def _words(coords: Coordinates, others: list[int], place: np.ndarray) -> str:
    return ", ".join(f"{coords.names[c]} = {place[c]:.3g}" for c in others)


def _slice(
    policy: Policy, coords: Coordinates, dims: tuple[int, ...], x: np.ndarray, y: np.ndarray, place: np.ndarray,
    truth: Truth | None,
) -> ValueSlice:  # fmt: skip
    shape = (len(y), len(x))
    points = np.broadcast_to(place, (*shape, len(place))).copy()
    points[..., dims[0]] = x
    if len(dims) > 1:
        points[..., dims[1]] = y[:, None]
    stored = coords.observe(points.reshape(-1, len(place)))
    if truth is None:
        v, actions = state_values(policy, stored)
        return ValueSlice(
            place, v.reshape(shape), actions.reshape(*shape, -1), stored.reshape(*shape, *stored.shape[1:])
        )
    number = {row.tobytes(): s for s, row in reversed(list(enumerate(np.ascontiguousarray(truth.stored))))}
    state = np.array([number.get(row.tobytes(), -1) for row in np.ascontiguousarray(stored)])
    mask = None if truth.allowed is None else np.where((state >= 0)[:, None], truth.allowed[state], True)
    v, actions = state_values(policy, stored, mask)
    gone = (state < 0) | ~truth.alive[state]
    v, actions = np.where(gone, np.nan, v), np.where(gone[:, None], -1, actions)
    exact = None if truth.best is None else np.where(gone, np.nan, truth.best[state]).reshape(shape)
    optimal = None if truth.ties is None else (truth.ties[state] & ~gone[:, None]).reshape(*shape, -1)
    letters = np.where(state < 0, "", truth.letters[state]).reshape(shape)
    kept = stored.reshape(*shape, *stored.shape[1:])
    return ValueSlice(place, v.reshape(shape), actions.reshape(*shape, -1), kept, exact, optimal, letters)


def _truth(policy: Policy, env: gym.Env, finite: Finite) -> Truth | None:
    """v* with the agent's own γ, in the units of what it learned; None where observations are not those of tables."""
    mdp, origin, spec = finite.mdp, policy.origin, policy.spec
    try:
        stored = spec.read(np.arange(mdp.states) if finite.shown is None else tuple(finite.shown))
    except RlnutError:
        return None
    if stored.shape != (mdp.states, *spec.shape) or spec.choices != (mdp.actions,):
        return None
    may = finite.allowed
    alive = occupied(mdp, uniform(mdp) if may is None else may / may.sum(1, keepdims=True))
    known = Truth(stored, alive, cell_letters(env, finite), may, None, None)
    if origin is None or origin.training.reward_clip is not None:
        return known
    try:
        found = value_iteration(mdp, origin.config.gamma)
    except RlnutError:
        return known
    best, q = found.V * origin.training.reward_scale, found.Q
    if finite.observe is not None:  # what can be known where states look alike
        weight = visits(chain(mdp, found.policy))
        best, q = observed(best, weight, finite.observe), observed(q, weight, finite.observe)
    return known._replace(best=best, ties=ties(np.nan_to_num(q, nan=-np.inf)))


class ObservationRecorder(gym.Wrapper):
    """Keeps what an environment shows."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.shown: list[object] = []

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        given = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        self.shown.append(given[0])
        return given

    def step(self, action: object) -> tuple[object, object, bool, bool, Info]:  # type: ignore[override]
        given = self.env.step(action)
        self.shown.append(given[0])
        return given


def visited_states(policy: Policy, coords: Coordinates, seed: int, episodes: int = EPISODES) -> np.ndarray:
    """The coordinates [M, C] of the states of a few greedy episodes."""
    made: list[ObservationRecorder] = []

    def watched() -> gym.Env:
        made.append(ObservationRecorder(maker(policy.env)()))
        return made[-1]

    evaluator = evaluator_of(watched, policy.spec, episodes)
    try:
        evaluator.limit = min(LONGEST, evaluator.limit or LONGEST)
        evaluator(policy.player, seed, FRESH)
    finally:
        evaluator.close()
    stored = np.stack([policy.spec.read(one) for env in made for one in env.shown])
    return coords.read(stored)
