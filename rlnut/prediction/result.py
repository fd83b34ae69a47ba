"""The result of a prediction: its errors while it learned, a log of them, and a warning if it diverges."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.prediction.defaults import SettingsUsed
from rlnut.prediction.learned_values import Given, Values
from rlnut.prediction.snapshots import Snapshot
from rlnut.prediction.table_truth import FixedPoint, shown
from rlnut.runtime.history import History, RowRecorder
from rlnut.runtime.notebook import line_picture
from rlnut.runtime.observing import watched
from rlnut.truth.fixed_points import rms
from rlnut.truth.monte_carlo import MonteCarloTruth

FEW_WEIGHTS = 12  # weights of which the whole way is kept
COLUMNS = ("step", "rmse", "ve", "be", "pbe", "tde", "re", "sampled_tde")  # of the log
BLOWN_UP = 10.0  # times the error at the start, or the truth: it diverged


class Lattice(NamedTuple):
    """Learned values over a box of two numbers, NaN where nothing near was met."""

    x: np.ndarray  # [M] first number
    y: np.ndarray  # [M] second
    values: np.ndarray  # [M, M], y first


class PredictionResult(NamedTuple):
    """The learned values and their errors."""

    values: np.ndarray  # [S], [S, A] or [K] mean over runs, NaN where a state cannot be reached
    truth: np.ndarray  # the same of V_π (Q_π)
    rmse: float  # mean over runs of the plain RMS error over what is reached
    curve: np.ndarray  # [K] the same while learning
    weights: np.ndarray | None  # [d] of the first run; None: of a network
    exact: Mapping[str, FixedPoint | None]  # td_fixed_point, projection, bellman_residual of a finite problem
    errors: dict[str, float]  # √VE, √BE, √PBE, √TDE, √RE of the first run under the behaviour's distribution
    alarm: str  # "" or why it diverged
    settings: SettingsUsed  # gamma, features, alpha, … that were chosen
    log: list[dict[str, float]]  # a row for each point of the curve
    known: MonteCarloTruth | None = None  # where the truth is estimated
    labels: tuple[str, ...] = ()  # of the states of a finite problem
    policy: np.ndarray | None = None  # π [S, A] of a finite problem
    picture: Lattice | None = None  # of a 2-D box
    learned: Values | None = None  # the function that was learned
    curve_se: np.ndarray | None = None  # [K] standard error of `curve` over runs; 0 of a single run
    path: np.ndarray | None = None  # [K, d] weights of the first run at the points of the curve, where they are few

    def __repr__(self) -> str:
        what = f"{len(self.log)} points, {self.alarm}" if self.alarm else f"{len(self.log)} points"
        return f"PredictionResult(RMS error {self.rmse:.4g} over {self.values.size} values; {what})"

    def _repr_html_(self) -> str:
        """The same in a notebook, above the error while it learned."""
        picture = line_picture(self.history.step, self.history["rmse"], "RMS error")
        return f"<div>{html.escape(repr(self))}</div>{picture}"

    @property
    def history(self) -> History:
        """The log, column by column: `history["rmse"]`."""
        return RowRecorder(COLUMNS, self.log).history()

    def value(self, obs: Given) -> np.ndarray:
        """Learned v(s) [] or q(s, ·) [A] of one observation, [B] and [B, A] of several: the mean over runs.

        Observations are as the environment gives them, several side by side as its vector form gives them.
        """
        if self.learned is None:
            raise UsageError("this result was made without the function that was learned")
        return self.learned.value(obs)


class PredictionLook:
    """Where a prediction stands at a point of its curve: what observers and callbacks are given."""

    def __init__(
        self, row: dict[str, float], total: int, weights: np.ndarray, values: np.ndarray, errors: np.ndarray
    ) -> None:
        self.row = row  # of the log: step, rmse, …
        self.total = total  # steps in all
        self.weights = weights  # [N, d] of every run
        self.values = values  # the mean over runs, beside `PredictionResult.truth`
        self.errors = errors  # [N] RMS error of every run; row["rmse"] is their mean
        self.stopping = False

    @property
    def step(self) -> int:
        """Rows of experience so far."""
        return int(self.row["step"])

    def stop(self) -> None:
        """End the prediction here."""
        self.stopping = True


PredictionReport = Callable[[PredictionLook], object]  # an observer of a prediction


class Alarm:
    """An observer that tells whether learning diverged, which only the last look decides.

    before: the error at the first weights; end: that of the point where the method should end: to be near it is no
    divergence, however wrong it is.
    """

    def __init__(self, before: float, truth: np.ndarray, end: float) -> None:
        self.scale, self.end, self.blown = max(before, rms(truth), 1e-6), end, False

    def __call__(self, look: PredictionLook) -> None:
        error = look.row["rmse"]
        self.blown = not np.isfinite(error) or error > max(BLOWN_UP * self.scale, 3 * self.end)


def prediction_looks(
    found: Iterable[Snapshot],
    read: Callable[[np.ndarray], np.ndarray],
    errors: Callable[[np.ndarray], dict[str, float]],
    right: np.ndarray,
    seen: np.ndarray,
) -> Iterator[PredictionLook]:
    """Moment by moment the RMS error against `right` where `seen`, and the `errors` of the first run's weights.

    `read` maps weights [N, d] to values [N, ·] of `right`, flat.
    """
    flat = right.reshape(-1)
    for moment in found:
        weights = moment.weights
        with np.errstate(all="ignore"):
            learned = read(weights)
            each = np.sqrt(((learned[:, seen] - flat[seen]) ** 2).mean(-1))
            now = errors(weights[0]) if np.isfinite(weights[0]).all() else {}
            mean = shown(learned.mean(0), flat, seen).reshape(right.shape)
        row = {"step": moment.rows, "rmse": float(each.mean()), **now, "sampled_tde": moment.td_error}
        yield PredictionLook(row, moment.of, weights, mean, each)


def follow_snapshots(
    looks: Iterable[PredictionLook],
    right: np.ndarray,
    watch: Alarm,
    off: bool,
    chosen: SettingsUsed,
    report: PredictionReport | None,
) -> tuple[PredictionResult, np.ndarray]:
    """Go through all looks, or until one is asked to stop: the result, and the last weights of all runs [N, d]."""
    log: list[dict[str, float]] = []
    spread: list[float] = []
    path: list[np.ndarray] = []

    def note(look: PredictionLook) -> None:
        log.append(look.row)
        spread.append(float(look.errors.std(ddof=1) / len(look.errors) ** 0.5) if len(look.errors) > 1 else 0.0)
        if look.weights.shape[1] <= FEW_WEIGHTS:
            path.append(look.weights[0])

    for look in watched(looks, [note, watch, *([report] if report else [])]):
        last = look
    curve = np.array([row["rmse"] for row in log])
    numbers = {key: value for key, value in log[-1].items() if key not in ("step", "rmse", "sampled_tde")}
    said, weights = alarm(chosen, off) if watch.blown else "", last.weights
    answer = PredictionResult(last.values, right, float(curve[-1]), curve, weights[0], {}, numbers, said, chosen, log)
    return answer._replace(curve_se=np.array(spread), path=np.stack(path) if path else None), weights


def alarm(chosen: SettingsUsed, off: bool) -> str:
    """The active members of the deadly triad (S&B 11.3), if the error exploded."""
    members = [
        ("function approximation", chosen["features"] != "one-hot"),
        ("bootstrapping", chosen["lam"] is not None and chosen["lam"] < 1),
        ("off-policy training", off),
    ]
    at_work = [name for name, here in members if here]
    return "diverged; active members of the deadly triad: " + (", ".join(at_work) or "none, α is too large")
