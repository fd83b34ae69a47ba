"""Garnets: random MDPs by seed (Archibald, McKinnon & Thomas 1995; Bhatnagar et al. 2009)."""

from __future__ import annotations

import numpy as np

from rlnut.errors import UsageError
from rlnut.truth.dynamic_programming import MDP
from rlnut.truth.finite import Finite


def garnet(
    states: int = 20, actions: int = 4, branching: int = 3, seed: int = 0, gamma: float = 0.9, dim: int = 0
) -> Finite:
    """Each (s, a) leads to `branching` states with the gaps of sorted uniforms as chances and pays a fixed N(0, 1).

    Nothing terminates. π and b are random rows (Dirichlet 1); `dim` > 0 adds Gaussian features [S, dim]. The same seed
    gives the same problem.
    """
    if min(states, actions) < 1 or not 1 <= branching <= states:
        raise UsageError(f"states, actions >= 1 and 1 <= branching <= states, got {states}, {actions}, {branching}")
    rng = np.random.default_rng(seed)
    P = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        cuts = np.sort(rng.random(branching - 1))
        P[s, a, rng.choice(states, branching, replace=False)] = np.diff([0, *cuts, 1])
    R = np.broadcast_to(rng.standard_normal((states, actions, 1)), P.shape).copy()
    target, behaviour = rng.dirichlet(np.ones(actions), states), rng.dirichlet(np.ones(actions), states)
    features = rng.standard_normal((states, dim)) if dim else None
    start = np.full(states, 1 / states)
    return Finite(MDP(P, R, np.zeros_like(P), start), gamma, target, behaviour, features)
