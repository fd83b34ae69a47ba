"""`rlnut plot DIR…`: learning curves of runs, over seeds, agents and environments; the whole curve of a single run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.errors import RlnutError


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "dirs", nargs="+", metavar="DIR", help="a run folder, a folder with one for each seed, or any tree of runs"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="a .png, .svg or .pdf file, or a folder (default: learning-curves.png)"
    )


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.comparison.curves import learning_curves
    from rlnut.comparison.figures import curves_figure
    from rlnut.comparison.table import curves_table
    from rlnut.runtime.log import say
    from rlnut.runtime.plotting import figure_path, save_figure

    path = figure_path(args.out, "learning-curves")
    found = learning_curves(*args.dirs, seed=args.seed)
    if len(found.runs) == 1:
        from rlnut.control.plots import learning_curve

        folder = found.runs[0].folder
        if learning_curve(folder, path) is None:
            raise RlnutError(f"{folder}: nothing has been logged yet")
    elif found.curves:
        save_figure(curves_figure(found), path)
    else:
        raise RlnutError(found.notes[-1])
    for line in curves_table(found).splitlines():
        say(line)
    say(str(path))
    return {"out": str(path)} | found.record()
