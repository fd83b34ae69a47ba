"""A comparison as text for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rlnut.comparison.statistics import Estimate, Interval

if TYPE_CHECKING:
    from rlnut.comparison.compare import Comparison
    from rlnut.comparison.curves import LearningCurves
    from rlnut.runtime.files import JsonObject

PAIRED = 3  # agents whose names stand in every table and figure; more are with_numbers
NAMES = {"iqm": "IQM", "mean": "mean", "median": "median", "optimality_gap": "optimality gap"}
SCORE_NAMES = {
    "final": "mean return of the final evaluation",
    "last": "mean return of the last greedy evaluation",
    "curve": "mean of all greedy evaluations",
}


def score_name(found: Comparison) -> str:
    """What the numbers are."""
    return SCORE_NAMES[found.score] + ("" if found.normalisation.kind == "none" else ", normalised")


def comparison_table(found: Comparison) -> str:
    """Agents and their statistics, environments, probabilities of improvement, differences and notes."""
    where = found.envs[0] if len(found.envs) == 1 else f"{len(found.envs)} environments"
    lines = [
        f"{where}: {score_name(found)}; [95 % interval over seeds, {found.resamples:,} stratified bootstrap resamples]"
    ]
    names = [*found.estimates]
    many = len(found.labels) > PAIRED
    agents = dict(zip(found.labels, with_numbers(found.labels) if many else found.labels, strict=True))
    columns = [str(i + 1) for i in range(len(agents))] if many else [*agents]
    rows = [["agent", "runs", *(NAMES[name] for name in names)]]
    for label, agent in agents.items():
        each = (with_interval(found.estimates[name][label]) for name in names)
        rows.append([agent, str(len(found.runs[label])), *each])
    lines += aligned(rows)
    if len(found.envs) > 1:
        rows = [["IQM by environment", *columns]]
        rows += [[env, *(with_interval(found.by_env[label][env]) for label in agents)] for env in found.envs]
        lines += ["", *aligned(rows)]
    if len(found.labels) > 1:
        rows = [["P(row > column)", *columns]]
        for x, agent in agents.items():
            rows.append([agent, *("" if x == y else with_interval(found.improvement[x, y]) for y in agents)])
        lines += ["", *aligned(rows), ""]
        rows = [["difference of IQMs", "", ""]]
        for (x, y), one in found.differences.items():
            rows.append([f"{x} − {y}", with_interval(one), "paired: the same seeds" if one.paired else "not paired"])
        lines += aligned(rows)
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join(lines)


def with_numbers(labels: Sequence[str]) -> list[str]:
    """Names with the numbers that stand for them."""
    return [f"{i + 1}  {label}" for i, label in enumerate(labels)]


def curves_table(found: LearningCurves) -> str:
    """The last point of every curve, and notes."""
    rows = [["agent", "environment", "runs", "until", "IQM of greedy returns there"]]
    for curve in found.curves:
        low, high = float(curve.band.low[-1]), float(curve.band.high[-1])
        last = (float(curve.band.value[-1]), None if np.isnan(low) else (low, high))
        unit = "iteration" if curve.offline else "step"
        rows.append(
            [curve.label, curve.envs[0], str(len(curve.seeds)), f"{unit} {curve.steps[-1]:,}", with_interval(last)]
        )
    return "\n".join([*aligned(rows), *(f"note: {note}" for note in found.notes)])


def with_interval(one: tuple[float, Interval | None] | Estimate | tuple[float, Interval | None, bool]) -> str:
    """ "487.2 [455.1, 500]", or the number alone."""
    value, ci95 = one[0], one[1]
    return f"{value:.4g}" if ci95 is None else f"{value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}]"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def comparison_record(found: Comparison) -> JsonObject:
    """The JSON object of `rlnut compare`."""
    iqm = found.estimates["iqm"]
    by_estimate = {
        name: {label: {"value": one.value, "ci95": one.ci95} for label, one in each.items()}
        for name, each in found.estimates.items()
        if name != "iqm"
    }
    return {
        "score": found.score,
        "envs": list(found.envs),
        "normalise": found.normalisation.kind,
        "ranges": dict(found.normalisation.ranges),
        "resamples": found.resamples,
        "iqm": {label: one.value for label, one in iqm.items()},
        "ci95": {label: one.ci95 for label, one in iqm.items()},
        **by_estimate,
        "iqm_by_env": {
            label: {env: {"value": one.value, "ci95": one.ci95} for env, one in each.items()}
            for label, each in found.by_env.items()
        },
        "probability_of_improvement": [
            {"of": x, "over": y, "value": one.value, "ci95": one.ci95} for (x, y), one in found.improvement.items()
        ],
        "differences": [
            {"of": x, "minus": y, "value": one.value, "ci95": one.ci95, "paired": one.paired}
            for (x, y), one in found.differences.items()
        ],
        "profile": {
            "thresholds": found.thresholds,
            "share": {label: one.value for label, one in found.profiles.items()},
            "ci95": {label: np.stack([one.low, one.high], -1) for label, one in found.profiles.items()},
        },
        "curves": [curve.record() for curve in found.curves],
        "per_run": [row for label in found.labels for row in _per_run(found, label)],
        "notes": list(found.notes),
    }


def _per_run(found: Comparison, label: str) -> list[JsonObject]:
    """Each run of an agent, with its score."""
    scores = np.concatenate([*found.scores[label].values()])
    return [
        {
            "label": label,
            "agent": run.agent,
            "env": run.env,
            "seed": run.seed,
            "score": float(score),
            "return": float(np.mean(run.returns)),
            "episodes": len(run.returns),
            "folder": str(run.folder),
        }
        for run, score in zip(found.runs[label], scores, strict=True)
    ]
