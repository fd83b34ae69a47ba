"""Baird's counterexample: S&B figures 11.2, 11.5 and 11.6, and the other gradient methods on it.

Expected updates are exact. Of updates from samples the median over runs is drawn: single runs of a method that diverges
have no mean worth the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import numpy as np

from rlnut.agents.td_expected import iterate
from rlnut.agents.td_rules import Expected
from rlnut.book.figures import Curve, Page, Panel, Points
from rlnut.book.runs import book_experience, learned_weights, median_and_error
from rlnut.envs.counterexamples import baird
from rlnut.errors import counted
from rlnut.truth.dynamic_programming import Chain, chain, visits
from rlnut.truth.finite import Finite
from rlnut.truth.fixed_points import linear_errors

TITLE = "Baird's counterexample"
ErrorPoints = Mapping[str, Points]  # of "ve" or "pbe"
NOTES = (
    "√VE is the root mean square error of the values, √PBE that of the projected Bellman equation, both weighted by",
    "the states that the behaviour visits. All true values are 0, and γ = 0.99.",
)


def _problem() -> tuple[Finite, Chain, np.ndarray]:
    star = baird()
    return star, chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))


def _weights(x: np.ndarray, w: np.ndarray, title: str, xlabel: str) -> Panel:
    """The eight weights [K, 8] in the course of learning, as the book draws them; equal ones are one curve."""
    same: list[list[int]] = []
    for i in range(w.shape[1]):
        place = next((group for group in same if np.allclose(w[:, i], w[:, group[0]], rtol=1e-6)), None)
        if place is None:
            same.append([i])
        else:
            place.append(i)
    curves = [Curve(" = ".join(f"w{i + 1}" for i in group), x, w[:, group[0]]) for group in same]
    return Panel(title, xlabel, "weight", curves)


def _expected(
    method: Expected, alpha: float, beta: float, reference: ErrorPoints, title: str, log: str = ""
) -> list[Panel]:
    """Expected updates: √VE and √PBE after each sweep; and the weights."""
    star, process, d = _problem()
    path = np.asarray(iterate(method, process, star.features, d, 0.99, star.weights, alpha, 1000, beta))
    found = [linear_errors(process, w, star.features, d, 0.99, np.zeros(7)) for w in path]
    curves = [
        Curve(f"√{key.upper()}", np.arange(1001), np.array([e[key] for e in found]), points)
        for key, points in reference.items()
    ]
    errors = Panel(title, "sweeps", "error of expected updates", curves, log=log)
    return [errors, _weights(np.arange(1001), path, f"The weights, {title[title.index(':') + 2 :]}", "sweeps")]


def projected_errors(process: Chain, w: np.ndarray, X: np.ndarray, d: np.ndarray, gamma: float) -> np.ndarray:
    """√PBE of many weights [..., dim]: `linear_errors` for each, at once. All d must be > 0."""
    delta = process.r + w @ (gamma * process.P @ X - X).T
    root = np.sqrt(d)
    basis = np.linalg.svd(X * root[:, None], full_matrices=False)
    onto = basis[0][:, basis[1] > basis[1].max() * 1e-12]
    return np.linalg.norm((delta * root) @ onto, axis=-1)


def _sampled(
    seed: int, runs: int, methods: Mapping[str, tuple[float, float, ErrorPoints]], title: str, log: str = ""
) -> list[Panel]:
    """1000 steps of the behaviour in each run: medians of √VE and √PBE after every tenth step; and weights of a run."""
    star, process, d = _problem()
    stream = book_experience(star, seed, runs, steps=1000)
    curves, weights = [], []
    for name, (alpha, beta, reference) in methods.items():
        w = learned_weights(stream, name, star.features, star.weights, alpha, 100, beta=beta, steps=1000).astype(
            np.float64
        )
        errors = {
            "ve": np.linalg.norm((w @ star.features.T) * np.sqrt(d), axis=-1),
            "pbe": projected_errors(process, w, star.features, d, 0.99),
        }
        for key, points in reference.items():
            middle, error = median_and_error(errors[key])
            label = f"√{key.upper()}" if len(methods) == 1 else f"{name} √{key.upper()}"
            curves.append(Curve(label, np.arange(10, 1001, 10), middle, points, error))
        weights.append(_weights(np.arange(10, 1001, 10), w[0], f"The weights of the first run, {name}", "steps"))
    return [Panel(title, "steps", f"error, median of {counted(runs, 'run')}", curves, log=log), *weights]


def figure_11_2(seed: int, runs: int) -> Page:
    """Semi-gradient off-policy TD (left) and DP (right) diverge."""
    sampled = {"td0": (0.01, 0.0, {"ve": {100: 19.8, 1000: 559}, "pbe": {100: 11.0, 1000: 98.6}})}
    exact = {"ve": {0: 5.318, 100: 19.546, 1000: 581.36}, "pbe": {0: 8.221, 100: 10.66, 1000: 98.37}}
    left = _sampled(seed, runs, sampled, "Figure 11.2 (left): semi-gradient off-policy TD", log="y")
    right = _expected("td", 0.01, 0.0, exact, "Figure 11.2 (right): semi-gradient DP", log="y")
    return _page("semi-gradient methods diverge", left, right, "α = 0.01")


def figure_11_5(seed: int, runs: int) -> Page:
    """TDC from samples (left) and in expectation (right) converges in PBE, not in VE."""
    sampled = {"tdc": (0.005, 0.05, {"ve": {100: 3.40, 1000: 1.937}, "pbe": {100: 2.78, 1000: 0.0725}})}
    exact = {"ve": {0: 5.318, 100: 3.323, 1000: 1.9355}, "pbe": {0: 8.221, 100: 2.779, 1000: 0.0074}}
    left = _sampled(seed, runs, sampled, "Figure 11.5 (left): TDC")
    right = _expected("tdc", 0.005, 0.05, exact, "Figure 11.5 (right): expected TDC")
    return _page("TDC brings √PBE to 0, and not √VE", left, right, "α = 0.005, β = 0.05")


def figure_11_6(seed: int, runs: int) -> Page:
    """Expected emphatic TD converges to the optimum."""
    reference = {"ve": {0: 5.318, 100: 0.9567, 200: 0.0204}, "pbe": {0: 8.221, 100: 2.188}}
    panels = _expected("etd", 0.03, 0.0, reference, "Figure 11.6: expected emphatic TD")
    return _page("expected emphatic TD finds the true values", panels, [], "α = 0.03")


def gradient_methods(seed: int, runs: int) -> Page:
    """TDC, GTD2 and residual gradient from samples: all stable, none reaches VE = 0 in this time."""
    methods = {
        "tdc": (0.005, 0.05, {"ve": {100: 3.40, 1000: 1.937}, "pbe": {100: 2.78, 1000: 0.0725}}),
        "gtd2": (0.005, 0.05, {"ve": {100: 3.15, 1000: 1.936}, "pbe": {100: 3.04, 1000: 0.0625}}),
        "residual-gradient": (0.005, 0.0, {"ve": {100: 2.95, 1000: 1.936}, "pbe": {100: 2.67, 1000: 0.066}}),
    }
    panels = _sampled(seed, runs, methods, "Gradient methods from samples", log="y")
    return _page("gradient methods are stable", panels[:1], panels[1:], "α = 0.005, β = 0.05")


def _page(what: str, left: list[Panel], right: list[Panel], steps: str) -> Page:
    """Errors above, weights below."""
    both = [panel for pair in zip_longest(left, right) for panel in pair if panel is not None]
    return Page(f"{TITLE}: {what}", both, [steps], NOTES)
