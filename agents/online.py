"""On-line control by one recursion: SARSA, expected SARSA, Q-learning, double Q-learning, n-step, and every kind of λ.

    y = R + D Σ_a π(a|s') q(s', a),   δ = y − q(s, a),   e <- D₋ c e + x(s, a),   w <- w + α δ e

What differs is a name in `OnlineRule`: whose value the next state has, how a trace is cut when it passes over an
action, and how a trace adds up. SARSA's next action is known a step later, so its update waits for it; n-step returns
wait n steps. Updates are made as they fall due, one for each environment and step, with the weights of that moment.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlnut.agents.action_values import ActionValues
from rlnut.agents.online_rules import OnlineHyper as OnlineHyper
from rlnut.agents.online_rules import OnlineRule as OnlineRule
from rlnut.learner.agent import Agent, AgentState, Pace
from rlnut.learner.behaviour import Behaviour, epsilon_greedy_behaviour, sample
from rlnut.learner.changes import Changeable
from rlnut.learner.explore import Schedule, allowed
from rlnut.learner.health import weights_probe
from rlnut.learner.returns import fold
from rlnut.learner.traces import COEFFICIENTS, Cut, Passed, trace_parts
from rlnut.runtime.keys import fast_key
from rlnut.types import Array, Carry, Experience, Fit, Key, Look, Metrics, Params, Shaped, Transition


class Held(NamedTuple):
    """What waits and what fades: [N, ...]."""

    rows: Transition  # [L, N, ...] the last transitions, of which the first falls due
    e: Array  # [N, P] traces; [N, 0] without
    decay: Array  # [N] D₋ of the row before, 0 at an episode's start
    v_old: Array  # [N] q(s, a) as it was when it was the value of a successor (true online)


class Noise(NamedTuple):
    """What the actions of a round are drawn with: [T, N]."""

    u: Array
    rate: Array  # ε, τ or c


class Member(NamedTuple):
    """One member of the family: what its pure functions share."""

    rule: OnlineRule
    numbers: OnlineHyper
    values: ActionValues
    behave: Behaviour
    counting: bool  # params["visits"] holds N(s, a)

    def with_step(self, alpha: Array) -> Member:
        """The same with another step size [], also traced."""
        return self._replace(numbers=self.numbers._replace(alpha=alpha))

    def q(self, params: Params, obs: Array) -> Array:
        """q(s, ·) to act on [N, A]: the mean of the two tables of double Q-learning."""
        found = self.values.q(params["w"][0], obs)
        return (found + self.values.q(params["w"][1], obs)) / 2 if self.rule.double else found

    def behaviour(self, params: Params, q: Array, obs: Array, mask: Array | None, rate: Array) -> Array:
        """The behaviour b(·|s) [N, A]."""
        return self.behave(q, mask, rate, self.values.q(params["visits"], obs) if self.counting else None)

    def learned(self, params: Params, q: Array, obs: Array, mask: Array | None, rate: Array) -> Array:
        """The policy π(·|s) whose values are learned [N, A]."""
        if self.rule.next_value in ("sampled", "behaviour"):
            return self.behaviour(params, q, obs, mask, rate)
        epsilon = self.numbers.soft if self.rule.next_value == "soft" else 0.0
        return epsilon_greedy_behaviour(q, mask, jnp.zeros_like(rate) + epsilon)


class Due(NamedTuple):
    """A row that falls due, with its target: [N, ...]."""

    now: Transition
    q: Array  # [N, A] q(s, ·) of the table that learns
    taken: Array  # q(s, a) of it
    v: Array  # v(s')
    y: Array  # R + D v(s')


def target_of(
    member: Member, params: Params, rows: Experience, rate: Shaped[Array, " N"], u: Shaped[Array, " N"]
) -> Due:
    """The first of rows [L, N] and its target; u [N]: which of two tables learns, and chance among equal actions."""
    rule, values, w = member.rule, member.values, params["w"]
    now, (reward, discount, last) = jax.tree.map(lambda a: a[0], rows), n_step_target(rows, rule.n)
    then, everyone, coin = at(rows, last), jnp.arange(len(last)), u < 0.5

    def both(obs: Array) -> tuple[Array, Array]:
        """q of the table that learns, which selects, and of the one that evaluates."""
        first = values.q(w[0], obs)
        if not rule.double:
            return first, first
        second = values.q(w[1], obs)
        return jnp.where(coin[:, None], second, first), jnp.where(coin[:, None], first, second)

    (q, _), (selects, evaluates) = both(now.obs), both(then.next_obs)
    policy = member.learned(params, selects, then.next_obs, then.next_mask, rate)
    if rule.double:  # one action is selected, of several best ones any
        v = evaluates[everyone, sample(policy, 2 * u % 1)]
    else:
        v = (policy * evaluates).sum(-1)
    if rule.next_value == "sampled":  # the last row of a truncated episode has no next action: the mean stands in
        v = jnp.where(then.end, v, evaluates[everyone, at(rows, jnp.minimum(last + 1, rule.n)).action])
    return Due(now, q, q[everyone, now.action], v, reward + discount * v)


def step_sizes(member: Member, params: Params, due: Due) -> tuple[Params, Array]:
    """α of each row [N], and θ with its visits counted."""
    values, numbers, now = member.values, member.numbers, due.now
    if not member.counting:
        return params, jnp.broadcast_to(numbers.alpha / values.norm, due.taken.shape)
    params = params | {"visits": values.add(params["visits"], now.obs, now.action, jnp.where(now.valid, 1.0, 0.0))}
    count = values.q(params["visits"], now.obs)[jnp.arange(len(due.taken)), now.action]
    return params, numbers.alpha / values.norm / jnp.maximum(count, 1) ** numbers.omega


def traced_update(
    member: Member, cut: Cut, params: Params, held: Held, due: Due, alpha: Array, step: Array, rate: Array
) -> tuple[Array, Held]:
    """w + Σ_n α δ e and the traces after it; π and b are those of θ before the row's visits were counted."""
    rule, values, w, now, q = member.rule, member.values, params["w"], due.now, due.q
    everyone, delta = jnp.arange(len(due.taken)), due.y - due.taken
    pi = member.learned(params, q, now.obs, now.mask, rate)
    b = member.behaviour(params, q, now.obs, now.mask, rate)
    chance, greedy = pi[everyone, now.action], (due.taken >= allowed(q, now.mask).max(-1)) * 1.0
    passed = Passed(chance / jnp.maximum(b[everyone, now.action], 1e-8), chance, greedy)
    rest = (held.decay * member.numbers.lam * COEFFICIENTS[cut](passed))[:, None] * held.e
    x = values.gradient(w[0], now.obs, now.action)
    overlap = (alpha * (rest * x).sum(-1))[:, None]
    rest, own = trace_parts(rule.trace, rest, x, overlap, x != 0, values.shared(now.obs))
    later = due.y - (pi * q).sum(-1) if cut == "peng" else delta
    change = later[:, None] * rest + delta[:, None] * own
    if rule.trace == "dutch":
        change = change + (due.taken - held.v_old)[:, None] * (rest + own - x)
    return w + values.step(step, change), held._replace(
        e=jnp.where(now.valid[:, None], rest + own, held.e),
        decay=jnp.where(now.valid, jnp.where(now.end, 0.0, now.discount), held.decay),
        v_old=jnp.where(now.valid, due.v, held.v_old),
    )


