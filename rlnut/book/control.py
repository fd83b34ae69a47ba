"""Control: S&B figures 6.3 to 6.5 and example 6.5 (tables), 10.3, 10.4, 12.10 and 12.11 (Mountain Car, tile coding).

Everywhere greedy actions that tie share the probability evenly: on the cliff that, not the order of the actions, makes
Q-learning's on-line return −50. Mountain Car is cut after 5000 steps and coded by 8 tilings of 8 × 8 tiles in the
way of the book's software: tile borders begin at 0, and tilings are displaced by (1, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rlnut.agents.action_values import linear_values
from rlnut.agents.online import OnlineRule
from rlnut.book.control_runs import ControlTask, learn_many
from rlnut.book.figures import Curve, Page, Panel, Points
from rlnut.envs.classic_control import MountainCar
from rlnut.envs.counterexamples import maximisation_bias
from rlnut.envs.gridworlds import cliff, windy_gridworld
from rlnut.envs.tabular import TabularFunc
from rlnut.features.maps import one_hot
from rlnut.features.tiles import tile_coding
from rlnut.learner.traces import TraceKind
from rlnut.truth.finite import Finite

MEMBERS = {
    "SARSA": OnlineRule("sampled"),
    "Q-learning": OnlineRule("max"),
    "expected SARSA": OnlineRule("behaviour"),
    "double Q-learning": OnlineRule("max", double=True),
}

MOUNTAIN_CAR = ["ε = 0", "γ = 1", "8 tilings"]  # for the caption
ReferenceRows = Mapping[str, tuple[float, ...]]


def table_task(finite: Finite) -> ControlTask:
    """A finite problem with a table, ε = 0.1, γ = 1."""
    states, actions = finite.mdp.states, finite.mdp.actions
    return ControlTask(TabularFunc(finite), linear_values(one_hot(states), actions, kind="table"), 0.1)


def mountain_car() -> ControlTask:
    """Mountain Car with 8 tilings, greedy. w₀ = 0 is optimistic: every step costs 1."""
    width, reach = 1.7 / 8, 0.14 / 8  # of a tile; the box begins 6 tiles below 0, where the hill's left end is inside
    low, high = (-6 * width, -4 * reach), (3 * width, 4 * reach)
    return ControlTask(MountainCar(), linear_values(tile_coding(low, high, 8, (9, 8), (1, 3)), 3, 8), 0.0, limit=5000)


def curve(label: str, x: ArrayLike, runs: np.ndarray, reference: Points | None = None) -> Curve:
    """Mean and standard error over the first axis of [runs, points]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        se = runs.std(0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.zeros(runs.shape[1])
    return Curve(label, np.asarray(x), runs.mean(0), reference or {}, se)


def parts(found: np.ndarray, *ends: tuple[int, int]) -> np.ndarray:
    """Means over parts of each run, episodes counted from 1, ends included: [runs, episodes] -> [runs, parts]."""
    return np.stack([found[:, a - 1 : b].mean(1) for a, b in ends], 1)


def figure_6_4(seed: int, runs: int) -> Page:
    """The cliff, example 6.6: α = 0.5, 500 episodes; the mean of each part of the run, and the learning curve."""
    table = {
        "SARSA": (-71.0, -27.9, -27.2), "Q-learning": (-80.3, -50.0, -50.3), "expected SARSA": (-56.1, -21.0, -20.7),
        "double Q-learning": (-105.5, -26.5, -24.7),
    }  # fmt: skip
    task, curves, means = table_task(cliff()), [], []
    for name, rule in MEMBERS.items():
        found = learn_many(task, rule, seed, runs, 500, alpha=0.5).returns
        tens = found.reshape(runs, 50, 10).mean(2)
        curves.append(curve(name, np.arange(5.5, 500, 10), tens))
        known = dict(zip((1, 2, 3), table[name], strict=True))
        means.append(curve(name, [1, 2, 3], parts(found, (1, 100), (101, 500), (401, 500)), known))
    learning = Panel("Example 6.6", "episodes", "reward per episode, mean of ten", curves)
    ticks = {1: "1–100", 2: "101–500", 3: "401–500"}
    summary = Panel("Means of parts of the run", "episodes", "reward per episode", means, ticks=ticks)
    return Page("The cliff: four ways to learn", [learning, summary], ["α = 0.5", "ε = 0.1", "γ = 1"])


def figure_6_3(seed: int, runs: int, grid: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)) -> Page:
    """The cliff against α: interim (100 episodes) and long-run (1000) performance."""
    interim: ReferenceRows = {
        "SARSA": (-139, -70.3, -72.5),
        "Q-learning": (-149, -80.5, -74.8),
        "expected SARSA": (-134, -55.9, -44.3),
    }
    long: ReferenceRows = {
        "SARSA": (-36.7, -31.5, -149),
        "Q-learning": (-59.5, -52.9, -53.1),
        "expected SARSA": (-35.3, -24.4, -23.1),
    }
    task = table_task(cliff())
    first: list[Curve] = []
    whole: list[Curve] = []
    for name in interim:
        found = learn_many(task, MEMBERS[name], seed, runs, 1000, alpha=grid).returns
        for curves, table, count in ((first, interim, 100), (whole, long, 1000)):
            known = dict(zip((0.1, 0.5, 1.0), table[name], strict=True))
            curves.append(curve(name, grid, found[..., :count].mean(-1).T, known))
    panels = [
        Panel("First 100 episodes", "α", "mean reward per episode", first),
        Panel("First 1000 episodes", "α", "mean reward per episode", whole),
    ]
    return Page("The cliff: the reward against the step size", panels, ["ε = 0.1", "γ = 1"])


