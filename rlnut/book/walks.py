"""Random walks of 5 and 19 states: S&B example 6.2 and figures 6.2, 7.2, 12.3, 12.6 and 12.8; replacing traces."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from rlnut.agents import lstd
from rlnut.book.figures import Curve, Page, Panel
from rlnut.book.runs import book_experience, learned_weights, mean_and_error
from rlnut.envs.walks import random_walk
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import Experience
from rlnut.prediction.td_rows import make_rows
from rlnut.prediction.td_rows import table as table_of
from rlnut.truth.dynamic_programming import chain, values
from rlnut.truth.finite import Finite


def errors(
    stream: Experience,
    finite: Finite,
    name: str,
    alpha: ArrayLike,
    w0: float,
    episodes: int,
    lam: float = 0.0,
    n: int = 1,
) -> np.ndarray:
    """RMS error over states after each episode, with a table: [*alpha, N, episodes]."""
    S = len(finite.mdp.start)
    true = values(chain(finite.mdp, finite.policy), 1.0)
    with np.errstate(all="ignore"):
        w = learned_weights(stream, name, np.eye(S), w0, alpha, episodes, episodes=episodes, lam=lam, n=n)
        return np.sqrt(((w - true) ** 2).mean(-1))


def figure_6_2(seed: int, runs: int) -> Page:
    """Example 6.2: TD(0) and constant-α MC on the five-state walk."""
    walk = random_walk(5, left=0.0)
    stream = book_experience(walk, seed, runs, episodes=100)
    start, true = np.full(5, 0.5), np.arange(1, 6) / 6
    at = (1, 10, 25, 50, 100)
    table = {
        ("td0", 0.15): (0.2161, 0.0950, 0.0579, 0.0695, 0.0704),
        ("td0", 0.10): (0.2222, 0.1284, 0.0566, 0.0510, 0.0556),
        ("td0", 0.05): (0.2288, 0.1746, 0.1098, 0.0534, 0.0355),
        ("mc", 0.01): (0.2333, 0.2125, 0.1827, 0.1444, 0.0972),
        ("mc", 0.02): (0.2316, 0.1971, 0.1538, 0.1108, 0.0823),
        ("mc", 0.03): (0.2305, 0.1869, 0.1391, 0.1047, 0.0942),
        ("mc", 0.04): (0.2298, 0.1805, 0.1337, 0.1105, 0.1079),
    }
    curves = []
    for (name, alpha), row in table.items():
        found, se = mean_and_error(errors(stream, walk, name, alpha, 0.5, 100))
        curves.append(Curve(f"{name} α={alpha}", np.arange(1, 101), found, dict(zip(at, row, strict=True)), se))
    learning = Panel("Example 6.2", "episodes", "RMS error over states", curves)
    batch = []
    for name, row in {
        "batch-td": (0.398, 0.123, 0.079, 0.052, 0.040),
        "batch-mc": (0.398, 0.173, 0.117, 0.078, 0.056),
    }.items():
        rows = make_rows(stream, METHODS[name], Prediction(episodes=100), None, False, 100)
        w = lstd.lstd(table_of, (np.eye(5), np.eye(5), start), rows, METHODS[name].lam or 0.0, start, 100)
        found, se = mean_and_error(np.sqrt(((w - true) ** 2).mean(-1)))
        batch.append(Curve(name, np.arange(1, 101), found, dict(zip(at, row, strict=True)), se))
    return Page(
        "Random walk of 5 states: TD(0) against Monte Carlo",
        [learning, Panel("Figure 6.2: batch training", "episodes", "RMS error over states", batch)],
        ["γ = 1"],
    )


def _by_alpha(
    seed: int, runs: int, name: str, what: str, best: Mapping[float, Mapping[float, float]], grid: np.ndarray
) -> Page:
    """The 19-state walk: mean RMS error of the first ten episodes against α, one curve for each n or λ."""
    walk = random_walk(19)
    stream = book_experience(walk, seed, runs, episodes=10)

    def curve(parameter: float) -> Curve:
        n, lam = (int(parameter), 0.0) if what == "n" else (1, parameter)
        steps = np.union1d(grid, list(best[parameter]))
        found, se = mean_and_error(
            np.moveaxis(errors(stream, walk, name, steps, 0.0, 10, lam=lam, n=n).mean(-1), -1, 0)
        )
        return Curve(f"{what}={parameter:g}", steps, found, best[parameter], se)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # one sweep keeps one core busy
        curves = list(pool.map(curve, best))
    panel = Panel(METHODS[name].help, "α", "RMS error, first 10 episodes", curves, 0.55)
    return Page(f"Random walk of 19 states: the error against the step size, for each {what}", [panel], ["γ = 1"])


def figure_7_2(seed: int, runs: int) -> Page:
    """n-step TD against α."""
    best: dict[float, dict[float, float]] = {
        1: {0.1: 0.506, 0.5: 0.389, 0.8: 0.345, 1.0: 0.388}, 2: {0.6: 0.277},
        4: {0.2: 0.322, 0.4: 0.265, 1.0: 0.513}, 8: {0.2: 0.280}, 16: {0.1: 0.322, 0.5: 0.459},
        32: {0.1: 0.361}, 64: {0.1: 0.448}, 128: {0.1: 0.529}, 256: {}, 512: {},
    }  # fmt: skip
    return _by_alpha(seed, runs, "nstep", "n", best, np.linspace(0, 1, 21))


def figure_12_3(seed: int, runs: int) -> Page:
    """The off-line λ-return against α."""
    best = {
        0.0: {0.8: 0.367}, 0.4: {0.7: 0.290}, 0.8: {0.4: 0.262}, 0.9: {0.2: 0.286}, 0.95: {0.2: 0.323},
        0.975: {0.1: 0.361}, 0.99: {0.06: 0.413}, 1.0: {0.02: 0.488},
    }  # fmt: skip
    return _by_alpha(seed, runs, "offline-lambda", "λ", best, np.linspace(0, 1, 21))


def figure_12_6(seed: int, runs: int) -> Page:
    """TD(λ) with accumulating traces against α."""
    best = {
        0.0: {0.8: 0.347}, 0.4: {0.7: 0.271}, 0.8: {0.36: 0.265}, 0.9: {0.2: 0.289}, 0.95: {0.12: 0.329},
        0.975: {0.06: 0.380}, 0.99: {0.04: 0.434}, 1.0: {0.012: 0.499},
    }  # fmt: skip
    return _by_alpha(seed, runs, "td-lambda", "λ", best, np.linspace(0, 1, 21))


def figure_12_8(seed: int, runs: int) -> Page:
    """True online TD(λ) against α."""
    best = {
        0.0: {0.8: 0.347}, 0.4: {0.7: 0.271}, 0.8: {0.4: 0.254}, 0.9: {0.3: 0.275}, 0.95: {0.2: 0.313},
        0.975: {0.16: 0.365}, 0.99: {0.08: 0.415}, 1.0: {0.02: 0.488},
    }  # fmt: skip
    return _by_alpha(seed, runs, "true-online-td", "λ", best, np.linspace(0, 1, 21))


def replacing(seed: int, runs: int) -> Page:
    """TD(λ) with replacing traces against α (Singh & Sutton 1996)."""
    best = {
        0.0: {0.8: 0.347}, 0.4: {0.7: 0.271}, 0.8: {0.5: 0.247}, 0.9: {0.4: 0.256}, 0.95: {0.4: 0.276},
        0.975: {0.32: 0.296}, 0.99: {0.24: 0.327}, 1.0: {0.25: 0.367},
    }  # fmt: skip
    return _by_alpha(seed, runs, "td-lambda-replacing", "λ", best, np.linspace(0, 1, 21))
