"""Temporal-difference prediction: one recursion; gradient MC, n-step TD, TD(λ) with three kinds of trace, true online
TD(λ), the off-line λ-return, residual gradient, GTD2, TDC, TDRC and emphatic TD(λ) are its arguments.

    δ = r + D v(s') − v(s)          e <- D₋ c e + M ∇v(s)          w <- w + α u δ e

with D = γ(1 − terminated), D₋ that of the row before (0 after an episode's end), c and u the trace and gain of a rule
of `rlnut.learner.returns`, M = 1 (or the emphasis). n-step methods and Monte Carlo are TD(0) over folded transitions
(`simulate.folded_experience`). Everything is compiled once and vmapped over runs, step sizes and λ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rlnut.agents.td_gradient import GRADIENT_CORRECTIONS, Moment
from rlnut.agents.td_rules import TDRule, WeightUpdate
from rlnut.learner.traces import trace_parts
from rlnut.types import Array, Key, Model, Params, Tree

Input = Array | tuple[Array, Array]  # what v reads: s; or what q reads: (s, weights of the actions [A])
Parts = tuple  # a tuple of arrays, or of tuples of them
Scalar = Array | float
State = TypeVar("State")


class TDHyper(NamedTuple):
    """Numbers of a method; each may be an array of one shape, and is then swept."""

    alpha: Array  # α
    lam: Array  # λ
    beta: Array  # step size of the second weights h


class TDRows(NamedTuple):
    """What the recursion reads, [T, N, ...]: see `rows`."""

    now: Input  # of v(s), or of q(s, a)
    then: Input  # of the bootstrapped value
    other: Input  # the same of the second try (double-sample residual gradient)
    reward: Array
    discount: Array  # D
    other_discount: Array  # D ρ of the second try
    decay: Array  # D₋ c/λ: what λ e is multiplied by on reaching this row
    follow: Array  # D₋ ρ₋
    gain: Array  # u
    fresh: Array  # bool: first row of an episode
    rate: Array  # factor of α; 0 where the row is not valid
    slot: Array  # int32: which record the weights belong to


class Approximator(NamedTuple):
    """v_w linearised where it is needed."""

    init: Callable[[Key], Array]  # key -> w [d]
    at: Callable[[Array, Input], tuple[Array, Array]]  # (w, input) -> v [], ∇v [d]
    next: Callable[[Array, Input], tuple[Array, Array]]  # the same for inputs of bootstrapped values
    outputs: Callable[[Array, Array], Array] | None = None  # (w, s) -> the outputs of a network: q(s, ·) [A]


Maker = Callable[..., Approximator]  # (*parts) -> the function; hashable, so that a recursion is compiled once


def linear_value(now: Callable[[Input], Array], then: Callable[[Input], Array], w0: Array) -> Approximator:
    """v = wᵀx: `now` and `then` map an input to its features [d]."""
    return Approximator(lambda key: w0, lambda w, s: (w @ (x := now(s)), x), lambda w, s: (w @ (x := then(s)), x))


def network_value(model: Model, example: Array, encode: Callable[[Array], Array] = lambda s: s) -> Approximator:
    """v = g_w(s) with w flat, for inputs (s, u) of action values q = uᵀg_w(s); ∇v by back-propagation.

    `encode` maps an input to what the network sees, of which `example` is one.
    """
    from jax.flatten_util import ravel_pytree

    template: Params = jax.eval_shape(model.init, jax.random.key(0), example[None])
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template)
    unravel: Callable[..., Params] = ravel_pytree(zeros)[1]

    def outputs(w: Array, s: Array) -> Array:
        return model.apply(unravel(w), encode(s)[None])[0]

    def value(w: Array, s: Input) -> Array:
        return outputs(w, s[0]) @ s[1] if isinstance(s, tuple) else outputs(w, s)

    at = jax.value_and_grad(value)
    return Approximator(lambda key: ravel_pytree(model.init(key, example[None]))[0], at, at, outputs)


def over_features(phi: Callable[[Array], Array], w0: Array) -> Approximator:
    """v = wᵀφ(s), for inputs (s, u) of action values q = wᵀ(u ⊗ φ(s)): the weights of an action lie together."""

    def read(s: Input) -> Array:
        if isinstance(s, tuple):
            return (s[1][:, None] * phi(s[0])).reshape(-1)
        return phi(s)

    return linear_value(read, read, w0)


class TDState(NamedTuple):
    """State of one run."""

    w: Array  # [d]
    e: Array  # [d] trace
    h: Tree  # [d] second weights of the gradient methods; of a `WeightUpdate` what it remembers
    start: Array  # [d] the weights at the episode's start
    v_old: Array  # [] v(s) as it was when s was a successor
    F: Array  # [] follow-on trace
    square: Array  # [] sum of δ² so far


class Learner(NamedTuple, Generic[State]):
    """A recursion over rows, for one run: pure functions, safe under vmap and scan."""

    init: Callable[[Key], State]  # key -> state
    step: Callable[[State, TDRows], State]  # (state, row) -> state
    weights: Callable[[State], Array]  # state -> w
    square: Callable[[State], Array]  # state -> Σ δ²


def dense_learner(rule: TDRule, model: Approximator, hyper: TDHyper) -> Learner[TDState]:
    """The recursion with every array as long as w: any approximator, every rule."""

    def init(key: Key) -> TDState:
        w = model.init(key)
        zero, none = jnp.zeros_like(w), jnp.zeros((), w.dtype)
        h = rule.gradient.init(w) if isinstance(rule.gradient, WeightUpdate) else zero
        return TDState(w, zero, h, w, none, none, none)

    return Learner(init, lambda c, row: td_step(rule, model, hyper, c, row), lambda c: c.w, lambda c: c.square)


def td_step(rule: TDRule, model: Approximator, hyper: TDHyper, carry: TDState, row: TDRows) -> TDState:
    """One row of the recursion; with `rule.window` = n a stack of n rows, of which the first is updated."""
    ahead, row = row, jax.tree.map(lambda x: x[0], row) if rule.window else row
    alpha, lam = hyper.alpha * row.rate, hyper.lam
    w, start = carry.w, carry.w
    if rule.offline:
        start = jnp.where(row.fresh, carry.w, carry.start)
    v, x = model.at(w, row.now)
    v_next, x_next = model.next(start, row.then)
    delta = row.reward + row.discount * v_next - v
    gain: Scalar = row.gain
    if rule.window:
        delta, gain = _corrected(model, w, ahead), 1.0
    decay = row.decay * lam
    F = carry.F
    M: Scalar = 1.0
    if rule.emphatic:
        F = row.follow * carry.F + 1
        M = lam + (1 - lam) * F
    rest, own, overlap = decay * carry.e, M * x, alpha * decay * (carry.e @ x)
    if callable(rule.trace):
        e = rule.trace(rest, own, overlap)
    else:
        rest, own = trace_parts(rule.trace, rest, own, overlap, x != 0)
        e = rest + own
    h, v_old = carry.h, carry.v_old
    if rule.gradient == "semi":
        change = alpha * gain * delta * e
    elif rule.gradient == "residual":
        change = alpha * gain * delta * (x - row.discount * x_next)
    elif rule.gradient == "double":
        change = alpha * gain * delta * (x - row.other_discount * model.next(w, row.other)[1])
    else:
        beta = hyper.beta * row.rate
        moment = Moment(alpha, beta, lam, gain, delta, e, x, row.discount * x_next, h)
        change, h = _changed(rule, moment, row.rate > 0)
    if rule.online:
        change = change + alpha * jnp.where(row.fresh, 0.0, v - v_old) * (e - x)
        v_old = v_next
    square = carry.square + jnp.where(row.rate > 0, delta * delta, 0.0)
    return TDState(w + change, e, h, start, v_old, F, square)


def _changed(rule: TDRule, moment: Moment, learns: Array) -> tuple[Array, Tree]:
    """(change of w, new h) by a direction of ours, or by one of the user's; nothing where the row is not learned."""
    if isinstance(rule.gradient, str):
        return GRADIENT_CORRECTIONS[rule.gradient](moment)
    step = rule.gradient.step if isinstance(rule.gradient, WeightUpdate) else rule.gradient
    change, h = step(moment)
    return jnp.where(learns, change, 0.0), jax.tree.map(lambda new, old: jnp.where(learns, new, old), h, moment.h)


