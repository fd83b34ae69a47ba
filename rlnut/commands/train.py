"""`rlnut train AGENT ENV`: learn Q and act greedily."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rlnut.agents.catalogue import AGENTS
from rlnut.commands.answers import answer, conclude, report, say_all
from rlnut.commands.options import (
    add_log_option,
    add_processes,
    add_settings,
    add_wrap,
    chosen_loggers,
    chosen_settings,
    converter,
    process_of,
    registered_name,
)
from rlnut.commands.repeating import ONLY, add_config, beside, complete, config_of, configure_repeat, repeated
from rlnut.control.run_records import read_summary
from rlnut.control.settings import RunSettings
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.config import refuse_idle
from rlnut.settings import Options

if TYPE_CHECKING:
    from rlnut.control.profile import Profile
    from rlnut.control.repeat import Repetition
    from rlnut.envs.make import EnvLike, EnvName
    from rlnut.learner.config import AgentConfig
    from rlnut.runtime.files import JsonObject
    from rlnut.runtime.workers import Jobs, Message


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    file = config_of(words)
    if not file:
        parser.add_argument(
            "agent",
            metavar="AGENT",
            help=f"one of {', '.join(AGENTS.known())}; or an agent of an installed package (see `rlnut list`); or "
            "your own class, MODULE:CLASS. `rlnut train AGENT --help` lists the options of an agent",
        )
        parser.add_argument("env", metavar="ENV", help="a registered Gymnasium environment, e.g. CartPole-v1")
    add_config(parser)
    parser.add_argument("--out", metavar="DIR", help="new folder for the run (default: runs/AGENT-ENV-seedN)")
    parser.add_argument(
        "--seeds", type=converter(int), default=1, metavar="K", help="train K seeds: seed, seed+1, … (default: 1)"
    )
    parser.add_argument(
        "--jobs",
        type=converter(int),
        metavar="J",
        help="train up to J seeds in parallel, one process each (1: sequentially in this process; default: the number"
        " of cores; with an accelerator: 1)",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of those processes
    add_processes(parser)
    add_log_option(parser)
    parser.add_argument(
        "--profile", action="store_true", help="print how long each part of the run took, and record it in summary.json"
    )
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="constructor argument of the environment: is_slippery=false, size=8, map_name=8x8, …",
    )
    parser.add_argument(
        "--async",
        action="store_const",
        const="async",
        dest="vectorization_mode",
        help="step each environment in a process of its own: --vectorization-mode async",
    )
    add_wrap(parser)
    parser.add_argument("--no-preset", action="store_true", help="do not apply the tuned preset of this environment")
    if file:
        return configure_repeat(parser, words, file)
    agent = registered_name(parser, words, AGENTS)
    kind = None if agent is None else AGENTS.find(agent)
    add_settings(parser, RunSettings(**kind.training) if kind else RunSettings(), "training")
    if kind is not None:
        add_settings(parser, kind(), f"options of {agent}")


def check(args: argparse.Namespace) -> None:
    """UsageError for a name that is no agent; with --config: what the file says is filled in."""
    if args.config is not None:
        return complete(args)
    if args.trust:
        raise UsageError(f"--trust {ONLY}")
    AGENTS.find(args.agent, other=args.env)


def default_folder(agent: str, env: str, seed: int) -> Path:
    """runs/dqn-CartPole-v1-seed0, or the next number that is free."""
    stem = f"{agent}-{env}-seed{seed}".replace("/", "-").replace(":", "-")
    names = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 10**6))
    return next(path for path in names if not path.exists())


class Choices(NamedTuple):
    """What a command line says of a run, but for its seed."""

    config: AgentConfig
    env: EnvName
    training: RunSettings
    lines: list[str]  # for people
    repeated: Repetition | None = None  # with --config

    @property
    def eval_env(self) -> EnvLike | None:
        """Where greedy episodes are played, if not on `env`."""
        return None if self.repeated is None else self.repeated.eval_env


def choices(args: argparse.Namespace) -> Choices:
    """Agent, environment and settings; an invalid environment is reported before anything is written."""
    from rlnut.control.training import configured
    from rlnut.envs.arguments import environment
    from rlnut.envs.make import EnvName

    if args.config is not None:
        one = repeated(args)
        assert isinstance(one.env, EnvName)
        one.env.make().close()
        return Choices(one.config, one.env, one.training, one.lines(), one)
    env = environment(args.env, args.env_arg, args.wrap)
    env.make().close()
    options, course = chosen_settings(args, AGENTS.find(args.agent)()), chosen_settings(args, RunSettings())
    config, training, usual = configured(args.agent, env, options, course, preset=not args.no_preset)
    refuse_idle(config, course)
    shown = ", ".join(f"{k} {v}" for k, v in usual.items())
    return Choices(config, env, training, [f"preset for {env.id}: {shown} (--no-preset turns it off)"] if usual else [])


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.seeds < 1 or args.seed + args.seeds > 2**32:
        raise UsageError(f"--seeds must be >= 1, got {args.seeds}")
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be >= 1, got {args.jobs}")
    loggers = chosen_loggers(args)  # what is wrong with them is reported before anything else
    if args.worker:
        return work(args)
    process = process_of(args)
    if args.seeds > 1:
        return train_seeds(args, range(args.seed, args.seed + args.seeds))
    from rlnut.control.training import train

    profile = started(args.from_python) if args.profile else False
    given = choices(args)
    config, env, training = given.config, given.env, given.training
    if process:
        done = train(config, env, seed=args.seed, settings=training, quiet=True, eval_env=given.eval_env)
        return {"process": process, "steps": done.steps}
    say_all(given.lines)
    out = Path(args.out) if args.out else default_folder(args.agent, env.id, args.seed)
    more: Options = {"profile": profile, "eval_env": given.eval_env, "loggers": loggers}
    report(train(config, env, seed=args.seed, out=out, settings=training, **more))
    found = answer([read_summary(out)], str(out))
    return found if given.repeated is None else found | beside(given.repeated, out)


def started(from_python: bool) -> Profile:
    """Clocks that count what this process did until now, if it was started for this command."""
    import psutil

    from rlnut.control.profile import Profile

    return Profile(start_up=None if from_python else max(0.0, time.time() - psutil.Process().create_time()))


def train_seeds(args: argparse.Namespace, seeds: range) -> JsonObject:
    """Train several seeds, each into a folder of its own: seedN; the JSON object of the contract, of those that end."""
    from rlnut.control import seeds as several
    from rlnut.runtime.files import new_folder

    began, made = time.perf_counter(), []

    def folder_of(env: str) -> Path:
        made.append(new_folder(args.out or default_folder(args.agent, env, args.seed)))
        return made[0]

    jobs = args.jobs or (1 if args.from_python else several.usual_jobs(len(seeds)))
    if min(jobs, len(seeds)) > 1:
        failed = several.in_processes([*args.words, "--worker"], seeds, min(jobs, len(seeds)), folder_of)
    else:
        failed = in_this_process(args, seeds, folder_of)
    (out,) = made
    if len(failed) == len(seeds):
        raise failed[seeds[0]]
    ended = [k for k in seeds if k not in failed]
    found = answer([read_summary(out / f"seed{k}") for k in ended], str(out)) | {"wall_s": time.perf_counter() - began}
    found |= {} if args.config is None else {"repeats": repeated(args).record()}
    found |= {"failed": {k: str(error) for k, error in failed.items()}} if failed else {}
    return found | conclude(out, ended, found)


def in_this_process(
    args: argparse.Namespace, seeds: Sequence[int], folder_of: Callable[[str], Path]
) -> dict[int, RlnutError]:
    """Train one seed after the other with the same compiled programs; what failed."""
    from rlnut.control.seeds import one_after_another
    from rlnut.control.setup import Shared
    from rlnut.control.training import train_seed

    given = choices(args)
    say_all(given.lines)
    folder, shared = folder_of(given.env.id), Shared()

    def one(seed: int) -> None:
        run, loggers = (*given[:3], seed, folder / f"seed{seed}"), chosen_loggers(args, f"seed{seed}")
        report(train_seed(*run, shared, args.profile, eval_env=given.eval_env, loggers=loggers))

    try:
        return one_after_another(one, seeds)
    except UsageError:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()
        raise


def work(args: argparse.Namespace) -> JsonObject:
    """Be a worker process: train the seeds that the parent gives, and tell it how that goes."""
    from rlnut.control.pool import serve

    def prepare(jobs: Jobs) -> tuple[Message, Callable[[Message], Message]]:
        from rlnut.control.pool import Told
        from rlnut.control.settings import Said
        from rlnut.control.setup import Shared
        from rlnut.control.training import train_seed

        given, shared = choices(args), Shared()

        def do(job: Message) -> Message:
            run = (given.config, given.env, given.training, job["seed"], Path(job["out"]))
            said = Said(job["plan"], job["progress"], stopping=False)
            told = Told(jobs)
            more: Options = {"eval_env": given.eval_env, "loggers": chosen_loggers(args, f"seed{job['seed']}")}
            report(train_seed(*run, shared, args.profile, said, told.planned, [told], **more))
            return {"done": job["seed"]}

        return {"ready": given.env.id, "lines": given.lines}, do

    args.json = False
    serve(prepare)
    return {}
