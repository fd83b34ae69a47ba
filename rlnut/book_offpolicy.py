"""Baird's counterexample: S&B figures 11.2, 11.5 and 11.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlnut.agents.expected import iterate
from rlnut.book import Curve, Page, Panel
from rlnut.envs.counterexamples import baird
from rlnut.exact import chain, visits
from rlnut.fixed_points import linear_errors

TITLE = "Baird's counterexample"


def _expected(
    method: str, alpha: float, beta: float, reference: Mapping[str, Mapping[Any, float]], title: str, log: Any = ()
) -> Panel:
    """Expected updates: √VE and √PBE after each sweep."""
    star = baird()
    process, d = chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))
    path = iterate(method, process, star.features, d, 0.99, star.weights, alpha, 1000, beta)
    found = [linear_errors(process, w, star.features, d, 0.99, np.zeros(7)) for w in path]
    curves = [
        Curve(f"√{key.upper()}", np.arange(1001), np.array([e[key] for e in found]), points)
        for key, points in reference.items()
    ]
    return Panel(title, "sweeps", "error", curves, log=log)


def figure_11_2(seed: int, runs: int) -> Page:
    """Semi-gradient DP diverges."""
    reference = {"ve": {0: 5.318, 100: 19.546, 1000: 581.36}, "pbe": {0: 8.221, 100: 10.66, 1000: 98.37}}
    return Page(TITLE, [_expected("td", 0.01, 0.0, reference, "Figure 11.2 (right): semi-gradient DP", log="y")])


def figure_11_5(seed: int, runs: int) -> Page:
    """TDC converges in PBE, not in VE."""
    reference = {"ve": {0: 5.318, 100: 3.323, 1000: 1.9355}, "pbe": {0: 8.221, 100: 2.779, 1000: 0.0074}}
    return Page(TITLE, [_expected("tdc", 0.005, 0.05, reference, "Figure 11.5 (right): expected TDC")])


def figure_11_6(seed: int, runs: int) -> Page:
    """Emphatic TD converges to the optimum."""
    reference = {"ve": {0: 5.318, 100: 0.9567, 200: 0.0204}, "pbe": {0: 8.221, 100: 2.188}}
    return Page(TITLE, [_expected("etd", 0.03, 0.0, reference, "Figure 11.6: expected emphatic TD")])
