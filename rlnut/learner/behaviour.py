"""Policies as probabilities π(·|s) computed from q(s, ·): for acting, expectations and off-policy corrections.

Actions that share the largest q share its probability evenly, so nothing depends on the order of the actions.
Forbidden actions (mask False) have probability 0. NumPy in, NumPy out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlnut.learner.explore import allowed
from rlnut.truth.dynamic_programming import epsilon_soft
from rlnut.types import Array, Shaped, namespace

# (q [N, A], mask [N, A] or None, rate [N], visits [N, A] or None) -> π [N, A]
Behaviour = Callable[[Array, Array | None, Array, Array | None], Array]


def epsilon_greedy_behaviour(
    q: Shaped[Array, "N A"],
    mask: Shaped[Array, "N A"] | None,
    rate: Shaped[Array, " N"],
    visits: Shaped[Array, "N A"] | None = None,
) -> Shaped[Array, "N A"]:
    """(1 − ε)·greedy + ε·uniform, ε = rate [N]; ε = 0 is the greedy policy (S&B 2.2, 5.4)."""
    xp = namespace(q)
    values = allowed(q, mask)
    best = values == values.max(-1, keepdims=True)
    return epsilon_soft(best / best.sum(-1, keepdims=True), xp.asarray(rate)[..., None], mask)


def boltzmann_behaviour(
    q: Shaped[Array, "N A"],
    mask: Shaped[Array, "N A"] | None,
    rate: Shaped[Array, " N"],
    visits: Shaped[Array, "N A"] | None = None,
) -> Shaped[Array, "N A"]:
    """π ∝ exp(q / τ), τ = rate [N] > 0 (S&B 2.8, 13.2)."""
    xp = namespace(q)
    values = allowed(q, mask)
    odds = xp.exp((values - values.max(-1, keepdims=True)) / xp.asarray(rate)[..., None])
    return odds / odds.sum(-1, keepdims=True)


def ucb_behaviour(
    q: Shaped[Array, "N A"],
    mask: Shaped[Array, "N A"] | None,
    rate: Shaped[Array, " N"],
    visits: Shaped[Array, "N A"] | None = None,
) -> Shaped[Array, "N A"]:
    """Greedy in q + c √(ln N(s) / N(s, a)), c = rate [N]; what was never tried comes first (S&B 2.10)."""
    if visits is None:
        raise ValueError("upper_confidence needs the visits N(s, a)")
    xp = namespace(q)
    total = xp.maximum(visits.sum(-1, keepdims=True), 1)
    bonus = xp.asarray(rate)[..., None] * xp.sqrt(xp.log(total) / xp.maximum(visits, 1))
    return epsilon_greedy_behaviour(xp.where(visits > 0, q + bonus, np.inf), mask, xp.zeros_like(rate))


def sample(policy: Shaped[Array, "*N A"], u: Shaped[Array, "*N"]) -> Shaped[Array, "*N"]:
    """Actions from π [*N, A] for u [*N] ~ U[0, 1): the first whose cumulative probability exceeds u."""
    below = policy.cumsum(-1)
    return (below > u[..., None] * below[..., -1:]).argmax(-1).astype(np.int32)


BEHAVIOURS: dict[str, Behaviour] = {
    "epsilon-greedy": epsilon_greedy_behaviour,
    "boltzmann": boltzmann_behaviour,
    "ucb": ucb_behaviour,
}
