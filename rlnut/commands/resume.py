"""`rlnut resume DIR`: continue a run exactly from its checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlnut.commands.options import AGENT, TRUST, add_log_option, add_wrap, chosen_loggers, converter, given_environment
from rlnut.settings import Options


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument(
        "--steps",
        type=converter(int),
        metavar="N",
        help="total number of steps, including those already done (default: as planned)",
    )
    parser.add_argument(
        "--iterations",
        type=converter(int),
        metavar="N",
        help="total number of iterations, for offline agents (fqi, nfq, …)",
    )
    parser.add_argument("--env", metavar="ENV", help="the environment, if it cannot be made from its recorded name")
    add_wrap(parser, "the environment of --env")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)
    add_log_option(parser)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.agents.catalogue import AGENTS
    from rlnut.commands.answers import answer, report
    from rlnut.control.run_records import read_summary
    from rlnut.control.training import resume

    folder = Path(args.dir)
    agent = None if args.agent is None else AGENTS.find(args.agent)
    env, loggers = given_environment(args), chosen_loggers(args)
    given: Options = {"env": env, "agent": agent, "trust": args.trust, "loggers": loggers}
    report(resume(folder, args.steps, iterations=args.iterations, **given))
    summarise_beside(folder.resolve())
    return answer([read_summary(folder)], str(folder))


def summarise_beside(folder: Path) -> None:
    """Summarise all seeds anew where this run is one of several, of `rlnut train --seeds K`, that have a summary."""
    from rlnut.commands.answers import answer, conclude
    from rlnut.control.run_records import read_summary
    from rlnut.errors import RlnutError
    from rlnut.runtime.files import read_json

    try:
        several = read_json(folder.parent / "summary.json")
        seeds = sorted({*several["seeds"], read_json(folder / "summary.json")["seed"]})
        if "runs" not in several or folder.name not in {f"seed{seed}" for seed in seeds}:
            return
        runs = [read_summary(folder.parent / f"seed{seed}") for seed in seeds]
    except (RlnutError, KeyError, TypeError):
        return  # it stands alone, or what is beside it is no summary of seeds
    conclude(folder.parent, seeds, answer(runs, str(folder.parent)))
