"""`rlnut plot DIR…`: learning curves of runs over seeds, agents and environments; of one run also what it learned."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.commands.options import AGENT, TRUST, add_wrap, converter, given_environment
from rlnut.errors import RlnutError, UsageError

FIGURES = ("values", "distributions", "health")  # of one run, in the place of its learning curve
OF_VALUES = ("dims", "at")  # options of --values
OF_POLICY = ("env", "wrap", "agent", "trust")  # options of --values and --distributions


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dirs", nargs="+", metavar="DIR", help="run folders, or folders that contain run folders")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="file (.png, .svg or .pdf) or folder for the figure (default: learning-curves.png)",
    )
    parser.add_argument(
        "--values",
        action="store_true",
        help="for one run: maps of max q(s, a) and the greedy action, with v* where it is known",
    )
    parser.add_argument(
        "--distributions",
        action="store_true",
        help="for one run of a distributional agent: predicted distributions of the return beside sampled returns",
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="for one run: diagnostics over time (|δ|, update sizes, dead units, feature rank, …)",
    )
    parser.add_argument(
        "--dims",
        type=converter(int, many=True),
        metavar="X,Y",
        help="with --values: indices of the two coordinates on the axes",
    )
    parser.add_argument(
        "--at",
        type=converter(float, many=True),
        metavar="V,...",
        help="with --values: values of the other coordinates, --at=-1,0.5 (default: the mean of the visited states)",
    )
    parser.add_argument(
        "--env", metavar="ENV", help="another environment with the same spaces, for --values and --distributions"
    )
    add_wrap(parser, "the environment of --env")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    _check(args)
    if args.values or args.distributions:
        return _policy_figure(args)
    if args.health:
        return _health_figure(args)
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


def _check(args: argparse.Namespace) -> None:
    """UsageError for options that have no effect together."""
    asked = [f"--{name}" for name in FIGURES if getattr(args, name)]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are different figures: give one of them")
    wrong = [name for name in OF_VALUES if getattr(args, name) and not args.values]
    wrong += [name for name in OF_POLICY if getattr(args, name) and not (args.values or args.distributions)]
    if wrong:
        need = "--values" if wrong[0] in OF_VALUES else "--values or --distributions"
        raise UsageError(f"--{wrong[0]} has no effect without {need}")
    if asked and len(args.dirs) > 1:
        raise UsageError(f"{asked[0]} draws one run, got {len(args.dirs)}")


def _policy_figure(args: argparse.Namespace) -> Mapping[str, object]:
    """What the policy of one run has learned."""
    from rlnut.agents.catalogue import AGENTS
    from rlnut.runtime.log import say
    from rlnut.runtime.plotting import figure_path, save_figure

    path = figure_path(args.out, "values" if args.values else "distributions")
    agent = None if args.agent is None else AGENTS.find(args.agent)
    env = given_environment(args)
    if args.values:
        from rlnut.control.maps import value_maps

        figure = value_maps(args.dirs[0], args.dims, args.at, env, agent, args.trust, args.seed)
    else:
        from rlnut.control.return_plots import return_distributions

        figure = return_distributions(args.dirs[0], env=env, agent=agent, trust=args.trust, seed=args.seed)
    save_figure(figure, path)
    say(str(path))
    return {"out": str(path)}


def _health_figure(args: argparse.Namespace) -> Mapping[str, object]:
    """How healthy the learning of one run was."""
    from rlnut.control.health_plots import health_figure
    from rlnut.runtime.log import say
    from rlnut.runtime.plotting import figure_path, save_figure

    path = figure_path(args.out, "health")
    save_figure(health_figure(args.dirs[0]), path)
    say(str(path))
    return {"out": str(path)}
