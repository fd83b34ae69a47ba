"""Temporal-difference learning without a step size to choose: steps from the features, and averaged weights.

    α_i = (Σ|q| / Σq²) / √n_i,   q = u eᵀx      w̄_i <- w̄_i + (η + 1)/(m_i + η) (w_i − w̄_i)   where x_i ≠ 0

q is how far an update moves the value that it corrects, and Σ|q|/Σq² the α that minimises Σ(1 − α|q|)², so the step
knows the second moments of features, traces and importance ratios: 1/‖x‖² where that is constant, less where it varies
(the bound of Bach & Moulines 2013). n_i counts visits: rows in which x_i ≠ 0 differs from the row before, because ten
rows in a row inside one tile say one thing, not ten (under emphasis every row is a visit, its weight is another).
1/√n_i is the diagonal scaling of AdaGrad (Duchi et al. 2011), fed by features instead of gradients, so that it does
not depend on the unit of the rewards.

What is reported is the average w̄ of the weights, each over its own m_i rows with x_i ≠ 0, the later ones heavier
(Polyak & Juditsky 1992; Shamir & Zhang 2013). The averages of a linear recursion such as TD come within O(1/t) of its
fixed point in mean square even with a constant step (Lakshminarayanan & Szepesvári 2018), their covariance being the
one of Polyak & Juditsky plus a term that grows with the step (Mou et al. 2020); and because consecutive rows depend on
each other a bias of the size of α stays (Huo, Chen & Xie 2023). 1/√n takes away both. Averages need the past only:
w̄ after t rows is what a run that stops there reports.

GTD2 takes its step implicitly (`proximal_gtd2`), so that long traces cannot throw it out.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rlnut.agents.td import Approximator, Learner, TDHyper, TDRows, TDState, td_step
from rlnut.agents.td_gradient import proximal_gtd2
from rlnut.agents.td_rules import TDRule
from rlnut.agents.td_sparse import Active, SparseState, sparse_learner, sparse_step, weights_at
from rlnut.types import Array, Key, Tree

Inner = TypeVar("Inner", TDState, SparseState)

DECAY = 3.0
LEAST = 1e-30  # instead of 0 in a quotient


class AveragedState(NamedTuple, Generic[Inner]):
    """State of one run."""

    inner: Inner
    visits: jax.Array  # [d] n: rows in which x_i ≠ 0 was another than in the row before
    rows: jax.Array  # [d] m: rows in which x_i ≠ 0
    before: Tree  # [d] x of the row before; 0 before an episode's first
    mean: jax.Array  # [d] w̄
    reach: Array  # [] Σ|q|
    square_reach: Array  # [] Σq²


def averaged_learner(
    rule: TDRule, model: Approximator, hyper: TDHyper, tuned: bool, decay: float
) -> Learner[AveragedState[TDState]]:
    """The recursion of `td.td_step` whose weights are averages; `decay` is η.

    `tuned`: α is as above, `hyper.beta` is β/α and `hyper.alpha` is not read.
    """
    if tuned and rule.gradient == "gtd2":
        rule = rule._replace(gradient=proximal_gtd2)

    def init(key: Key) -> AveragedState[TDState]:
        w = jnp.asarray(model.init(key))
        zero, none = jnp.zeros_like(w), jnp.zeros((), w.dtype)
        return AveragedState(TDState(w, zero, zero, w, none, none, none), zero, zero, zero, w, none, none)

    def step(state: AveragedState[TDState], rows: TDRows) -> AveragedState[TDState]:
        row = jax.tree.map(lambda x: x[0], rows) if rule.window else rows
        learns, u = row.rate > 0, _window_gain(rows) if rule.window else jnp.abs(row.gain)
        x = model.at(state.inner.w, row.now)[1]
        here = learns & (x != 0)
        count = state.rows + here
        visits = state.visits + (here & (row.fresh | (x != state.before) | rule.emphatic))
        used = hyper
        if tuned:
            q = u * (x @ x)  # before the trace of this row is known
            alpha = (state.reach + q) / jnp.maximum(state.square_reach + q * q, LEAST)
            alpha = alpha / jnp.sqrt(jnp.maximum(visits, 1.0))
            used = TDHyper(alpha, hyper.lam, alpha * hyper.beta)
        inner = td_step(rule, model, used, state.inner, rows)
        q = jnp.where(learns, u * jnp.abs(_reach(rule, model, state.inner.w, row, inner.e, x)), 0.0)
        k = jnp.where(here, (decay + 1) / (jnp.maximum(count, 1.0) + decay), 0.0)
        mean = state.mean + k * (inner.w - state.mean)
        before = jnp.where(learns, x, state.before)
        return AveragedState(inner, visits, count, before, mean, state.reach + q, state.square_reach + q * q)

    def weights(state: AveragedState[TDState]) -> Array:
        return jnp.where(state.rows > 0, state.mean, state.inner.w)

    return Learner(init, step, weights, lambda state: state.inner.square)


def averaged_sparse_learner(
    rule: TDRule, model: Active, hyper: TDHyper, tuned: bool, decay: float, length: int, width: int
) -> Learner[AveragedState[SparseState]]:
    """The same for tables and tile coding, a row at the cost of its `width` active features (`agents.td_sparse`)."""
    whole = sparse_learner(rule, model, TDHyper(*(jnp.reshape(x, 1) for x in hyper)), length, width)

    def init(key: Key) -> AveragedState[SparseState]:
        zero, none = jnp.zeros(len(model.w0)), jnp.zeros(())
        before = jnp.zeros(width, jnp.int32), jnp.zeros(width)
        return AveragedState(whole.init(key), zero, zero, before, jnp.asarray(model.w0, jnp.float32), none, none)

    def step(state: AveragedState[SparseState], row: TDRows) -> AveragedState[SparseState]:
        learns, u = row.rate > 0, jnp.abs(row.gain)
        index, x = model.now(row.now)
        here = learns & (x != 0)
        rows = state.rows.at[index].add(here)
        last = ((state.before[0] == index[:, None]) * state.before[1]).sum(1)
        visits = state.visits.at[index].add(here & (row.fresh | (x != last) | rule.emphatic))
        q = u * (x @ x)  # before the trace of this row is known
        alpha = hyper.alpha
        if tuned:
            alpha = (state.reach + q) / jnp.maximum(state.square_reach + q * q, LEAST)

        def step_size(features: Array) -> Array:
            own = alpha / jnp.sqrt(jnp.maximum(visits[features], 1.0)) if tuned else jnp.asarray(alpha)
            return (own * row.rate)[..., None]

        inner, e = sparse_step(rule, model, step_size, jnp.reshape(hyper.lam, 1), length, state.inner, row)
        q = jnp.where(learns, u * jnp.abs(e[:, 0] @ x), 0.0)
        k = jnp.where(here, (decay + 1) / (jnp.maximum(rows[index], 1.0) + decay), 0.0)
        mean = state.mean.at[index].add(k * (weights_at(inner, index)[:, 0] - state.mean[index]))
        before = jax.tree.map(lambda new, old: jnp.where(learns, new, old), (index, x), state.before)
        return AveragedState(inner, visits, rows, before, mean, state.reach + q, state.square_reach + q * q)

    def weights(state: AveragedState[SparseState]) -> Array:
        return jnp.where(state.rows > 0, state.mean, whole.weights(state.inner)[:, 0])

    return Learner(init, step, weights, lambda state: state.inner.square[0])


def _window_gain(rows: TDRows) -> Array:
    """√Σ_k g_k², g_k the factor of the k-th δ in a corrected n-step target of rows [n]."""
    factor = jnp.cumprod(jnp.append(1.0, rows.decay[1:]))
    return jnp.sqrt(((factor * rows.gain) ** 2).sum())


def _reach(rule: TDRule, model: Approximator, w: Array, row: TDRows, e: Array, x: Array) -> Array:
    """eᵀx; of an implicit step, which its own length holds in, ‖x‖²; of a residual gradient ‖x − Dx'‖²."""
    if rule.gradient is proximal_gtd2:
        return x @ x
    if rule.semi_gradient or rule.gradient not in ("residual", "double"):
        return e @ x
    y = x - row.discount * model.next(w, row.then)[1]
    return y @ y
