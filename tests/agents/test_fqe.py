"""Fitted Q evaluation: each iteration against a regression written out, its end against LSTD and the exact Q_π."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rlnut
from rlnut.agents.fqe import pair_transitions
from rlnut.agents.offline import fitted_q
from rlnut.agents.td import TDRows
from rlnut.cli import main
from rlnut.envs import transitions
from rlnut.envs.counterexamples import w_to_2w
from rlnut.envs.garnet import garnet
from rlnut.envs.make import EnvName
from rlnut.envs.vector import EnvList
from rlnut.envs.walks import chain_walk
from rlnut.learner.bellman import following, q_problem
from rlnut.regression.core import regression
from rlnut.truth.dynamic_programming import action_values, chain, values
from rlnut.truth.finite import Finite
from rlnut.types import Model, Transition

GAMMA = 0.8
WALK = chain_walk()
PI = np.array([[0.3, 0.7], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])


def exact(problem: Finite, pi: np.ndarray, gamma: float = GAMMA) -> np.ndarray:
    return action_values(problem.mdp, values(chain(problem.mdp, pi), gamma), gamma)


def played(rows: int, terminated: float = 0.2) -> dict[str, np.ndarray]:
    """Transitions of a uniform policy; some end, some are cut short, which must not change a target."""
    rng, P, r = np.random.default_rng(3), WALK.mdp.P, WALK.mdp.R
    s, a = rng.integers(4, size=rows), rng.integers(2, size=rows)
    then = np.array([rng.choice(4, p=P[i, j]) for i, j in zip(s, a, strict=True)])
    reward = r[s, a] if r.ndim == 2 else r[s, a, then]
    ends = rng.random(rows)
    flags = {"terminated": ends < terminated, "truncated": ends > 0.9}
    return {"obs": s, "action": a, "reward": reward, "next_obs": then, **flags}


def by_hand(data: dict[str, np.ndarray], iterations: int) -> np.ndarray:
    """Mean targets of each pair, again and again: what least squares over a table does."""
    q, pair = np.zeros((4, 2)), data["obs"] * 2 + data["action"]
    for _ in range(iterations):
        v = (PI * q).sum(1)
        y = data["reward"] + np.where(data["terminated"], 0, GAMMA * v[data["next_obs"]])
        q = (np.bincount(pair, y, 8) / np.bincount(pair, minlength=8)).reshape(4, 2)
    return q


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_iterations_over_a_file(iterations: int, tmp_path: Path) -> None:
    transitions.save_transitions(tmp_path / "d.npz", data := played(300))
    path = str(tmp_path / "d.npz")
    found = rlnut.predict("fqe", WALK, PI, features="one-hot", gamma=GAMMA, data=path, iterations=iterations)
    np.testing.assert_allclose(found.values, by_hand(data, iterations), rtol=1e-6)
    with pytest.raises(rlnut.UsageError, match="--data is there already"):
        rlnut.predict("fqe", WALK, PI, "uniform", gamma=GAMMA, data=path)
    assert found.settings["alpha"] is None and len(found.log) == iterations


def test_iterations_reach_the_horizon() -> None:
    """By default what is left of the value is 1 %, for any γ; here nothing ends it before."""
    for gamma in (0.0, 0.5, 0.99):
        found = rlnut.predict("fqe", WALK, PI, "uniform", features="one-hot", gamma=gamma, steps=20_000)
        k = len(found.log)
        assert gamma**k <= 0.01 < gamma ** (k - 1)
        assert np.abs(found.values - exact(WALK, PI, gamma)).max() < 0.04 * np.abs(exact(WALK, PI, gamma)).max()


def test_divergence_is_said(tmp_path: Path) -> None:
    """w → 2w: where only the first state is in the data every regression makes w into 2γw."""
    rows, path = 5, str(tmp_path / "d.npz")
    zeros, ones = np.zeros(rows, int), np.ones(rows, int)
    flags = {"terminated": zeros.astype(bool), "truncated": zeros.astype(bool)}
    transitions.save_transitions(path, {"obs": zeros, "action": zeros, "reward": zeros, "next_obs": ones, **flags})
    given: dict[str, Any] = {"features": "own", "gamma": 0.75, "initial": 1.0, "data": path}
    found = rlnut.predict("fqe", w_to_2w(), iterations=25, **given)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, [1.5**25, 1], rtol=1e-10)
    assert found.alarm.endswith("function approximation, bootstrapping, off-policy training")


def test_an_action_that_the_data_never_take(tmp_path: Path) -> None:
    data, path = played(50), str(tmp_path / "d.npz")
    transitions.save_transitions(path, data | {"action": np.zeros(50, int)})
    with pytest.raises(rlnut.UsageError, match="action 1, which the policy takes, never occurs"):
        rlnut.predict("fqe", WALK, PI, gamma=GAMMA, data=path)
    left = rlnut.predict("fqe", WALK, np.eye(2)[[0, 0, 0, 0]], gamma=GAMMA, data=path, features="one-hot")
    assert np.isfinite(left.values[:, 0]).all()


def test_the_end_is_that_of_lstd() -> None:
    """Features that cannot hold Q, off-policy: the fixed point of the same stream; it stops when it stands still."""
    problem = garnet(8, 3, 3, 5, dim=4)
    given: dict[str, Any] = {"features": "own", "gamma": GAMMA, "steps": 3000, "seed": 1}
    fitted = rlnut.predict("fqe", problem, iterations=500, **given)
    solved = rlnut.predict("lstd", problem, lam=0.0, values="q", **given)
    assert fitted.weights is not None and solved.weights is not None
    assert 20 < len(fitted.log) < 500
    np.testing.assert_allclose(fitted.weights, solved.weights, rtol=1e-8, atol=1e-10)
    assert fitted.rmse > 0.01


@pytest.mark.parametrize(
    "given", [{"hidden": (32,)}, pytest.param({"network": rlnut.mlp((32,))}, marks=pytest.mark.slow)]
)
def test_a_network(given: dict[str, Any]) -> None:
    found = rlnut.predict("fqe", WALK, PI, "uniform", gamma=GAMMA, steps=4000, epochs=3, iterations=30, **given)
    assert found.settings["alpha"] == 1e-3
    assert np.abs(found.values - exact(WALK, PI)).max() < 0.06 * np.abs(exact(WALK, PI)).max()
    assert found.log[0]["sampled_tde"] > 0


def test_fitted_q_following_a_policy_is_fitted_q_evaluation() -> None:
    """NFQ's iteration with π in place of the maximum, a table in place of the network: mean targets of each pair."""
    data = played(200)
    pair = data["obs"] * 2 + data["action"]
    share = np.bincount(pair, minlength=8).reshape(4, 2) / 200
    table = Model(lambda key, s: jnp.zeros((4, 2)), lambda q, s: q[s])
    # a step as large as the curvature of each entry: one pass over all rows is the whole regression
    exact_step = optax.stateless(lambda grads, params: jax.tree.map(lambda g: -g / share, grads))
    core = regression(table, optimizer=exact_step)
    problem = q_problem(lambda q, s, key: core.predict(q, s), following(lambda s: jnp.asarray(PI)[s]))
    agent = fitted_q(core, problem, 1, 200, False)
    discount = np.where(data["terminated"], 0, GAMMA).astype(np.float32)
    seen = Transition(
        data["obs"].astype(np.int32), data["action"].astype(np.int32), data["reward"].astype(np.float32), discount,
        data["next_obs"].astype(np.int32), data["terminated"] | data["truncated"], np.ones(200, bool),
    )  # fmt: skip
    rows = jax.tree.map(lambda x: x[:, None], seen)
    state = agent.init(jax.random.key(0), jax.tree.map(lambda x: x[0], rows))
    for k in (1, 2, 3):
        state, _ = agent.learn(state, rows)
        np.testing.assert_allclose(state.fit.params, by_hand(data, k), rtol=1e-4, atol=1e-5)


