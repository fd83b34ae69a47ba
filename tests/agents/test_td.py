"""TD prediction against published learning curves and against plain loops written from the book."""

from typing import Any

import jax
import numpy as np
import pytest

from rlnut.agents import lstd
from rlnut.book.sweeps import sweep
from rlnut.envs.counterexamples import baird
from rlnut.envs.garnet import garnet
from rlnut.envs.walks import boyan_chain, random_walk
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import Experience, simulate
from rlnut.prediction.td_rows import make_rows, table
from rlnut.truth.dynamic_programming import chain, uniform, values, visits
from rlnut.truth.fixed_points import linear_errors, rms, td_fixed_point

KEY = jax.random.key(0)


def stream_of(finite: Any, runs: int, seed: int = 0, **length: Any) -> Experience:
    pi = uniform(finite.mdp) if finite.policy is None else finite.policy
    acting = pi if finite.behaviour is None else finite.behaviour
    return simulate(finite, pi, acting, finite.gamma, jax.random.key(seed), runs, **length)


def curves(
    name: str, finite: Any, stream: Experience, alpha: Any, lam: Any = 0.0, w0: Any = 0.0, **given: Any
) -> np.ndarray:
    """RMS error over states [*sweep, N, episodes]."""
    X = np.eye(len(finite.mdp.start)) if finite.features is None else finite.features
    true = values(chain(finite.mdp, finite.policy), finite.gamma)
    config = Prediction(**given)
    rows = make_rows(stream, METHODS[name], config, None, False, given["episodes"])
    w = sweep(METHODS[name], (X, X, np.full(X.shape[1], w0)), rows, alpha, lam, alpha, given["episodes"], KEY)
    return np.sqrt(((w @ X.T - true) ** 2)[..., true != 0].mean(-1))


WALK19, RUNS = random_walk(19), 200
# a standard error of one run's mean over ten episodes is about .06 (measured in the first test below)
SE = 0.06 / np.sqrt(RUNS)


@pytest.fixture(scope="module")
def ten_episodes() -> Experience:
    return stream_of(WALK19, RUNS, episodes=10)


@pytest.mark.parametrize(
    ("n", "alpha", "error"),
    [
        (1, 0.1, 0.506),
        (1, 0.5, 0.389),
        (1, 1.0, 0.388),
        (4, 0.2, 0.322),
        (4, 0.4, 0.265),
        (4, 1.0, 0.513),
        (16, 0.1, 0.322),
    ],
)
def test_n_step_td_on_the_19_state_walk(ten_episodes: Experience, n: int, alpha: float, error: float) -> None:
    """S&B figure 7.2: RMS error over 19 states, mean of the first ten episodes."""
    found = curves("nstep", WALK19, ten_episodes, alpha, n=n, episodes=10).mean(-1)
    assert found.std() < 0.1
    assert abs(found.mean() - error) < 3 * max(SE, found.std() / np.sqrt(RUNS)) + 0.002


@pytest.mark.parametrize(
    ("name", "lam", "alpha", "error"),
    [
        ("offline-lambda", 0.8, 0.4, 0.262),
        ("offline-lambda", 0.95, 0.2, 0.323),
        ("td-lambda", 0.8, 0.36, 0.265),
        ("td-lambda", 0.9, 0.2, 0.289),
        ("true-online-td", 0.8, 0.4, 0.254),
        ("true-online-td", 0.9, 0.3, 0.275),
        ("td-lambda-replacing", 0.8, 0.5, 0.247),
        ("td-lambda-replacing", 0.95, 0.4, 0.276),
    ],
)
def test_traces_on_the_19_state_walk(
    ten_episodes: Experience, name: str, lam: float, alpha: float, error: float
) -> None:
    """S&B figures 12.3, 12.6, 12.8."""
    found = curves(name, WALK19, ten_episodes, alpha, lam, episodes=10).mean(-1)
    assert abs(found.mean() - error) < 3 * max(SE, found.std() / np.sqrt(RUNS)) + 0.002


