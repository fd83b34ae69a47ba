"""Small problems that break methods: Baird's star, w→2w, the A-B example, the bias of a maximum."""

from __future__ import annotations

import numpy as np

from rlnut.truth.dynamic_programming import MDP
from rlnut.truth.finite import Finite


def baird(states: int = 7, gamma: float = 0.99) -> Finite:
    """Baird's counterexample (S&B 11.2): b takes action 0 (to one of the first states) with 6/7, π always 1 (the last).

    All rewards are 0 and 8 features span 7 states, so w = 0 is right and yet semi-gradient off-policy TD diverges.
    """
    upper = states - 1
    P = np.zeros((states, 2, states))
    P[:, 0, :upper] = 1 / upper
    P[:, 1, upper] = 1
    features = np.zeros((states, states + 1))
    features[:upper, :upper] = 2 * np.eye(upper)
    features[:upper, states], features[upper, upper], features[upper, states] = 1, 1, 2
    weights = np.ones(states + 1)
    weights[upper] = 10
    target, behaviour = np.tile([0.0, 1.0], (states, 1)), np.tile([upper / states, 1 / states], (states, 1))
    zero, start = np.zeros_like(P), np.full(states, 1 / states)
    return Finite(MDP(P, zero, zero, start), gamma, target, behaviour, features, weights)


def w_to_2w(ending: float = 0.0, gamma: float = 0.99) -> Finite:
    """w→2w (S&B 11.2; with `ending` > 0 Tsitsiklis & Van Roy's example 11.1): values w and 2w of one weight, rewards 0.

    π goes on (action 0: to the second state, which it leaves only by terminating, with chance `ending`); b restarts
    from the first state half of the time (action 1). Updating at the first state alone, w grows when γ > ½.
    """
    P = np.zeros((2, 2, 2))
    P[:, 0, 1], P[:, 1, 0] = 1, 1
    done = np.zeros_like(P)
    done[1, 0, 1] = ending
    zero, start = np.zeros_like(P), np.array([1.0, 0.0])
    target, behaviour = np.tile([1.0, 0.0], (2, 1)), np.full((2, 2), 0.5)
    return Finite(MDP(P, zero, done, start), gamma, target, behaviour, np.array([[1.0], [2.0]]), np.ones(1))


def a_b() -> Finite:
    """Example 6.4, "you are the predictor": A (state 0) leads to B (1), which ends with 1 (to 2) or 0 (to 3), γ = 1.

    The chances are those of the example's eight episodes: 1/8 begin in A, B pays 1 in 6 of 8: V = (¾, ¾).
    """
    P, R = np.zeros((4, 1, 4)), np.zeros((4, 1, 4))
    P[0, 0, 1], P[1, 0, 2], P[1, 0, 3], P[2, 0, 2], P[3, 0, 3] = 1, 0.75, 0.25, 1, 1
    R[1, 0, 2] = 1
    done = np.zeros_like(P)
    done[..., 2:] = 1
    return Finite(MDP(P, R, done, np.array([1 / 8, 7 / 8, 0, 0])), 1.0, np.ones((4, 1)))


def maximisation_bias(actions: int = 10, mean: float = -0.1, spread: float = 1.0) -> Finite:
    """S&B figure 6.5: A (state 0) goes left (0) to B (1) or right (1) to the end (2); each action of B pays N(−0.1, 1).

    In A two actions count (`allowed`, and `info["action_mask"]`); the others repeat them in turn.
    """
    P, R, done = (np.zeros((3, actions, 3)) for _ in range(3))
    P[0, ::2, 1], P[0, 1::2, 2], P[1:, :, 2] = 1, 1, 1
    R[1, :, 2] = mean
    done[..., 2] = 1
    noise = np.zeros((3, actions))
    noise[1] = spread
    allowed = np.ones((3, actions), bool)
    allowed[0, 2:] = False
    return Finite(MDP(P, R, done, np.eye(3)[0]), 1.0, allowed=allowed, noise=noise)
