"""`predict`: from options, of the command line or Python, to a result, a log and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from rlnut.choices import FORMATS
from rlnut.envs.coordinates import cell_letters
from rlnut.envs.make import EnvLike, EnvName, env_name, maker
from rlnut.envs.meanings import OBSERVATIONS, known_class
from rlnut.envs.tabular import from_env
from rlnut.errors import RlnutError, UsageError, counted, unknown
from rlnut.features.maps import Features
from rlnut.prediction.methods import Method, Prediction, find, settle
from rlnut.prediction.on_tables import predict_finite
from rlnut.prediction.policies import PolicyLike
from rlnut.prediction.result import COLUMNS, PredictionLook, PredictionResult
from rlnut.runtime.files import new_folder, read_npy
from rlnut.runtime.log import COMPILING, Progress
from rlnut.runtime.loggers import LoggedRun, Logger, Loggers, RowLog
from rlnut.runtime.observing import Callback, Callbacks
from rlnut.truth.finite import Finite, check_features, load_npz
from rlnut.types import Network

WORDS = (
    ("RMSVE", "rmse"), ("weighted", "ve"), ("√BE", "be"), ("√PBE", "pbe"), ("√RE", "re"), ("√mean δ²", "sampled_tde"),
)  # fmt: skip
LARGEST_SEED = 2**32 - 1


def predict(
    method: str | Method,
    env: EnvLike | Finite | Path,
    policy: PolicyLike = None,
    behaviour: PolicyLike = None,
    *,
    features: str | Features | np.ndarray | None = None,
    network: Network | None = None,
    truth_states: str | Path | ArrayLike | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
    image: str = "png",
    loggers: Sequence[Logger] = (),
    **options: object,
) -> PredictionResult:
    """Learn V_π (`values="q"`: Q_π) of a policy by a method, with the truth beside it.

    `method` is a name of `METHODS`, MODULE:METHOD, or a `Method` of your own. `env` is a Gymnasium environment by name
    or by a function that makes it, an `.npz` path or a `Finite`; `policy` and `behaviour` what
    `rlnut.prediction.policies` reads: words, arrays, functions, saved policies. `features` are words, a `Features` or,
    for finite problems, an array [S, d]; `network` e.g. `rlnut.mlp((64, 64))`. `truth_states` are the observations
    [K, ...] where a truth that must be estimated is estimated, as an array or an `.npy` file. `options` are fields of
    `rlnut.prediction.methods.Prediction`. `out` is a new folder for values.png (`image`: png, svg or pdf), metrics.csv
    and what was learned (`rlnut.load_values(out)`). `callbacks` are functions of a `PredictionLook` (`step`, `row`,
    `values`, `stop()`), or objects with `on_start`, `on_look` or `on_end`, called at every point of the curve;
    `loggers` take its rows, see `rlnut.Logger`. The result answers `value(obs)` and has the log as arrays,
    `history["rmse"]`. Raises UsageError, RlnutError.

    >>> import rlnut
    >>> answer = rlnut.predict("lstd", "rlnut/RandomWalk5-v0", steps=2000, quiet=True)
    >>> answer.truth.round(3).tolist()
    [0.167, 0.333, 0.5, 0.667, 0.833]
    """
    check_arguments(method, env, features, network, seed, out)
    if image not in FORMATS:
        raise unknown("image", image, FORMATS)
    called: Callbacks[PredictionLook] = Callbacks(callbacks)
    noted = Loggers(loggers)
    method = find(method)
    if isinstance(features, str):
        options["features"] = features
    chosen = set(options) | ({"behaviour"} if behaviour is not None else set())
    config = settle(method, chosen, Prediction().replace(**options), network is not None)
    places = _truth_states(truth_states, options)
    problem = read_environment(env)
    given = None if isinstance(features, str) else features
    if isinstance(problem, Finite) and places is not None:
        raise UsageError("--truth-states: this problem has tables, so its truth is exact in every state")
    array = _over_states(given, problem) if isinstance(problem, Finite) and given is not None else None
    if not isinstance(problem, Finite) and given is not None and not isinstance(given, Features):
        raise UsageError("features of an environment without tables are words or a rlnut.features.maps.Features")
    about = {"method": method.name, "env": title(env), "seed": seed, **asdict(config)}
    noted.check(LoggedRun(about, None if out is None else Path(out)))
    folder = None if out is None else new_folder(out)
    report = Report(RowLog(COLUMNS, noted, folder), quiet, called, config.steps)
    noted.start(LoggedRun(about, folder))
    try:
        if isinstance(problem, Finite):
            answer = predict_finite(method, problem, config, policy, seed, behaviour, network, array, report)
        else:
            from rlnut.prediction.on_gymnasium import predict_host

            phi = given if isinstance(given, Features) else None
            answer = predict_host(method, problem, config, policy, seed, behaviour, network, phi, report, places)
    finally:
        report.close()
    if folder is not None:
        if answer.learned is not None:
            answer.learned.save(folder)
        _draw(folder / f"values.{image}", answer, env, problem, method, config, seed)
    return report.checked(answer)


def _draw(
    path: Path,
    answer: PredictionResult,
    env: EnvLike | Finite | Path,
    problem: object,
    method: Method,
    config: Prediction,
    seed: int,
) -> None:
    """The figure of a prediction, with what its numbers depend on."""
    from rlnut.prediction.plots import PredictionWords, prediction_figure
    from rlnut.runtime.plotting import save_figure

    used, finite = answer.settings, problem if isinstance(problem, Finite) else None
    length = f"{config.episodes:,} episodes" if config.episodes else f"{config.steps:,} steps"
    counts = "expected updates" if config.expected else "regressions" if method.solver == "fitted" else "steps"
    facts = (
        f"seed {seed}",
        counted(config.runs, "run"),
        length if config.data is None else "",
        f"γ = {used['gamma']:g}",
        "" if used["lam"] is None else f"λ = {used['lam']:.3g}",
        f"α = {used['alpha']:g}" if used["alpha"] else "α from the features" if used["averaged"] else "",
        f"features {used['features']}",
    )
    names, cells = ((), None) if isinstance(env, (Finite, Path)) else _meanings(env, finite)
    words = PredictionWords(f"{method.name} on {title(env)}", facts, counts, names, cells)
    save_figure(prediction_figure(answer, finite, words), path, f"rlnut predict {method.name}")


def _meanings(env: EnvLike, finite: Finite | None) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Names of the numbers of an observation, and a letter for each cell of a grid, where they are known."""
    named = None if str(env).endswith(".npz") else env_name(env)
    if named is None:
        return (), None
    made = named.make()
    try:
        cells = cell_letters(made, finite) if finite is not None and len(finite.shape) == 2 else None
        return OBSERVATIONS.get(known_class(made), ()), cells
    finally:
        made.close()


