"""Pictures of predictions: learned and true values of states, and how the error fell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlnut.prediction.result import Lattice, PredictionResult
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, save_figure
from rlnut.truth.dynamic_programming import occupied
from rlnut.truth.finite import Finite
from rlnut.truth.monte_carlo import MonteCarloTruth
from rlnut.truth.transition_matrices import is_sparse

ARROWS = {(-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→"}  # (row, column)
SMALLEST_TEXT, LARGEST_TEXT = 4.0, 10.0  # points; numbers that would be smaller are left out


def draw_prediction(path: Path, title: str, found: PredictionResult, finite: Finite | None) -> None:
    """Learned and true values: maps of a grid or of a 2-D box, a line over a chain, else one against the other; below,
    the error while learning."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    if found.known is None and finite is not None and len(finite.shape) == 2:
        below = _grids(figure, found, finite)
    elif found.known is not None and found.picture is not None:
        below = _box(figure, found.picture, found.values, found.known)
    else:
        above, below = figure.subplots(2, 1, height_ratios=(2, 1))
        if found.known is None:
            _over_states(above, found.values, found.truth)
        elif isinstance(seen := found.known.obs, np.ndarray) and seen.shape[1:] in ((), (1,)):
            _over_line(above, found.values, found.known)
        else:
            _against(above, found.values, found.known)
    figure.suptitle(title)
    _error(below, found.curve)
    save_figure(figure, path)


class GridMap(NamedTuple):
    """One map of a grid: values and what is written beside the number of each cell."""

    title: str
    values: np.ndarray  # [rows, columns]
    marks: np.ndarray  # str [rows, columns]
    colours: Colormap
    scale: Normalize


def grid_maps(found: PredictionResult, finite: Finite) -> list[GridMap]:
    """Learned and true values on one scale that holds both, and their difference on a scale around 0.

    Action values show the best of each state and the action that has it. A deterministic policy is drawn in all maps.
    """
    shape = (finite.shape[0], finite.shape[1])
    learned, true, name = found.values, found.truth, "value"
    none = np.full(shape, "")
    marks = [none, none, none]
    if true.ndim == 2:
        letters = action_letters(finite)
        marks = [_best(values, letters).reshape(shape) for values in (learned, true)] + [none]
        learned, true, name = learned.max(1), true.max(1), "best action value"
    elif found.policy is not None and (found.policy.max(1) == 1).all():
        chosen = np.array(action_letters(finite))[found.policy.argmax(1)]
        marks = [np.where(occupied(finite.mdp, found.policy), chosen, "").reshape(shape)] * 3
    both = np.concatenate([learned[np.isfinite(learned)], true[np.isfinite(true)]])
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 0.0)
    common = Normalize(*((low, high) if low < high else (low - 0.5, high + 0.5)))
    wrong = learned - true
    wrong[np.abs(wrong) < 1e-9 * max(abs(low), abs(high))] = 0  # rounding
    largest = float(np.abs(wrong[np.isfinite(wrong)]).max(initial=0)) or 1.0
    around = TwoSlopeNorm(0, -largest, largest)
    viridis, blues = colormaps["viridis"], colormaps["RdBu_r"]
    return [
        GridMap(f"learned {name}", learned.reshape(shape), marks[0], viridis, common),
        GridMap(f"true {name}", true.reshape(shape), marks[1], viridis, common),
        GridMap("learned − true", wrong.reshape(shape), marks[2], blues, around),
    ]


def _best(q: np.ndarray, letters: list[str]) -> np.ndarray:
    """The letters of the greedy actions of q [S, A]; none where all actions are equal or unknown."""
    told = np.isfinite(q).all(1) & (np.ptp(q, 1) > 0)
    return np.array([letters[a] if here else "" for a, here in zip(np.nan_to_num(q).argmax(1), told, strict=True)])


def action_letters(finite: Finite) -> list[str]:
    """An arrow for each action that moves one way on the grid in most states; their numbers if some do not."""
    S, A = finite.mdp.states, finite.mdp.actions
    place = np.stack(np.unravel_index(np.arange(S), finite.shape), 1).astype(float)  # [S, 2]
    P = finite.mdp.P if is_sparse(finite.mdp.P) else finite.mdp.P.reshape(S * A, S)
    moved = (P @ place).reshape(S, A, 2) - place[:, None]
    ways = np.array(list(ARROWS), float)
    found = []
    for step in np.moveaxis(moved, 1, 0):
        size = np.abs(step)
        clear = size.max(1) > 1e-6 + 1.5 * size.min(1)
        counts = np.bincount((step[clear] @ ways.T).argmax(1), minlength=len(ways))
        found.append(list(ARROWS.values())[counts.argmax()] if 2 * counts.max() > counts.sum() else "")
    return found if len(set(found) - {""}) == A else [str(a) for a in range(A)]


