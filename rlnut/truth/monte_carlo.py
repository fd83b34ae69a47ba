"""The truth where no tables are: mean returns from states along the policy's path, bootstrapping nothing.

A state is reached by playing, and kept as a copy of the environment; where that cannot be copied, as the seed and
actions that lead to it, which are played again and must lead to the same observation.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.errors import RlnutError
from rlnut.runtime.wrappers import lift_time_limits
from rlnut.truth.start_states import Act, Element, Make, StartState, chosen_places, copied

TAIL = 1e-4  # a return is cut when what follows weighs less than this
LONGEST = 100_000  # steps


class MonteCarloTruth(NamedTuple):
    """Mean returns with their 95 % intervals."""

    obs: Element  # [K, ...]; of several parts a dict or a tuple of these
    mean: np.ndarray  # [K]
    ci95: np.ndarray  # [K] half width; NaN of a single return, which has none
    bias: float = 0.0  # bound on what the cut of long returns hides: γᴴ max|r| / (1 − γ)
    actions: np.ndarray | None = None  # [K] first actions, where Q is asked for


def monte_carlo_truth(
    make: Make,
    act: Act,
    gamma: float,
    states: int,
    rollouts: int,
    seed: int,
    walk: Act | None = None,
    pairs: bool = False,
    wanted: np.ndarray | None = None,
) -> MonteCarloTruth:
    """V_π at `states` states, or with `pairs` Q_π at states and actions, each from `rollouts` returns under `act`.

    The states are drawn from those that `walk` (None: `act`) passes, or are those that show `wanted` [K, ...]. A time
    limit is no end: returns run without it, until termination or until γᵗ < 1e-4; `bias` bounds what is cut. Raises
    RlnutError for γ = 1 if an episode does not end, and for an environment that can be neither copied nor repeated;
    UsageError for wanted states that cannot be reached.
    """
    rng = np.random.default_rng(seed)
    if wanted is None:
        places, first = _places(make, walk or act, states, rng)
    else:
        places, first = chosen_places(make, walk or act, wanted, rng)
        states = len(places)
    horizon = LONGEST if gamma == 1 else int(np.ceil(np.log(TAIL) / np.log(max(gamma, 1e-9)))) + 1
    returns, largest, cut = np.zeros((states, rollouts)), 0.0, False
    for k, place in enumerate(places):
        for i in range(rollouts):
            env = _at(place, make, rng)
            returns[k, i], top, over = _play(env, place.obs, act, gamma, horizon, rng, first[k] if pairs else None)
            largest, cut = max(largest, top), cut or not over
    half = np.full(states, np.nan)
    if rollouts > 1:
        from scipy.stats import t as student

        half = student.ppf(0.975, rollouts - 1) * returns.std(1, ddof=1) / np.sqrt(rollouts)
    bias = gamma**horizon * largest / (1 - gamma) if cut else 0.0
    obs = np.stack([np.asarray(place.obs) for place in places])
    return MonteCarloTruth(obs, returns.mean(1), half, float(bias), np.array(first) if pairs else None)


def _places(make: Make, walk: Act, states: int, rng: np.random.Generator) -> tuple[list[StartState], list[Element]]:
    """States drawn from a walk over many episodes, and what the walk did there."""
    env = make()
    steps = 100 * states
    chosen = set(rng.choice(steps, states, replace=False).tolist())
    found: list[StartState] = []
    first: list[Element] = []
    path: list[Element] = []
    copies = True
    number = int(rng.integers(2**31))
    obs, _ = env.reset(seed=number)
    for t in range(steps):
        action = walk(obs, rng)
        if t in chosen:
            saved = copied(env) if copies else None
            copies = saved is not None
            found.append(StartState(copy.deepcopy(obs), saved, number, list(path)))
            first.append(action)
        obs, _, terminated, truncated, _ = env.step(action)
        path.append(action)
        if terminated or truncated:
            number, path = int(rng.integers(2**31)), []
            obs, _ = env.reset(seed=number)
    env.close()
    return found, first


def _at(place: StartState, make: Make, rng: np.random.Generator) -> gym.Env:
    """An environment in a state, without time limit and with luck of its own."""
    if place.env is not None:
        env = copy.deepcopy(place.env)
    else:
        env = make()
        obs, _ = env.reset(seed=place.seed)
        for action in place.path:
            obs = env.step(action)[0]
        if not np.array_equal(obs, place.obs):
            raise RlnutError("no Monte-Carlo truth: the environment can be neither copied nor repeated from its seed")
    env.unwrapped.np_random = np.random.default_rng(rng.integers(2**63))
    lift_time_limits(env)
    return env


def _play(
    env: gym.Env, obs: Element, act: Act, gamma: float, horizon: int, rng: np.random.Generator, first: Element | None
) -> tuple[float, float, bool]:
    """One return, the largest |r| met, and whether the episode ended by itself."""
    total, weight, largest = 0.0, 1.0, 0.0
    for t in range(horizon):
        action = act(obs, rng) if t or first is None else first
        obs, reward, terminated, truncated, _ = env.step(action)
        if not np.isfinite(float(reward)):
            raise RlnutError(f"no Monte-Carlo truth: the environment gave the reward {reward}")
        total += weight * float(reward)
        largest = max(largest, abs(float(reward)))
        weight *= gamma
        if terminated:
            return total, largest, True
        if truncated:
            raise RlnutError("no Monte-Carlo truth: the environment cuts its episodes itself, beyond its time limit")
    if gamma == 1:
        raise RlnutError(f"γ = 1 and an episode did not end in {horizon:,} steps: give γ < 1")
    return total, largest, False
