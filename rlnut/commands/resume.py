"""`rlnut resume DIR`: continue a run exactly from its checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlnut.commands.options import AGENT, TRUST, converter


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument(
        "--steps", type=converter(int), metavar="N", help="steps in all, those done included (default: as planned)"
    )
    parser.add_argument(
        "--iterations", type=converter(int), metavar="N", help="of an offline agent (fqi, nfq, …): iterations in all"
    )
    parser.add_argument("--env", metavar="ENV", help="the environment, where it is not made from what the folder says")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.agents.catalogue import AGENTS
    from rlnut.commands.train import answer, report
    from rlnut.control.training import resume
    from rlnut.runtime.files import read_json

    folder = Path(args.dir)
    agent = None if args.agent is None else AGENTS.find(args.agent)
    report(resume(folder, args.steps, iterations=args.iterations, env=args.env, agent=agent, trust=args.trust))
    return answer([read_json(folder / "summary.json")], str(folder))
