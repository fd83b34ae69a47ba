"""Maps of whole coordinates, cell by cell: learned values and greedy actions, v* and optimal ones, the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from rlnut.control.value_grids import ValueMap, ValueSlice
from rlnut.envs.meanings import symbols
from rlnut.runtime.cells import cell_words, text_colour
from rlnut.runtime.plotting import BLACK, UNREACHABLE, map_frame, new_figure

SMALLEST, LARGEST = 4.5, 11.0  # points of the text in cells; smaller ones are left out
CORNER = 0.4  # inches of a cell whose corner has room for a letter
WIDE = 1.6  # columns over rows from which three maps stand one below the other
VALUES, ERRORS = "viridis", "RdBu_r"


def mosaic(found: ValueMap, layers: list[np.ndarray], empty: Any) -> np.ndarray:
    """Maps [Y, X] of all slices in one array, with gaps: in a row those that differ in the last coordinate only."""
    if len(layers) == 1:
        return layers[0]
    columns = _slice_columns(found)
    blank = np.full((len(found.y), 1), empty, layers[0].dtype)
    rows = []
    for i in range(0, len(layers), columns):
        row = np.concatenate([part for one in layers[i : i + columns] for part in (blank, one)][1:], 1)
        rows += [np.full((1, row.shape[1]), empty, row.dtype), row]
    return np.concatenate(rows[1:], 0)


def _slice_columns(found: ValueMap) -> int:
    """Slices in a row of the mosaic: the values of the last coordinate that is held."""
    others = [c for c in range(len(found.coordinates.names)) if c not in found.dims]
    return len({float(one.at[others[-1]]) for one in found.slices}) if others else 1


def grid_figure(found: ValueMap) -> Figure:
    """Maps of whole coordinates: learned, and where it is known v* and the difference."""
    upwards = not found.coordinates.rows_down
    known = found.slices[0].exact is not None
    learned = mosaic(found, [one.v for one in found.slices], np.nan)
    marks = mosaic(found, [_marks(found, one) for one in found.slices], "")
    letters = mosaic(found, [_letters(one) for one in found.slices], "")
    panels = [("learned max q(s, a), greedy action", learned, marks, VALUES)]
    if known:
        exact = mosaic(found, [_known(one) for one in found.slices], np.nan)
        best = mosaic(found, [_best(found, one) for one in found.slices], "")
        wrong = mosaic(found, [_wrong(one) for one in found.slices], "")
        panels += [
            ("exact v*, optimal actions", exact, best, VALUES),
            ("learned \N{MINUS SIGN} exact", learned - exact, wrong, ERRORS),
        ]
    rows, columns = learned.shape
    figure, axes, cell = _panels_for(rows, columns, len(panels))
    both = np.concatenate([learned.ravel(), exact.ravel()]) if known else learned.ravel()
    both = both[np.isfinite(both)]
    common = _scale(both)
    for axis, (title, values, texts, colours) in zip(axes, panels, strict=True):
        norm: Normalize = common
        if colours == ERRORS:
            values = np.where(np.abs(values) < 1e-9 * max(1.0, float(np.abs(both).max(initial=0))), 0.0, values)
            largest = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
            norm = TwoSlopeNorm(0, -largest, largest)
            if (wrong == "×").any():
                title += ", × not optimal"
        _cells(axis, values, texts, letters, norm, colours, cell)
        axis.set_title(title)
        figure.colorbar(axis.images[0], ax=axis, shrink=0.85, pad=0.01)
        if upwards:
            axis.invert_yaxis()
        _grid_labels(axis, found)
    return figure


def _panels_for(rows: int, columns: int, count: int) -> tuple[Figure, list[Axes], float]:
    """A figure of `count` maps, side by side or one below the other, and the side of a cell in inches."""
    if columns > WIDE * rows:
        cell = min(0.75, 8.5 / columns)
        figure = new_figure(cell * columns + 1.8, count * (cell * rows + 0.85) + 0.6)
        return figure, figure.subplots(count, 1, squeeze=False).ravel().tolist(), cell
    cell = min(0.75, 5.0 / columns, 7.0 / rows)
    figure = new_figure(count * (cell * columns + 1.4) + 0.3, cell * rows + 1.6)
    return figure, figure.subplots(1, count, squeeze=False).ravel().tolist(), cell


def _cells(
    axis: Axes, values: np.ndarray, marks: np.ndarray, letters: np.ndarray, norm: Normalize, colours: str, cell: float
) -> None:
    """A map with a mark and a number in each cell, and the letter of the cell in its corner, where they can be read."""
    map_frame(axis)
    axis.set_facecolor(UNREACHABLE)
    cmap = colormaps[colours]
    axis.imshow(np.ma.masked_invalid(values), norm=norm, cmap=cmap)
    words = cell_words(values, 3)
    size = cell * 72 / (0.72 * max(3, *(len(word) for word in words.ravel())))
    numbers = size >= SMALLEST
    alone = min(LARGEST, 0.62 * cell * 72)  # points of a mark without a number
    for (row, column), one in np.ndenumerate(words):
        word = str(one)
        ink = text_colour(cmap(norm(values[row, column]))) if word else BLACK
        mark, letter = str(marks[row, column]), str(letters[row, column])
        if letter and word and numbers and cell >= CORNER:
            axis.text(column - 0.42, row - 0.4, letter, ha="left", va="top", fontsize=min(size, 7), color=ink)
        elif letter and (not word or not mark):
            axis.text(column, row, letter, ha="center", va="center", fontsize=alone, color=ink)
            continue
        if word:
            text = f"{mark}\n{word}" if mark and numbers else word if numbers else mark
            axis.text(column, row, text, ha="center", va="center", fontsize=min(size, LARGEST) if numbers else alone,
                      color=ink)  # fmt: skip


def _grid_labels(axis: Axes, found: ValueMap) -> None:
    """Names of the two coordinates; of several slices which is which."""
    coords, (x, y) = found.coordinates, (found.dims[0], found.dims[1])
    if len(found.slices) == 1:
        axis.set(xlabel=coords.names[x], ylabel=coords.names[y])
        for side, values in ((axis.xaxis, found.x), (axis.yaxis, found.y)):
            step = max(1, len(values) // 12)
            side.set_ticks(np.arange(0, len(values), step), [f"{value:g}" for value in values[::step]])
        return
    others = [c for c in range(len(coords.names)) if c not in found.dims]
    columns, width, height = _slice_columns(found), len(found.x) + 1, len(found.y) + 1

    def ticks(c: int, places: list[np.ndarray]) -> list[str]:
        words = coords.words[c] if coords.words else ()
        return [words[int(at[c])] if words else f"{at[c]:g}" for at in places]

    last, first = others[-1], others[:-1]
    along = [one.at for one in found.slices[:columns]]
    axis.set_xticks([i * width + (width - 2) / 2 for i in range(columns)], ticks(last, along))
    axis.set_xlabel(f"{coords.names[last]} (in each map: {coords.names[x]} to the right, {coords.names[y]} "
                    f"{'down' if coords.rows_down else 'up'})", fontsize=8)  # fmt: skip
    down = [one.at for one in found.slices[::columns]]
    words = [" ".join(parts) for parts in zip(*(ticks(c, down) for c in first), strict=True)] if first else [""]
    axis.set_yticks([i * height + (height - 2) / 2 for i in range(len(down))], words)
    axis.set_ylabel(", ".join(coords.names[c] for c in first))


def _scale(values: np.ndarray) -> Normalize:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return Normalize(*((low, high) if low < high else (low - 0.5, high + 0.5)))


def _marks(found: ValueMap, one: ValueSlice) -> np.ndarray:
    """The greedy action of each cell, [Y, X] of str: an arrow, a letter or a number for each group."""
    signs = [symbols(names) for names in found.names]
    marks = np.full(one.v.shape, "", dtype="<U16")
    for at in zip(*np.nonzero(np.isfinite(one.v)), strict=True):
        marks[at] = " ".join(signs[d][a] for d, a in enumerate(one.actions[at]))
    return marks


def _letters(one: ValueSlice) -> np.ndarray:
    return np.full(one.v.shape, "", "<U1") if one.letters is None else one.letters


def _known(one: ValueSlice) -> np.ndarray:
    assert one.exact is not None
    return one.exact


def _best(found: ValueMap, one: ValueSlice) -> np.ndarray:
    """The optimal actions of each cell; none where all are equally good."""
    assert one.optimal is not None
    signs, marks = symbols(found.names[0]), np.full(one.v.shape, "", dtype="<U16")
    for at in zip(*np.nonzero(np.isfinite(one.v)), strict=True):
        if not one.optimal[at].all():
            marks[at] = "".join(sign for sign, best in zip(signs, one.optimal[at], strict=True) if best)
    return marks


def _wrong(one: ValueSlice) -> np.ndarray:
    """× where the greedy action is not optimal."""
    assert one.optimal is not None
    chosen = np.take_along_axis(one.optimal, np.maximum(one.actions, 0), -1)[..., 0]
    return np.where(np.isfinite(one.v) & ~chosen, "×", "")