def test_batch_methods_on_the_five_state_walk() -> None:
    """S&B figure 6.2 with batch training: batch TD = LSTD(0) beats batch MC = LSTD(1) after 1, 10, 25, 50, 100."""
    walk, runs = random_walk(5, left=0.0), 400
    stream, X, true = stream_of(walk, runs, 1, episodes=100), np.eye(5), np.arange(1, 6) / 6
    at = [0, 9, 24, 49, 99]
    for name, expected in {
        "batch-td": (0.398, 0.123, 0.079, 0.052, 0.040),
        "batch-mc": (0.398, 0.173, 0.117, 0.078, 0.056),
    }.items():
        method = METHODS[name]
        rows = make_rows(stream, method, Prediction(episodes=100), None, False, 100)
        # records at the five moments only
        rows = rows._replace(slot=np.searchsorted(at, rows.slot).astype(np.int32))
        w = lstd.lstd(table, (X, X, np.full(5, 0.5)), rows, method.lam or 0.0, np.full(5, 0.5), 5)
        error = np.sqrt(((w - true) ** 2).mean(-1))
        se = error.std(0) / np.sqrt(runs)

        np.testing.assert_array_less(np.abs(error.mean(0) - expected), 4 * se + 0.003)


def test_boyan_chain() -> None:
    """LSTD(0), LSTD(1) and TD(0) after 1, 5, 10, 50, 100 trajectories."""
    boyan, runs = boyan_chain(), 200
    stream, X, at = stream_of(boyan, runs, 2, episodes=100), boyan.features, [0, 4, 9, 49, 99]
    true = np.arange(-24, 0, 2)
    rows = make_rows(stream, METHODS["td0"], Prediction(episodes=100), None, False, 100)
    few = rows._replace(slot=np.searchsorted(at, rows.slot).astype(np.int32))
    for lam, expected in ((0, (1.76, 0.754, 0.496, 0.247, 0.171)), (1, (1.74, 0.752, 0.504, 0.247, 0.170))):
        w = lstd.lstd(table, (X, X, np.zeros(4)), few, lam, np.zeros(4), 5)
        error = np.sqrt((((w @ X.T)[..., :12] - true) ** 2).mean(-1))
        np.testing.assert_array_less(np.abs(error.mean(0) - expected), 4.5 * error.std(0) / np.sqrt(runs) + 0.001)
    for alpha, expected in ((0.1, (14.1, 11.9, 9.30, 0.66, 0.37)), (0.2, (13.6, 9.48, 5.40, 0.52, 0.50))):
        error = curves("td0", boyan, stream, alpha, episodes=100)[:, at]
        near = 4.5 * error.std(0) / np.sqrt(runs) + 0.006 * np.array(expected)
        np.testing.assert_array_less(np.abs(error.mean(0) - expected), near)


@pytest.mark.parametrize(
    ("name", "alpha", "beta", "early", "late"),
    [
        ("td0", 0.01, 0.0, (19.8, 11.0), (559, 98.6)),
        ("tdc", 0.005, 0.05, (3.40, 2.78), (1.937, 0.0725)),
        ("gtd2", 0.005, 0.05, (3.15, 3.04), (1.936, 0.0625)),
        ("residual-gradient", 0.005, 0.0, (2.95, 2.67), (1.936, 0.066)),
    ],
)
def test_baird(name: str, alpha: float, beta: float, early: tuple, late: tuple) -> None:
    """S&B figures 11.2 and 11.5, median of 300 runs: √VE and √PBE after 100 and 1000 steps."""
    star = baird()
    stream = stream_of(star, 300, 3, steps=1000)
    rows = make_rows(stream, METHODS[name], Prediction(steps=1000), None, False, 10)
    parts = (star.features, star.features, star.weights)
    w = sweep(METHODS[name], parts, rows, alpha, 0.0, beta, 10, KEY)
    process, d = chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))
    zero = np.zeros(7)
    for k, expected in ((0, early), (9, late)):
        errors = [linear_errors(process, x.astype(float), star.features, d, 0.99, zero) for x in w[:, k]]
        found = np.median([(e["ve"], e["pbe"]) for e in errors], 0)

        near = (0.08, 0.25) if k else (0.06, 0.06)
        np.testing.assert_array_less(np.abs(found / expected - 1), near)


def by_the_book(name: str, X: np.ndarray, stream: Experience, alpha: float, lam: float, beta: float) -> np.ndarray:
    """One run in a plain loop: S&B's boxes for TD(λ), true online TD(λ), TDC (GTD(λ)) and emphatic TD(λ)."""
    step = jax.tree.map(lambda x: np.asarray(x)[:, 0], stream.step)
    rho = np.asarray(stream.rho)[:, 0].astype(float)
    w, z, h = (np.zeros(X.shape[1]) for _ in range(3))
    v_old = follow = discount = 0.0
    before = 1.0
    for s, r, D, s2, end, p in zip(step.obs, step.reward, step.discount, step.next_obs, step.end, rho, strict=True):
        x, x2 = X[s], X[s2]
        delta = r + D * w @ x2 - w @ x
        if name == "true-online-td":
            v, v2 = w @ x, D * 0 + w @ x2
            decay = discount * lam
            z = decay * z + (1 - alpha * decay * z @ x) * x
            w = w + alpha * (delta + v - v_old) * z - alpha * (v - v_old) * x
            v_old = v2
        elif name == "etd":
            follow = before * discount * follow + 1
            M = lam + (1 - lam) * follow
            z = p * (discount * lam * z + M * x)
            w = w + alpha * delta * z
        else:
            z = p * (discount * lam * z + x)
            if name == "tdc":
                w, h = (
                    w + alpha * (delta * z - D * (1 - lam) * (z @ h) * x2),
                    h + beta * (delta * z - p * (h @ x) * x),
                )
            else:
                w = w + alpha * delta * z
        discount, before = float(D), p
        if end:
            z, discount, v_old = np.zeros_like(z), 0.0, 0.0
            if name != "etd":
                follow = 0.0
    return w