def plain_update(
    member: Member, w: Shaped[Array, "K P"], due: Due, step: Shaped[Array, " N"], coin: Shaped[Array, " N"]
) -> Shaped[Array, "K P"]:
    """w + Σ_n α δ ∂q/∂w of the table that learns."""
    now, amount = due.now, step * (due.y - due.taken)
    return jnp.stack(
        [member.values.add(w[k], now.obs, now.action, amount * (coin == k) if member.rule.double else amount)
         for k in range(len(w))]
    )  # fmt: skip


def learn_row(
    member: Member, rate: Array, carry: tuple[Params, Held], new: tuple[Transition, Array]
) -> tuple[tuple[Params, Held], Metrics]:
    """One more row [N] of experience: the row that falls due is learned from."""
    (params, held), (row, u) = carry, new
    rows = jax.tree.map(lambda old, one: jnp.concatenate([old[1:], one[None]]), held.rows, row)
    held = held._replace(rows=rows)
    due = target_of(member, params, rows, rate, u)
    counted, alpha = step_sizes(member, params, due)
    step = jnp.where(due.now.valid, alpha, 0.0)
    if member.rule.cut:
        w, held = traced_update(member, member.rule.cut, params, held, due, alpha, step, rate)
    else:
        w = plain_update(member, params["w"], due, step, u < 0.5)
    return (counted | {"w": w}, held), {"delta": due.y - due.taken, "value": due.y, "valid": due.now.valid}


