"""TD(λ) whose features are mostly 0 (tables, tile coding): a step costs the active features, not the whole table.

A trace is a list: the active features of the last L rows, with what is left of each, z. The weights in the table lag
behind by S, what these rows have earned since they came in; a row that leaves the list hands its S over to the table.

    v(s) = Σ_j x_j (w_j + Σ_{k: j active in row k} S_kj),      z <- D₋ c λ z,      S <- S + α u δ z

This is the recursion of `td.td_step` in another order. L is chosen so that what leaves weighs less than CUT, so the two
agree to rounding. α, λ may be arrays of one shape [H]: they share rows, and lie innermost in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents.td import Approximator, Input, Learner, Parts, Scalar, TDHyper, TDRows, linear_value, recorder
from rlnut.agents.td_rules import TDRule
from rlnut.learner.traces import trace_parts
from rlnut.truth.transition_matrices import Matrix, is_sparse
from rlnut.types import Array, Key

CUT = 1e-8  # share of an entry that is left when it leaves the list


class Active(NamedTuple):
    """A linear function by its active features: index [n] and value [n] for an input."""

    w0: Array  # [d]
    now: Callable[[Input], tuple[Array, Array]]
    then: Callable[[Input], tuple[Array, Array]]  # of the bootstrapped value


Maker = Callable[..., Active]  # (*parts) -> the function


class SparseForm(NamedTuple):
    """A linear function as `Active` makes it, and the list that its traces need."""

    make: Maker
    parts: Parts  # of make
    length: int  # of the list
    width: int  # active features of an input


class SparseState(NamedTuple):
    """State of one run; H step sizes and λ side by side."""

    w: jax.Array  # [d, H] what rows that left the list have earned
    seen: jax.Array  # int32 [L, n] active features of the last L rows, a ring
    z: jax.Array  # [L, n, H] their traces
    S: jax.Array  # [L, n, H] what they have earned
    place: Array  # int32 [] of the next row in the ring
    v_old: Array  # [H]
    F: Array  # [] follow-on trace
    square: Array  # [H] sum of δ² so far


def supports_sparse(rule: TDRule) -> bool:
    """Semi-gradient rules with on-line updates and a trace of ours; the others go through `td.dense_learner`."""
    return rule.semi_gradient and isinstance(rule.trace, str) and not rule.offline and not rule.window


def list_length(rows: TDRows, lam: float) -> int | None:
    """L for which the traces that are left out weigh less than CUT; None if they do not fade."""
    fade = float(np.max(np.asarray(rows.decay), initial=0.0)) * lam
    if fade == 0:
        return 0
    if fade >= 1:
        return None
    return int(np.ceil(np.log(CUT) / np.log(fade))) + 1


def sparse_learner(rule: TDRule, model: Active, hyper: TDHyper, length: int, count: int) -> Learner[SparseState]:
    """The recursion for α, λ [H], with a list of `length` rows of `count` active features each (length 0: no trace)."""
    H = len(hyper.alpha)

    def init(key: Key) -> SparseState:
        entries = jnp.zeros((length, count, H))
        none = jnp.zeros(H)
        w = jnp.broadcast_to(model.w0[:, None], (len(model.w0), H)) + 0.0
        index, nothing = jnp.zeros((length, count), jnp.int32), jnp.zeros(())
        return SparseState(w, index, entries, entries, jnp.zeros((), jnp.int32), none, nothing, none)

    def step(state: SparseState, row: TDRows) -> SparseState:
        return sparse_step(rule, model, lambda index: hyper.alpha * row.rate, hyper.lam, length, state, row)[0]

    return Learner(init, step, whole_weights, lambda state: state.square)


def whole_weights(state: SparseState) -> Array:
    """The table with what the rows of the list have earned: [d, H]."""
    return state.w.at[state.seen].add(state.S)


def weights_at(state: SparseState, index: Array) -> Array:
    """The same at features `index` [n]: [n, H]."""
    known = state.w[index]
    if len(state.seen):
        same = state.seen[:, :, None] == index
        known = known + jnp.einsum("lnk,lnh->kh", same.astype(known.dtype), state.S)
    return known


def sparse_step(
    rule: TDRule,
    model: Active,
    step_size: Callable[[Array], Array],
    lam: Array,
    length: int,
    state: SparseState,
    row: TDRows,
) -> tuple[SparseState, Array]:
    """One row of the recursion, and the trace at the row's own features [n, H].

    `step_size` maps features [..., n] to their α, [H] or [..., n, H].
    """
    decay = row.decay * lam
    index, x = model.now(row.now)
    p = state.place
    if length:  # the oldest row hands over first: nothing reads the old table after that, so it is changed in place
        w = state.w.at[state.seen[p]].add(state.S[p])
        state = state._replace(w=w, S=state.S.at[p].set(0.0))

    def value(index: Array, x: Array) -> Array:
        return (x[:, None] * weights_at(state, index)).sum(0)

    v, v_next = value(index, x), value(*model.then(row.then))
    delta = row.reward + row.discount * v_next - v
    square = state.square + jnp.where(row.rate > 0, delta * delta, 0.0)
    F = state.F
    M: Scalar = 1.0
    if rule.emphatic:
        F = row.follow * state.F + 1
        M = lam + (1 - lam) * F
    own, alpha = M * x[:, None] * jnp.ones(len(v)), step_size(index)
    if not length:
        w = state.w.at[index].add(alpha * row.gain * delta * own)
        return state._replace(w=w, F=F, square=square), own
    same = (state.seen[:, :, None] == index) & (x != 0)
    rest = decay * state.z
    overlap = alpha * jnp.einsum("lnk,k,lnh->h", same.astype(x.dtype), x, rest)
    assert isinstance(rule.trace, str)  # `supports_sparse`
    rest, own = trace_parts(rule.trace, rest, own, overlap, same.any(-1)[:, :, None])
    z, seen = jnp.asarray(rest).at[p].set(own), state.seen.at[p].set(index)
    each = step_size(seen)
    S = state.S + each * row.gain * delta * z
    v_old = state.v_old
    if rule.online:
        late = jnp.where(row.fresh, 0.0, v - v_old)
        S = (S + each * late * z).at[p].add(-alpha * late * x[:, None])
        v_old = v_next
    trace = jnp.einsum("lnk,lnh->kh", (seen[:, :, None] == index).astype(x.dtype), z)
    return SparseState(state.w, seen, z, S, (p + 1) % length, v_old, F, square), trace


@partial(jax.jit, static_argnums=(0, 1, 5, 6, 7))
def swept_sparse_weights(
    rule: TDRule, make: Maker, parts: Parts, rows: TDRows, hyper: TDHyper, records: int, length: int, count: int
) -> Array:
    """Weights [H, N, K, d] at K records of rows [T, N], like `td.swept_weights` for α, λ of shape [H]."""
    run = recorder(sparse_learner(rule, make(*parts), hyper, length, count), records)
    w = jax.vmap(run, in_axes=(1, None))(rows, jax.random.key(0))
    return jnp.moveaxis(w, -1, 0)


def active_rows(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """index int32 [S, n] and value [S, n] of the features of each row of X [S, d] that are not 0."""
    if is_sparse(X):
        count = np.diff(X.indptr)
        index = np.zeros((len(count), max(1, int(count.max()))), np.int32)
        value = np.zeros(index.shape)
        row = np.repeat(np.arange(len(count)), count)
        at = row, np.arange(X.nnz) - X.indptr[row]
        index[at], value[at] = X.indices, X.data
        return index, value
    n = max(1, int((X != 0).sum(1).max()))
    order = np.argsort(X == 0, axis=1, kind="stable")[:, :n]
    return order.astype(np.int32), np.take_along_axis(X, order, 1)


def active_table(now: tuple[Array, Array], then: tuple[Array, Array], w0: Array) -> Active:
    """Features of numbered states by `active_rows` of their tables."""
    return Active(w0, lambda s: (now[0][s], now[1][s]), lambda s: (then[0][s], then[1][s]))


def table_by_active(now: tuple[Array, Array], then: tuple[Array, Array], w0: Array) -> Approximator:
    """The same function for learners whose arrays are as long as w."""

    def row(table: tuple[Array, Array]) -> Callable[[Input], Array]:
        return lambda s: jnp.zeros(len(w0), jnp.asarray(w0).dtype).at[table[0][s]].add(table[1][s])

    return linear_value(row(now), row(then), w0)
