"""Weights at K moments of a run, handed out while it learns: for the progress line, the log and the learning curve."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import fqe, lstd, td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_averaging import DECAY, AveragedState, averaged_learner, averaged_sparse_learner
from rlnut.agents.td_rules import TDRule
from rlnut.prediction.methods import Method, Steps
from rlnut.runtime.arrays import owned
from rlnut.types import Array, Key

LearnerState = td.TDState | sparse.SparseState | AveragedState


class LearningTask(NamedTuple):
    """A method, a function to learn and the rows to learn it from."""

    method: Method
    make: td.Maker  # make(*parts) -> the function
    parts: td.Parts
    rows: td.TDRows  # [T, N]
    alpha: float
    lam: float
    beta: float
    window: int = 0  # see TDRule
    few: sparse.SparseForm | None = None  # the same function by its active features
    epochs: int | None = None  # passes of a network over the rows in an iteration of FQE; None: linear, solved
    steps: Steps = "plain"


class Recursion(NamedTuple):
    """What is compiled: a rule, and how its function is made; hashable."""

    rule: TDRule
    make: td.Maker | sparse.Maker
    length: int = 0  # of the list of active features, where the function has such
    width: int = 0  # active features of an input
    steps: Steps = "plain"
    decay: float = DECAY  # of averages

    def learner(self, parts: td.Parts, hyper: td.TDHyper) -> td.Learner[Any]:
        """The learner of one run."""
        model = self.make(*parts)
        if isinstance(model, td.Approximator):
            if self.steps != "plain":
                return averaged_learner(self.rule, model, hyper, self.steps == "tuned", self.decay)
            return td.dense_learner(self.rule, model, hyper)
        if self.steps != "plain":
            tuned = self.steps == "tuned"
            return averaged_sparse_learner(self.rule, model, hyper, tuned, self.decay, self.length, self.width)
        lanes = jax.tree.map(lambda x: x[None], hyper)
        return sparse.sparse_learner(self.rule, model, lanes, self.length, self.width)


class Snapshot(NamedTuple):
    """Where learning stands."""

    rows: int  # rows of experience so far
    of: int  # rows in all
    weights: np.ndarray  # [N, d]
    td_error: float  # root of the mean δ² since the last moment; NaN where nothing is followed step by step


def snapshots(task: LearningTask, count: int, key: Key) -> Iterator[Snapshot]:
    """At most `count` moments, the last at the end, or as soon as the weights are no numbers any more."""
    rows = jax.tree.map(np.asarray, task.rows)
    T, N = rows.reward.shape
    if task.method.solver == "fitted":
        yield from _iterated(task, rows, count, key)
        return
    count = min(count, T)
    if task.method.solver != "scan":
        yield from _solved(task, rows, count)
        return
    size, extra = -(-T // count), max(0, task.window - 1)
    rule = task.method.rule._replace(window=task.window)
    decay = 0.0 if task.method.whole_returns else DECAY
    recursion, parts = Recursion(rule, task.make, steps=task.steps, decay=decay), task.parts
    if task.few is not None:
        recursion = Recursion(rule, task.few.make, task.few.length, task.few.width, task.steps, decay)
        parts = task.few.parts
    parts = jax.tree.map(jnp.asarray, parts)
    hyper = td.TDHyper(*(jnp.asarray(x, jnp.float32) for x in (task.alpha, task.lam, task.beta)))
    state = owned(first_state(recursion, parts, hyper, jax.random.split(key, N)))  # it is donated
    before = 0.0
    for first in range(0, T, size):
        part = jax.tree.map(partial(_rows, first=first, size=size + extra), rows)
        state, weights, square = advance_runs(recursion, parts, hyper, state, part)
        learned = float((rows.rate[first : first + size] > 0).sum())
        total = float(square.sum())
        w = np.asarray(weights, np.float64)
        yield Snapshot(min(T, first + size), T, w, float(np.sqrt(max(0.0, total - before) / max(1.0, learned))))
        before = total
        if not np.isfinite(w).all():
            return


def _rows(x: np.ndarray, first: int, size: int) -> np.ndarray:
    """`size` rows from `first`; beyond the last they are zeros: rate 0, nothing is learned from them."""
    part = x[first : first + size]
    return np.concatenate([part, np.zeros((size - len(part), *x.shape[1:]), x.dtype)]) if len(part) < size else part


def _iterated(task: LearningTask, rows: td.TDRows, count: int, key: Key) -> Iterator[Snapshot]:
    """FQE: a moment is an iteration over all rows."""
    given = (task.make, task.parts, rows)
    if task.epochs is None:
        w0 = np.asarray(task.make(*task.parts).init(key), np.float64)
        found = fqe.linear_fqe(*given, w0, count)
    else:
        found = fqe.network_fqe(*given, key, count, task.epochs, task.alpha)
    for k, (w, td_error) in enumerate(found):
        yield Snapshot(k + 1, count, w, td_error)
        if not np.isfinite(w).all():
            return


def _solved(task: LearningTask, rows: td.TDRows, count: int) -> Iterator[Snapshot]:
    T = len(rows.reward)
    rows = rows._replace(slot=np.broadcast_to((np.arange(T) * count // T).astype(np.int32)[:, None], rows.slot.shape))
    solve = lstd.lstd if task.method.solver == "lstd" else lstd.recursive_lstd
    w0 = np.asarray(task.make(*task.parts).init(jax.random.key(0)), np.float64)
    for k, w in enumerate(np.moveaxis(solve(task.make, task.parts, rows, task.lam, w0, count), 1, 0)):
        yield Snapshot(T * (k + 1) // count, T, np.asarray(w, np.float64), float("nan"))


@partial(jax.jit, static_argnums=0)
def first_state(recursion: Recursion, parts: td.Parts, hyper: td.TDHyper, keys: Key) -> LearnerState:
    """The states of N runs before anything is learned."""
    return jax.vmap(recursion.learner(parts, hyper).init)(keys)


@partial(jax.jit, static_argnums=0, donate_argnums=3)
def advance_runs(
    recursion: Recursion, parts: td.Parts, hyper: td.TDHyper, state: LearnerState, rows: td.TDRows
) -> tuple[LearnerState, Array, Array]:
    """State, weights [N, d] and Σδ² [N] after a stretch of rows."""
    learner = recursion.learner(parts, hyper)
    state = jax.vmap(lambda s, r: td.advance_learner(learner, s, r, recursion.rule.window), (0, 1))(state, rows)
    weights, square = jax.vmap(learner.weights)(state), jax.vmap(learner.square)(state)
    return state, weights.reshape(len(weights), -1), square
