"""`rlnut predict METHOD ENV`: learn V_π (or Q_π) and print it beside the truth. (DIR FILE instead: see `apply`.)"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rlnut.cli import add_settings, chosen_settings
from rlnut.commands import apply
from rlnut.methods import METHODS, Prediction, find, refuse

ROWS = 30  # of the table on standard error


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    if apply.chosen(words):  # rlnut predict DIR FILE: the predictions of a fitted model
        return apply.configure(parser)
    known = "; ".join(f"{k}: {m.help}" for k, m in METHODS.items())
    parser.add_argument("method", metavar="METHOD", help=f"{known}; or the folder of a fit")
    parser.add_argument(
        "env", metavar="ENV", help="a Gymnasium environment, or an .npz file with P, R, … (after a fit: FILE)"
    )
    parser.add_argument(
        "--policy",
        metavar="π",
        help="uniform, optimal, or the folder of a run (default: the problem's own, else uniform)",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the picture and the result (default: none)")
    add_settings(parser, Prediction(), "prediction")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if "rows" in args:
        return apply.run(args)
    name = find(args.method)
    given = chosen_settings(args, Prediction())
    config = Prediction().replace(**given)
    refuse(name, set(given), config)

    from rlnut.files import new_folder

    out = new_folder(args.out) if args.out else None
    finite, env = problem(args.env)
    if finite is not None:
        answer, draw = _finite(name, finite, args, config)
    else:
        answer, draw = _host(name, env, args, config)
    if out is not None:
        import json

        from rlnut.cli import plain
        from rlnut.files import atomic_write

        draw(out / "values.png")
        atomic_write(out / "prediction.json", json.dumps(plain(answer), indent=1, ensure_ascii=False) + "\n")
        answer["out"] = str(out)
    return answer


def problem(env: str) -> tuple[Any, Any]:
    """(tables or None, EnvName or None) of a word: an `.npz` path or a registered environment."""
    from rlnut.finite import from_env, load_npz

    if env.endswith(".npz"):
        return load_npz(env), None
    from rlnut.envs.make import EnvName

    named = EnvName(env)
    made = named.make()
    try:
        return from_env(made), named
    finally:
        made.close()


def _finite(name: str, finite: Any, args: argparse.Namespace, config: Prediction) -> tuple[dict[str, Any], Any]:
    from rlnut.figures import draw_values
    from rlnut.prediction import predict_finite

    policy = args.policy if args.policy in (None, "uniform", "optimal") else _saved_table(args.policy, finite)
    found = predict_finite(name, finite, config, policy, args.seed)
    labels = list(finite.labels) or [str(s) for s in range(len(found.truth))]
    _say_table(labels, found.values, found.truth)
    _say_end(found.rmse, found.errors, found.alarm)
    answer = {
        "method": name,
        "env": args.env,
        "rmse": found.rmse,
        "truth": found.truth,
        "values": found.values,
        "states": labels,
        "weights": found.weights,
        "exact": _each(found.exact, "weights"),
        "exact_values": _each(found.exact, "values"),
        "exact_rmse": _each(found.exact, "rmse"),
        "errors": found.errors,
        "diverged": bool(found.alarm),
        "alarm": found.alarm or None,
        "curve": found.curve,
        "seed": args.seed,
        **found.settings,
    }  # fmt: skip
    return answer, lambda path: draw_values(path, f"{name} on {args.env}", found, finite.shape)


def _each(points: dict[str, Any], what: str) -> dict[str, Any]:
    """One quantity of every fixed point; None where there is no such point."""
    return {key: point and point[what] for key, point in points.items()}


def _host(name: str, env: Any, args: argparse.Namespace, config: Prediction) -> tuple[dict[str, Any], Any]:
    from rlnut.errors import UsageError
    from rlnut.figures import draw_host
    from rlnut.prediction_host import predict_host

    act = None
    if args.policy == "optimal":
        raise UsageError(f"the optimal policy cannot be computed for {env.id}: it has no tables P and R")
    if args.policy not in (None, "uniform"):
        saved = load(args.policy)
        act = lambda obs, rng: int(saved.act(obs))  # noqa: E731
    found = predict_host(name, env, config, act, args.seed)
    labels = [" ".join(f"{x:.3g}" for x in obs.reshape(-1)[:6]) for obs in found.truth.obs]
    _say_table(labels, found.values, found.truth.mean, found.truth.ci95)
    _say_end(found.rmse, {}, "")
    answer = {
        "method": name,
        "env": args.env,
        "rmse": found.rmse,
        "truth": found.truth.mean,
        "values": found.values,
        "ci95": found.truth.ci95,
        "states": found.truth.obs,
        "curve": found.curve,
        "seed": args.seed,
        **found.settings,
    }
    if found.weights is not None:
        answer["weights"] = found.weights
    return answer, lambda path: draw_host(path, f"{name} on {args.env}", found)


def load(folder: str) -> Any:
    """The greedy policy of a run folder: the only place where `predict` meets saved runs."""
    from pathlib import Path

    from rlnut.errors import unknown

    if not Path(folder).exists():
        raise unknown("policy", folder, ("uniform", "optimal", "a run folder"))
    from rlnut.runs import load_policy

    return load_policy(folder)


def _saved_table(folder: str, finite: Any) -> Any:
    import numpy as np

    from rlnut.errors import UsageError

    saved = load(folder)
    S, A, _ = finite.mdp.P.shape
    q = saved.q(np.arange(S))
    if q.shape != (S, A):
        raise UsageError(f"the policy in {folder} has values {list(q.shape)}, this problem needs [{S}, {A}]")
    return np.eye(A)[q.argmax(1)]


def _say_table(labels: list[str], values: Any, truth: Any, ci95: Any = None) -> None:
    """State, learned value, true value: on standard error, at most ROWS rows spread over the states."""
    import numpy as np

    from rlnut.log import say

    values, truth = np.asarray(values).reshape(len(labels), -1), np.asarray(truth).reshape(len(labels), -1)
    width = max(8, *(len(label) for label in labels))
    say(f"{'state':>{width}}  {'learned':>{10 * values.shape[1]}}  {'true':>{10 * values.shape[1]}}")
    known = np.flatnonzero(np.isfinite(truth).any(1))  # states that can be reached
    for s in known[np.unique(np.linspace(0, len(known) - 1, min(ROWS, len(known))).round().astype(int))]:
        both = ["".join(f"{x:10.4f}" for x in row) for row in (values[s], truth[s])]
        say(f"{labels[s]:>{width}}  {both[0]}  {both[1]}" + (f" ± {ci95[s]:.4f}" if ci95 is not None else ""))


def _say_end(rmse: float, errors: dict[str, float], alarm: str) -> None:
    from rlnut.log import say

    parts = [f"RMS error {rmse:.4g}", *(f"√{key.upper()} {value:.4g}" for key, value in errors.items())]
    say(", ".join(parts))
    if alarm:
        say(alarm)
