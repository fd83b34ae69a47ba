"""How a figure of the book is drawn: curves of our runs with their standard errors, the reference values as rings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rlnut.runtime.plotting import (
    GREY,
    LINES,
    PALETTE,
    caption,
    heading,
    legend_beside,
    line_style,
    new_figure,
    save_figure,
    styled,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlnut.book.figures import Curve, Page, Panel

WIDE = 3  # panels side by side; more are drawn in rows of two
FEW = 25  # points, up to which standard errors are drawn as bars, not as a band


def draw_page(path: Path, page: Page, about: str) -> None:
    """Write the figure of a `Page`; `about` is its description in the file."""
    save_figure(page_figure(page), path, about)


@styled()
def page_figure(page: Page) -> Figure:
    """The panels of a page: curves with ±1 standard error over runs, and their reference points as rings."""
    count = len(page.panels)
    columns = count if count <= WIDE else 2
    rows = -(-count // columns)
    figure = new_figure(1 + 7 * columns, 0.8 + 4.6 * rows)
    axes = np.ravel(figure.subplots(rows, columns))
    for axis, panel in zip(axes, page.panels, strict=False):
        draw_panel(axis, panel)
    for axis in axes[count:]:
        axis.set_axis_off()
    heading(figure, page.title)
    curves = [curve for panel in page.panels for curve in panel.curves]
    notes = list(page.notes)
    if any(curve.reference for curve in curves):
        notes.append("Rings are reference values: exact ones, or means of many more runs of the book's experiment.")
    if any(_spread(curve) is not None for curve in curves):
        notes.append("Bands and bars are ±1 standard error over runs.")
    caption(figure, *page.facts, notes=notes)
    return figure


def curve_styles(count: int) -> list[dict[str, Any]]:
    """Colours and line styles of a panel's curves; of many, which then are ordered by a number, from dark to light."""
    if count <= len(PALETTE):
        return [line_style(i) for i in range(count)]
    shades = colormaps["viridis"](np.linspace(0, 0.9, count))
    return [{"color": shade, "linestyle": LINES[i % 4]} for i, shade in enumerate(shades)]


def draw_panel(axis: Axes, panel: Panel) -> None:
    """The curves of one pair of axes, the legend beside them."""
    for curve, style in zip(panel.curves, curve_styles(len(panel.curves)), strict=True):
        axis.plot(curve.x, curve.y, label=curve.label, marker="." if len(curve.x) <= FEW else "", **style)
        axis.plot(list(curve.reference), list(curve.reference.values()), "o", mfc="none", color=style["color"], ms=9)
        spread = _spread(curve)
        if spread is not None and len(curve.x) <= FEW:
            axis.errorbar(curve.x, curve.y, spread, fmt="none", ecolor=style["color"])
        elif spread is not None:
            low, high = curve.y - spread, curve.y + spread
            if "y" in panel.log:
                low = np.maximum(low, curve.y / 10)
            axis.fill_between(curve.x, low, high, color=style["color"], alpha=0.2, lw=0)
    if any(curve.reference for curve in panel.curves):
        axis.plot([], [], "o", mfc="none", color=GREY, ms=9, label="reference")
    axis.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    if panel.top is not None:
        lowest = min(float(np.nanmin(curve.y)) for curve in panel.curves)
        axis.set_ylim(lowest - 0.02, panel.top)
    for name in panel.log:
        getattr(axis, f"set_{name}scale")("log")
    if panel.ticks is not None:
        axis.set_xticks(list(panel.ticks), list(panel.ticks.values()))
    elif "x" not in panel.log and all(np.array_equal(curve.x, np.round(curve.x)) for curve in panel.curves):
        whole_numbers(axis.xaxis)
    legend_beside(axis)


def _spread(curve: Curve) -> np.ndarray | None:
    """The standard errors that can be drawn: NaN where there is none; None for curves without chance, or of one run."""
    if curve.se is None or not (np.isfinite(curve.se) & (curve.se > 0)).any():
        return None
    return np.where(np.isfinite(curve.se) & np.isfinite(curve.y), curve.se, np.nan)
