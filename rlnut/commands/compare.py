"""`rlnut compare DIR…`: agents over seeds and environments, with intervals."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.commands.options import converter
from rlnut.errors import UsageError


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dirs", nargs="+", metavar="DIR", help="run folders, or folders that contain run folders")
    parser.add_argument(
        "--out", metavar="FILE", help="file (.png, .svg or .pdf) or folder for the figure (default: compare.png)"
    )
    parser.add_argument(
        "--score",
        default="final",
        metavar="{final,last,curve}",
        help="score of a run: final: the final evaluation of its best policy; last, curve: the last and the"
        " mean of the greedy evaluations on the way (default: final)",
    )
    parser.add_argument(
        "--normalise",
        action="append",
        metavar="HOW",
        help="none; runs: map the lowest and highest score of the compared runs to 0 and 1; or ENV=LOW,HIGH, once"
        " for each environment (default: none for one environment, runs for several)",
    )
    parser.add_argument(
        "--resamples",
        type=converter(int),
        default=10_000,
        metavar="N",
        help="number of bootstrap resamples (default: 10000)",
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
