"""Random walks of 5 and 19 states: S&B example 6.2 and figures 7.2, 12.3, 12.6 and 12.8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rlnut.book import Curve, Page, Panel
from rlnut.envs.walks import random_walk
from rlnut.exact import chain, values
from rlnut.experience import simulate
from rlnut.finite import Finite
from rlnut.methods import METHODS, Prediction
from rlnut.sweeps import make_rows, sweep


def mean_and_error(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis, and its standard error (0 for a single run)."""
    n = len(runs)
    with np.errstate(all="ignore"):
        return runs.mean(0), runs.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(runs[0])


def errors(
    finite: Finite, stream: Any, name: str, alpha: Any, lam: float, w0: float, episodes: int, n: int = 1
) -> np.ndarray:
    """RMS error over states after each episode: [*alpha, runs, episodes]."""
    S = len(finite.mdp.start)
    true = values(chain(finite.mdp, finite.policy), 1.0)
    rows = make_rows(stream, METHODS[name], Prediction(episodes=episodes, n=n), None, False, episodes)
    w = sweep(
        METHODS[name], (np.eye(S), np.eye(S), np.full(S, w0)), rows, alpha, lam, alpha, episodes, jax.random.key(0)
    )
    with np.errstate(all="ignore"):
        return np.sqrt(((w - true) ** 2).mean(-1))


def _experience(finite: Finite, seed: int, runs: int, episodes: int) -> Any:
    return simulate(finite, finite.policy, finite.policy, 1.0, jax.random.key(seed), runs, episodes)


def figure_6_2(seed: int, runs: int) -> Page:
    """Example 6.2: TD(0) and constant-α MC on the five-state walk."""
    walk = random_walk(5, left=0.0)
    stream = _experience(walk, seed, runs, 100)
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
        found, se = mean_and_error(errors(walk, stream, name, alpha, 0.0, 0.5, 100))
        curves.append(Curve(f"{name} α={alpha}", np.arange(1, 101), found, dict(zip(at, row, strict=True)), se))
    learning = Panel("Example 6.2", "episodes", "RMS error over states", curves)
    return Page("Random walk of 5 states", [learning])


def _by_alpha(seed: int, runs: int, name: str, what: str, best: Mapping[Any, Mapping[Any, float]], grid: Any) -> Page:
    """The 19-state walk: mean RMS error of the first ten episodes against α, one curve for each n or λ."""
    walk = random_walk(19)
    stream = _experience(walk, seed, runs, 10)
    curves = []
    for parameter, points in best.items():
        n, lam = (int(parameter), 0.0) if what == "n" else (1, parameter)
        steps = np.union1d(grid, list(points))
        found, se = mean_and_error(np.moveaxis(errors(walk, stream, name, steps, lam, 0.0, 10, n).mean(-1), -1, 0))
        curves.append(Curve(f"{what}={parameter:g}", steps, found, points, se))
    panel = Panel(METHODS[name].help, "α", "RMS error, first 10 episodes", curves, 0.55)
    return Page("Random walk of 19 states", [panel])


def figure_7_2(seed: int, runs: int) -> Page:
    """n-step TD against α."""
    best: Any = {
        1: {0.1: 0.506, 0.5: 0.389, 0.8: 0.345, 1.0: 0.388}, 2: {0.6: 0.277},
        4: {0.2: 0.322, 0.4: 0.265, 1.0: 0.513}, 8: {0.2: 0.280}, 16: {0.1: 0.322, 0.5: 0.459},
        32: {0.1: 0.361}, 64: {0.1: 0.448}, 128: {0.1: 0.529}, 256: {}, 512: {},
    }  # fmt: skip
    return _by_alpha(seed, runs, "nstep", "n", best, np.linspace(0, 1, 11))


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
