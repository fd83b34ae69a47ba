"""`rlnut resume DIR`: go on exactly from a run's checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlnut.commands.options import converter


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument(
        "--steps", type=converter(int), metavar="N", help="steps in all, those done included (default: as planned)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from rlnut.commands.train import answer, report
    from rlnut.control.run_folder import read_json
    from rlnut.control.training import resume

    folder = Path(args.dir)
    report(resume(folder, steps=args.steps))
    return answer([read_json(folder / "summary.json")], str(folder))
