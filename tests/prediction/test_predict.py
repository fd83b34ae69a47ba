"""`rlnut predict`: the contract of its JSON, truth and fixed points of a user's matrices, refusals."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlnut.agents.td_expected import iterate
from rlnut.agents.td_rules import Expected
from rlnut.cli import main
from rlnut.envs.counterexamples import baird, maximisation_bias
from rlnut.envs.garnet import garnet
from rlnut.errors import RlnutError, UsageError
from rlnut.prediction.methods import METHODS, Prediction, find
from rlnut.prediction.on_tables import predict_finite
from rlnut.prediction.policies import as_table
from rlnut.truth.dynamic_programming import chain, values, visits
from rlnut.truth.fixed_points import linear_errors, rms
from rlnut.truth.monte_carlo import monte_carlo_truth


def predict(capsys: Any, *words: str) -> dict[str, Any]:
    assert main(["predict", *words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "learned" in err
    return json.loads(out.splitlines()[-1])


@pytest.mark.figures
def test_json_contract_and_picture_on_a_walk(capsys, tmp_path: Path) -> None:
    answer = predict(capsys, "TD(0)", "rlnut/RandomWalk5-v0", "--steps", "20000", "--out", str(tmp_path / "o"))
    assert answer["method"] == "td0" and answer["env"] == "rlnut/RandomWalk5-v0"
    np.testing.assert_allclose(answer["truth"], np.arange(1, 6) / 6, atol=1e-12)
    error = np.sqrt(np.mean((np.array(answer["values"]) - answer["truth"]) ** 2))
    assert answer["rmse"] == pytest.approx(error, abs=1e-6) and error < 0.05
    assert set(answer["exact"]) == {"td_fixed_point", "projection", "bellman_residual"}
    for point in answer["exact"].values():
        np.testing.assert_allclose(point, answer["truth"], atol=1e-8)
    assert len(answer["weights"]) == 5 and not answer["diverged"]
    assert (tmp_path / "o" / "values.png").stat().st_size > 5000
    assert json.loads((tmp_path / "o" / "prediction.json").read_text())["rmse"] == answer["rmse"]


def test_a_users_matrices_off_policy(capsys, tmp_path: Path) -> None:
    """π, b, features and γ of the file are used: LSTD comes near the fixed point under b's distribution."""
    problem = garnet(6, 2, 3, 4, gamma=0.8, dim=2)
    pi, b, X = problem.policy, problem.behaviour, problem.features
    path = tmp_path / "own.npz"
    np.savez(path, P=problem.mdp.P, R=problem.mdp.R, policy=pi, behaviour=b, features=X, gamma=0.8)
    answer = predict(capsys, "lstd", str(path), "--steps", "40000")
    P, r = np.einsum("sa,sat->st", pi, problem.mdp.P), np.einsum("sa,sat,sat->s", pi, problem.mdp.P, problem.mdp.R)
    left = np.linalg.matrix_power(np.einsum("sa,sat->st", b, problem.mdp.P), 2000)[0]
    np.testing.assert_allclose(answer["truth"], np.linalg.solve(np.eye(6) - 0.8 * P, r), atol=1e-8)
    A = X.T @ np.diag(left) @ (X - 0.8 * P @ X)
    w = np.linalg.solve(A, X.T @ (left * r))
    np.testing.assert_allclose(answer["exact"]["td_fixed_point"], w, atol=1e-8)
    assert rms(X @ answer["weights"] - X @ w) < 0.1 * rms(X @ w)


def test_unreachable_states_are_null(capsys) -> None:
    answer = predict(capsys, "lstd", "CliffWalking-v1", "--policy", "optimal", "--gamma", "1", "--steps", "200")
    assert answer["truth"][36] == -13 and answer["values"][36] == pytest.approx(-13)
    assert answer["truth"][40] is None and answer["values"][40] is None
    assert answer["truth"][47] == 0 and answer["values"][47] == 0


def test_action_values_of_frozen_lake(capsys) -> None:
    answer = predict(capsys, "td-lambda", "FrozenLake-v1", "--values", "q", "--gamma", "0.9", "--steps", "60000")
    true, learned = np.array(answer["truth"]), np.array(answer["values"])
    assert true.shape == (16, 4) and rms(true - learned) < 0.03
    # V = mean of Q under the uniform policy, from its own Bellman equation
    lake: Any = gymnasium.make("FrozenLake-v1")
    v = true.mean(1)
    for s, a in np.ndindex(16, 4):
        expected = sum(p * (r + 0.9 * (not d) * v[t]) for p, t, r, d in lake.unwrapped.P[s][a])
        assert true[s, a] == pytest.approx(expected, abs=1e-9)


