"""Chains with known values: random walks (S&B 6.2, 7.1, 9.1) and Boyan's chain."""

from __future__ import annotations

import numpy as np

from rlnut.errors import UsageError
from rlnut.truth.dynamic_programming import MDP
from rlnut.truth.finite import Finite


def random_walk(states: int = 19, jump: int = 1, left: float = -1.0, right: float = 1.0) -> Finite:
    """A walk of `states` states from the middle: action 0 left, 1 right, by 1 … `jump` with equal chance, γ = 1.

    Passing an end terminates with reward `left` or `right`; a last step keeps the number of the state it leaves.
    Under the uniform policy: S&B example 6.2 (5 states, left 0), 7.1 (19), 9.1 (1000, jump 100).
    """
    if states < 1 or jump < 1:
        raise UsageError(f"states and jump must be >= 1, got {states} and {jump}")
    P, R, done = (np.zeros((states, 2, states)) for _ in range(3))
    for s in range(states):
        for action, sign in enumerate((-1, 1)):
            landing = s + sign * np.arange(1, jump + 1)
            inside = landing[(landing >= 0) & (landing < states)]
            P[s, action, inside] = 1 / jump
            out = 1 - len(inside) / jump
            if out > 0:
                P[s, action, s], done[s, action, s], R[s, action, s] = out, 1, (left, right)[action]
    start = np.eye(states)[(states - 1) // 2]
    return Finite(MDP(P, R, done, start), 1.0, np.full((states, 2), 0.5))


def boyan_chain(states: int = 13) -> Finite:
    """Boyan's chain (2002): action 0 goes on by one state, 1 by two, reward −3 (−2 from the last but one), γ = 1.

    4 features for 13 states interpolate between every fourth state: V = −2 · distance is linear in them.
    """
    if states < 5 or states % 4 != 1:
        raise UsageError(f"states must be 5, 9, 13, … (one more than a multiple of 4), got {states}")
    last = states - 1
    P, R = np.zeros((states, 2, states)), np.full((states, 2, states), -3.0)
    for s in range(last):
        P[s, 0, s + 1] = P[s, 1, min(s + 2, last)] = 1
    P[last, :, last] = 1
    R[last - 1], R[last] = -2, 0
    done = np.zeros_like(P)
    done[..., last] = 1
    knots = np.arange(0, states, 4)
    features = np.clip(1 - np.abs(np.arange(states)[:, None] - knots) / 4, 0, None)
    return Finite(MDP(P, R, done, np.eye(states)[0]), 1.0, np.full((states, 2), 0.5), features=features)


def chain_walk(states: int = 4, rewards: tuple[int, ...] = (1, 2), success: float = 0.9, gamma: float = 0.9) -> Finite:
    """LSPI's chain walk (Lagoudakis & Parr 2003): action 0 left, 1 right, the other way with chance 1 − `success`.

    A step from a state of `rewards` (numbered from 0) pays 1; the ends hold, nothing terminates. L&P: 4 states (1, 2),
    20 (0, 19), 50 (9, 40). Features as there: 1, s, s² for 4 states, powers up to s⁴ for 20, beyond that a constant
    and ten Gaussians of width 4.
    """
    if states < 2 or not all(0 <= s < states for s in rewards):
        raise UsageError(f"states must be >= 2 and rewards among 0 … states − 1, got {states} and {rewards}")
    P, R = np.zeros((states, 2, states)), np.zeros((states, 2, states))
    R[list(rewards)] = 1
    for s in range(states):
        for action, sign in enumerate((-1, 1)):
            for move, chance in ((sign, success), (-sign, 1 - success)):
                P[s, action, np.clip(s + move, 0, states - 1)] += chance
    place = np.arange(1.0, states + 1)[:, None]
    if states <= 20:
        features = (place / states) ** np.arange(3 if states <= 4 else 5)
    else:
        bumps = np.exp(-(((place - np.linspace(1, states, 10)) / 4) ** 2) / 2)
        features = np.column_stack([np.ones(states), bumps])
    start = np.full(states, 1 / states)
    return Finite(MDP(P, R, np.zeros_like(P), start), gamma, features=features)
