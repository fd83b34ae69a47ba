"""Pictures: one function each, from numbers to a PNG file; colours that colour-blind people can tell apart."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.runtime.files import atomic_write

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#888888"  # Okabe & Ito (2008)


def plain_frame(*axes: Axes, grid: bool = True) -> None:
    """The frame of our curves: lines on the left and below only, and a pale grid."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        if grid:
            axis.grid(alpha=0.25)


def save_figure(figure: Figure, path: Path, about: str | None = None) -> None:
    """Write a figure as a PNG, atomically; `about` is kept in the file as its description."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png", metadata={"Description": about} if about else None)
    atomic_write(path, buffer.getvalue())
