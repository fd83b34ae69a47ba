"""`rlnut figure 7.2`: a figure of the book, run again, with its reference values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("name", metavar="NUMBER", help="6.2, 7.2, 11.2, 11.5, 11.6, 12.3, 12.6 or 12.8")
    parser.add_argument("--runs", type=int, default=100, help="independent runs behind each point (default: 100)")
    parser.add_argument("--out", metavar="FILE", help="where the picture goes (default: figure-NUMBER.png)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import time
    from pathlib import Path

    import numpy as np

    from rlnut.book import FIGURES
    from rlnut.errors import UsageError, unknown
    from rlnut.figures import draw_page
    from rlnut.log import say

    if args.name not in FIGURES:
        raise unknown("figure", args.name, FIGURES)
    if not 1 <= args.runs <= 10_000:
        raise UsageError(f"--runs must be >= 1 and <= 10000, got {args.runs}")
    path = Path(args.out or f"figure-{args.name}.png")
    if path.suffix != ".png" or not path.parent.is_dir():
        raise UsageError(f"--out must be a .png file in a folder that exists, got {path}")
    began = time.perf_counter()
    page = FIGURES[args.name](args.seed, args.runs)
    wall = time.perf_counter() - began
    draw_page(path, page)
    say(page.title)
    for curve in page.curves:
        for x, expected in curve.reference.items():
            found = float(curve.y[np.argmin(np.abs(curve.x - x))])
            say(f"{curve.label:>14}  at {x:<6g} here {found:9.4f}  reference {expected:9.4f}")
    return {
        "name": args.name,
        "figure": str(path),
        "wall_s": wall,
        "curves": {c.label: {"x": c.x, "y": c.y, "reference": c.reference} for c in page.curves},
    }
