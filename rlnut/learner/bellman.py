"""Bellman targets: where y comes from when no one labels the data.

    y = R + D · v(s'),     R = Σ_{k<m} γᵏ r_{t+k+1},     D = γᵐ · (1 − terminated)
    v(s') = v⁻(s')                               for V_π: `v_problem`
    v(s') = Σ_a π(a|s') q⁻(s', a) + bonus(s')    for Q: `q_problem`

D carries termination: 0 where the episode terminated; a truncated episode (a time limit) bootstraps from its true
final observation like any other. The memory folds n steps into R and D (`returns.fold`). The variants of Q-learning
are one function each, the policy π of the next state; `following` a given policy learns Q_π. Where q is read from a
distribution, the same π mixes the distributions of the actions (`Readout.mix`). An action that is not allowed has
π = 0, whatever its value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlnut.learner.explore import allowed, greedy
from rlnut.learner.readout import Readout, mixed, scalar
from rlnut.learner.readout import bootstrap as bootstrap
from rlnut.regression.losses import OutputPenalty
from rlnut.types import Array, Batch, Experience, Inputs, Key, Observed, Params, Shaped, Transition


class Next(NamedTuple):
    """What is done in the next state, and what it is worth beside its value."""

    policy: Array  # [B, A] π(a|s')
    bonus: Array | float = 0.0  # [B]
    one: bool = False  # π is 1 for one action (of each group): its distribution is taken as it is


# (q(s', ·) online, q⁻(s', ·) target, mask, all [B, A], the experience [B] that they are of)
NextPolicy = Callable[[Array, Array, Array | None, Transition], Next]
Probabilities = Callable[[Inputs], Array]  # what a network reads, [B, ...] -> π(·|s) [B, A]
Ratio = Callable[[Transition], Array]  # experience [B] -> ρ(s, a) = π(a|s)/b(a|s) [B]
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
    q_online: Shaped[Array, "*B A"],
    q_target: Shaped[Array, "*B A"],
    mask: Shaped[Array, "*B A"] | None = None,
    seen: Transition | None = None,
) -> Next:
    """v = max_a q⁻(s', a): Q-learning (Watkins 1989; Mnih et al. 2015)."""
    return Next(one_hot_policy(greedy(q_target, mask), q_target), one=True)


def double_policy(
    q_online: Shaped[Array, "*B A"],
    q_target: Shaped[Array, "*B A"],
    mask: Shaped[Array, "*B A"] | None = None,
    seen: Transition | None = None,
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
        q_online: Shaped[Array, "*B A"],
        q_target: Shaped[Array, "*B A"],
        mask: Shaped[Array, "*B A"] | None = None,
        seen: Transition | None = None,
    ) -> Next:
        policy, log = softmax_policy(q_target, temperature, mask)
        return Next(policy, -temperature * over_groups((policy * log).sum(-1)))

    return rule


def following(policy: Probabilities | None = None) -> NextPolicy:
    """v = Σ_a π(a|s') q⁻(s', a): Q_π of a given policy, whoever acts (expected SARSA; Le et al. 2019).

    None: π is given with the experience, `next_policy` [B, A]. What a mask forbids is taken from π, and the rest
    of it made up to 1.
    """

    def rule(
        q_online: Shaped[Array, "*B A"], q_target: Shaped[Array, "*B A"], mask: Array | None, seen: Transition
    ) -> Next:
        chances = seen.next_policy if policy is None else policy(seen.next_x)
        if chances is None or chances.shape != q_target.shape:
            got = "no next_policy" if chances is None else f"probabilities {chances.shape}"
            raise ValueError(f"following: action values {q_target.shape} need as many probabilities, got {got}")
        if mask is not None:
            chances = jnp.where(mask, chances, 0.0)
            total = chances.sum(-1, keepdims=True)
            chances = chances / jnp.where(total > 0, total, 1.0)  # nothing is allowed after a terminal state
        return Next(jnp.asarray(chances, q_target.dtype))

    return rule


def ratio(policy: Probabilities, behaviour: Probabilities) -> Ratio:
    """ρ = π(a|s)/b(a|s) of the action taken: what corrects V_π for who acts (S&B 5.3)."""

    def of(seen: Experience) -> Array:
        def chance(chances: Array) -> Array:
            return jnp.take_along_axis(chances, jnp.asarray(seen.action, jnp.int32)[..., None], -1)[..., 0]

        return chance(policy(seen.x)) / chance(behaviour(seen.x))

    return of


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
        policy, bonus, one = rule(readout.q(online), readout.q(chooser), seen.next_mask, seen)
        mix = mixed if one else readout.mix
        action, reward = jnp.asarray(seen.action, jnp.int32), seen.reward + seen.discount * bonus
        if extra is not None:
            reward = reward + extra(readout.q(apply_target(target, seen.x, now_key)), action, seen.mask)
        y = readout.target(reward, seen.discount, mix(policy, readout.part(frozen)))
        return Batch(seen.x, y, index=action, mask=seen.mask)

    return problem


def v_problem(
    apply: Apply, readout: Readout | None = None, rho: Ratio | None = None, read: ReadTarget | None = None
) -> BellmanProblem:
    """TD(0) as regression: make v(s) what r + D·v⁻(s') says; the experience is that of π, or ρ corrects it.

    apply: (θ, s [B, ...], key) -> outputs [B, ...] of one value, read by `readout` (default: as numbers; with a
    distribution that of the return under π is learned). `rho` weighs the rows of another behaviour, transitions
    of one step: the semi-gradient is then E_b[ρ δ ∇v] (S&B 11.2). `read`: as in `q_problem`. V_π of a policy that
    earns 1, then 2, at γ = ½:

    >>> import jax, jax.numpy as jnp, optax
    >>> from rlnut import Transition, linear
    >>> from rlnut.regression import regression
    >>> s, after, end = jnp.eye(2), jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.array([False, True])
    >>> seen = Transition(s, jnp.array([0, 0]), jnp.array([1.0, 2.0]), 0.5 * (1 - end), after, end, ~end | end)
    >>> core = regression(linear()(()), optimizer=optax.sgd(1.0))
    >>> problem = v_problem(lambda params, x, key: core.predict(params, x))
    >>> step = jax.jit(lambda fit: core.update(fit, problem(fit.params, fit.params, seen, fit.key))[0])
    >>> fit = core.init(jax.random.key(0), s)
    >>> for _ in range(100):
    ...     fit = step(fit)
    >>> core.predict(fit.params, s).round(2).tolist()
    [2.0, 2.0]
    """
    readout = scalar() if readout is None else readout
    apply_target = apply if read is None else read(apply)

    def problem(params: Params, target: Params, seen: Experience, key: Key) -> Batch:
        after = readout.part(apply_target(target, seen.next_x, key)[:, None])[:, 0]  # the part of the only action
        return Batch(seen.x, readout.target(seen.reward, seen.discount, after), weight=rho and rho(seen))

    return problem


def conservative(strength: float, readout: Readout | None = None) -> OutputPenalty:
    """β (log Σ_a exp q(s, a) − q(s, a_data)) over the allowed actions: what actions cost that the data do not take.

    CQL (Kumar et al. 2020, eq. 4), for any problem whose batches have an `index`; of groups of actions the mean.
    """
    q = (scalar() if readout is None else readout).q

    def penalty(outputs: Array, batch: Batch) -> Array:
        values, action = q(outputs), batch.index
        if action is None:
            raise ValueError("conservative: the batch does not say which actions were taken (its index is None)")
        taken = jnp.take_along_axis(values, action[..., None], -1)[..., 0]
        return strength * over_groups(jax.nn.logsumexp(values, -1, where=batch.mask) - taken)

    return penalty


def labelled(readout: Readout) -> BellmanProblem:
    """Experience whose `reward` already is the whole target (λ-returns): regress on it, bootstrap no more."""

    def problem(params: Params, target: Params, seen: Experience, key: Key) -> Batch:
        nothing = jnp.zeros_like(seen.reward)
        return Batch(seen.x, readout.target(seen.reward, nothing, nothing), index=seen.action, mask=seen.mask)

    return problem
