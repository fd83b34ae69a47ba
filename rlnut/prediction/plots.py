"""The figure of a prediction: learned and true values of states, and how the error and the weights went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rlnut.prediction.grid_maps import draw_grid, grid_maps
from rlnut.prediction.result import Lattice, PredictionResult
from rlnut.runtime.plotting import (
    BLUE,
    GREY,
    ORANGE,
    caption,
    heading,
    legend_above,
    legend_beside,
    line_style,
    map_frame,
    new_figure,
    styled,
    whole_numbers,
)
from rlnut.truth.finite import Finite
from rlnut.truth.monte_carlo import MonteCarloTruth

Layout = list[list[Any]]  # names of axes, row by row (Any: matplotlib has a type of its own for them)
SHOWN_LABELS, LONGEST_LABEL = 20, 6  # so many states are named below the axis, if their names are that short
MANY_CURVES = 4  # from so many on the legend stands beside them
FAR = 20.0  # times the largest true value: a diverged curve that is drawn on a symmetric logarithmic scale


class PredictionWords(NamedTuple):
    """What a figure says besides the numbers of the result."""

    title: str  # method and problem
    facts: Sequence[str] = ()  # seed, runs, steps, γ, λ, α
    counts: str = "steps"  # what the points of the error's curve are counted in
    names: tuple[str, ...] = ()  # of the numbers of an observation
    cells: np.ndarray | None = None  # str [S] a letter for each cell of a grid: start, hole, goal


@styled()
def prediction_figure(found: PredictionResult, finite: Finite | None, words: PredictionWords) -> Figure:
    """Learned and true values: maps of a grid or of a 2-D box, a line over a chain, else one against the other.

    Below: the error while learning with its spread over runs, and the weights of the first run where they are few.
    """
    weights = found.path is not None and found.known is None and found.settings["features"] != "one-hot"
    if found.known is None and finite is not None and len(finite.shape) == 2:
        figure, axes = _grids(found, finite, words, weights)
    elif found.known is not None and found.picture is not None:
        figure, axes = _box(found.picture, found.values, found.known, words.names)
    else:
        figure, axes = _figure(9, 7.2, [["values"]], [2.0], weights)
        seen = None if found.known is None else found.known.obs
        if found.known is None:
            _over_states(axes["values"], found)
        elif isinstance(seen, np.ndarray) and seen.shape[1:] in ((), (1,)):
            _over_line(axes["values"], found.values, found.known, (*words.names, "observation")[0])
        else:
            _against(axes["values"], found.values, found.known)
    _error(axes["error"], found, words.counts)
    if weights:
        _weights(axes["weights"], found, words.counts)
    heading(figure, f"{words.title}: RMS error {found.rmse:.3g}{' (diverged)' if found.alarm else ''}")
    notes = [found.alarm[0].upper() + found.alarm[1:] + "."] if found.alarm else []
    if found.known is not None and found.known.bias:
        notes.append(f"Monte-Carlo returns were truncated; the remainder is at most ±{found.known.bias:.2g}.")
    caption(figure, *words.facts, notes=notes)
    return figure


def _figure(
    width: float, height: float, above: Layout, heights: list[float], weights: bool
) -> tuple[Figure, dict[str, Axes]]:
    """Rows of panels and, below them, the error and, if asked for, the weights: the axes by their names."""
    figure = new_figure(width, height)
    across = len(above[0])
    below: list[Any] = ["error"] * across
    if weights:
        above, below = [[name for name in row for _ in range(2)] for row in above], ["error", "weights"] * across
        below = sorted(below)
    return figure, dict(figure.subplot_mosaic([*above, below], height_ratios=[*heights, 1.0]))


def _grids(
    found: PredictionResult, finite: Finite, words: PredictionWords, weights: bool
) -> tuple[Figure, dict[str, Axes]]:
    """Three maps, side by side or one below the other for wide grids."""
    rows, columns = finite.shape[0], finite.shape[1]
    if columns > 1.5 * rows:
        size = 9.0, min(16.0, 4.4 + 3 * max(1.4, 7.5 * rows / columns))
        figure, axes = _figure(*size, [["a"], ["b"], ["c"]], [1.25] * 3, weights)
        cell = 7.0 / columns
    else:
        figure, axes = _figure(13, 7.4, [["a", "b", "c"]], [1.6], weights)
        cell = min(3.2 / columns, 4.2 / rows)
    maps = grid_maps(found, finite)
    letters = None if words.cells is None else words.cells.reshape(rows, columns)
    for name, one in zip("abc", maps, strict=True):
        draw_grid(axes[name], one, cell, letters, 2 if columns > 6 else 3)
        figure.colorbar(axes[name].images[0], ax=axes[name], shrink=0.8)
    return figure, axes


def _box(
    picture: Lattice, values: np.ndarray, known: MonteCarloTruth, names: tuple[str, ...]
) -> tuple[Figure, dict[str, Axes]]:
    """Learned V over what was seen of a box of two numbers, true values of some states as dots of the same colours;
    beside it the two against each other, with the intervals of the truth."""
    figure = new_figure(12.5, 7.4)
    layout: Layout = [["map", "both"], ["error", "error"]]
    axes = dict(figure.subplot_mosaic(layout, height_ratios=(2, 1), width_ratios=(3, 2)))
    scale = box_scale(picture.values, known.mean)
    axis = axes["map"]
    image = axis.pcolormesh(picture.x, picture.y, picture.values, norm=scale, cmap="viridis", shading="nearest")
    axis.scatter(
        known.obs[:, 0], known.obs[:, 1], s=60, label="truth (Monte Carlo)", c=known.mean, norm=scale, cmap="viridis",
        edgecolors="white",
    )  # fmt: skip
    x, y = names if len(names) == 2 else ("observation[0]", "observation[1]")
    axis.set(title="Learned value, and the truth of some states as dots", xlabel=x, ylabel=y)
    map_frame(axis)
    figure.colorbar(image, ax=axis, label="value")
    _against(axes["both"], values, known)
    return figure, axes


def box_scale(learned: np.ndarray, true: np.ndarray) -> Normalize:
    """One scale for a lattice of learned values, but for its most extreme hundredths, and for all true values."""
    inner = np.percentile(found, (1, 99)) if len(found := learned[np.isfinite(learned)]) else true
    low, high = min(inner.min(), true.min()), max(inner.max(), true.max())
    return Normalize(*((low, high) if low < high else (low - 1, high + 1)))


def _over_states(axis: Axes, found: PredictionResult) -> None:
    """Values of numbered states; of action values a curve for each action."""
    true, learned = found.truth, found.values
    states = np.arange(len(true))
    columns = list(zip(learned.reshape(len(true), -1).T, true.reshape(len(true), -1).T, strict=True))
    for i, (ours, truth) in enumerate(columns):
        marker = "." if len(true) <= 100 else None
        axis.plot(states, truth, color=GREY, lw=5, alpha=0.4, label="true" if i == 0 else None)
        name = "learned" if len(columns) == 1 else f"learned, action {i}"
        axis.plot(states, ours, lw=1.4, marker=marker, label=name, **line_style(i))
    axis.set(xlabel="state", ylabel="value" if len(columns) == 1 else "action value")
    axis.set_title("Learned and true values")
    whole_numbers(axis.xaxis)
    if 0 < len(found.labels) <= SHOWN_LABELS and max(map(len, found.labels)) <= LONGEST_LABEL:
        axis.set_xticks(states, found.labels)
    most = np.abs(true[np.isfinite(true)]).max(initial=1e-12)
    if found.alarm and np.abs(learned[np.isfinite(learned)]).max(initial=0) > FAR * most:
        axis.set_yscale("symlog", linthresh=float(max(most, 1.0)))
    if len(columns) > MANY_CURVES:
        legend_beside(axis)
    else:
        legend_above(axis, len(columns) + 1)


def _over_line(axis: Axes, values: np.ndarray, known: MonteCarloTruth, name: str) -> None:
    """States that are one number: value against state."""
    x = np.asarray(known.obs, float).reshape(-1)
    axis.errorbar(x, known.mean, yerr=known.ci95, fmt="o", color=GREY, label="Monte-Carlo truth (95 % interval)")
    axis.plot(x, values, "x", color=BLUE, label="learned")
    axis.set(xlabel=name, ylabel="value", title="Learned and true values")
    if np.array_equal(x, np.round(x)):
        whole_numbers(axis.xaxis)
    legend_above(axis)


def _against(axis: Axes, values: np.ndarray, known: MonteCarloTruth) -> None:
    """Learned value against the Monte-Carlo truth: on the diagonal they agree."""
    axis.errorbar(known.mean, values, xerr=known.ci95, fmt="o", color=BLUE, ecolor=GREY)
    both = np.concatenate([known.mean, values[np.isfinite(values)]])
    axis.plot([both.min(), both.max()], [both.min(), both.max()], color=GREY, lw=1)
    axis.set(xlabel="Monte-Carlo truth (95 % interval)", ylabel="learned value", title="On the line they agree")


def _error(axis: Axes, found: PredictionResult, counts: str) -> None:
    """The RMS error at each point of the curve, with its standard error over runs."""
    at, curve = np.array([row["step"] for row in found.log]), found.curve
    if not len(at):
        at = np.arange(1, len(curve) + 1)
    axis.plot(at, curve, color=BLUE, marker="." if len(curve) < 3 else None)
    if found.curve_se is not None and found.curve_se.any():
        axis.fill_between(at, curve - found.curve_se, curve + found.curve_se, color=BLUE, alpha=0.2, lw=0)
    if np.isfinite(curve).all() and curve.min() > 0 and curve.max() > 20 * curve.min():
        axis.set_yscale("log")
    spread = found.curve_se is not None and found.curve_se.any()
    axis.set(
        xlabel=counts, ylabel="RMS error", title="The error while learning" + (", ±1σ over runs" if spread else "")
    )
    whole_numbers(axis.xaxis)
    if found.alarm:
        axis.set_title("Diverged", color=ORANGE, fontweight="bold")


def _weights(axis: Axes, found: PredictionResult, counts: str) -> None:
    """The weights of the first run at each point of the curve."""
    assert found.path is not None
    at = [row["step"] for row in found.log]
    for i, weight in enumerate(found.path.T):
        axis.plot(at, weight, label=f"w{i + 1}", **line_style(i))
    axis.set(xlabel=counts, ylabel="weight", title="The weights (first run)")
    if found.alarm:
        axis.set_yscale("symlog")
    whole_numbers(axis.xaxis)
    legend_beside(axis)
