"""Pictures of predictions: learned and true values of states, and how the error fell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rlnut.plots import BLUE, GREY, ORANGE, save


def draw_values(path: Path, title: str, found: Any, shape: tuple[int, ...]) -> None:
    """Learned and true values: lines over the states of a chain, maps of a grid; below, the error while learning."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    learned, true = np.asarray(found.values), np.asarray(found.truth)
    if shape and learned.ndim == 1:
        grid = figure.subplot_mosaic([["learned", "true"], ["error", "error"]])
        low, high = np.nanmin(true), np.nanmax(true)
        for name, values in (("learned", learned), ("true", true)):
            image = grid[name].imshow(values.reshape(shape), vmin=low, vmax=high, cmap="viridis")
            grid[name].set_title(name)
        figure.colorbar(image, ax=[grid["learned"], grid["true"]], shrink=0.7)
        below = grid["error"]
    else:
        above, below = figure.subplots(2, 1)
        _over_states(above, learned, true)
    figure.suptitle(title)
    _error(below, found.curve)
    save(figure, path)


def _over_states(axis: Any, learned: np.ndarray, true: np.ndarray) -> None:
    states = np.arange(len(true))
    columns = zip(learned.reshape(len(true), -1).T, true.reshape(len(true), -1).T, strict=True)
    for i, (ours, truth) in enumerate(columns):
        marker = "." if len(true) <= 100 else None
        axis.plot(states, truth, color=GREY, lw=3, alpha=0.6, label="true" if i == 0 else None)
        axis.plot(states, ours, color=(BLUE, ORANGE)[i % 2], marker=marker, label="learned" if i == 0 else None)
    axis.set_xlabel("state")
    axis.set_ylabel("value")
    axis.legend(frameon=False)


def _error(axis: Any, curve: np.ndarray) -> None:
    axis.plot(np.arange(1, len(curve) + 1) / len(curve) * 100, curve, color=BLUE)
    if np.isfinite(curve).all() and curve.min() > 0 and curve.max() > 20 * curve.min():
        axis.set_yscale("log")
    axis.set_xlabel("experience, %")
    axis.set_ylabel("RMS error")


def draw_host(path: Path, title: str, found: Any) -> None:
    """Learned value against the Monte-Carlo truth with its interval: on the diagonal they agree; below, the error."""
    figure = Figure(figsize=(6, 8), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    known = found.truth
    above.errorbar(known.mean, found.values, xerr=known.ci95, fmt="o", color=BLUE, ecolor=GREY)
    ends = [min(known.mean.min(), found.values.min()), max(known.mean.max(), found.values.max())]
    above.plot(ends, ends, color=GREY, lw=1)
    above.set_xlabel("Monte-Carlo truth (95 % interval)")
    above.set_ylabel("learned value")
    above.set_title(title)
    _error(below, found.curve)
    save(figure, path)


def draw_page(path: Path, page: Any) -> None:
    """The panels of a `book.Page` side by side: curves, and their reference points as rings."""
    figure = Figure(figsize=(1 + 6.5 * len(page.panels), 5.5), layout="constrained")
    for axis, panel in zip(np.ravel(figure.subplots(1, len(page.panels))), page.panels, strict=True):
        _panel(axis, panel)
    figure.suptitle(page.title)
    save(figure, path)


def _panel(axis: Any, panel: Any) -> None:
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(panel.curves)))
    for curve, colour in zip(panel.curves, colours, strict=True):
        axis.plot(curve.x, curve.y, color=colour, label=curve.label)
        axis.plot(list(curve.reference), list(curve.reference.values()), "o", mfc="none", color=colour, ms=9)
    axis.plot([], [], "o", mfc="none", color=GREY, ms=9, label="reference")
    axis.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    if panel.top is not None:
        lowest = min(float(np.nanmin(curve.y)) for curve in panel.curves)
        axis.set_ylim(lowest - 0.02, panel.top)
    for name in panel.log:
        getattr(axis, f"set_{name}scale")("log")
    axis.legend(frameon=False, ncols=2)
