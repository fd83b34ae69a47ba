"""The truth where no tables are: mean returns from states along the policy's path, bootstrapping nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlnut.errors import RlnutError

TAIL = 1e-4  # a return is cut when what follows weighs less than this
LONGEST = 100_000  # steps


class Truth(NamedTuple):
    """Mean returns with their 95 % intervals."""

    obs: np.ndarray  # [K, ...]
    mean: np.ndarray  # [K]
    ci95: np.ndarray  # [K] half width


Act = Callable[[Any, np.random.Generator], int]


def truth(make: Callable[[], Any], act: Act, gamma: float, states: int, rollouts: int, seed: int) -> Truth:
    """V at `states` states: each is a copy of the environment on the way, played to its end `rollouts` times.

    A time limit is no end: copies run without it, until termination or until γᵗ < 1e-4 (the rest is
    cut). Raises RlnutError for γ = 1 if an episode does not end, or if the environment cannot be copied.
    """
    rng = np.random.default_rng(seed)
    env = make()
    kept: list[tuple[Any, Any]] = []
    walk = 100 * states  # steps, over many episodes, of which a random sample is kept
    chosen = set(rng.choice(walk, states, replace=False).tolist())
    obs, _ = env.reset(seed=seed)
    for t in range(walk):
        if t in chosen:
            try:
                kept.append((np.asarray(obs), copy.deepcopy(env.unwrapped)))
            except Exception as error:
                raise RlnutError(f"no Monte-Carlo truth: the environment cannot be copied ({error})") from None
        obs, _, terminated, truncated, _ = env.step(act(obs, rng))
        if terminated or truncated:
            obs, _ = env.reset()
    env.close()
    horizon = LONGEST if gamma == 1 else int(np.ceil(np.log(TAIL) / np.log(max(gamma, 1e-9)))) + 1
    returns = np.array([[_play(inner, obs, act, gamma, horizon, rng) for _ in range(rollouts)] for obs, inner in kept])
    spread = returns.std(1, ddof=1) / np.sqrt(rollouts)
    return Truth(np.stack([obs for obs, _ in kept]), returns.mean(1), 1.96 * spread)


def _play(saved: Any, obs: Any, act: Act, gamma: float, horizon: int, rng: np.random.Generator) -> float:
    env = copy.deepcopy(saved)
    env.np_random = np.random.default_rng(rng.integers(2**63))
    total, weight = 0.0, 1.0
    for _ in range(horizon):
        obs, reward, terminated, _, _ = env.step(act(obs, rng))
        total += weight * float(reward)
        weight *= gamma
        if terminated:
            return total
    if gamma == 1:
        raise RlnutError(f"γ = 1 and an episode did not end in {horizon:,} steps: give γ < 1")
    return total