@pytest.mark.parametrize("name", ["td-lambda", "true-online-td", "tdc", "etd"])
def test_recursion_equals_the_books_boxes(name: str) -> None:
    """Off-policy garnet (on-policy walk for true online) with γ < 1, λ = .7 and episode ends in the middle."""
    problem = garnet(6, 3, 3, 8, dim=4)
    problem.mdp.done[:, :, 0] = 1
    if name == "true-online-td":
        problem = problem._replace(behaviour=None)
    problem = problem._replace(gamma=0.9)
    stream = stream_of(problem, 2, steps=200)
    X, rule = problem.features, METHODS[name]
    rows = make_rows(stream, rule, Prediction(steps=200), None, False, 50)
    w = sweep(rule, (X, X, np.zeros(4)), rows, 0.01, 0.7, 0.02, 50, KEY)[0, -1]
    np.testing.assert_allclose(w, by_the_book(name, X, stream, 0.01, 0.7, 0.02), rtol=2e-3, atol=2e-4)


def test_methods_settle_at_their_fixed_points() -> None:
    """Off-policy garnet, λ = .6: LSTD(λ) and recursive LSTD agree, and near the exact fixed point."""
    problem = garnet(8, 3, 3, 11, dim=3)
    stream = stream_of(problem, 1, steps=60_000)
    X = problem.features
    config = Prediction(steps=60_000)
    process, d = chain(problem.mdp, problem.policy), visits(chain(problem.mdp, problem.behaviour))
    goal = X @ td_fixed_point(process, X, d, 0.9, 0.6)
    rows = make_rows(stream, METHODS["lstd"], config, None, False, 10)
    solved = lstd.lstd(table, (X, X, np.zeros(3)), rows, 0.6, np.zeros(3), 10)[0, -1]
    rows = make_rows(stream, METHODS["rlstd"], config, None, False, 50)
    recursive = lstd.recursive_lstd(table, (X, X, np.zeros(3)), rows, 0.6, np.zeros(3), 50)[0, -1]
    np.testing.assert_allclose(recursive, solved, rtol=1e-3, atol=1e-3)
    assert rms(X @ solved - goal, d) < 0.1 * rms(goal, d)


def test_true_online_equals_the_online_lambda_return() -> None:
    """S&B 12.4: after a whole episode the weights of true online TD(λ) are those of the on-line λ-return algorithm,
    which starts over at every step h with returns cut at h."""
    walk, alpha, lam = random_walk(5, left=0.0), 0.3, 0.8
    stream = stream_of(walk, 1, 5, episodes=1)
    s, r = np.asarray(stream.step.obs)[:, 0], np.asarray(stream.step.reward)[:, 0]
    T = len(s)
    after = [*s[1:].tolist(), None]
    w0 = np.full(5, 0.5)
    past = [w0]  # past[h]: the weights after pass h, used for bootstrapping at s_h in the next passes

    def bootstrap(k: int) -> float:
        return 0.0 if after[k] is None else past[k][after[k]]

    for h in range(1, T + 1):
        w = w0.copy()
        for t in range(h):
            G, total = 0.0, 0.0
            for n in range(1, h - t + 1):
                G = sum(r[t : t + n]) + bootstrap(t + n - 1)
                total += (1 - lam) * lam ** (n - 1) * G
            total += lam ** (h - t) * G
            w[s[t]] += alpha * (total - w[s[t]])
        past.append(w)
    rows = make_rows(stream, METHODS["true-online-td"], Prediction(episodes=1), None, False, 1)
    found = sweep(METHODS["true-online-td"], (np.eye(5), np.eye(5), w0), rows, alpha, lam, 0.0, 1, KEY)[0, 0]
    np.testing.assert_allclose(found, past[-1], atol=1e-5)