def test_rows_of_pairs_say_what_the_policy_does_next() -> None:
    """The weights of the actions at s are the action taken, those at s' are π; rows of rate 0 are no experience."""
    rng = np.random.default_rng(0)
    s, s2, policy = rng.normal(size=(3, 1, 2)), rng.normal(size=(3, 1, 2)), rng.dirichlet(np.ones(4), (3, 1))
    one = np.ones((3, 1))
    rows = TDRows((s, np.eye(4)[[[2], [0], [3]]]), (s2, policy), (s2, policy), 5 * one, np.array([[0.9], [0], [0.9]]),
                  one, one, one, one, one > 0, np.array([[1.0], [0.5], [0]]), one.astype(int))  # fmt: skip
    found = pair_transitions(rows)
    np.testing.assert_array_equal(found.action, [[2], [0], [3]])
    np.testing.assert_array_equal(found.obs, s)
    np.testing.assert_array_equal(found.next_obs, s2)
    np.testing.assert_array_equal(found.next_policy, policy)
    np.testing.assert_array_equal(found.valid, [[True], [True], [False]])
    np.testing.assert_array_equal(found.discount, [[0.9], [0], [0.9]])
    np.testing.assert_array_equal(found.reward, 5 * one)


def test_two_runs_differ_and_average() -> None:
    table: dict[str, Any] = {"features": "one-hot"}
    one, two = (rlnut.predict("fqe", WALK, PI, "uniform", gamma=GAMMA, steps=4000, runs=k, **table) for k in (1, 2))
    assert np.abs(one.values - two.values).max() > 1e-4
    assert np.abs(two.values - exact(WALK, PI)).max() < 0.15


def test_without_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of CartPole steps, by the command line, with Monte-Carlo truth beside it."""
    path = str(tmp_path / "d.npz")
    seen = transitions.collect(EnvList(EnvName("CartPole-v1").make, 2), 3000, 0)
    transitions.save_transitions(path, seen)
    words = ["predict", "fqe", "CartPole-v1", "--data", path, "--gamma", "0.9", "--states", "5", "--rollouts", "20"]
    assert main([*words, "--hidden", "32", "--iterations", "40"]) == 0
    assert main([*words, "--features", "raw"]) == 0
    wrong = {
        ("--alpha", "0.1"): "exactly", ("--steps", "9"): "--data", ("--values", "v"): "action values",
        ("--next-action", "sampled"): "expectation", ("--lam", "0.5"): "has no effect",
    }  # fmt: skip
    for more, message in wrong.items():
        capsys.readouterr()
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", "td", "CartPole-v1", "--data", path]) == 2
    assert main(["predict", "fqe", "CartPole-v1", "--data", str(tmp_path / "none.npz")]) == 2
    assert "no such file" in capsys.readouterr().err