def _grids(figure: Figure, found: PredictionResult, finite: Finite) -> Axes:
    """Three maps, side by side or one below the other for wide grids; returns the axes below."""
    rows, columns = finite.shape[0], finite.shape[1]
    maps = grid_maps(found, finite)
    if columns > 1.5 * rows:
        figure.set_size_inches(9, min(16.0, 4 + 3 * max(1.4, 7.5 * rows / columns)))
        layout, heights, cell = "a;b;c;e", [1.0, 1.0, 1.0, 0.8], 7.0 / columns
    else:
        figure.set_size_inches(13, 7)
        layout, heights, cell = "abc;eee", [1.6, 1.0], min(3.2 / columns, 4.2 / rows)
    grid = figure.subplot_mosaic(layout, height_ratios=heights)
    words = [cell_words(one.values, 2 if columns > 6 else 3) for one in maps]
    size = cell * 72 / (0.75 * max(3, *(len(word) for told in words for word in told.ravel())))
    for name, one, told in zip("abc", maps, words, strict=True):
        _grid(grid[name], one, told, size)
        figure.colorbar(grid[name].images[0], ax=grid[name], shrink=0.8)
    return grid["e"]


def _grid(axis: Axes, one: GridMap, words: np.ndarray, size: float) -> None:
    """A map with its numbers in the cells, where `size` (points) can be read."""
    axis.imshow(np.ma.masked_invalid(one.values), norm=one.scale, cmap=one.colours)
    axis.set_facecolor("#d9d9d9")  # states that cannot be reached
    axis.set(title=one.title, xlabel="column", ylabel="row")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(integer=True))
    if size < SMALLEST_TEXT:
        return
    for (row, column), word in np.ndenumerate(words):
        if word:
            mark = one.marks[row, column]
            colour = text_colour(one.colours(one.scale(one.values[row, column])))
            text = f"{mark}\n{word}" if mark else word
            axis.text(column, row, text, ha="center", va="center", fontsize=min(size, LARGEST_TEXT), color=colour)


def cell_words(values: np.ndarray, digits: int = 2) -> np.ndarray:
    """Numbers as short texts, all with as many decimals as show `digits` digits of the largest; "" where none is."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    power = int(np.floor(np.log10(largest))) if largest > 0 else 0
    form = f".{digits - 1}e" if largest > 0 and not -5 < power < 6 else f".{max(0, digits - 1 - power)}f"
    if form.endswith("f"):
        values = np.round(values, int(form[1:-1])) + 0.0  # no minus before a zero
    return np.array([[format(x, form) if np.isfinite(x) else "" for x in row] for row in values])


def text_colour(background: tuple[float, ...]) -> str:
    """Black or white, whichever has the higher contrast on a colour (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _box(figure: Figure, picture: Lattice, values: np.ndarray, known: MonteCarloTruth) -> Axes:
    """Learned V over what was seen of a box of two numbers, true values of some states as dots of the same colours;
    beside it the two against each other. Returns the axes below."""
    figure.set_size_inches(12, 7)
    grid = figure.subplot_mosaic([["map", "both"], ["error", "error"]], height_ratios=(2, 1), width_ratios=(3, 2))
    scale = box_scale(picture.values, known.mean)
    axis = grid["map"]
    image = axis.pcolormesh(picture.x, picture.y, picture.values, norm=scale, cmap="viridis", shading="nearest")
    axis.scatter(
        known.obs[:, 0], known.obs[:, 1], s=60, label="Monte-Carlo truth", c=known.mean, norm=scale, cmap="viridis",
        edgecolors="white",
    )  # fmt: skip
    axis.set(title="learned value", xlabel="observation[0]", ylabel="observation[1]")
    axis.legend(frameon=True, loc="upper right")
    figure.colorbar(image, ax=axis, label="value")
    _against(grid["both"], values, known)
    return grid["error"]


def box_scale(learned: np.ndarray, true: np.ndarray) -> Normalize:
    """One scale for a lattice of learned values, but for its most extreme hundredths, and for all true values."""
    inner = np.percentile(found, (1, 99)) if len(found := learned[np.isfinite(learned)]) else true
    low, high = min(inner.min(), true.min()), max(inner.max(), true.max())
    return Normalize(*((low, high) if low < high else (low - 1, high + 1)))


def _over_states(axis: Axes, learned: np.ndarray, true: np.ndarray) -> None:
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


def _over_line(axis: Axes, values: np.ndarray, known: MonteCarloTruth) -> None:
    """States that are one number: value against state."""
    x = np.asarray(known.obs, float).reshape(-1)
    axis.errorbar(x, known.mean, yerr=known.ci95, fmt="o", color=GREY, label="Monte-Carlo truth (95 % interval)")
    axis.plot(x, values, "x", color=BLUE, label="learned")
    axis.set(xlabel="observation", ylabel="value")
    axis.legend(frameon=False)


def _against(axis: Axes, values: np.ndarray, known: MonteCarloTruth) -> None:
    """Learned value against the Monte-Carlo truth: on the diagonal they agree."""
    axis.errorbar(known.mean, values, xerr=known.ci95, fmt="o", color=BLUE, ecolor=GREY)
    both = np.concatenate([known.mean, values[np.isfinite(values)]])
    axis.plot([both.min(), both.max()], [both.min(), both.max()], color=GREY, lw=1)
    axis.set(xlabel="Monte-Carlo truth (95 % interval)", ylabel="learned value")


def _error(axis: Axes, curve: np.ndarray) -> None:
    axis.plot(np.arange(1, len(curve) + 1) / len(curve) * 100, curve, color=BLUE)
    if np.isfinite(curve).all() and curve.min() > 0 and curve.max() > 20 * curve.min():
        axis.set_yscale("log")
    axis.set(xlabel="experience, %", ylabel="RMS error")