def figure_6_5(seed: int, runs: int) -> Page:
    """Maximisation bias: how often the action that leads to ten (a hundred) bad gambles is taken."""
    table: dict[int, dict[str, dict[int, float]]] = {
        10: {
            "Q-learning": {1: 51, 10: 87, 50: 83, 100: 46, 200: 15, 300: 11},
            "double Q-learning": {1: 50, 10: 45, 50: 14, 100: 9.1, 200: 7.4, 300: 7.1},
        },
        100: {"Q-learning": {300: 95}, "double Q-learning": {}},
    }
    panels = []
    for actions, methods in table.items():
        task, curves = table_task(maximisation_bias(actions)), []
        for name, known in methods.items():
            left = 100.0 * (learn_many(task, MEMBERS[name], seed, runs, 300, alpha=0.1).lengths == 2)
            curves.append(curve(name, np.arange(1, 301), left, known))
        curves.append(Curve("optimal (ε/2)", np.array([1, 300]), np.array([5.0, 5.0])))
        panels.append(Panel(f"{actions} actions", "episodes", "% left from A", curves))
    title = "Maximisation bias: Q-learning prefers gambles that lose, double Q-learning less"
    return Page(title, panels, ["α = 0.1", "ε = 0.1", "γ = 1"])


def example_6_5(seed: int, runs: int) -> Page:
    """Windy gridworld: episodes done by each time step, and steps per episode in the end."""
    done = {"SARSA": 160, "Q-learning": 208, "expected SARSA": 198}
    last = {"SARSA": 20.4, "Q-learning": 17.20, "expected SARSA": 17.33}
    task, times, counts, ends = table_task(windy_gridworld()), np.arange(0, 8001, 100), [], []
    for name in done:
        found = learn_many(task, MEMBERS[name], seed, runs, 500, alpha=0.5).lengths
        after = np.stack([(np.cumsum(run) <= times[:, None]).sum(1) for run in found])
        counts.append(curve(name, times, after.astype(float), {8000: done[name]}))
        ends.append(curve(name, [500], parts(found.astype(float), (401, 500)), {500: last[name]}))
    panels = [
        Panel("Example 6.5", "time steps", "episodes done", counts),
        Panel("The end of the run", "episodes", "steps per episode", ends, ticks={500: "401–500"}),
    ]
    return Page("Windy gridworld: three ways to learn", panels, ["α = 0.5", "ε = 0.1", "γ = 1"])


