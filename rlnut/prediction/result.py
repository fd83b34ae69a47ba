"""What a prediction comes to: moments of learning laid beside the truth, a log of them, and an alarm if it diverges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlnut.errors import UsageError
from rlnut.prediction.defaults import SettingsUsed
from rlnut.prediction.learned_values import Values
from rlnut.prediction.snapshots import Snapshot
from rlnut.prediction.table_truth import FixedPoint, shown
from rlnut.truth.fixed_points import rms
from rlnut.truth.monte_carlo import MonteCarloTruth

BLOWN_UP = 10.0  # times the error at the start, or the truth: it diverged

PredictionReport = Callable[[Mapping[str, float], int], None]  # a row of the log and the rows in all, while it learns


class Lattice(NamedTuple):
    """Learned values over a box of two numbers, NaN where nothing near was met."""

    x: np.ndarray  # [M] first number
    y: np.ndarray  # [M] second
    values: np.ndarray  # [M, M], y first


class PredictionResult(NamedTuple):
    """What was learned, and how wrong it is."""

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

    def value(self, obs: ArrayLike | tuple[ArrayLike, ...]) -> np.ndarray:
        """Learned v(s) [] or q(s, ·) [A] of one observation, [B] and [B, A] of several: the mean over runs."""
        if self.learned is None:
            raise UsageError("this result was made without the function that was learned")
        return self.learned.value(obs)


def follow_snapshots(
    found: Iterable[Snapshot],
    read: Callable[[np.ndarray], np.ndarray],
    errors: Callable[[np.ndarray], dict[str, float]],
    right: np.ndarray,
    seen: np.ndarray,
    before: float,
    off: bool,
    chosen: SettingsUsed,
    report: PredictionReport | None,
    end: float = 0.0,
) -> tuple[PredictionResult, np.ndarray]:
    """Moment by moment the RMS error against `right` where `seen`, and the `errors` of the first run's weights.

    `read` maps weights [N, d] to values [N, ·] of `right`, flat; `before` is the error at the first weights,
    `end` that of the point where the method should end: to be near it is no divergence, however wrong it is. Returns
    the result and the last weights of all runs [N, d].
    """
    flat = right.reshape(-1)
    log: list[dict[str, float]] = []
    learned, weights = np.zeros((1, len(flat))), np.zeros((1, 0))
    for moment in found:
        weights = moment.weights
        with np.errstate(all="ignore"):
            learned = read(weights)
            error = float(np.sqrt(((learned[:, seen] - flat[seen]) ** 2).mean(-1)).mean())
            now = errors(weights[0]) if np.isfinite(weights[0]).all() else {}
        log.append({"step": moment.rows, "rmse": error, **now, "sampled_tde": moment.td_error})
        if report is not None:
            report(log[-1], moment.of)
    curve = np.array([row["rmse"] for row in log])
    with np.errstate(all="ignore"):
        mean = shown(learned.mean(0), flat, seen).reshape(right.shape)
    numbers = {key: value for key, value in log[-1].items() if key not in ("step", "rmse", "sampled_tde")}
    scale = max(before, rms(flat[seen]), 1e-6)
    blown = not np.isfinite(curve[-1]) or curve[-1] > max(BLOWN_UP * scale, 3 * end)
    said = alarm(chosen, off) if blown else ""
    return PredictionResult(mean, right, float(curve[-1]), curve, weights[0], {}, numbers, said, chosen, log), weights


def alarm(chosen: SettingsUsed, off: bool) -> str:
    """Which members of the deadly triad (S&B 11.3) are at work, when the error exploded."""
    members = [
        ("function approximation", chosen["features"] != "one-hot"),
        ("bootstrapping", chosen["lam"] is not None and chosen["lam"] < 1),
        ("off-policy training", off),
    ]
    at_work = [name for name, here in members if here]
    return "diverged; of the deadly triad at work: " + (", ".join(at_work) or "none, so α is too large")
