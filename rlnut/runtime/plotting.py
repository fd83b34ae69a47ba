"""The style of every figure (colours, line styles, frames, text sizes, captions), and writing one as PNG, SVG or PDF.

Draw inside `with styled():`, or decorate the function that draws with `@styled()`: the style begins from matplotlib's
defaults, whatever the user's own settings are, and leaves these as they were. Nothing here uses pyplot. The same
numbers make the same bytes: no dates, and identifiers that do not change.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlnut.choices import FORMATS
from rlnut.errors import UsageError
from rlnut.runtime.files import atomic_write
from rlnut.runtime.version import installed_version

# Okabe & Ito (2008): colours that colour-blind people can tell apart. A line style of its own goes with each.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK = PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
)  # fmt: skip
GREY = "#888888"  # the truth, chance, references: what is not learned
UNREACHABLE = "#d9d9d9"  # cells of a map that have no value
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (1, 1)))

STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.titlesize": 12,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fancybox": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "errorbar.capsize": 2,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,  # −12.25, not a distance from −12.248
    "svg.hashsalt": "rlnut",
    "pdf.fonttype": 42,  # whole letters, which journals ask for and editors can change
}


@contextmanager
def styled() -> Iterator[None]:
    """The style, for as long as something is drawn; the user's settings of matplotlib come back afterwards."""
    with style.context(["default", STYLE]):
        yield


def line_style(i: int) -> dict[str, Any]:
    """Colour and line style of curve i of a panel: the two together tell curves apart in grey print, too."""
    again = i // len(PALETTE)  # colours are used again, with other line styles
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": LINES[(i + again) % len(LINES)]}


@styled()
def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches; add its axes inside `styled()`."""
    return Figure(figsize=(width, height))


@styled()
def panels(rows: int, columns: int, width: float = 5.2, height: float = 4.0) -> tuple[Figure, list[Any]]:
    """A figure of equal panels, read row by row, and its axes (Any: matplotlib's types know less than it takes)."""
    figure = new_figure(width * columns, height * rows)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def plain_frame(*axes: Axes, grid: bool = True) -> None:
    """The frame of a curve for axes made outside of `styled()`: lines on the left and below only, a pale grid."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        if grid:
            axis.grid(alpha=STYLE["grid.alpha"])
        else:
            axis.grid(False)


def map_frame(*axes: Axes) -> None:
    """The frame of a map or an image: closed, without a grid."""
    for axis in axes:
        axis.grid(False)
        axis.spines[:].set_visible(True)


def whole_numbers(*sides: Axis) -> None:
    """Ticks of what is counted (states, episodes, steps) at whole numbers only, written 1,000,000."""
    for side in sides:
        side.set_major_locator(MaxNLocator(nbins=7, steps=(1, 2, 5, 10), integer=True))
        side.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}".replace("-", "\N{MINUS SIGN}")))


def legend_above(axis: Axes, columns: int = 2, **more: Any) -> None:
    """The legend over the panel, where it hides no data; the title stands above both."""
    legend = axis.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, borderpad=0, frameon=False, **more
    )
    rows = int(np.ceil(len(legend.get_texts()) / columns))
    if axis.get_title(loc="left"):
        axis.set_title(axis.get_title(loc="left"), loc="left", pad=8 + rows * 1.35 * STYLE["legend.fontsize"])


def legend_beside(axis: Axes, **more: Any) -> None:
    """The legend on the right of the panel, where it hides no data."""
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, **more)


def heading(figure: Figure, title: str) -> None:
    """The title of a whole figure: a sentence, at its left edge."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=STYLE["figure.titlesize"])


def caption(figure: Figure, *facts: str, notes: Iterable[str] = ()) -> None:
    """What the numbers of a figure depend on (seed, runs, γ, α) and the version, in small letters below it.

    notes: sentences that explain what is drawn, a line each, above that.
    """
    text = " · ".join([*(fact for fact in facts if fact), f"rlnut {installed_version()}"])
    figure.supxlabel("\n".join([*notes, text]), x=0.01, ha="left", fontsize=7.5, color="#606060")


def figure_format(path: Path | str) -> str:
    """ "png", "svg" or "pdf", by the ending of a file; UsageError for others."""
    ending = Path(path).suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise UsageError(f"a figure is written as .png, .svg or .pdf, got {str(path)!r}")
    return ending


def figure_path(out: str | None, default: str, form: str | None = None, about: str | None = None) -> Path:
    """Where a command writes a figure: the file that `out` names, or `default`.`form` in the folder that it names.

    UsageError for another ending than PNG, SVG and PDF, for one that is not `form`, for a folder that is not there, and
    for a file that is there without being described as `about`: only a figure of the same kind is replaced.
    """
    path = Path(out or ".")
    if path.is_dir():
        path = path / f"{default}.{form or 'png'}"
    ending = path.suffix.lower().lstrip(".")
    if ending not in FORMATS or not path.parent.is_dir():
        raise UsageError(f"--out must be a folder, or a .png, .svg or .pdf file in a folder that exists, got {out}")
    if form not in (None, ending):
        raise UsageError(f"--format {form} and --out {out} name two formats: leave one of them out")
    if about is not None and path.exists() and (path.is_dir() or not has_description(path, about)):
        raise UsageError(f"{path} exists and is not a figure of {about}: choose another --out, or remove it first")
    return path


@styled()
def save_figure(figure: Figure, path: Path, about: str | None = None) -> None:
    """Write a figure atomically as PNG, SVG or PDF, by the ending; `about` is kept in the file as its description."""
    form = figure_format(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_metadata(form, about))
    atomic_write(path, buffer.getvalue())


def _metadata(form: str, about: str | None) -> dict[str, Any]:
    """The description, under the name that a format has for it; no date, which would change the bytes."""
    if form == "pdf":
        return {"CreationDate": None} | ({"Subject": about} if about else {})
    return ({"Date": None} if form == "svg" else {}) | ({"Description": about} if about else {})


def has_description(path: Path, about: str) -> bool:
    """Was this file written by `save_figure` with this description (ASCII letters)?"""
    return about.encode("ascii") in path.read_bytes()
