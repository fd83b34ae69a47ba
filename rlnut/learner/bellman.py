"""Bellman targets: where y comes from when no one labels the data.

    y = R + D · v(s'),     R = Σ_{k<m} γᵏ r_{t+k+1},     D = γᵐ · (1 − terminated)
    v(s') = Σ_a π(a|s') q⁻(s', a) + bonus(s')

D carries termination: 0 where the episode terminated; a truncated episode (a time limit) bootstraps from its true
final observation like any other. The memory folds n steps into R and D (`returns.fold`). The variants of Q-learning
are one function each: the policy π of the next state. Where q is read from a distribution, the same π mixes the
distributions of the actions (`Readout.mix`). An action that is not allowed has π = 0, whatever its value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlnut.learner.explore import allowed, greedy
from rlnut.learner.readout import Readout, mixed, scalar
from rlnut.learner.readout import bootstrap as bootstrap
from rlnut.types import Array, Batch, Experience, Key, Observed, Params, Shaped, Transition


class Next(NamedTuple):
    """What is done in the next state, and what it is worth beside its value."""

    policy: Array  # [B, A] π(a|s')
    bonus: Array | float = 0.0  # [B]
    one: bool = False  # π is 1 for one action (of each group): its distribution is taken as it is


NextPolicy = Callable[[Array, Array, Array | None], Next]  # (q(s', ·) online, q⁻(s', ·) target, mask), all [B, A]
BellmanProblem = Callable[
    [Params, Params, Transition, Key], Batch
]  # (online θ, target θ⁻, experience, key) -> regression
Extra = Callable[[Array, Array, Array | None], Array]  # (q⁻(s, ·) [B, A], action [B], mask) -> added reward [B]
Apply = Callable[[Params, Observed, Key], Array]  # (θ, s [B, ...], key) -> outputs [B, A, ...]
ReadTarget = Callable[[Apply], Apply]  # what reads θ -> what reads the target θ⁻, which may be more than one copy of θ


def one_hot_policy(action: Shaped[Array, "*B"], like: Shaped[Array, "*B A"]) -> Shaped[Array, "*B A"]:
    """π of an action: [B] -> [B, A]."""
    return jax.nn.one_hot(action, like.shape[-1], dtype=like.dtype)


def over_groups(x: Shaped[Array, "B ..."]) -> Shaped[Array, " B"]:
    """[B] as it is; the mean over D groups of actions of [B, D]."""
    return x.reshape(len(x), -1).mean(1)


def greedy_policy(
    q_online: Shaped[Array, "*B A"], q_target: Shaped[Array, "*B A"], mask: Shaped[Array, "*B A"] | None = None
) -> Next:
    """v = max_a q⁻(s', a): Q-learning (Watkins 1989; Mnih et al. 2015)."""
    return Next(one_hot_policy(greedy(q_target, mask), q_target), one=True)


def double_policy(
    q_online: Shaped[Array, "*B A"], q_target: Shaped[Array, "*B A"], mask: Shaped[Array, "*B A"] | None = None
) -> Next:
    """v = q⁻(s', argmax_a q(s', a)): the online net selects, the target net evaluates.

    Double DQN (van Hasselt et al. 2016, eq. 4).
    """
    return Next(one_hot_policy(greedy(q_online, mask), q_target), one=True)


def softmax_policy(
    q: Shaped[Array, "*B A"], temperature: float, mask: Shaped[Array, "*B A"] | None = None
) -> tuple[Shaped[Array, "*B A"], Shaped[Array, "*B A"]]:
    """π = softmax(q/τ) over the allowed actions, and ln π (0 where an action is not allowed): [B, A]."""
    log = jax.nn.log_softmax(allowed(q, mask) / temperature)
    return jnp.exp(log), log if mask is None else jnp.where(mask, log, 0.0)


def soft_policy(temperature: float) -> NextPolicy:
    """v = Σ_a π(a|s')(q⁻(s', a) − τ ln π(a|s')) = τ ln Σ_a exp(q⁻/τ), π = softmax(q⁻/τ): soft Q.

    (Haarnoja et al. 2017, eq. 5 for discrete actions.)
    """

    def rule(
        q_online: Shaped[Array, "*B A"], q_target: Shaped[Array, "*B A"], mask: Shaped[Array, "*B A"] | None = None
    ) -> Next:
        policy, log = softmax_policy(q_target, temperature, mask)
        return Next(policy, -temperature * over_groups((policy * log).sum(-1)))

    return rule


def munchausen(temperature: float, share: float = 0.9, lowest: float = -1.0) -> Extra:
    """α clip(τ ln π(a|s), l₀, 0), π = softmax(q⁻(s, ·)/τ), added to the reward (Vieillard et al. 2020, eq. 1)."""

    def extra(q: Shaped[Array, "*B A"], action: Shaped[Array, "*B"], mask: Shaped[Array, "*B A"] | None) -> Array:
        log = softmax_policy(q, temperature, mask)[1]
        return share * over_groups(jnp.clip(temperature * (log * one_hot_policy(action, q)).sum(-1), lowest, 0))

    return extra


def q_problem(
    apply: Apply,
    rule: NextPolicy = greedy_policy,
    readout: Readout | None = None,
    extra: Extra | None = None,
    stochastic: bool = True,
    read: ReadTarget | None = None,
) -> BellmanProblem:
    """Q-learning as regression: make the outputs for (s, a) what r + D·v(s') says.

    apply: (θ, s [B, ...], key) -> outputs [B, A, ...], read by `readout` (default: as numbers). y is made here, outside
    the differentiated function: the semi-gradient without `stop_gradient`. A `stochastic` network (IQN's fractions,
    noisy weights) chooses the next action with one draw and evaluates it with another (Dabney et al. 2018b, eq. 2):
    with one draw for both, the largest of several values is too large by what the draw adds. False: `apply` gives the
    same for every key. `read` makes of `apply` what reads the target θ⁻ (`TargetNetwork.read`); None: `apply` itself.
    """
    readout = scalar() if readout is None else readout
    apply_target = apply if read is None else read(apply)

    def problem(params: Params, target: Params, seen: Experience, key: Key) -> Batch:
        online_key, target_key, now_key = jax.random.split(key, 3)
        online = apply(params, seen.next_x, online_key)
        frozen = apply_target(target, seen.next_x, target_key)
        chooser = apply_target(target, seen.next_x, jax.random.fold_in(target_key, 1)) if stochastic else frozen
        policy, bonus, one = rule(readout.q(online), readout.q(chooser), seen.next_mask)
        mix = mixed if one else readout.mix
        action, reward = jnp.asarray(seen.action, jnp.int32), seen.reward + seen.discount * bonus
        if extra is not None:
            reward = reward + extra(readout.q(apply_target(target, seen.x, now_key)), action, seen.mask)
        y = readout.target(reward, seen.discount, mix(policy, readout.part(frozen)))
        return Batch(seen.x, y, index=action)

    return problem


def labelled(readout: Readout) -> BellmanProblem:
    """Experience whose `reward` already is the whole target (λ-returns): regress on it, bootstrap no more."""

    def problem(params: Params, target: Params, seen: Experience, key: Key) -> Batch:
        nothing = jnp.zeros_like(seen.reward)
        return Batch(seen.x, readout.target(seen.reward, nothing, nothing), index=seen.action)

    return problem