def test_off_policy_action_values_by_retrace_and_tree_backup() -> None:
    problem = garnet(5, 2, 3, 9, gamma=0.8)
    for correction in ("importance", "retrace", "tree-backup"):
        lam = 0.3 if correction == "importance" else 0.8  # products of ρ have a large variance
        config = Prediction(values="q", correction=correction, lam=lam, steps=100_000)
        found = predict_finite("td-lambda", problem, config)
        assert found.rmse < 0.1 * rms(found.truth), correction
    uncorrected = predict_finite("td-lambda", problem, Prediction(correction="none", lam=0.0, steps=100_000))
    right = predict_finite("td-lambda", problem, Prediction(lam=0.0, steps=100_000))
    assert right.rmse < 0.2 * uncorrected.rmse


def test_divergence_alarm_names_the_triad(capsys) -> None:
    answer = predict(capsys, "td0", "rlnut/Baird-v0", "--alpha", "0.01", "--steps", "1000")
    assert answer["diverged"] and "function approximation, bootstrapping, off-policy" in answer["alarm"]
    for method, alpha in (("tdc", "0.005"), ("gtd2", "0.005"), ("etd", "0.0005"), ("lstd", None)):
        words = ["--alpha", alpha] if alpha else []
        assert not predict(capsys, method, "rlnut/Baird-v0", *words, "--steps", "1000")["diverged"]


@pytest.mark.parametrize(
    ("method", "alpha", "beta", "at100", "at1000"),
    [
        ("td", 0.01, 0.0, (19.546, 10.66), (581.36, 98.37)),
        ("tdc", 0.005, 0.05, (3.323, 2.779), (1.9355, 0.0074)),
        ("etd", 0.03, 0.0, (0.9567, 2.188), (0.0, 0.0)),
    ],
)
def test_expected_updates_on_baird(method: Expected, alpha: float, beta: float, at100: tuple, at1000: tuple) -> None:
    """S&B figures 11.2R, 11.5R and 11.6: √VE and √PBE, exactly."""
    star = baird()
    process, d = chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))
    path = iterate(method, process, star.features, d, 0.99, star.weights, alpha, 1000, beta)
    for t, expected in ((100, at100), (1000, at1000)):
        errors = linear_errors(process, path[t], star.features, d, 0.99, values(process, 0.99))
        np.testing.assert_allclose((errors["ve"], errors["pbe"]), expected, rtol=5e-4, atol=5e-5)
    if method == "td":
        np.testing.assert_allclose(path[1000], [114.43] * 6 + [6.850, 335.00], rtol=1e-4)


def test_expected_option(capsys) -> None:
    words = ("--expected", "--alpha", "0.005", "--beta", "0.05", "--steps", "1000")
    answer = predict(capsys, "tdc", "rlnut/Baird-v0", *words)
    np.testing.assert_allclose(answer["weights"], [2.135] * 6 + [6.628, -2.338], atol=1e-3)


def test_host_environment_with_monte_carlo_truth(capsys) -> None:
    answer = predict(
        capsys, "td-lambda", "CartPole-v1", "--gamma", "0.9", "--steps", "15000", "--states", "8", "--rollouts", "60"
    )
    true, learned = np.array(answer["truth"]), np.array(answer["values"])
    assert len(true) == len(answer["ci95"]) == len(answer["states"]) == 8
    assert (true >= 1).all() and (true < 10).all()
    assert answer["rmse"] == pytest.approx(np.sqrt(np.mean((true - learned) ** 2))) and answer["rmse"] < 1.5


def test_monte_carlo_truth_ignores_time_limits() -> None:
    """MountainCar under a random policy never gets there: −1 for ever, although episodes are cut after 200 steps."""
    uniform = lambda obs, rng: int(rng.integers(3))  # noqa: E731
    found = monte_carlo_truth(lambda: gymnasium.make("MountainCar-v0"), uniform, 0.95, 3, 2, 0)
    np.testing.assert_allclose(found.mean, -20, atol=0.01)
    with pytest.raises(RlnutError, match="γ = 1 and an episode did not end"):
        monte_carlo_truth(lambda: gymnasium.make("MountainCar-v0"), lambda obs, rng: 1, 1.0, 1, 2, 0)


def test_monte_carlo_truth_of_a_walk() -> None:
    """Known values, stochastic dynamics: the copies must draw their own luck."""
    made = lambda: gymnasium.make("rlnut/RandomWalk5-v0")  # noqa: E731
    found = monte_carlo_truth(made, lambda obs, rng: int(rng.integers(2)), 1.0, 10, 200, 0)
    error = found.mean - (found.obs + 1) / 6
    assert (np.abs(error) < 4 * np.sqrt(0.25 / 200)).all() and np.abs(error).max() > 0


