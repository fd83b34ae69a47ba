"""Figures of Sutton & Barto (2018), drawn again by running them, with the reference values that they must meet.

A figure is a list of curves; the reference points come from re-runs of 1000 to 4000 runs that agree with the printed
figures, or from exact dynamic programming.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rlnut.agents.expected import iterate
from rlnut.envs.counterexamples import baird
from rlnut.envs.walks import random_walk
from rlnut.exact import chain, values, visits
from rlnut.experience import simulate
from rlnut.finite import Finite
from rlnut.fixed_points import linear_errors
from rlnut.methods import METHODS, Prediction
from rlnut.sweeps import make_rows, sweep


class Curve(NamedTuple):
    """One line of a figure and the points that it should pass through."""

    label: str
    x: np.ndarray
    y: np.ndarray
    reference: Mapping[Any, float]  # x -> y


class Page(NamedTuple):
    """What is drawn."""

    title: str
    xlabel: str
    ylabel: str
    curves: list[Curve]
    top: float | None = None  # upper limit of the y axis, as in the book
    log: bool = False


def errors(
    finite: Finite, stream: Any, name: str, alpha: Any, lam: float, w0: float, episodes: int, n: int = 1
) -> np.ndarray:
    """RMS error over states after each episode, mean over runs: [*alpha, episodes]."""
    S = len(finite.mdp.start)
    true = values(chain(finite.mdp, finite.policy), 1.0)
    rows = make_rows(stream, METHODS[name], Prediction(episodes=episodes, n=n), None, False, episodes)
    w = sweep(
        METHODS[name], (np.eye(S), np.eye(S), np.full(S, w0)), rows, alpha, lam, alpha, episodes, jax.random.key(0)
    )
    with np.errstate(all="ignore"):
        return np.sqrt(((w - true) ** 2).mean(-1)).mean(-2)


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
        found = errors(walk, stream, name, alpha, 0.0, 0.5, 100)
        curves.append(Curve(f"{name} α={alpha}", np.arange(1, 101), found, dict(zip(at, row, strict=True))))
    return Page("Figure of example 6.2: random walk of 5 states", "episodes", "RMS error over states", curves)


def _by_alpha(seed: int, runs: int, name: str, what: str, best: Mapping[Any, tuple], grid: np.ndarray) -> Page:
    """The 19-state walk: mean RMS error of the first ten episodes against α, one curve for each n or λ."""
    walk = random_walk(19)
    stream = _experience(walk, seed, runs, 10)
    curves = []
    for parameter, (alpha, error) in best.items():
        n, lam = (int(parameter), 0.0) if what == "n" else (1, parameter)
        steps = np.union1d(grid, [alpha]) if alpha else grid
        found = errors(walk, stream, name, steps, lam, 0.0, 10, n).mean(-1)
        curves.append(Curve(f"{what}={parameter:g}", steps, found, {alpha: error} if alpha else {}))
    method = METHODS[name].help
    return Page(f"{method}: random walk of 19 states", "α", "RMS error, first 10 episodes", curves, 0.55)


def figure_7_2(seed: int, runs: int) -> Page:
    """n-step TD against α."""
    best: Any = {
        1: (0.8, 0.345), 2: (0.6, 0.277), 4: (0.4, 0.265), 8: (0.2, 0.280), 16: (0.1, 0.322),
        32: (0.1, 0.361), 64: (0.1, 0.448), 128: (0.1, 0.529), 256: (0.0, 0.0), 512: (0.0, 0.0),
    }  # fmt: skip
    return _by_alpha(seed, runs, "nstep", "n", best, np.linspace(0, 1, 11))


def figure_12_3(seed: int, runs: int) -> Page:
    """The off-line λ-return against α."""
    best = {
        0.0: (0.8, 0.367), 0.4: (0.7, 0.290), 0.8: (0.4, 0.262), 0.9: (0.2, 0.286), 0.95: (0.2, 0.323),
        0.975: (0.1, 0.361), 0.99: (0.06, 0.413), 1.0: (0.02, 0.488),
    }  # fmt: skip
    return _by_alpha(seed, runs, "offline-lambda", "λ", best, np.linspace(0, 1, 21))


def figure_12_6(seed: int, runs: int) -> Page:
    """TD(λ) with accumulating traces against α."""
    best = {
        0.0: (0.8, 0.347), 0.4: (0.7, 0.271), 0.8: (0.36, 0.265), 0.9: (0.2, 0.289), 0.95: (0.12, 0.329),
        0.975: (0.06, 0.380), 0.99: (0.04, 0.434), 1.0: (0.012, 0.499),
    }  # fmt: skip
    return _by_alpha(seed, runs, "td-lambda", "λ", best, np.linspace(0, 1, 21))


def figure_12_8(seed: int, runs: int) -> Page:
    """True online TD(λ) against α."""
    best = {
        0.0: (0.8, 0.347), 0.4: (0.7, 0.271), 0.8: (0.4, 0.254), 0.9: (0.3, 0.275), 0.95: (0.2, 0.313),
        0.975: (0.16, 0.365), 0.99: (0.08, 0.415), 1.0: (0.02, 0.488),
    }  # fmt: skip
    return _by_alpha(seed, runs, "true-online-td", "λ", best, np.linspace(0, 1, 21))


def _baird(method: str, alpha: float, beta: float, reference: Mapping[str, Mapping[Any, float]], title: str) -> Page:
    """Expected updates on Baird's counterexample: √VE and √PBE of each step."""
    star = baird()
    process, d = chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))
    path = iterate(method, process, star.features, d, 0.99, star.weights, alpha, 1000, beta)
    found = [linear_errors(process, w, star.features, d, 0.99, np.zeros(7)) for w in path]
    curves = [
        Curve(f"√{key.upper()}", np.arange(1001), np.array([e[key] for e in found]), points)
        for key, points in reference.items()
    ]
    return Page(title, "sweeps", "error", curves, log=method == "td")


def figure_11_2(seed: int, runs: int) -> Page:
    """Semi-gradient DP diverges."""
    reference = {"ve": {0: 5.318, 100: 19.546, 1000: 581.36}, "pbe": {0: 8.221, 100: 10.66, 1000: 98.37}}
    return _baird("td", 0.01, 0.0, reference, "Figure 11.2 (right): semi-gradient DP on Baird's counterexample")


def figure_11_5(seed: int, runs: int) -> Page:
    """TDC converges in PBE, not in VE."""
    reference = {"ve": {0: 5.318, 100: 3.323, 1000: 1.9355}, "pbe": {0: 8.221, 100: 2.779, 1000: 0.0074}}
    return _baird("tdc", 0.005, 0.05, reference, "Figure 11.5 (right): expected TDC on Baird's counterexample")


def figure_11_6(seed: int, runs: int) -> Page:
    """Emphatic TD converges to the optimum."""
    reference = {"ve": {0: 5.318, 100: 0.9567, 200: 0.0204}, "pbe": {0: 8.221, 100: 2.188}}
    return _baird("etd", 0.03, 0.0, reference, "Figure 11.6: expected emphatic TD on Baird's counterexample")


FIGURES: dict[str, Callable[[int, int], Page]] = {
    "6.2": figure_6_2,
    "7.2": figure_7_2,
    "11.2": figure_11_2,
    "11.5": figure_11_5,
    "11.6": figure_11_6,
    "12.3": figure_12_3,
    "12.6": figure_12_6,
    "12.8": figure_12_8,
}
