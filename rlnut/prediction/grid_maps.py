"""Maps of a grid: learned values, true values and their difference, with numbers, arrows and letters in the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm

from rlnut.prediction.result import PredictionResult
from rlnut.runtime.cells import cell_words, text_colour
from rlnut.runtime.plotting import UNREACHABLE, map_frame, whole_numbers
from rlnut.truth.dynamic_programming import occupied
from rlnut.truth.finite import Finite
from rlnut.truth.transition_matrices import is_sparse

ARROWS = {(-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→"}  # (row, column)
SMALLEST_TEXT, LARGEST_TEXT = 4.0, 10.0  # points; numbers that would be smaller are left out


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
        GridMap(f"Learned {name}", learned.reshape(shape), marks[0], viridis, common),
        GridMap(f"True {name}", true.reshape(shape), marks[1], viridis, common),
        GridMap("Learned − true", wrong.reshape(shape), marks[2], blues, around),
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


def draw_grid(axis: Axes, one: GridMap, cell: float, letters: np.ndarray | None, digits: int) -> None:
    """A map with the numbers of its cells, `cell` inches wide, and what the cells are (`letters` [rows, columns]).

    Numbers are left out where they could not be read; a cell without a value shows its letter alone.
    """
    axis.imshow(np.ma.masked_invalid(one.values), norm=one.scale, cmap=one.colours)
    axis.set_facecolor(UNREACHABLE)
    axis.set(title=one.title, xlabel="column", ylabel="row")
    map_frame(axis)
    whole_numbers(axis.xaxis, axis.yaxis)
    words = cell_words(one.values, digits)
    size = cell * 72 / (0.75 * max(3, *(len(word) for word in words.ravel())))
    if size < SMALLEST_TEXT:
        return
    size = min(size, LARGEST_TEXT)
    for (row, column), word in np.ndenumerate(words):
        value = one.values[row, column]
        colour = text_colour(one.colours(one.scale(value))) if np.isfinite(value) else "black"
        text = "\n".join(part for part in (str(one.marks[row, column]), word) if word and part)
        axis.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
        if letters is not None and letters[row, column]:
            axis.text(
                column - 0.45, row - 0.45, str(letters[row, column]), ha="left", va="top", fontsize=0.9 * size,
                color=colour, fontweight="bold",
            )  # fmt: skip
