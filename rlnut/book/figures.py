"""Figures of Sutton & Barto (2018), drawn again by running them, with the reference values that they must meet.

A page has panels, a panel has curves. Here are the types and the list; a file for each part of the book makes pages:
functions `(seed, runs) -> Page` named in `FIGURES`. Importing this is cheap.

Reference values come from exact dynamic programming, or from re-runs of the book's experiments with many more runs that
agree with the printed figures. Experiments with chance are held to three standard errors of both, or to 3 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlnut.errors import counted

if TYPE_CHECKING:
    import numpy as np

Points = Mapping[int, float] | Mapping[float, float]  # x -> y; a mapping's keys are of one type
NOWHERE: Points = {}


class Curve(NamedTuple):
    """One line of a panel and the points that it should pass through."""

    label: str
    x: np.ndarray
    y: np.ndarray
    reference: Points = NOWHERE
    se: np.ndarray | None = None  # standard error of each y over runs; None: nothing is left to chance

    def at(self, x: float) -> int:
        """The index of the point nearest to x."""
        return min(range(len(self.x)), key=lambda i: abs(float(self.x[i]) - x))


class Panel(NamedTuple):
    """One pair of axes."""

    title: str
    xlabel: str
    ylabel: str
    curves: Sequence[Curve]
    top: float | None = None  # upper limit of the y axis, as in the book
    log: Sequence[str] = ()  # which axes are logarithmic: "x", "y"
    ticks: Mapping[int, str] | None = None  # names of places on the x axis, where it has no numbers


class Page(NamedTuple):
    """What is drawn: panels side by side."""

    title: str
    panels: Sequence[Panel]
    facts: Sequence[str] = ()  # what the numbers depend on, for the caption: seed, runs
    notes: Sequence[str] = ()  # what is drawn, a sentence each


class Figure(NamedTuple):
    """Where a page is made, what it shows, and the runs behind each point unless the user says otherwise."""

    source: str  # "module:function", called with (seed, runs)
    title: str
    runs: int = 100


WALKS, LINEAR, OFF = "rlnut.book.walks", "rlnut.book.linear", "rlnut.book.offpolicy"
CONTROL = "rlnut.book.control"

FIGURES: dict[str, Figure] = {
    "6.2": Figure(f"{WALKS}:figure_6_2", "TD(0), constant-α MC and batch training on a walk of 5 states"),
    "6.3": Figure(f"{CONTROL}:figure_6_3", "the cliff against α: SARSA, Q-learning, expected SARSA", 20),
    "6.4": Figure(f"{CONTROL}:figure_6_4", "the cliff: four ways to learn", 200),
    "6.5": Figure(f"{CONTROL}:figure_6_5", "maximisation bias", 2000),
    "example-6.5": Figure(f"{CONTROL}:example_6_5", "windy gridworld", 100),
    "7.2": Figure(f"{WALKS}:figure_7_2", "n-step TD on a walk of 19 states"),
    "9.1": Figure(f"{LINEAR}:figure_9_1", "gradient MC with 10 groups on a walk of 1000 states", 2),
    "9.2": Figure(f"{LINEAR}:figure_9_2", "TD(0) and n-step TD with groups on a walk of 1000 states"),
    "9.5": Figure(f"{LINEAR}:figure_9_5", "Fourier basis against polynomials on a walk of 1000 states", 30),
    "9.10": Figure(f"{LINEAR}:figure_9_10", "tile coding against one aggregation on a walk of 1000 states", 30),
    "10.3": Figure(f"{CONTROL}:figure_10_3", "one-step and 8-step SARSA on Mountain Car", 30),
    "10.4": Figure(f"{CONTROL}:figure_10_4", "n-step SARSA on Mountain Car, against α", 30),
    "11.2": Figure(f"{OFF}:figure_11_2", "semi-gradient methods on Baird's counterexample", 1000),
    "11.5": Figure(f"{OFF}:figure_11_5", "TDC on Baird's counterexample", 1000),
    "11.6": Figure(f"{OFF}:figure_11_6", "emphatic TD on Baird's counterexample", 1),
    "12.3": Figure(f"{WALKS}:figure_12_3", "the off-line λ-return on a walk of 19 states"),
    "12.6": Figure(f"{WALKS}:figure_12_6", "TD(λ) with accumulating traces on a walk of 19 states"),
    "12.8": Figure(f"{WALKS}:figure_12_8", "true online TD(λ) on a walk of 19 states"),
    "12.10": Figure(f"{CONTROL}:figure_12_10", "SARSA(λ) on Mountain Car, against α", 30),
    "12.11": Figure(f"{CONTROL}:figure_12_11", "kinds of trace on Mountain Car, against α", 30),
    "replacing": Figure(f"{WALKS}:replacing", "TD(λ) with replacing traces on a walk of 19 states"),
    "boyan": Figure(f"{LINEAR}:boyan", "LSTD and TD on Boyan's chain", 200),
    "baird": Figure(f"{OFF}:gradient_methods", "TDC, GTD2 and residual gradient on Baird's counterexample", 1000),
}


def make_page(name: str, seed: int = 0, runs: int | None = None) -> Page:
    """Run figure `name` of FIGURES; `runs` None: as many as it usually takes."""
    from importlib import import_module

    module, _, function = FIGURES[name].source.partition(":")
    runs = runs or FIGURES[name].runs
    page: Page = getattr(import_module(module), function)(seed, runs)
    return page._replace(facts=[f"seed {seed}", counted(runs, "run"), *page.facts])
