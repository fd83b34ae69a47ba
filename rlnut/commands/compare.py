"""`rlnut compare DIR…`: agents over seeds and environments, with intervals."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.commands.options import converter
from rlnut.errors import UsageError


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "dirs", nargs="+", metavar="DIR", help="a run folder, a folder with one for each seed, or any tree of runs"
    )
    parser.add_argument("--out", metavar="FILE", help="a .png, .svg or .pdf file, or a folder (default: compare.png)")
    parser.add_argument(
        "--score",
        default="final",
        metavar="{final,last,curve}",
        help="what a run is judged by: final: the final evaluation of its best policy; last, curve: the last and the"
        " mean of the greedy evaluations on the way (default: final)",
    )
    parser.add_argument(
        "--normalise",
        action="append",
        metavar="HOW",
        help="none; runs: the lowest and highest score of the runs that are compared are 0 and 1; or ENV=LOW,HIGH, once"
        " for each environment (default: none for one environment, runs for several)",
    )
    parser.add_argument(
        "--resamples", type=converter(int), default=10_000, metavar="N", help="of the bootstrap (default: 10000)"
    )


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.comparison.compare import compare
    from rlnut.runtime.log import say
    from rlnut.runtime.plotting import figure_path

    path = figure_path(args.out, "compare")
    chosen = _normalisation(args.normalise or [])
    found = compare(*args.dirs, score=args.score, normalise=chosen, resamples=args.resamples, seed=args.seed)
    found.save(path)
    for line in found.table().splitlines():
        say(line)
    say(str(path))
    return {"out": str(path)} | found.record()


def _normalisation(words: Sequence[str]) -> str | dict[str, tuple[float, float]] | None:
    """What `--normalise` says; UsageError for what cannot be read."""
    if len(words) < 2 and not any("," in word for word in words):
        return words[0] if words else None
    ranges = {}
    for word in words:
        env, _, numbers = word.rpartition("=")
        try:
            low, high = (float(number) for number in numbers.split(","))
        except ValueError:
            raise UsageError(f"--normalise is none, runs or ENV=LOW,HIGH for each environment, got {word!r}") from None
        ranges[env] = (low, high)
    return ranges
