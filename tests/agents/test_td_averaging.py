"""Steps from the features and averaged weights, against formulas written out row by row, and against exact values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td import TDHyper, TDRows, advance_learner
from rlnut.agents.td_averaging import averaged_learner, averaged_sparse_learner
from rlnut.agents.td_gradient import Moment, proximal_gtd2
from rlnut.agents.td_rules import TDRule
from rlnut.envs.garnet import garnet
from rlnut.prediction.td_rows import table

WALK = "rlnut/RandomWalk19-v0"
METHODS = ("td0", "nstep", "td-lambda", "td-lambda-replacing", "residual-gradient", "gtd2", "tdc", "tdrc", "etd")


def stream(rng: np.random.Generator, T: int, states: int) -> TDRows:
    """Random rows over numbered states, traces kept, some of them not learned from."""
    s = rng.integers(0, states, T + 1).astype(np.int32)
    reward, gain, decay = (rng.random(T).astype(np.float32) for _ in range(3))
    D, rate = np.full(T, 0.9, np.float32), (rng.random(T) < 0.8).astype(np.float32)
    fresh, slot = np.zeros(T, bool), np.zeros(T, np.int32)
    return TDRows(s[:-1], s[1:], s[1:], reward, D, D, decay, decay, gain, fresh, rate, slot)


def test_steps_and_averages_follow_the_formulas() -> None:
    rng = np.random.default_rng(0)
    rows: Any = stream(rng, 60, 5)
    lam, eta = 0.8, 3.0
    X = rng.standard_normal((5, 4)) * (rng.random((5, 4)) < 0.6)
    hyper = TDHyper(*(jnp.asarray(x) for x in (0.0, lam, 1.0)))
    learner = averaged_learner(TDRule(), table(jnp.asarray(X), jnp.asarray(X), jnp.zeros(4)), hyper, True, eta)
    found = learner.weights(advance_learner(learner, learner.init(jax.random.key(0)), rows))
    w, e, mean, n, m, before = np.zeros((6, 4))
    first, second = 0.0, 0.0
    for t in range(60):
        x, y, u, learns = X[rows.now[t]], X[rows.then[t]], rows.gain[t], rows.rate[t] > 0
        e = rows.decay[t] * lam * e + x
        if not learns:
            continue
        n += (x != 0) & (x != before)
        m += x != 0
        before = x
        own = u * x @ x
        alpha = (first + own) / max(second + own**2, 1e-30) / np.sqrt(np.maximum(n, 1))
        w = w + alpha * u * (rows.reward[t] + 0.9 * w @ y - w @ x) * e
        first, second = first + abs(u * e @ x), second + (u * e @ x) ** 2
        mean = np.where(x != 0, mean + (eta + 1) / (np.maximum(m, 1) + eta) * (w - mean), mean)
    np.testing.assert_allclose(found, np.where(m > 0, mean, w), rtol=2e-4, atol=2e-5)


def test_a_tile_that_an_episode_stays_in_is_visited_once() -> None:
    """α falls with the visits: by 1/√2 at the second one, not at each of the rows in between; a new episode visits."""
    rows: Any = stream(np.random.default_rng(0), 6, 2)
    s = np.array([0, 0, 0, 1, 0, 0], np.int32)
    rows = rows._replace(now=s, then=s, discount=np.zeros(6, np.float32), rate=np.ones(6, np.float32))
    rows = rows._replace(fresh=np.array([True, False, False, False, False, True]))
    hyper = TDHyper(*(jnp.asarray(x) for x in (0.0, 0.0, 1.0)))
    learner = averaged_learner(TDRule(), table(jnp.eye(2), jnp.eye(2), jnp.zeros(2)), hyper, True, 3.0)
    state = advance_learner(learner, learner.init(jax.random.key(0)), rows)
    assert state.visits.tolist() == [3, 1] and state.rows.tolist() == [5, 1]


def test_an_implicit_step_of_gtd2_solves_its_equations() -> None:
    rng = np.random.default_rng(1)
    x, dx, e, h, w = rng.standard_normal((5, 6))
    alpha, beta = rng.random((2, 6)) * 5
    u, r = 1.7, 0.4
    moment = Moment(alpha, beta, np.zeros(()), u, r + (dx - x) @ w, e, x, dx, h)
    change, later = proximal_gtd2(moment)
    y, moved = x - dx, w + change
    np.testing.assert_allclose(change, alpha * u * y * (e @ later), rtol=1e-10)
    np.testing.assert_allclose(later, h + beta * u * ((r - y @ moved) * e - (x @ later) * x), rtol=1e-10)


def test_monte_carlo_is_near_the_mean_return_of_each_state() -> None:
    best, found = (rlnut.predict(name, WALK, steps=5000, seed=1) for name in ("batch-mc", "mc"))
    assert found.rmse < 1.2 * best.rmse  # at most the noise of 1/√n steps


@pytest.mark.parametrize("dim", [0, 8])
def test_no_default_diverges_off_policy(dim: int) -> None:
    for seed in range(2):
        problem = garnet(seed=seed, dim=dim)
        start = float(np.sqrt((rlnut.predict("lstd", problem, steps=10).truth ** 2).mean()))
        for name in METHODS:
            found = rlnut.predict(name, problem, steps=3000)
            assert not found.alarm and found.curve.max() < 5 * start, (name, seed, found.curve.max(), start)


def test_a_curve_shows_what_shorter_runs_would_end_with() -> None:
    rng, hyper = np.random.default_rng(3), TDHyper(*(jnp.asarray(x) for x in (0.0, 0.9, 1.0)))
    rows = stream(rng, 100, 5)
    learner = averaged_learner(TDRule(), table(jnp.eye(5), jnp.eye(5), jnp.zeros(5)), hyper, True, 3.0)
    first, last = (jax.tree.map(lambda x, part=part: x[part], rows) for part in (slice(0, 40), slice(40, 100)))
    state = learner.init(jax.random.key(0))
    half = advance_learner(learner, state, first)
    whole = advance_learner(learner, state, rows)
    np.testing.assert_array_equal(learner.weights(advance_learner(learner, half, last)), learner.weights(whole))


def test_defaults_and_given_step_sizes_are_reported() -> None:
    plain = rlnut.predict("td0", WALK, steps=500, alpha=0.1)
    tuned, averaged = (
        rlnut.predict("td0", WALK, steps=500),
        rlnut.predict("td0", WALK, steps=500, alpha=0.1, averaging=True),
    )
    assert (plain.settings["alpha"], plain.settings["averaged"]) == (0.1, False)
    assert (tuned.settings["alpha"], tuned.settings["averaged"]) == (None, True)
    assert (averaged.settings["alpha"], averaged.settings["averaged"]) == (0.1, True)
    cut = rlnut.predict("td-lambda", garnet(), steps=10).settings["lam"]
    assert cut is not None and 0 < cut < 0.9  # a trace of finite variance
    assert rlnut.predict("td-lambda", WALK, steps=10).settings["lam"] == 0.9
    assert tuned.learned is not None and tuned.value(3) == tuned.values[3]


@pytest.mark.parametrize(("names", "most"), [
    (("td0", "td-lambda", "td-lambda-replacing", "td-lambda-dutch", "true-online-td", "nstep"), 1.3),
    pytest.param(("mc",), 1.3, marks=pytest.mark.xfail(
        reason="2.0: the mean return of every state itself (batch-mc) is 2.0 × LSTD there", strict=True)),
    (("gtd2", "tdc", "tdrc", "etd"), 2.0),
])  # fmt: skip
@pytest.mark.slow
def test_defaults_come_near_lstd(names: tuple[str, ...], most: float) -> None:
    best = np.median([rlnut.predict("lstd", WALK, seed=seed).rmse for seed in range(10)])
    found = {name: np.median([rlnut.predict(name, WALK, seed=seed).rmse for seed in range(10)]) for name in names}
    assert all(error <= most * best for error in found.values()), (found, best)


@pytest.mark.parametrize("tuned", [True, False])
@pytest.mark.parametrize(
    "rule", [TDRule(), TDRule(trace="replacing"), TDRule(trace="dutch", online=True), TDRule(emphatic=True)]
)
def test_averages_by_active_features_are_those_of_whole_arrays(rule: TDRule, tuned: bool) -> None:
    """Two features for each of 12 states, traces of λ = 0.6, against the recursion over whole arrays."""
    rng = np.random.default_rng(0)
    T, S, d = 200, 12, 30
    X = np.zeros((S, d), np.float32)
    for s in range(S):
        X[s, rng.choice(d, 2, replace=False)] = rng.random(2)
    state = rng.integers(0, S, T + 1)
    end = rng.random(T) < 0.1
    fresh = np.r_[True, end[:-1]]
    gain, D = rng.uniform(0.5, 1.5, T), 0.9 * ~end
    decay = np.where(fresh, 0, np.r_[0, 0.9 * gain[:-1]]) * 0.8
    rows = td.TDRows(
        state[:-1], state[1:], state[1:], rng.standard_normal(T), D, D, decay, decay, gain, fresh,
        (rng.random(T) < 0.9).astype(float), np.zeros(T, np.int32),
    )  # fmt: skip
    small = {"f": jnp.float32, "i": jnp.int32, "b": bool}
    rows = jax.tree.map(lambda x: jnp.asarray(x, small[x.dtype.kind]), rows)
    hyper = td.TDHyper(*(jnp.float32(x) for x in (0.05, 0.6, 0.0)))
    index, value = (jnp.asarray(x) for x in sparse.active_rows(X))
    active, w0 = (index, value), jnp.linspace(0, 1, d)
    few = sparse.active_table(active, active, w0)
    whole = averaged_learner(rule, sparse.table_by_active(active, active, w0), hyper, tuned, 3.0)
    listed = averaged_sparse_learner(rule, few, hyper, tuned, 3.0, 60, active[0].shape[1])
    results = []
    for learner in (whole, listed):
        last = jax.jit(lambda state, learner=learner: td.advance_learner(learner, state, rows))(
            learner.init(jax.random.key(0))
        )
        results.append((learner.weights(last), learner.square(last), last.reach, last.visits, last.rows))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-4, atol=2e-5)
    assert np.abs(results[0][0] - w0).max() > 0.05
