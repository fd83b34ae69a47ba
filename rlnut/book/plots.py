"""How a figure of the book is drawn: curves of our runs, and the reference values as rings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rlnut.runtime.plotting import GREY, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlnut.book.figures import Page, Panel


def draw_page(path: Path, page: Page) -> None:
    """The panels of a `book.Page` side by side: curves, and their reference points as rings."""
    figure = Figure(figsize=(1 + 6.5 * len(page.panels), 5.5), layout="constrained")
    for axis, panel in zip(np.ravel(figure.subplots(1, len(page.panels))), page.panels, strict=True):
        _panel(axis, panel)
    figure.suptitle(page.title)
    save_figure(figure, path)


def _panel(axis: Axes, panel: Panel) -> None:
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
    axis.legend(edgecolor="none", framealpha=0.9, ncols=2)  # its curves fill the whole picture