def _corrected(model: Approximator, w: Array, rows: TDRows) -> Array:
    """A_t = u_t δ_t + D_t c A_{t+1} over the rows of one window (rlnut.learner.returns), all values under w."""
    v = jax.vmap(model.at, (None, 0))(w, rows.now)[0]
    v_next = jax.vmap(model.next, (None, 0))(w, rows.then)[0]
    errors = rows.gain * (rows.reward + rows.discount * v_next - v)
    factor = jnp.append(rows.decay[1:], 0.0)  # of a new episode's first row 0: nothing comes back over an end
    return jax.lax.scan(lambda A, r: ((A := r[0] + r[1] * A), None), 0.0 * v[0], (errors, factor), reverse=True)[0]


def recorder(learner: Learner[State], records: int) -> Callable[[TDRows, Key], Array]:
    """(rows [T] of one run, key) -> w [K, ...]: row.slot says to which of K records the weights after a row belong."""

    def run(rows: TDRows, key: Key) -> Array:
        def one(carry: tuple, row: TDRows) -> tuple[tuple, None]:
            state = learner.step(carry[0], row)
            return (state, carry[1].at[row.slot].set(learner.weights(state))), None

        first = learner.init(key)
        w = learner.weights(first)
        kept = jnp.broadcast_to(w, (records + 1, *w.shape))
        return jax.lax.scan(one, (first, kept), rows)[0][1][:-1]

    return run


def advance_learner(learner: Learner[State], state: State, rows: TDRows, window: int = 0) -> State:
    """The state after rows [T] of one run; with a window rows [T + n − 1], of which the last only give targets."""
    if not window:
        return jax.lax.scan(lambda s, row: (learner.step(s, row), None), state, rows)[0]

    def one(s: State, t: Array) -> tuple[State, None]:
        return learner.step(s, jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, t, window), rows)), None

    return jax.lax.scan(one, state, jnp.arange(len(rows.reward) - window + 1))[0]


@partial(jax.jit, static_argnums=(0, 1, 5))
def swept_weights(
    rule: TDRule, make: Maker, parts: Parts, rows: TDRows, hyper: TDHyper, records: int, key: Key
) -> Array:
    """Weights [*hyper, N, K, d] at K records of rows [T, N], a sweep over hyper; `make(*parts)` approximates."""
    keys = jax.random.split(key, rows.reward.shape[1])
    model = make(*parts)

    def run(hyper: TDHyper, rows: TDRows, key: Key) -> Array:
        return recorder(dense_learner(rule, model, hyper), records)(rows, key)

    sweep = jax.vmap(run, in_axes=(None, 1, 0))
    for _ in range(hyper.alpha.ndim):
        sweep = jax.vmap(sweep, in_axes=(0, None, None))
    return sweep(hyper, rows, keys)