def classic_agent(
    rule: OnlineRule,
    numbers: OnlineHyper,
    values: ActionValues,
    behave: Behaviour,
    rate: Schedule,
    counting: bool = False,
    range_of_rate: tuple[float, float] = (0.0, 1.0),
) -> Agent:
    """Compose the member; `counting`: keep visits N(s, a) of a table, for UCB and falling step sizes.

    range_of_rate: lowest and highest ε (τ, c) to which it may be changed during a run.
    """
    member = Member(rule, numbers, values, behave, counting)
    waiting = rule.n + (rule.next_value == "sampled")

    def init(key: Key, seen: Transition) -> AgentState:
        fit_key, explore_key, replay_key = jax.random.split(fast_key(key), 3)
        w = jnp.stack([values.init(k) for k in jax.random.split(fit_key, 2 if rule.double else 1)])
        params = {"w": w} | ({"visits": jnp.zeros_like(w[0])} if counting else {})
        envs = seen.reward.shape[0]
        rows = jax.tree.map(lambda a: jnp.zeros((waiting, *a.shape), a.dtype), seen)
        rows = rows._replace(end=jnp.ones_like(rows.end))
        nothing = jnp.zeros(envs)
        held = Held(rows, jnp.zeros((envs, w.shape[1] if rule.cut else 0)), nothing, nothing)
        fit = Fit(params, (), jnp.zeros((), jnp.int32), fit_key)
        return AgentState(fit, (), held, jnp.zeros((), jnp.int32), explore_key, replay_key)

    def rate_now(state: AgentState) -> Array:
        return rate(state.steps) if state.changes.epsilon is None else state.changes.epsilon

    def draw(state: AgentState, envs: int) -> Noise:
        u = jax.random.uniform(jax.random.fold_in(state.explore_key, state.steps), (1, envs))
        return Noise(u, jnp.broadcast_to(jnp.asarray(rate_now(state), u.dtype), u.shape))

    def act(params: Params, carry: Carry, look: Look, noise: Noise) -> tuple[Array, Carry]:
        chosen = member.behaviour(params, member.q(params, look.obs), look.obs, look.mask, noise.rate)
        return sample(chosen, noise.u), carry

    def learn(state: AgentState, seen: Experience) -> tuple[AgentState, Metrics]:
        now = jnp.broadcast_to(jnp.asarray(rate_now(state), jnp.float32), (seen.reward.shape[1],))
        factor = state.changes.lr
        stepping = member if factor is None else member.with_step(numbers.alpha * factor)
        u = jnp.zeros_like(seen.reward)
        if rule.double:
            u = jax.random.uniform(jax.random.fold_in(state.replay_key, state.steps), u.shape)
        start = (state.fit.params, state.memory)
        (params, held), note = jax.lax.scan(partial(learn_row, stepping, now), start, (seen, u))
        count = note["valid"].sum(dtype=jnp.int32)

        def mean(x: Array) -> Array:
            return jnp.where(note["valid"], x, 0.0).sum() / count  # NaN: nothing fell due

        size = mean(jnp.abs(note["delta"]))
        metrics = {"cost": mean(note["delta"] ** 2 / 2), "delta": size, "gradient": size * values.norm**0.5}
        fit = state.fit._replace(params=params, step=state.fit.step + count)
        steps = state.steps + seen.valid.sum(dtype=jnp.int32)
        return state._replace(fit=fit, memory=held, steps=steps), metrics | {
            "value": mean(note["value"]),
            "updates": fit.step,
        }

    def cut(state: AgentState) -> AgentState:
        held = state.memory
        rows = held.rows._replace(valid=jnp.zeros_like(held.rows.valid), end=jnp.ones_like(held.rows.end))
        return state._replace(memory=held._replace(rows=rows, decay=jnp.zeros_like(held.decay)))

    def q(params: Params, carry: Carry, look: Look) -> tuple[Array, Carry]:
        return member.q(params, look.obs), carry

    pace = Pace(starts=1, every=1, updates=1, batch=1)
    swept = isinstance(numbers.alpha, jax.core.Tracer)  # many step sizes as one program: nobody changes them
    able = Changeable(None if swept else float(numbers.alpha), range_of_rate)
    return Agent(
        init,
        lambda envs: (),
        draw,
        act,
        learn,
        q,
        cut,
        rate,
        values.host,
        pace,
        probe=weights_probe(lambda params: params["w"]),
        changeable=able,
    )


def n_step_target(rows: Transition, n: int) -> tuple[Array, Array, Array]:
    """R, D and the last row that counts, of the n-step target that begins with the first row: [N] each."""
    if n == 1:
        return rows.reward[0], rows.discount[0], jnp.zeros(rows.end.shape[1], jnp.int32)
    ready = fold(rows.reward[:n], rows.discount[:n], rows.end[:n], n)
    return ready.reward[0], ready.discount[0], ready.last[0]


def at(rows: Experience, index: Shaped[Array, " N"]) -> Experience:
    """Row index [N] of each environment: [L, N, ...] -> [N, ...]."""
    return jax.tree.map(lambda a: a[index, jnp.arange(len(index))], rows)
