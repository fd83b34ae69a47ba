"""Rules of prediction as a user writes them: a trace, a direction and an update with memory, beside those of rlnut."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut.agents.td import TDHyper, TDRows, advance_learner, dense_learner, linear_value
from rlnut.agents.td_gradient import Moment, gtd2
from rlnut.agents.td_rules import TDRule, WeightUpdate
from rlnut.envs.walks import random_walk
from rlnut.prediction.methods import METHODS, Method, Prediction
from rlnut.prediction.simulate import simulate
from rlnut.prediction.td_rows import make_rows, table
from rlnut.types import Array

WALK = "rlnut/RandomWalk5-v0"
COURSE: dict[str, Any] = {"steps": 400, "seed": 1, "lam": 0.8, "alpha": 0.1}
USES = ("alpha", "beta", "lam", "correction")


def bounded(rest: Array, own: Array, overlap: Array) -> Array:
    """A trace that never exceeds 1."""
    return jnp.minimum(rest + own, 1.0)


def test_a_trace_of_ones_own_is_what_it_says_row_by_row():
    """One state that goes on for 4 rows at λ = γ = 1: accumulating traces are 1, 2, 3, 4, bounded ones 1, 1, 1, 1."""
    one = jnp.ones(4)
    zero = jnp.zeros(4)
    rows = TDRows(
        jnp.zeros(4, int), jnp.zeros(4, int), jnp.zeros(4, int), one, zero, zero, jnp.array([0.0, 1, 1, 1]), zero, one,
        jnp.array([True, False, False, False]), one, jnp.zeros(4, int),
    )  # fmt: skip
    model = linear_value(lambda s: jnp.ones(1), lambda s: jnp.ones(1), jnp.zeros(1))
    for trace, right in (("accumulating", [0.1, 0.28, 0.496, 0.6976]), (bounded, [0.1, 0.19, 0.271, 0.3439])):
        learner = dense_learner(TDRule(trace=trace), model, TDHyper(jnp.array(0.1), jnp.array(1.0), jnp.array(0.0)))  # type: ignore[arg-type]
        state, found = learner.init(jax.random.key(0)), []
        for t in range(4):
            state = learner.step(state, jax.tree.map(lambda x, t=t: x[t], rows))
            found.append(float(state.w[0]))
        np.testing.assert_allclose(found, right, rtol=1e-5)


def test_traces_and_directions_written_again_give_the_same_values():
    def accumulating(rest: Array, own: Array, overlap: Array) -> Array:
        return rest + own

    def dutch(rest: Array, own: Array, overlap: Array) -> Array:
        return rest + (1 - overlap) * own

    def semi(m: Moment) -> tuple[Array, Any]:
        return m.alpha * m.u * m.delta * m.e, m.h

    cases: list[tuple[TDRule, str, dict[str, Any]]] = [
        (TDRule(trace=accumulating), "td-lambda", {}),
        (TDRule(trace=dutch), "td-lambda-dutch", {}),
        (TDRule(gradient=semi), "td-lambda", {}),
        (TDRule(gradient=gtd2), "gtd2", {"beta": 0.05}),
    ]
    for rule, name, more in cases:
        ours = rlnut.predict(name, WALK, **COURSE, **more)
        theirs = rlnut.predict(Method("mine", rule, USES), WALK, **COURSE, **more)
        np.testing.assert_allclose(theirs.values, ours.values, rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(theirs.curve, ours.curve, rtol=1e-3)


class Memory(NamedTuple):
    log_alpha: Array  # [d]
    H: Array  # [d]


def tidbd(m: Moment) -> tuple[Array, Memory]:
    """A step size for each weight that learns from correlated changes: TIDBD(λ) (Kearney et al. 2018, algorithm 1)."""
    log_alpha = m.h.log_alpha + 0.01 * m.delta * m.x * m.h.H
    alpha = jnp.exp(log_alpha)
    H = m.h.H * jnp.maximum(0.0, 1 - alpha * m.x * m.e) + alpha * m.delta * m.e
    return alpha * m.delta * m.e, Memory(log_alpha, H)


TIDBD = Method(
    "TIDBD(λ)", TDRule(gradient=WeightUpdate(lambda w: Memory(jnp.full_like(w, jnp.log(0.05)), 0 * w), tidbd)), ("lam",)
)


@pytest.mark.parametrize("runs", [1, 2])
def test_a_step_size_rule_with_memory_is_its_recursion(runs: int):
    """The algorithm in NumPy, over the same experience: every weight and step size."""
    problem = random_walk(5)
    pi = np.full((len(problem.mdp.start), 2), 0.5)
    stream = simulate(problem, pi, pi, 1.0, jax.random.key(3), runs, None, 300, False, 10**6)
    rows = make_rows(stream, TIDBD, Prediction(), None, False, 1)
    X = np.eye(len(pi), dtype=np.float32)
    hyper = TDHyper(jnp.array(0.0), jnp.array(0.7), jnp.array(0.0))
    learner = dense_learner(TIDBD.rule, table(jnp.asarray(X), jnp.asarray(X), jnp.full(len(pi), 0.5)), hyper)
    for n in range(runs):
        one = jax.tree.map(lambda x, n=n: jnp.asarray(x)[:, n], rows)
        state = jax.jit(lambda r: advance_learner(learner, learner.init(jax.random.key(0)), r))(one)
        w, e, H, log_alpha = (np.full(len(pi), fill) for fill in (0.5, 0.0, 0.0, np.log(0.05)))
        for t in range(300):
            x, then = X[int(one.now[t])], X[int(one.then[t])]
            delta = float(one.reward[t]) + float(one.discount[t]) * w @ then - w @ x
            e = float(one.decay[t]) * 0.7 * e + x
            log_alpha = log_alpha + 0.01 * delta * x * H
            alpha = np.exp(log_alpha)
            H = H * np.maximum(0, 1 - alpha * x * e) + alpha * delta * e
            w = w + alpha * delta * e
        np.testing.assert_allclose(state.w, w, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.h.log_alpha, log_alpha, rtol=1e-4)
        assert np.ptp(log_alpha) > 1e-3


@pytest.mark.parametrize(
    ("env", "more"), [(WALK, {}), (WALK, {"values": "q"}), (WALK, {"hidden": (8,)}), ("CartPole-v1", {"steps": 400})]
)
def test_it_predicts_wherever_methods_of_rlnut_do(env: str, more: dict[str, Any]):
    options: dict[str, Any] = {"steps": 2000, "rollouts": 5, "states": 3} if env != WALK else {"steps": 2000}
    found = rlnut.predict(TIDBD, env, lam=0.5, **options | more)
    assert np.isfinite(found.values).all() and found.settings["lam"] == 0.5
    assert not found.alarm


def test_names_of_ours_are_still_the_only_ones_of_the_table():
    assert all(isinstance(method.rule.gradient, str) for method in METHODS.values())
