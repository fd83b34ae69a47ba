"""`rlnut train AGENT ENV`: learn Q and act greedily."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlnut.agents.catalogue import AGENTS
from rlnut.commands.options import add_settings, chosen_settings, converter, registered_name
from rlnut.control.settings import RunSettings
from rlnut.errors import UsageError

if TYPE_CHECKING:
    from rlnut.control.result import Trained
    from rlnut.envs.make import EnvName
    from rlnut.learner.config import AgentConfig
    from rlnut.runtime.files import JsonObject


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "agent",
        metavar="AGENT",
        help=f"one of {', '.join(AGENTS.known())}; an agent of an installed package (`rlnut list`), or of your own,"
        " MODULE:CLASS; `rlnut train AGENT --help`: its options",
    )
    parser.add_argument("env", metavar="ENV", help="a registered Gymnasium environment, e.g. CartPole-v1")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the run (default: runs/AGENT-ENV-seedN, new each time)"
    )
    parser.add_argument(
        "--seeds", type=converter(int), default=1, metavar="K", help="train K seeds: seed, seed+1, … (default: 1)"
    )
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="argument of the environment: is_slippery=false, size=8, map_name=8x8, …",
    )
    parser.add_argument("--no-preset", action="store_true", help="leave out the settings measured for this environment")
    agent = registered_name(parser, words, AGENTS)
    kind = None if agent is None else AGENTS.find(agent)
    add_settings(parser, RunSettings(**kind.training) if kind else RunSettings(), "training")
    if kind is not None:
        add_settings(parser, kind(), f"options of {agent}")


def check(args: argparse.Namespace) -> None:
    """UsageError for a name that is no agent."""
    AGENTS.find(args.agent, other=args.env)


def default_folder(agent: str, env: str, seed: int) -> Path:
    """runs/dqn-CartPole-v1-seed0, or the next number that is free."""
    stem = f"{agent}-{env}-seed{seed}".replace("/", "-").replace(":", "-")
    names = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 10**6))
    return next(path for path in names if not path.exists())


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.seeds < 1 or args.seed + args.seeds > 2**32:
        raise UsageError(f"--seeds must be >= 1, got {args.seeds}")
    from rlnut.envs.arguments import environment

    env = environment(args.env, args.env_arg)
    env.make().close()  # an invalid environment is reported before anything is written
    from rlnut.control.training import configured

    options, course = chosen_settings(args, AGENTS.find(args.agent)()), chosen_settings(args, RunSettings())
    config, training, usual = configured(args.agent, env, options, course, preset=not args.no_preset)
    if usual:
        from rlnut.runtime.log import say

        shown = ", ".join(f"{k} {v}" for k, v in usual.items())
        say(f"preset for {env.id}: {shown} (--no-preset: without)")
    out = Path(args.out) if args.out else default_folder(args.agent, env.id, args.seed)
    return train_seeds(config, env, training, args.seed, args.seeds, out)


def train_seeds(
    config: AgentConfig, env: EnvName, training: RunSettings, seed: int, seeds: int, out: Path
) -> JsonObject:
    """Train one seed into `out`, or several into `out`/seedN; the JSON object of the contract."""
    from rlnut.control.training import train
    from rlnut.runtime.files import new_folder, read_json

    runs = []
    if seeds > 1:
        new_folder(out)
    for k in range(seed, seed + seeds):
        folder = out / f"seed{k}" if seeds > 1 else out
        done = train(config, env, seed=k, out=folder, settings=training)
        report(done)
        runs.append(read_json(folder / "summary.json"))
    return answer(runs, str(out))


def report(done: Trained) -> None:
    """The result in one line for people; a run that Ctrl-C stopped ends the command."""
    from rlnut.control.evaluate import mean_and_std
    from rlnut.runtime.log import say

    e = done.evaluation
    if done.interrupted:
        say(f"stopped at {done.unit} {done.reached:,}; checkpoint saved; go on with: rlnut resume {done.folder}")
        raise KeyboardInterrupt
    count = len(e.returns)
    over = f"over {count} fresh episode{'s' if count > 1 else ''}, policy of {done.unit} {done.best_step:,}"
    say(f"greedy return {mean_and_std(e.mean, e.std)} {over}")
    say(f"{done.steps_per_s:,.0f} steps/s, {done.wall_s:.1f} s in all, {done.compile_s:.1f} s of it to compile")
    say(f"{done.folder}")


def answer(runs: list[JsonObject], out: str) -> JsonObject:
    """The summaries of one or several seeds as one JSON object."""
    import numpy as np

    from rlnut.control.evaluate import sample_std

    returns = [r for run in runs for r in run["eval"]["returns"]]
    wall, compile_s = sum(r["wall_s"] for r in runs), sum(r["compile_s"] for r in runs)
    return runs[0] | {
        "seeds": [r["seed"] for r in runs],
        "wall_s": wall,
        "compile_s": compile_s,
        "steps_per_s": float(np.median([r["steps_per_s"] for r in runs])),
        "eval": {"mean": float(np.mean(returns)), "std": sample_std(returns)}
        | {"episodes": len(returns), "returns": returns},
        "runs": runs,
        "out": out,
    }
