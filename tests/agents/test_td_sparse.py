"""Lists of active features against the recursion with whole arrays: the same weights, to rounding."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_rules import TDRule
from rlnut.envs.garnet import garnet
from rlnut.envs.walks import random_walk
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import simulate
from rlnut.prediction.snapshots import Recursion, advance_runs, first_state
from rlnut.prediction.td_rows import few_active, make_rows, table
from rlnut.types import Array


@pytest.mark.parametrize("name", ["td-lambda", "td-lambda-replacing", "td-lambda-dutch", "true-online-td", "etd"])
def test_lists_equal_whole_arrays(name: str) -> None:
    """Features with two active entries of any size, episode ends in the middle, ρ ≠ 1 where that is allowed."""
    problem, method = garnet(8, 3, 3, 5, dim=4), METHODS[name]
    problem.mdp.done[:, :, 1] = 0.5
    acting = problem.policy if method.on_policy else problem.behaviour
    stream = simulate(problem, problem.policy, acting, 0.8, jax.random.key(1), 2, steps=300)
    rng = np.random.default_rng(0)
    X = np.zeros((8, 12))
    for row in X:
        row[rng.choice(12, 2, replace=False)] = rng.uniform(0.2, 1, 2)
    w0 = rng.standard_normal(12)
    rows = make_rows(stream, method, Prediction(steps=300, correction="v-trace"), None, False, 5)
    hyper = td.TDHyper(*(jnp.array(x) for x in ([0.05, 0.1], [0.6, 0.9], [0.0, 0.0])))
    rule, parts = method.rule, (jnp.asarray(X), jnp.asarray(X), jnp.asarray(w0))
    whole = td.swept_weights(rule, table, parts, rows, hyper, 5, jax.random.key(0))
    active, length = sparse.active_rows(X), sparse.list_length(rows, 0.9)
    assert length is not None and 20 < length < 100 and active[0].shape == (8, 2)
    few = sparse.swept_sparse_weights(rule, sparse.active_table, (active, active, parts[2]), rows, hyper, 5, length, 2)
    assert np.abs(np.asarray(whole[:, :, -1]) - w0).max() > 0.1
    np.testing.assert_allclose(few, whole, rtol=1e-4, atol=1e-4)


def test_a_table_without_traces_takes_the_list() -> None:
    """TD(0) over folded n-step returns, 11 step sizes at once."""
    walk = random_walk(7)
    stream = simulate(walk, walk.policy, walk.policy, 1.0, jax.random.key(0), 5, episodes=4)
    method, X, w0 = METHODS["nstep"], np.eye(7), np.zeros(7)
    rows = make_rows(stream, method, Prediction(episodes=4, n=3), None, False, 4)
    assert few_active(TDRule(), (X, X, w0), rows, 0.0) is not None
    assert few_active(TDRule(gradient="tdc"), (X, X, w0), rows, 0.0) is None
    hyper = td.TDHyper(jnp.linspace(0, 1, 11), jnp.zeros(11), jnp.zeros(11))
    whole = td.swept_weights(TDRule(), table, tuple(map(jnp.asarray, (X, X, w0))), rows, hyper, 4, jax.random.key(0))
    active = sparse.active_rows(X)
    few = sparse.swept_sparse_weights(
        TDRule(), sparse.active_table, (active, active, jnp.zeros(7)), rows, hyper, 4, 0, 1
    )
    np.testing.assert_allclose(few, whole, atol=1e-6)


def test_traces_that_do_not_fade_have_no_list() -> None:
    walk = random_walk(5)
    stream = simulate(walk, walk.policy, walk.policy, 1.0, jax.random.key(0), 1, episodes=2)
    rows = make_rows(stream, METHODS["td-lambda"], Prediction(episodes=2), None, False, 2)
    assert sparse.list_length(rows, 1.0) is None and sparse.list_length(rows, 0.0) == 0
    assert sparse.list_length(rows, 0.1) in (9, 10)  # 0.1⁸ = CUT, and the row that leaves


def test_a_step_changes_the_table_in_place() -> None:
    """In the compiled program no step copies the table: TD(λ) costs what is active, however long the table is."""
    size, T = 30_011, 20
    state_numbers = np.random.default_rng(0).integers(size, size=(T, 1))
    one, number = np.ones((T, 1), np.float32), np.zeros((T, 1), np.int32)
    inputs = state_numbers, state_numbers, state_numbers
    rows = td.TDRows(*inputs, one, one, one, one, one, one, number.astype(bool), one, number)

    def make() -> sparse.Active:
        def read(s: td.Input) -> tuple[Array, Array]:
            assert not isinstance(s, tuple)
            return jnp.stack([s, s * 7 % size]), jnp.ones(2)

        return sparse.Active(jnp.zeros(size), read, read)

    recursion, hyper = Recursion(TDRule(), make, 10, 2), td.TDHyper(*map(jnp.float32, (0.1, 0.5, 0.1)))
    state = first_state(recursion, (), hyper, jax.random.split(jax.random.key(0), 1))
    program = advance_runs.lower(recursion, (), hyper, state, jax.tree.map(jnp.asarray, rows)).compile().as_text()
    body = [part for part in (program or "").split("\n\n") if "ENTRY" not in part]
    assert any(f"{size}" in line and "scatter" in line for part in body for line in part.splitlines())
    assert not [line for part in body for line in part.splitlines() if re.search(rf"{size}[^ ]* copy\(", line)]
