"""The learning curve of a run folder: returns, values and errors against steps, with the truth where it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.control.run_folder import CONFIG, POLICY
from rlnut.control.run_records import checked_log
from rlnut.envs.make import shown_environment
from rlnut.envs.names import registration_of
from rlnut.errors import RlnutError
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import JsonObject, read_json
from rlnut.runtime.plotting import (
    AMBER,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    caption,
    heading,
    legend_above,
    new_figure,
    save_figure,
    styled,
    whole_numbers,
)

CURVE = "curve.png"
FEW = 60  # points of a line that are marked one by one; of others only those that no line reaches
THOUSANDS = 5000.0  # values from which an axis has whole numbers with commas
WIDE = 30.0  # largest over smallest from which an axis of positive numbers is logarithmic

Columns = Mapping[str, np.ndarray]  # of metrics.csv: name -> [rows], NaN where empty


class Line(NamedTuple):
    """A column of metrics.csv as it is drawn."""

    column: str
    label: str
    style: dict[str, Any]
    spread: str = ""  # the column with the standard deviation around it


class CurvePanel(NamedTuple):
    """One set of axes: left out where none of its lines has a number."""

    title: str
    unit: str  # of the y axis
    lines: tuple[Line, ...]
    height: float = 2.0
    positive: bool = False  # errors: logarithmic where they differ by much


PANELS = (
    CurvePanel(
        "Return",
        "return of an episode",
        (
            Line("return", "training episodes (exploring)", {"color": SKY, "lw": 1.2}),
            Line("exact_return", "exact return of the greedy policy", {"color": GREY, "lw": 4, "alpha": 0.6}),
            Line("eval_mean", "greedy evaluation ± 1 standard deviation", {"color": BLUE, "marker": "o"}, "eval_std"),
        ),
        3.2,
    ),
    CurvePanel(
        "Value of the start states",
        "discounted return",
        (
            Line("exact_value", "exact value of the greedy policy", {"color": GREY, "lw": 4, "alpha": 0.6}),
            Line("q_start", "learned max q(s₀, a)", {"color": PURPLE, "marker": "s"}),
            Line("return_discounted", "realised by greedy episodes", {"color": BLUE, "marker": "o"}),
        ),
    ),
    CurvePanel(
        "Distance from the truth",
        "error",
        (
            Line("regret", "regret of the greedy policy", {"color": BLUE, "marker": "o"}),
            Line("rmsve", "RMS error of the values", {"color": AMBER, "marker": "s", "linestyle": "--"}),
        ),
        positive=True,
    ),
    CurvePanel("Bellman error of an update", "mean |δ|", (Line("delta", "mean |δ|", {"color": ORANGE}),), 1.6, True),
    CurvePanel("Target of an update", "mean y", (Line("value", "mean y", {"color": GREEN}),), 1.6),
)


def learning_curve(folder: Path, path: Path | None = None) -> Path | None:
    """Draw the curve of a run folder into `path` (None: its curve.png); None if nothing was logged."""
    figure = curve_figure(folder)
    if figure is None:
        return None
    save_figure(figure, path := folder / CURVE if path is None else path, about="rlnut: learning curve of a run")
    return path


@styled()
def curve_figure(folder: Path) -> Figure | None:
    """Returns, values and errors against steps: a panel for each group of columns that metrics.csv has numbers of."""
    rows = checked_log(folder)
    if not rows:
        return None
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    shown = [panel for panel in PANELS if any(_has(columns, line.column) for line in panel.lines)]
    if not shown:
        return None
    config = read_json(folder / CONFIG)
    figure = new_figure(7.5, 0.9 + sum(panel.height for panel in shown))
    grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=[p.height for p in shown])[:, 0]
    for axis, panel in zip(grid, shown, strict=True):
        _draw_panel(axis, panel, columns)
    if shown[0] is PANELS[0]:
        _marks(grid[0], columns, config, folder)
    for axis in grid:
        if len(axis.get_legend_handles_labels()[1]) > 1 or axis is grid[0]:
            legend_above(axis)
    grid[-1].set_xlabel("iterations" if _offline(config) else "environment steps")
    whole_numbers(grid[-1].xaxis)
    agent, env = config.get("agent", "agent"), shown_environment(config.get("env"))
    heading(figure, f"{agent} on {env}")
    episodes = config.get("training", {}).get("eval_episodes")
    each = f"{episodes} greedy episode{'s' if episodes != 1 else ''} each" if _number(episodes) else ""
    caption(figure, *facts_of(config), each)
    return figure


def facts_of(config: JsonObject) -> list[str]:
    """What the numbers of a run depend on, for a caption: seed, γ, step size, the version that made it."""
    options = config.get("config", {})
    facts = [f"seed {config['seed']}"] if "seed" in config else []
    names = {"gamma": "γ", "lr": "α", "alpha": "α", "lam": "λ", "n_step": "n"}
    facts += [f"{symbol} = {options[name]:g}" for name, symbol in names.items() if _number(options.get(name))]
    return [*facts, f"trained with {config['rlnut']}"] if "rlnut" in config else facts


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _offline(config: JsonObject) -> bool:
    return "iterations" in config.get("config", {})


def _has(columns: Columns, name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())


def _draw_panel(axis: Axes, panel: CurvePanel, columns: Columns) -> None:
    found = [line for line in panel.lines if _has(columns, line.column)]
    for line in found:
        seen = np.isfinite(columns[line.column])
        x, y = columns["step"][seen], columns[line.column][seen]
        style = dict(line.style)
        marker = style.pop("marker", "o")  # a line that has but a point here and there is seen by its markers
        every = "marker" in line.style and len(x) <= FEW
        size = 4.5 if every or len(x) == 1 else 0
        axis.plot(x, y, label=line.label, marker=marker, markersize=size, **style)
        if line.spread and _has(columns, line.spread):
            spread = np.nan_to_num(columns[line.spread][seen])
            if len(x) == 1:
                axis.errorbar(x, y, yerr=spread, color=style["color"])
            else:
                axis.fill_between(x, y - spread, y + spread, color=style["color"], alpha=0.18, lw=0)
    axis.set(title=panel.title, ylabel=panel.unit)
    together = np.concatenate([columns[line.column][np.isfinite(columns[line.column])] for line in found])
    if panel.positive and together.min() > 0 and together.max() > WIDE * together.min():
        axis.set_yscale("log")
    elif float(np.abs(together).max()) >= THOUSANDS:
        whole_numbers(axis.yaxis)
    if columns["step"].min() == columns["step"].max():
        step = float(columns["step"][0])
        axis.set_xlim(step - max(1.0, 0.1 * step), step + max(1.0, 0.1 * step))


def _marks(axis: Axes, columns: Columns, config: JsonObject, folder: Path) -> None:
    """What the returns are measured by: the threshold of the environment, the goal of the run, the returned policy."""
    until = config.get("training", {}).get("until")
    if (threshold := threshold_of(config)) is not None:
        axis.axhline(threshold, color=BLACK, lw=1, ls="--", label=f"solved at {threshold:g}")
    if until is not None and until != threshold:
        axis.axhline(until, color=BLACK, lw=1, ls=":", label=f"stops at {until:g}")
    step = _returned_step(folder)
    if step is None:
        return
    label = f"returned policy ({'iteration' if _offline(config) else 'step'} {step:,})"
    means = columns.get("eval_mean", np.zeros(0))
    at = np.flatnonzero((columns["step"] == step) & np.isfinite(means)) if len(means) else np.zeros(0, int)
    if len(at):
        axis.plot([step], [means[at[-1]]], "*", color=ORANGE, ms=13, markeredgecolor="white", label=label, zorder=5)
    else:  # of a step that the log has no evaluation of
        axis.axvline(step, color=ORANGE, lw=1.2, ls="--", label=label)


def threshold_of(config: JsonObject) -> float | None:
    """The mean return from which Gymnasium counts the environment of a run as solved, if it says so."""
    try:
        env = config["env"]
        found = spec.reward_threshold if (spec := registration_of(env["id"])) else None  # nothing is imported for it
    except (KeyError, TypeError, AttributeError):
        return None
    return float(found) if found is not None and math.isfinite(found) else None


def _returned_step(folder: Path) -> int | None:
    """The step at which the policy in the folder was learned; None if that is not known."""
    try:
        found = read_arrays(folder / POLICY).meta.get("step")
    except RlnutError:
        return None
    return found if isinstance(found, int) else None