def figure_10_3(seed: int, runs: int) -> Page:
    """Mountain Car: one-step SARSA (figure 10.2) and 8-step SARSA, steps per episode."""
    table: dict[tuple[int, float], tuple[float, ...]] = {
        (1, 0.1): (3466, 659, 267, 202, 138, 567, 137.2),
        (1, 0.2): (2550, 444, 209, 172, 124, 406, 127.3),
        (1, 0.5): (1595, 314, 164, 137, 117, 283, 117.9),
        (8, 0.3): (1303, 259, 139, 121, 109, 242, 110.5),
    }
    task, curves, means = mountain_car(), [], []
    for (n, alpha), known in table.items():
        found = learn_many(task, OnlineRule("sampled", n=n), seed, runs, 500, alpha=alpha).lengths.astype(float)
        label = f"n={n} α={alpha}/8"
        at = dict(zip((1, 10, 50, 100, 500), known, strict=False))
        curves.append(curve(label, np.arange(1, 501), found, at))
        means.append(curve(label, [1, 2], parts(found, (1, 50), (401, 500)), {1: known[5], 2: known[6]}))
    learning = Panel("Figures 10.2, 10.3", "episodes", "steps per episode", curves, log=["y"])
    ticks = {1: "1–50", 2: "401–500"}
    summary = Panel("Means of parts of the run", "episodes", "steps per episode", means, ticks=ticks)
    return Page("Mountain Car: one-step and 8-step SARSA", [learning, summary], MOUNTAIN_CAR)


Parameter = TypeVar("Parameter", bound=float | str)  # what a curve is drawn for: n, λ, a kind of trace


def _by_alpha(
    title: str,
    what: str,
    table: Mapping[Parameter, Mapping[float, float]],  # of each curve: α -> reference
    rule: Callable[[Parameter], OnlineRule],
    seed: int,
    runs: int,
    episodes: int,
    top: float,
    **numbers: Callable[[Parameter], float],
) -> Page:
    """Mountain Car: mean steps of the first episodes against α, a curve for each entry of the table."""
    task, curves = mountain_car(), []
    for key, known in table.items():
        alphas = list(known)
        given = {name: value(key) for name, value in numbers.items()}
        found = learn_many(task, rule(key), seed, runs, episodes, alpha=alphas, **given).lengths.mean(-1)
        curves.append(curve(f"{what}{key}", alphas, found.T, {a: y for a, y in known.items() if np.isfinite(y)}))
    return Page(title, [Panel(f"First {episodes} episodes", "α × 8", "steps per episode", curves, top)], MOUNTAIN_CAR)


def figure_10_4(seed: int, runs: int) -> Page:
    """Mountain Car: n-step SARSA against α."""
    grid = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    rows = {
        1: (368, 283, 252, 237, 229, 230), 2: (315, 250, 233, 227, 228, 235), 4: (266, 228, 221, 224, 236, 278),
        8: (243, 226, 235, 288), 16: (249, 256, 294),
    }  # fmt: skip
    table = {n: dict(zip(grid, row, strict=False)) for n, row in rows.items()}
    return _by_alpha(
        "Mountain Car, n-step SARSA", "n=", table, lambda n: OnlineRule("sampled", n=n), seed, runs, 50, 300
    )


def figure_12_10(seed: int, runs: int) -> Page:
    """Mountain Car: SARSA(λ) with replacing traces against α."""
    grid = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    rows = {
        0.0: (369, 283, 252, 236, 229, 230, 236), 0.5: (349, 264, 233, 217, 212, 213, 216),
        0.9: (269, 213, 197, 189, 184, 188, 197), 0.95: (236, 197, 187, 179, 178, 179, 194),
        0.99: (222, 206, 202, 196, 199, 216, 711),
    }  # fmt: skip
    table = {lam: dict(zip(grid, row, strict=True)) for lam, row in rows.items()}
    rule = OnlineRule("sampled", cut="none", trace="replacing")
    return _by_alpha("Mountain Car, SARSA(λ)", "λ=", table, lambda _: rule, seed, runs, 50, 300, lam=lambda lam: lam)


def figure_12_11(seed: int, runs: int) -> Page:
    """Mountain Car: four kinds of trace against α, λ = 0.9."""
    unknown = float("nan")
    table: dict[TraceKind, dict[float, float]] = {
        "dutch": {0.4: unknown, 0.8: unknown, 1.2: unknown, 1.4: 255, 1.6: 255},
        "replacing": {0.4: unknown, 0.8: unknown, 1.2: unknown, 1.4: 261, 1.6: unknown},
        "clearing": {0.4: unknown, 0.8: unknown, 1.2: unknown, 1.4: unknown, 1.6: 298},
        "accumulating": {0.2: unknown, 0.3: unknown, 0.4: 333, 0.5: unknown},
    }
    return _by_alpha(
        "Mountain Car, kinds of trace", "", table, lambda kind: OnlineRule("sampled", cut="none", trace=kind), seed,
        runs, 20, 550, lam=lambda _: 0.9,
    )  # fmt: skip