class Report:
    """An observer: a row of the log for every look, on a progress line and wherever `rows` go; then callbacks.

    What a callback raises ends the prediction where it is, and is kept as `failure` until what was learned is written.
    """

    def __init__(self, rows: RowLog, quiet: bool, callbacks: Callbacks[PredictionLook], total: int) -> None:
        self.rows, self.callbacks = rows, callbacks
        # how many steps the first look says; until it comes, programs are compiled
        self.progress, self.begun = Progress(total, 0, quiet, WORDS, start=COMPILING), False
        self.failure: RlnutError | None = None

    def __call__(self, look: PredictionLook) -> None:
        if not self.begun:
            self.progress.expect(look.total)
            self.begun = True
        self.progress.show(look.step, look.row, plain=look.step == look.total)
        self.rows.write(look.row)
        try:
            self.callbacks(look)
        except RlnutError as error:
            self.failure = error
            look.stop()

    def checked(self, answer: PredictionResult) -> PredictionResult:
        """The result; what a callback raised is raised now, with the result."""
        if self.failure is not None:
            self.failure.learned = answer
            raise self.failure
        return answer

    def close(self) -> None:
        """End the progress line, tell the callbacks, and close the loggers."""
        if self.progress is not None:
            self.progress.close()
        try:
            self.callbacks.end()
        except RlnutError as error:
            self.failure = self.failure or error
        finally:
            self.rows.loggers.close()


def check_arguments(method: object, env: object, features: object, network: object, seed: object, out: object) -> None:
    """UsageError in one line for arguments of the wrong kind."""
    if not isinstance(method, (str, Method)):
        raise UsageError(f"method must be a name, such as 'td0' or 'lstd', or a Method; got {method!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"seed must be a whole number >= 0 and <= {LARGEST_SEED}, got {seed!r}")
    if not isinstance(env, (str, Path, Finite, EnvName)) and not hasattr(env, "step") and not callable(env):
        raise UsageError(f"env must be a name, an .npz file, an environment or a function that makes one; got {env!r}")
    if not (features is None or isinstance(features, (str, Features, np.ndarray, list, tuple))):
        raise UsageError(f"features must be words, an array or a rlnut.features.maps.Features; got {features!r}")
    if not (network is None or callable(network)):
        raise UsageError(f"network must be an architecture such as rlnut.mlp((64, 64)); got {network!r}")
    if not (out is None or isinstance(out, (str, Path))):
        raise UsageError(f"out must be the path of a new folder, got {out!r}")


def title(env: object) -> str:
    """The problem's name in a picture."""
    if isinstance(env, (str, Path)):
        return str(env)
    named = None if isinstance(env, Finite) or not hasattr(env, "step") else getattr(env, "spec", None)
    return str(env) if isinstance(env, EnvName) else getattr(named, "id", type(env).__name__)


def read_environment(env: EnvLike | Finite | Path) -> Finite | EnvLike:
    """Tables where there are any: an `.npz` path, a `Finite`, or an environment that has them; else the environment."""
    if isinstance(env, Finite):
        return env
    if isinstance(env, (str, Path)) and str(env).endswith(".npz"):
        return load_npz(env)
    if isinstance(env, Path):
        raise UsageError(f"{env} is not an .npz file with tables P, R, …")
    named = env_name(env) or env
    made = maker(named)()
    try:
        return from_env(made) or named
    finally:
        made.close()


def _over_states(features: Features | np.ndarray, finite: Finite) -> np.ndarray:
    """Features of every state [S, d], from an array or a map of state numbers."""
    S = len(finite.mdp.start)
    return check_features(features(np.arange(S)) if isinstance(features, Features) else features, S)


def _truth_states(given: str | Path | ArrayLike | None, options: Mapping[str, object]) -> np.ndarray | None:
    """The observations where the truth is estimated, from an array or an .npy file."""
    if given is None:
        return None
    if "states" in options:
        raise UsageError("give --states or --truth-states, not both")
    if isinstance(given, (str, Path)):
        if not str(given).endswith(".npy"):
            raise UsageError(f"--truth-states takes an .npy file of observations, got {given}")
        given = read_npy(given)
    try:
        places = np.asarray(given)
    except ValueError:
        raise UsageError(
            "truth_states must be an array of observations [K, ...], got rows of different lengths"
        ) from None
    if places.dtype.kind not in "biuf" or places.ndim < 1 or not len(places) or not np.isfinite(places).all():
        got = f"{places.dtype} {list(places.shape)}"
        raise UsageError(f"truth_states must be finite numbers [K, ...], K >= 1; got {got}")
    return places
