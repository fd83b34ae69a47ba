"""Pictures of predictions: learned and true values of states, and how the error fell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, save_figure


def draw_prediction(path: Path, title: str, found: Any, shape: tuple[int, ...]) -> None:
    """Learned and true values of a `prediction.Answer`: a line over a chain, maps of a grid or of a 2-D box, else one
    against the other; below, the error while learning."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    known = found.known
    if known is None and len(shape) == 2 and found.truth.ndim == 1:
        below = _grids(figure, {"learned": found.values, "true": found.truth}, shape)
    elif found.picture is not None:
        below = _box(figure, found)
    else:
        above, below = figure.subplots(2, 1, height_ratios=(2, 1))
        if known is None:
            _over_states(above, found.values, found.truth)
        elif known.obs.ndim == 1 or known.obs.shape[1:] == (1,):
            _over_line(above, found)
        else:
            _against(above, found)
    figure.suptitle(title)
    _error(below, found.curve)
    save_figure(figure, path)


def _grids(figure: Figure, maps: dict[str, np.ndarray], shape: tuple[int, ...]) -> Any:
    """Maps of one scale side by side; returns the axes below."""
    grid = figure.subplot_mosaic([list(maps), ["error"] * len(maps)])
    true = maps["true"]
    low, high = np.nanmin(true), np.nanmax(true)
    for name, values in maps.items():
        image = grid[name].imshow(values.reshape(shape), vmin=low, vmax=high, cmap="viridis")
        grid[name].set(title=name, xlabel="column", ylabel="row")
        for side in (grid[name].xaxis, grid[name].yaxis):
            side.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, ax=[grid[name] for name in maps], shrink=0.8, label="value")
    return grid["error"]


def _box(figure: Figure, found: Any) -> Any:
    """Learned V over what was seen of a box of two numbers; true values of some states as dots of the same colours."""
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    picture, known = found.picture, found.known
    learned = picture["values"]
    both = np.concatenate([learned[np.isfinite(learned)], known.mean])
    low, high = np.nanpercentile(both, 1), np.nanpercentile(both, 99)
    if not low < high:
        low, high = low - 1, high + 1
    image = above.pcolormesh(
        picture["x"], picture["y"], learned, vmin=low, vmax=high, cmap="viridis", shading="nearest"
    )
    dots = {"c": known.mean, "vmin": low, "vmax": high, "cmap": "viridis", "edgecolors": "white"}
    above.scatter(known.obs[:, 0], known.obs[:, 1], s=60, label="Monte-Carlo truth", **dots)
    above.set(title="learned value", xlabel="observation[0]", ylabel="observation[1]")
    above.legend(frameon=True, loc="upper right")
    figure.colorbar(image, ax=above, label="value")
    return below


def _over_states(axis: Any, learned: np.ndarray, true: np.ndarray) -> None:
    states = np.arange(len(true))
    columns = list(zip(learned.reshape(len(true), -1).T, true.reshape(len(true), -1).T, strict=True))
    colours = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
    for i, (ours, truth) in enumerate(columns):
        marker = "." if len(true) <= 100 else None
        axis.plot(states, truth, color=GREY, lw=4, alpha=0.5, label="true" if i == 0 else None)
        name = "learned" if len(columns) == 1 else f"learned, action {i}"
        axis.plot(states, ours, color=colours[i % len(colours)], lw=1.2, marker=marker, label=name if i < 6 else None)
    axis.set(xlabel="state", ylabel="value" if len(columns) == 1 else "action value")
    axis.legend(frameon=False)


def _over_line(axis: Any, found: Any) -> None:
    """States that are one number: value against state."""
    known, x = found.known, np.asarray(found.known.obs, float).reshape(-1)
    axis.errorbar(x, known.mean, yerr=known.ci95, fmt="o", color=GREY, label="Monte-Carlo truth (95 % interval)")
    axis.plot(x, found.values, "x", color=BLUE, label="learned")
    axis.set(xlabel="observation", ylabel="value")
    axis.legend(frameon=False)


def _against(axis: Any, found: Any) -> None:
    """Learned value against the Monte-Carlo truth: on the diagonal they agree."""
    known = found.known
    axis.errorbar(known.mean, found.values, xerr=known.ci95, fmt="o", color=BLUE, ecolor=GREY)
    both = np.concatenate([known.mean, found.values[np.isfinite(found.values)]])
    axis.plot([both.min(), both.max()], [both.min(), both.max()], color=GREY, lw=1)
    axis.set(xlabel="Monte-Carlo truth (95 % interval)", ylabel="learned value")


def _error(axis: Any, curve: np.ndarray) -> None:
    axis.plot(np.arange(1, len(curve) + 1) / len(curve) * 100, curve, color=BLUE)
    if np.isfinite(curve).all() and curve.min() > 0 and curve.max() > 20 * curve.min():
        axis.set_yscale("log")
    axis.set(xlabel="experience, %", ylabel="RMS error")
