"""`rlnut demo NAME`: a chapter of the lecture, with its picture; it fails if it misses its point."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.commands.options import add_format, chosen_format
from rlnut.demos import CHAPTERS, DIGITS


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    width = max(map(len, CHAPTERS))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "chapters:\n" + "\n".join(f"  {name:<{width}}  {line}" for name, line in CHAPTERS.items())
    parser.add_argument("name", metavar="NAME", help="the example, see below")
    parser.add_argument("--out", metavar="PATH", help="file (.png, .svg or .pdf) or folder for the figure (default: .)")
    add_format(parser)
    parser.add_argument(
        "--full", action="store_true", help=f"use all of MNIST in place of a subset ({', '.join(DIGITS)})"
    )
    where = "folder with MNIST's files (default: $RLNUT_DATA, else mnist-5k, else the user's cache or a download)"
    parser.add_argument("--data", metavar="DIR", help=where)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.errors import UsageError, unknown

    if args.name not in CHAPTERS:
        raise unknown("demo", args.name, CHAPTERS)
    if args.name not in DIGITS and (args.full or args.data):
        raise UsageError(f"{args.name} makes its own data: --full and --data are only for {', '.join(DIGITS)}")
    from rlnut.demos.frame import Ask, picture_path, show

    path = picture_path(args.name, args.out, chosen_format(args))
    return show(args.name, Ask(args.seed, args.full, args.data), path)
