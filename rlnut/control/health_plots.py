"""How healthy the learning of a run was, drawn from its log: one panel for each kind of number that it has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.errors import UsageError
from rlnut.runtime.files import read_json
from rlnut.runtime.log import read_metrics
from rlnut.runtime.plotting import caption, heading, legend_above, line_style, panels, styled, whole_numbers


class HealthPanel(NamedTuple):
    """What one panel shows."""

    title: str
    label: str  # of the vertical axis
    columns: dict[str, str]  # of the log -> what its curve is called
    scale: str = "linear"
    low: float | None = None  # where the vertical axis begins
    reference: float | None = None  # a thin line


PANELS = (
    HealthPanel(
        "Bellman error", "|δ|", {"delta_max": "maximum", "delta_90": "90 %", "delta_median": "median"}, "log"
    ),
    HealthPanel("Distance to the target network", "mean |q − q⁻|", {"target_drift": ""}, low=0),
    HealthPanel(
        "Gradient and update, relative to the weights", "norm / ‖θ‖",
        {"gradient_share": "gradient", "update_share": "update"}, "log",
    ),
    HealthPanel("Hidden units that are never active", "share of units", {"dead_units": ""}, low=0),
    HealthPanel("Effective rank of the last hidden layer", "srank, δ = 0.01", {"feature_rank": ""}, low=0),
    HealthPanel("Norm of the weights", "‖θ‖", {"weight_norm": ""}, low=0),
    HealthPanel("Age of replayed transitions", "steps", {"replay_age": ""}, low=0),
    HealthPanel("Overestimation", "Q(s₀) − realised return", {"overestimation": ""}, reference=0),
)  # fmt: skip
NUMBERS = {name for panel in PANELS for name in panel.columns}


@styled()
def health_figure(folder: str | Path) -> Figure:
    """The health of a run, from its metrics.csv; UsageError for a folder whose log has no such numbers."""
    folder = Path(folder)
    rows = read_metrics(folder / "metrics.csv")
    column = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    there = {name for name in NUMBERS & column.keys() if np.isfinite(column[name]).any()}
    shown = [panel for panel in PANELS if there & panel.columns.keys()]
    if not shown:
        raise UsageError(
            f"{folder} has no numbers of value health: a run has them from its first evaluation after 1,000 updates on,"
            " and offline agents have none"
        )
    wide = 2 if len(shown) > 1 else 1
    figure, axes = panels(math.ceil(len(shown) / wide), wide, 4.6, 2.5)
    for axis, panel in zip(axes, shown, strict=False):
        _draw(axis, panel, column, there)
    for axis in axes[len(shown) :]:
        axis.remove()
    for axis in axes[max(0, len(shown) - wide) : len(shown)]:
        axis.set_xlabel("environment steps")
    config = read_json(folder / "config.json")
    name = config["env"]["id"] if config["env"] else "environment"
    heading(figure, f"Health of {config['agent']} on {name}")
    caption(figure, f"seed {config['seed']}", f"γ = {config['config']['gamma']:g}")
    return figure


def _draw(axis: Axes, panel: HealthPanel, column: dict[str, np.ndarray], there: set[str]) -> None:
    curves = [(name, label) for name, label in panel.columns.items() if name in there]
    for i, (name, label) in enumerate(curves):
        known = np.isfinite(column[name])
        axis.plot(column["step"][known], column[name][known], label=label, marker=".", **line_style(i))
    positive = any((column[name] > 0).any() for name, _ in curves)
    if panel.scale == "log" and positive:
        axis.set_yscale("log")
    if panel.low is not None:
        top = max(np.nanmax(column[name]) for name, _ in curves)
        axis.set_ylim(panel.low, panel.low + 1.08 * (top - panel.low) if top > panel.low else panel.low + 1)
    if panel.reference is not None:
        axis.axhline(panel.reference, color="0.5", linewidth=0.8)
    axis.set_title(panel.title)
    axis.set_ylabel(panel.label)
    whole_numbers(axis.xaxis)
    if len(curves) > 1:
        legend_above(axis, len(curves))
