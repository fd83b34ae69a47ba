"""The learning curve of a run folder: returns, Bellman errors and values against steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.runtime.files import read_json
from rlnut.runtime.log import read_metrics
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, plain_frame, save_figure


def learning_curve(folder: Path, path: Path | None = None) -> Path | None:
    """Draw the curve of a run folder into `path` (None: its curve.png); None if nothing was logged."""
    rows = read_metrics(folder / "metrics.csv")
    if not rows:
        return None
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    config = read_json(folder / "config.json")
    name = config["env"]["id"] if config["env"] else "environment"
    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _line(above, column["step"], column["return"], GREY, "training episodes (with ε)")
    _line(above, column["step"], column["eval_mean"], BLUE, "greedy evaluation", marker="o")
    above.set_ylabel("return of an episode")
    above.set_title(f"{config['agent']} on {name}, seed {config['seed']}")
    above.legend(frameon=False)
    _line(below, column["step"], column["delta"], ORANGE, "mean |δ|")
    below.set_ylabel("Bellman error |δ|")
    below.set_xlabel("environment steps")
    value = below.twinx()
    _line(value, column["step"], column["value"], GREEN, "mean target y")
    value.set_ylabel("target y")
    lines = [*below.get_lines(), *value.get_lines()]
    # above the panel: inside it would hide one of the two lines somewhere
    below.legend(
        lines, [line.get_label() for line in lines], loc="lower left", bbox_to_anchor=(0, 1), ncol=2, frameon=False
    )
    plain_frame(above, below)
    path = folder / "curve.png" if path is None else path
    save_figure(figure, path)
    return path


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, label: str, marker: str | None = None) -> None:
    seen = np.isfinite(y)
    axes.plot(x[seen], y[seen], color=color, label=label, marker=marker, markersize=4)
