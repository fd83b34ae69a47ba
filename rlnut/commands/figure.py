"""`rlnut figure 7.2`: a figure of the book, run again, with its reference values."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

from rlnut.book.figures import FIGURES, Page
from rlnut.commands.options import add_format, chosen_format


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    names = "; ".join(f"{name}: {figure.title}" for name, figure in FIGURES.items())
    parser.add_argument("name", metavar="NUMBER", help=names)
    parser.add_argument(
        "--runs", type=int, help="number of independent runs per point (default: depends on the figure)"
    )
    parser.add_argument("--out", metavar="FILE", help="file (.png, .svg or .pdf) or folder for the figure (default: .)")
    add_format(parser)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    import time

    from rlnut.book.figures import make_page
    from rlnut.book.plots import draw_page
    from rlnut.errors import UsageError, unknown
    from rlnut.runtime.plotting import figure_path

    if args.name not in FIGURES:
        raise unknown("figure", args.name, FIGURES)
    if args.runs is not None and not 1 <= args.runs <= 10_000:
        raise UsageError(f"--runs must be >= 1 and <= 10000, got {args.runs}")
    path = figure_path(args.out, f"figure-{args.name}", chosen_format(args), f"rlnut figure {args.name}")
    began = time.perf_counter()
    page = make_page(args.name, args.seed, args.runs)
    wall = time.perf_counter() - began
    draw_page(path, page, f"rlnut figure {args.name}")
    _say(page)
    return {
        "name": args.name,
        "figure": str(path),
        "wall_s": wall,
        "panels": [
            {
                "title": panel.title,
                "curves": {c.label: {"x": c.x, "y": c.y, "se": c.se, "reference": c.reference} for c in panel.curves},
            }
            for panel in page.panels
        ],
    }


def _say(page: Page) -> None:
    """Every reference point beside what came out, on standard error."""
    from rlnut.runtime.log import say

    say(page.title)
    for panel in page.panels:
        say(panel.title)
        width = max(len(curve.label) for curve in panel.curves)
        for curve in panel.curves:
            for x, expected in curve.reference.items():
                i = curve.at(x)
                chance = f" ± {curve.se[i]:.4f}" if curve.se is not None and curve.se[i] < math.inf else ""
                say(f"  {curve.label:>{width}}  at {x:<6g} here {curve.y[i]:9.4f}{chance}  reference {expected:9.4f}")
