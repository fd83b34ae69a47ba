"""`predict`: from the words of the command line, or their Python counterparts, to a result, a log and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlnut.envs.make import EnvLike, EnvName, maker
from rlnut.envs.tabular import from_env
from rlnut.errors import UsageError
from rlnut.features.maps import Features
from rlnut.prediction.methods import Prediction, find, settle
from rlnut.prediction.on_tables import predict_finite
from rlnut.prediction.result import PredictionResult
from rlnut.runtime.files import new_folder
from rlnut.runtime.log import MetricsFile, Progress
from rlnut.truth.finite import Finite, load_npz
from rlnut.types import Network

COLUMNS = ("step", "rmse", "ve", "be", "pbe", "tde", "re", "sampled_tde")
WORDS = (
    ("RMSVE", "rmse"), ("weighted", "ve"), ("√BE", "be"), ("√PBE", "pbe"), ("√RE", "re"), ("√mean δ²", "sampled_tde"),
)  # fmt: skip


def predict(
    method: str,
    env: EnvLike | Finite,
    policy: Any = None,
    behaviour: Any = None,
    *,
    features: str | Features | np.ndarray | None = None,
    network: Network | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    quiet: bool = True,
    **options: Any,
) -> PredictionResult:
    """Learn V_π (`values="q"`: Q_π) of a policy by a method of `METHODS`, with the truth beside it.

    `env` is a Gymnasium environment by name or by a function that makes it, an `.npz` path or a `Finite`; `policy` and
    `behaviour` what `rlnut.prediction.policies` reads: words, arrays, functions, saved policies. `features` are words,
    a `Features` or, for finite problems, an array [S, d]; `network` e.g. `rlnut.mlp((64, 64))`. `options` are fields of
    `rlnut.prediction.methods.Prediction`. `out` is a new folder for values.png and metrics.csv. Raises UsageError,
    RlnutError.

    >>> import rlnut
    >>> answer = rlnut.predict("lstd", "rlnut/RandomWalk5-v0", steps=2000)
    >>> answer.truth.round(3).tolist()
    [0.167, 0.333, 0.5, 0.667, 0.833]
    """
    name = find(method)
    if isinstance(features, str):
        options["features"] = features
    chosen = set(options) | ({"behaviour"} if behaviour is not None else set())
    config = settle(name, chosen, Prediction().replace(**options), network is not None)
    problem = read_environment(env)
    folder = None if out is None else new_folder(out)
    file = None if folder is None else MetricsFile(folder / "metrics.csv", COLUMNS)
    shown: list[Progress] = []

    def report(row: dict[str, Any], total: int) -> None:
        if not shown:
            shown.append(Progress(total, 0, quiet, WORDS))
        shown[0].show(int(row["step"]), row, plain=row["step"] == total)
        if file is not None:
            file.write(row)

    given = None if isinstance(features, str) else features
    try:
        if isinstance(problem, Finite):
            array = _over_states(given, problem) if given is not None else None
            answer = predict_finite(name, problem, config, policy, seed, behaviour, network, array, report)
        else:
            from rlnut.prediction.on_gymnasium import predict_host

            if given is not None and not isinstance(given, Features):
                raise UsageError(
                    "features of an environment without tables are words or a rlnut.features.maps.Features"
                )
            answer = predict_host(name, problem, config, policy, seed, behaviour, network, given, report)
    finally:
        for progress in shown:
            progress.close()
    if folder is not None:
        from rlnut.prediction.plots import draw_prediction

        finite = problem if isinstance(problem, Finite) else None
        draw_prediction(folder / "values.png", f"{name} on {title(env)}", answer, finite)
    return answer


def title(env: Any) -> str:
    """The problem's name in a picture."""
    return env if isinstance(env, str) else getattr(env, "id", type(env).__name__)


def read_environment(env: Any) -> Finite | EnvLike:
    """Tables where there are any: an `.npz` path, a `Finite`, or an environment that has them; else the environment."""
    if isinstance(env, Finite):
        return env
    if isinstance(env, (str, Path)) and str(env).endswith(".npz"):
        return load_npz(env)
    named = EnvName(env) if isinstance(env, str) else env
    made = maker(named)()
    try:
        return from_env(made) or named
    finally:
        made.close()


def _over_states(features: Any, finite: Finite) -> np.ndarray:
    """Features of every state [S, d], from an array or a map of state numbers."""
    from rlnut.truth.finite import check_features

    S = len(finite.mdp.start)
    return check_features(features(np.arange(S)) if isinstance(features, Features) else features, S)
