"""`rlnut predict METHOD ENV`: learn V_π (or Q_π) and print it beside the truth. (DIR FILE instead: see `apply`.)"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rlnut.commands import apply
from rlnut.commands.options import (
    TRUST,
    add_format,
    add_log_option,
    add_settings,
    add_wrap,
    chosen_format,
    chosen_loggers,
    chosen_settings,
    plain,
)
from rlnut.errors import UsageError
from rlnut.prediction.methods import METHODS, Prediction, find, settle

if TYPE_CHECKING:
    import numpy as np

    from rlnut.envs.make import EnvName
    from rlnut.prediction.result import PredictionResult
    from rlnut.truth.monte_carlo import MonteCarloTruth

ROWS = 30  # of the table on standard error


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    if apply.chosen(words):  # rlnut predict DIR FILE: the predictions of a fitted model
        return apply.configure(parser)
    known = "; ".join(f"{k}: {m.help}" for k, m in METHODS.known().items())
    more = "or a method of an installed package (see `rlnut list`), or your own, MODULE:METHOD; or the folder of a fit"
    parser.add_argument("method", metavar="METHOD", help=f"{known}; {more}")
    parser.add_argument(
        "env",
        metavar="ENV",
        help="a Gymnasium environment, or an .npz file with P, R, … (with the folder of a fit: FILE, new data)",
    )
    parser.add_argument(
        "--policy",
        metavar="π",
        help="the policy to evaluate: uniform, optimal, a table.npy, a run folder (DIR: its greedy policy, "
        "DIR:behaviour: its training policy) or MODULE:FUNCTION; append :ε for an ε-soft policy, as in optimal:0.1 "
        "(default: the problem's own, else uniform)",
    )
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the figure, the result and the learned values (default: none)"
    )
    add_format(parser)
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="constructor argument of the environment: is_slippery=false, size=8, map_name=8x8, …",
    )
    add_wrap(parser)
    parser.add_argument(
        "--truth-states",
        metavar="FILE.npy",
        help="observations [K, ...] whose true values are estimated by Monte Carlo (default: a sample of those "
        "visited)",
    )
    add_log_option(parser)
    add_settings(parser, Prediction(), "prediction")


def check(args: argparse.Namespace) -> None:
    """UsageError for a name that is no method."""
    if "method" in args:
        find(args.method, other=args.env)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if "rows" in args:
        return apply.run(args)
    method = find(args.method)
    given = chosen_settings(args, Prediction())
    settle(method, set(given), Prediction().replace(**given))
    image = chosen_format(args)
    if image and not args.out:
        raise UsageError("--format has no effect without --out, the folder for the figure")

    from rlnut.prediction.policies import trusted
    from rlnut.prediction.predict import predict

    policy, behaviour = args.policy, given.pop("behaviour", None)
    if args.trust:
        policy, behaviour = trusted(policy), trusted(behaviour)
    found = predict(
        method, _environment(args), policy, behaviour, truth_states=args.truth_states, seed=args.seed, out=args.out,
        quiet=False, image=image or "png", loggers=chosen_loggers(args), **given,
    )  # fmt: skip
    answer = {"method": method.name, "env": args.env, "rmse": found.rmse, "truth": found.truth, "values": found.values}
    answer |= _exact(found) if found.known is None else _known(found.known)
    if found.weights is not None:
        answer["weights"] = found.weights
    answer |= {"diverged": bool(found.alarm), "alarm": found.alarm or None, "curve": found.curve, "seed": args.seed}
    answer |= found.settings
    _say(found)
    if args.out:
        from pathlib import Path

        from rlnut.runtime.files import write_json

        answer["out"] = args.out
        write_json(Path(args.out) / "prediction.json", plain(answer))
    return answer


def _environment(args: argparse.Namespace) -> str | EnvName:
    """The environment with its arguments; a file of tables has none."""
    if args.env.endswith(".npz"):
        if args.env_arg or args.wrap:
            option = "--env-arg" if args.env_arg else "--wrap"
            raise UsageError(f"{option} is for an environment; {args.env} is a file of tables")
        return str(args.env)
    from rlnut.envs.arguments import environment

    return environment(args.env, args.env_arg, args.wrap)


def _exact(found: PredictionResult) -> dict[str, object]:
    """What only tables can tell; None where there is no such point."""
    each = {
        "exact": {name: point and point["weights"] for name, point in found.exact.items()},
        "exact_values": {name: point and point["values"] for name, point in found.exact.items()},
        "exact_rmse": {name: point and point["rmse"] for name, point in found.exact.items()},
    }
    return {"states": list(found.labels), **(each if found.exact else {}), "errors": found.errors}


def _known(known: MonteCarloTruth) -> dict[str, object]:
    """What belongs to a Monte-Carlo truth."""
    answer = {"ci95": known.ci95, "states": known.obs, "truth_bias": known.bias}
    return answer if known.actions is None else answer | {"actions": known.actions}


def _say(found: PredictionResult) -> None:
    """The table of learned and true values, and how wrong it is."""
    from rlnut.runtime.log import say

    if found.known is None:
        _say_table(list(found.labels), found.values, found.truth)
    else:
        known = found.known
        labels = [" ".join(f"{x:.3g}" for x in row[:6]) for row in _in_rows(known.obs, len(known.mean))]
        if known.actions is not None:
            labels = [f"{label}, {action}" for label, action in zip(labels, known.actions, strict=True)]
        _say_table(labels, found.values, known.mean, known.ci95)
        if known.bias:
            say(f"Monte-Carlo returns were truncated; the remainder is at most ±{known.bias:.2g}")
    parts = [f"RMS error {found.rmse:.4g}", *(f"√{key.upper()} {value:.4g}" for key, value in found.errors.items())]
    say(", ".join(parts))
    if found.settings.get("sparse"):
        say("the tables were taken as sparse rows: most of their numbers are 0")
    if found.alarm:
        say(found.alarm)


def _in_rows(obs: object, count: int) -> np.ndarray:
    """The numbers of K observations side by side, parts too: [K, n]."""
    import numpy as np

    if isinstance(obs, (dict, tuple)):
        parts = obs.values() if isinstance(obs, dict) else obs
        return np.concatenate([_in_rows(part, count) for part in parts], 1)
    numbers = np.asarray(obs)
    return numbers.reshape(count, -1) if numbers.dtype.kind in "biuf" else np.zeros((count, 0))


def _say_table(labels: list[str], values: np.ndarray, truth: np.ndarray, ci95: np.ndarray | None = None) -> None:
    """State, learned value, true value: on standard error, at most ROWS rows spread over the states."""
    import numpy as np

    from rlnut.runtime.log import say

    values, truth = np.asarray(values).reshape(len(labels), -1), np.asarray(truth).reshape(len(labels), -1)
    width = max(8, *(len(label) for label in labels))
    say(f"{'state':>{width}}  {'learned':>{10 * values.shape[1]}}  {'true':>{10 * values.shape[1]}}")
    known = np.flatnonzero(np.isfinite(truth).any(1))  # states that can be reached
    for s in known[np.unique(np.linspace(0, len(known) - 1, min(ROWS, len(known))).round().astype(int))]:
        both = ["".join(f"{x:10.4f}" for x in row) for row in (values[s], truth[s])]
        say(
            f"{labels[s]:>{width}}  {both[0]}  {both[1]}"
            + ("" if ci95 is None or np.isnan(ci95[s]) else f" ± {ci95[s]:.4f}")
        )
