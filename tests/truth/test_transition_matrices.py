"""Sparse problems have the values, distributions and fixed points of the same problems with dense tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import generate_random_map
from helpers.commands import run_main
from scipy.sparse import csr_array, diags_array, eye_array

import rlnut
from rlnut.envs.garnet import garnet
from rlnut.envs.tabular import from_env
from rlnut.envs.walks import random_walk
from rlnut.errors import RlnutError
from rlnut.prediction.result import PredictionResult
from rlnut.truth import dynamic_programming as dp
from rlnut.truth import finite as finite_module
from rlnut.truth import fixed_points, outcomes, transition_matrices
from rlnut.truth.finite import Finite, with_sparse_tables
from rlnut.truth.return_distributions import mean_chain, return_variance

Switch = pytest.MonkeyPatch


def lake() -> Finite:
    env: Any = gym.make("FrozenLake-v1", map_name="8x8")
    found = from_env(env)
    assert found is not None
    return found


PROBLEMS: dict[str, tuple[Callable[[], Finite], float]] = {
    "lake": (lake, 1.0),
    "walk": (lambda: random_walk(50, 3), 1.0),
    "garnet": (lambda: garnet(60, seed=2), 0.95),
}


def both(make: Callable[[], Finite], patch: Switch) -> tuple[Finite, Finite]:
    """The same problem with dense and with sparse tables."""
    dense = make()
    patch.setattr(finite_module, "SMALL_TABLE", 0)
    patch.setattr(finite_module, "SPARSE", 1.0)
    sparse = with_sparse_tables(dense)
    assert isinstance(dense.mdp.P, np.ndarray) and not isinstance(sparse.mdp.P, np.ndarray)
    return dense, sparse


def soft(found: Finite) -> np.ndarray:
    """A policy of unequal chances."""
    weights = 1.0 + np.arange(found.mdp.states * found.mdp.actions).reshape(found.mdp.states, -1) % 7
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("most", [transition_matrices.LARGEST_FACTOR, -1], ids=["factored", "iterated"])
def test_sparse_tables_have_the_truth_of_dense_ones(name: str, most: int, monkeypatch: Switch) -> None:
    make, gamma = PROBLEMS[name]
    dense, sparse = both(make, monkeypatch)
    monkeypatch.setattr(transition_matrices, "LARGEST_FACTOR", most)
    pi = soft(dense)
    one, other = dp.chain(dense.mdp, pi), dp.chain(sparse.mdp, pi)
    assert isinstance(other.P, csr_array)
    np.testing.assert_allclose(other.P.toarray(), one.P, atol=1e-15)
    v = dp.values(one, gamma)
    pairs = [
        (dp.values(other, gamma), v),
        (dp.true_values(sparse.mdp, pi, gamma), dp.true_values(dense.mdp, pi, gamma)),
        (dp.action_values(sparse.mdp, v, gamma), dp.action_values(dense.mdp, v, gamma)),
        (dp.values(dp.pair_chain(sparse.mdp, pi), gamma), dp.values(dp.pair_chain(dense.mdp, pi), gamma)),
        (dp.limited(sparse.mdp, 30, pi), dp.limited(dense.mdp, 30, pi)),
        (dp.visits(other), dp.visits(one)),
        (dp.discounted_visits(other, 0.9), dp.discounted_visits(one, 0.9)),
        (dp.ends(other), dp.ends(one)),
        (dp.reachable(other), dp.reachable(one)),
        (dp.value_iteration(sparse.mdp, gamma).V, dp.value_iteration(dense.mdp, gamma).V),
        (dp.policy_iteration(sparse.mdp, gamma).Q, dp.policy_iteration(dense.mdp, gamma).Q),
    ]
    for found, right in pairs:
        np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_outcomes_and_variances_of_sparse_tables(name: str, monkeypatch: Switch) -> None:
    make, gamma = PROBLEMS[name]
    dense, sparse = both(make, monkeypatch)
    laws = [outcomes.from_mdp(x.mdp) for x in (dense, sparse)]
    for one, other in zip(*laws, strict=True):
        np.testing.assert_array_equal(one, other)
    pi = soft(dense)
    right = return_variance(laws[0], pi, gamma)
    for module in ("outcomes", "return_distributions"):
        monkeypatch.setattr(f"rlnut.truth.{module}.DENSE_TABLE", 0)
    assert isinstance(mean_chain(laws[0], pi).P, csr_array)
    np.testing.assert_allclose(return_variance(laws[0], pi, gamma), right, rtol=1e-9, atol=1e-9)
    again = outcomes.means(laws[0], dense.mdp.start)
    np.testing.assert_allclose(again.P.toarray(), dense.mdp.P.reshape(again.P.shape), atol=1e-15)
    reward = (dense.mdp.P * dense.mdp.R).reshape(again.P.shape)
    np.testing.assert_allclose((again.P * again.R).toarray(), reward, atol=1e-14)


@pytest.mark.parametrize("lam", [0.0, 0.7])
@pytest.mark.parametrize("covered", [True, False])
def test_fixed_points_of_a_sparse_table(lam: float, covered: bool, monkeypatch: Switch) -> None:
    """Also where the policy leads out of the states that are visited."""
    dense, sparse = both(lambda: garnet(30, seed=4), monkeypatch)
    pi, gamma = soft(dense), 0.9
    one, other = dp.chain(dense.mdp, pi), dp.chain(sparse.mdp, pi)
    d = dp.visits(one)
    if not covered:
        d = np.where(np.arange(30) % 3 == 0, 0, d)
    X, table = np.eye(30), eye_array(30, format="csr")
    for find in (fixed_points.td_fixed_point, fixed_points.emphatic_fixed_point):
        np.testing.assert_allclose(find(other, table, d, gamma, lam), find(one, X, d, gamma, lam), atol=1e-10)
    residual = fixed_points.bellman_residual
    np.testing.assert_allclose(residual(other, table, d, gamma), residual(one, X, d, gamma), atol=1e-10)
    v = np.cos(np.arange(30.0))
    np.testing.assert_allclose(fixed_points.projection(v, table, d), fixed_points.projection(v, X, d), atol=1e-12)
    w = np.sin(np.arange(30.0))
    found, right = (fixed_points.linear_errors(p, w, x, d, gamma, v) for p, x in ((other, table), (one, X)))
    assert found == pytest.approx(right, abs=1e-12)


def test_long_run_shares_of_two_closed_classes() -> None:
    """0 goes to {1} with chance 1/4 and to {2, 3} with 3/4; from 2 always to 3, from 3 back with chance 1/2."""
    P = np.array([[0, 0.25, 0.75, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0.5, 0.5]])
    for matrix in (P, csr_array(P)):
        found = dp.visits(dp.Chain(matrix, np.zeros(4), np.eye(4)[0]))
        np.testing.assert_allclose(found, [0, 0.25, 0.25, 0.5], atol=1e-14)


def test_error_bounds_hold_and_are_near() -> None:
    """Of the exact values rounding is left; a wrong value is bounded by at least its error."""
    pi = np.full((19, 2), 0.5)
    process = dp.chain(random_walk(19).mdp, pi)
    exact = (np.arange(19) - 9) / 10
    assert dp.value_error(process, exact, 1.0) < 1e-12
    for gamma in (0.9, 1.0):
        v, off = dp.values(process, gamma), 1e-3 * np.cos(np.arange(19))
        bound = dp.value_error(process, v + off, gamma)
        assert np.abs(off).max() <= bound <= 1000 * np.abs(off).max()


def test_values_that_are_not_determined_are_an_error() -> None:
    with pytest.raises(RlnutError, match="2 states"):
        transition_matrices.solve(csr_array(np.eye(2)), np.ones(2))


def test_predicting_a_large_lake_is_the_same_with_sparse_tables(monkeypatch: Switch) -> None:
    """The same learned values, errors and fixed points from tables of either kind."""
    desc = generate_random_map(9, p=0.95, seed=1)

    def run(dense: bool) -> PredictionResult:
        for module in ("outcomes", "return_distributions"):
            monkeypatch.setattr(f"rlnut.truth.{module}.DENSE_TABLE", 2**22 if dense else 0)
        monkeypatch.setattr(finite_module, "SMALL_TABLE", 2**22 if dense else 0)
        env = lambda: gym.make("FrozenLake-v1", desc=desc)  # noqa: E731
        return rlnut.predict("td0", env, steps=3000, seed=1)

    one, other = run(True), run(False)
    assert (one.settings["sparse"], other.settings["sparse"]) == (False, True)
    np.testing.assert_allclose(other.truth, one.truth, atol=1e-12)
    np.testing.assert_allclose(other.values, one.values, atol=1e-7)
    assert other.errors == pytest.approx(one.errors, abs=1e-9)
    for name, point in one.exact.items():
        there = other.exact[name]
        assert point is not None and there is not None
        np.testing.assert_allclose(there["weights"], point["weights"], atol=1e-10)


@pytest.mark.parametrize("sparse", [True, False])
def test_predict_says_that_it_took_sparse_rows(
    sparse: bool, monkeypatch: Switch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finite_module, "SMALL_TABLE", 0 if sparse else 2**22)
    status, out, said = run_main(capsys, "predict", "td0", "rlnut/RandomWalk19-v0", "--steps=50", "--json")
    assert status == 0 and json.loads(out)["sparse"] is sparse and ("sparse rows" in said) is sparse


def test_a_state_that_many_lead_to_does_not_widen_the_factor() -> None:
    """A walk of 2,000 states is a band; a restart from every 20th of them adds one row, not a square."""
    ones = np.ones(1999)
    walk = diags_array([ones / 2, ones / 2], offsets=[-1, 1]).tolil()
    assert transition_matrices.envelope(walk.tocsr()) == 1999
    walk[::20, 1000] = 0.01
    assert transition_matrices.envelope(walk.tocsr()) < 3 * 2000


@pytest.mark.parametrize("seed", range(5))
def test_what_can_be_reached_in_a_small_table_is_what_can_be_in_a_graph(seed: int, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(seed)
    edges, sources = rng.random((20, 20)) * (rng.random((20, 20)) < 0.06), rng.random(20) < 0.1
    few = transition_matrices.reached(edges, sources)
    monkeypatch.setattr(transition_matrices, "FEW_NODES", 0)
    np.testing.assert_array_equal(few, transition_matrices.reached(edges, sources))
    np.testing.assert_array_equal(few, (sources @ np.linalg.matrix_power(np.eye(20) + (edges > 0), 20)) > 0)