def test_policy_over_actions_that_count() -> None:
    pi = as_table("uniform", maximisation_bias(), 1.0)
    np.testing.assert_allclose(pi[0], [0.5, 0.5] + [0] * 8)
    np.testing.assert_allclose(pi[1], [0.1] * 10)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tdq", "rlnut/Baird-v0"], "unknown method 'tdq'"),
        (["td0", "rlnut/Baird-v0", "--lam", "0.5"], "--lam has no effect with td0"),
        (["true-online-td", "rlnut/Baird-v0"], "on-policy only"),
        (["mc", "rlnut/ChainWalk4-v0"], "episodes are not certain to end"),
        (["td0", "rlnut/ChainWalk4-v0", "--gamma", "1"], "γ = 1 is refused"),
        (["td0", "rlnut/ChainWalk4-v0", "--episodes", "3"], "give --steps instead"),
        (["td0", "rlnut/RandomWalk5-v0", "--features", "fourier:x"], "whole number"),
        (["td0", "rlnut/RandomWalk5-v0", "--features", "fancy"], "unknown features 'fancy'"),
        (["td0", "rlnut/RandomWalk5-v0", "--features", "own"], "brings no features"),
        (["td0", "rlnut/RandomWalk5-v0", "--correction", "retrace"], "is for action values"),
        (["td0", "rlnut/RandomWalk5-v0", "--correction", "none", "--values", "q"], "has no effect with TD(0) for Q"),
        (["td-lambda", "rlnut/RandomWalk5-v0", "--correction", "ordinary"], "for mc and nstep"),
        (["mc", "rlnut/RandomWalk5-v0", "--correction", "v-trace"], "bootstraps, which mc does not"),
        (["td0", "rlnut/RandomWalk5-v0", "--next-action", "sampled"], "for action values"),
        (["retrace", "rlnut/RandomWalk5-v0", "--next-action", "sampled"], "defined by the expectation"),
        (["v-trace", "rlnut/RandomWalk5-v0", "--values", "q"], "for state values"),
        (["td0", "rlnut/RandomWalk5-v0", "--hidden", "8", "--expected"], "leave the network out"),
        (["true-online-td", "rlnut/RandomWalk5-v0", "--hidden", "8"], "linear only"),
        (["td0", "rlnut/RandomWalk5-v0", "--policy", "optimal:2"], "ε of a policy must be"),
        (["td0", "rlnut/RandomWalk5-v0", "--policy", "no_such_module:pi"], "cannot be imported"),
        (["td0", "rlnut/RandomWalk5-v0", "--policy", "missing.npy"], "missing.npy"),
        (["offline-lambda", "CartPole-v1"], "needs a finite problem"),
        (["td0", "CartPole-v1", "--features", "aggregation"], "for numbered states"),
        (["td0", "Pendulum-v1", "--policy", "uniform:0.5"], "needs numbered actions"),
        (["td-lambda", "rlnut/RandomWalk5-v0", "--correction", "retrace"], "is for action values"),
        (["mc", "rlnut/RandomWalk5-v0", "--expected"], "no expected version"),
        (["td0", "rlnut/RandomWalk5-v0", "--episodes", "3", "--steps", "3"], "not both"),
        (["td0", "rlnut/RandomWalk5-v0", "--policy", "nowhere"], "unknown policy 'nowhere'"),
        (["td0", "rlnut/RandomWalk5-v0", "--policy", "optimal", "--behaviour", "uniform", "--gamma", "2"], "gamma"),
        (["td0", "CartPole-v1", "--policy", "optimal"], "cannot be computed"),
        (["tdc", "CartPole-v1", "--features", "mlp"], "linear only"),
        (["td0", "missing.npz"], "no such file"),
    ],
)
def test_refusals(capsys, words: list[str], message: str) -> None:
    assert main(["predict", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_missing_coverage_is_refused() -> None:
    problem = garnet(4, 2, 2, 0)
    never = np.tile([1.0, 0.0], (4, 1))
    with pytest.raises(UsageError, match=r"never takes action 1 in state \d"):
        predict_finite("td0", problem._replace(behaviour=never), Prediction(steps=10))


def test_names_are_found_in_any_spelling() -> None:
    pairs = {"TD(0)": "td0", "td_lambda": "td-lambda", "TD(λ)": "td-lambda", "True Online TD": "true-online-td"}
    pairs |= {"n-step": "nstep", "Monte-Carlo": "mc", "LSTD(λ)": "lstd", "Emphatic-TD": "etd"}
    assert {name: find(name).name for name in pairs} == pairs
    assert all(find(name).name == name for name in METHODS)


def test_same_seed_same_answer() -> None:
    one, two, other = (predict_finite("td0", garnet(), Prediction(steps=500), None, seed).values for seed in (0, 0, 1))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
