"""`rlnut sweep SPEC`: many runs from one file, side by side, to be continued at any time, and compared at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlnut.commands.options import converter, plain
from rlnut.errors import RlnutError, UsageError, counted

if TYPE_CHECKING:
    from rlnut.runtime.files import JsonObject
    from rlnut.runtime.workers import Jobs, Message
    from rlnut.sweeps.run import Swept


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "spec",
        metavar="SPEC",
        help="a TOML file: agents = [...], envs = [...], seeds = K or [...], tables [settings], [grid], [agent.NAME],"
        " [agent.NAME.grid], [env.NAME]",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the sweep, new or of an earlier call, which is continued (default: runs/ and the file's name)",
    )
    parser.add_argument(
        "--jobs",
        type=converter(int),
        metavar="J",
        help="train up to J runs in parallel, one process each (1: sequentially in this process; default: the number"
        " of cores; with an accelerator: 1)",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of those processes


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.worker:
        return be_worker(args)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be >= 1, got {args.jobs}")
    from rlnut.control.seeds import usual_jobs
    from rlnut.runtime.log import say
    from rlnut.sweeps.run import check_jobs, sweep_folder, sweep_jobs
    from rlnut.sweeps.spec import read_spec

    spec = read_spec(args.spec, args.seed)
    out = Path(args.out) if args.out else Path("runs") / Path(args.spec).stem
    check_jobs(spec)
    processes = args.jobs or (1 if args.from_python else usual_jobs(len(spec.jobs())))
    with sweep_folder(spec, out) as folder:
        try:
            swept = sweep_jobs(spec, folder, processes, [*args.words, "--worker"], say)
        except KeyboardInterrupt:
            say("stopped: the same command continues")
            raise
        found = compare_runs(swept)
    if swept.failed:
        say(f"{counted(len(swept.failed), 'run')} of {swept.jobs:,} failed: the same command tries again")
    return found


def compare_runs(swept: Swept) -> JsonObject:
    """Compare all finished runs: tables for people, comparison.json, comparison.png and curves.png in the folder."""
    from rlnut.comparison.compare import compare
    from rlnut.comparison.curves import learning_curves
    from rlnut.comparison.figures import curves_figure
    from rlnut.runtime.files import write_json
    from rlnut.runtime.log import say
    from rlnut.runtime.plotting import save_figure

    folder = swept.folder
    found: JsonObject = {"out": str(folder), "jobs": swept.jobs, "finished_before": swept.before, "comparison": None}
    found |= {"failed": {name: str(error) for name, error in swept.failed.items()}} if swept.failed else {}
    try:
        compared = compare(folder)
    except RlnutError as error:  # nothing is finished, or on no environment by all agents
        say(f"not compared: {error}")
        return found
    compared.save(folder / "comparison.png")
    curves = learning_curves(folder)
    if curves.curves:
        save_figure(curves_figure(curves), folder / "curves.png")
    record = plain(compared.record())
    write_json(folder / "comparison.json", record)
    for line in [*compared.table().splitlines(), str(folder)]:
        say(line)
    return found | {"comparison": record}


def be_worker(args: argparse.Namespace) -> JsonObject:
    """Be a worker process: train the runs that the parent gives, and tell it how that goes."""
    from rlnut.control.pool import serve

    def prepare(jobs: Jobs) -> tuple[Message, Callable[[Message], Message]]:
        from rlnut.control.pool import Told
        from rlnut.runtime.log import say
        from rlnut.sweeps.run import Programs, work_on

        programs = Programs()
        return {"ready": "", "lines": []}, lambda job: work_on(job, Told(jobs), programs, say)

    args.json = False
    serve(prepare)
    return {}
