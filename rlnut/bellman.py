"""Bellman targets: where y comes from when no one labels the data.

    y = R + D · v(s'),     R = Σ_{k<m} γᵏ r_{t+k+1},     D = γᵐ · (1 − terminated)

D carries termination: 0 where the episode terminated; a truncated episode (a time limit) bootstraps from its true
final observation like any other. The memory folds n steps into R and D (`returns.fold`). The variants of Q-learning
are one function each: the value v of the next state.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from rlnut.regression import select
from rlnut.types import Array, Batch, Params, Transition

NextValue = Callable[[Array, Array], Array]  # (q(s', ·) online [B, A], q⁻(s', ·) target [B, A]) -> v(s') [B]
Problem = Callable[[Params, Params, Transition], Batch]  # (online θ, target θ⁻, experience) -> regression problem


def greedy_value(q_online: Array, q_target: Array) -> Array:
    """v = max_a q⁻(s', a): Q-learning (Watkins 1989; Mnih et al. 2015)."""
    return q_target.max(axis=1)


def double_value(q_online: Array, q_target: Array) -> Array:
    """v = q⁻(s', argmax_a q(s', a)): the online net selects, the target net evaluates.

    Double DQN (van Hasselt et al. 2016, eq. 4).
    """
    return select(q_target, q_online.argmax(axis=1))


def bootstrap(reward: Array, discount: Array, value: Array) -> Array:
    """y = r + D·v, all of the same shape; discount is γⁿ·(1 − terminated)."""
    if not reward.shape == discount.shape == value.shape:
        raise ValueError(f"bootstrap: shapes {reward.shape}, {discount.shape} and {value.shape} must be the same")
    return reward + discount * value


def q_problem(apply: Callable[[Params, Array], Array], next_value: NextValue = greedy_value) -> Problem:
    """Q-learning as regression: make q(s)[a] equal r + D·v(s'); apply: (θ, s [B, ...]) -> q [B, A].

    y is made here, outside the differentiated function: the semi-gradient without `stop_gradient`.
    """

    def problem(params: Params, target: Params, seen: Transition) -> Batch:
        value = next_value(apply(params, seen.next_obs), apply(target, seen.next_obs))
        y = bootstrap(seen.reward, seen.discount, value)
        return Batch(seen.obs, y, index=jnp.asarray(seen.action, jnp.int32))

    return problem
