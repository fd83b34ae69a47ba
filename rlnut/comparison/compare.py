"""Compare agents over seeds and environments: `rlnut.compare`, and its result as a table, as JSON and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlnut.comparison.curves import RESAMPLES, CurveOverSeeds, curve_of
from rlnut.comparison.grouping import Group, grouped
from rlnut.comparison.reading import RecordedRun, find_runs
from rlnut.comparison.scores import SCORES, Normalisation, Range, finished, normalisation, score_runs
from rlnut.comparison.statistics import (
    Band,
    Estimate,
    Interval,
    Scores,
    above_thresholds,
    band,
    bootstrap_indices,
    estimate,
    interquartile_mean,
    iqm_difference,
    mean_score,
    median_score,
    optimality_gap,
    probability_of_improvement,
)
from rlnut.errors import RlnutError, UsageError, counted, unknown
from rlnut.runtime.files import JsonObject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COVERAGE = 0.9  # an interval that is expected to hold the true mean less often comes with a note
THRESHOLDS = 101  # of a performance profile
STATISTICS = {"iqm": interquartile_mean, "mean": mean_score, "median": median_score}


class Difference(NamedTuple):
    """IQM of one agent − IQM of another. paired: the same seeds on both sides are drawn together."""

    value: float
    ci95: Interval | None
    paired: bool


class Comparison(NamedTuple):
    """A comparison of agents over runs; scores are returns, or normalised returns."""

    score: str
    normalisation: Normalisation
    envs: tuple[str, ...]
    runs: Mapping[str, tuple[RecordedRun, ...]]  # by label
    scores: Mapping[str, Mapping[str, np.ndarray]]  # scores[label][env]: [n], in the order of the seeds
    estimates: Mapping[str, Mapping[str, Estimate]]  # estimates["iqm"][label]; mean, median; optimality_gap
    by_env: Mapping[str, Mapping[str, Estimate]]  # by_env[label][env]: IQM; of several environments
    improvement: Mapping[tuple[str, str], Estimate]  # (x, y): P(X > Y), ties count ½
    differences: Mapping[tuple[str, str], Difference]  # (x, y): IQM of x − IQM of y
    thresholds: np.ndarray  # [T] of the performance profiles
    profiles: Mapping[str, Band]  # share of runs with a score above each threshold
    curves: tuple[CurveOverSeeds, ...]  # IQM of greedy evaluations against steps
    resamples: int
    notes: tuple[str, ...]  # what was left out, and what to know of the intervals

    @property
    def labels(self) -> tuple[str, ...]:
        """The agents."""
        return tuple(self.scores)

    def table(self) -> str:
        """All of it, as text."""
        from rlnut.comparison.table import comparison_table

        return comparison_table(self)

    def record(self) -> JsonObject:
        """All of it, for JSON."""
        from rlnut.comparison.table import comparison_record

        return comparison_record(self)

    def figure(self) -> Figure:
        """All of it, as a matplotlib figure."""
        from rlnut.comparison.figures import comparison_figure

        return comparison_figure(self)

    def save(self, path: str | Path) -> None:
        """Draw it into a .png, .svg or .pdf file."""
        from rlnut.runtime.plotting import save_figure

        save_figure(self.figure(), Path(path))

    def __repr__(self) -> str:
        return self.table()


def compare(
    *folders: str | Path,
    score: str = "final",
    normalise: str | Mapping[str, Range] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare the runs in these folders, each a run, a folder of seeds, or any tree of runs.

    score: "final", the mean return of the final evaluation; "last" or "curve", the last or the mean of the greedy
    evaluations on the way. normalise: "none", "runs" (lowest and highest score that are compared: the default for
    several environments) or {environment: (low, high)}. resamples, seed: of the bootstrap, which draws seeds within
    each environment (Agarwal et al. 2021). UsageError if there is nothing to compare.
    """
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    if isinstance(resamples, bool) or not isinstance(resamples, int) or not 100 <= resamples <= 1_000_000:
        raise UsageError(f"resamples must be an integer from 100 to 1000000, got {resamples!r}")
    runs, notes = find_runs(folders)
    groups, more = grouped(runs)
    table, left = _on_common_envs(groups)
    notes += more + left
    envs = tuple(next(iter(table.values())))
    raw = {}
    for env in envs:
        raw[env], more = score_runs([table[label][env] for label in table], score)
        notes += more
    normal, more = normalisation(normalise, raw)
    notes += more
    scores = {label: {env: normal.scale(env, raw[env][label]) for env in envs} for label in table}
    curves = []
    for found in table.values():
        curve, more = curve_of([*found.values()], normal.scale, seed, min(resamples, RESAMPLES))
        curves += [] if curve is None else [curve]
        notes += more
    members = {label: tuple(run for group in found.values() for run in group.runs) for label, found in table.items()}
    seeds = {label: tuple(group.seeds for group in found.values()) for label, found in table.items()}
    plain = {label: [*found.values()] for label, found in scores.items()}
    thresholds = _thresholds(plain)
    return Comparison(
        score, normal, envs, members, scores,
        _estimates(plain, resamples, seed, normal.kind != "none"),
        _by_env(scores, resamples, seed) if len(envs) > 1 else {},
        _improvement(plain, resamples, seed),
        _differences(plain, seeds, resamples, seed),
        thresholds,
        {label: _profile(one, thresholds, min(resamples, RESAMPLES), seed) for label, one in plain.items()},
        tuple(curves), resamples, tuple(notes + _of_intervals(plain)),
    )  # fmt: skip


def _on_common_envs(groups: Sequence[Group]) -> tuple[dict[str, dict[str, Group]], list[str]]:
    """The finished runs of each agent on the environments that all agents have: table[label][env]; and notes."""
    table: dict[str, dict[str, Group]] = {}
    notes: list[str] = []
    for group in groups:
        done, left = finished(group)
        notes += left
        if done is not None:
            table.setdefault(group.label, {})[group.env] = done
    if not table:
        raise RlnutError(f"no finished run to compare; {notes[0]}")
    everywhere = [env for env in dict.fromkeys(group.env for group in groups) if all(env in t for t in table.values())]
    if not everywhere:
        where = "; ".join(f"{label}: {', '.join(found)}" for label, found in table.items())
        raise UsageError(f"these agents have no environment in common: {where}")
    for label, found in table.items():
        others = [env for env in found if env not in everywhere]
        notes += [f"left out: {label} on {', '.join(others)}: not every agent has a finished run there"] * bool(others)
    return {label: {env: found[env] for env in everywhere} for label, found in table.items()}, notes


def _sizes(scores: Scores) -> list[int]:
    return [len(one) for one in scores]


def _estimates(
    scores: Mapping[str, Scores], resamples: int, seed: int, normalised: bool
) -> dict[str, dict[str, Estimate]]:
    """Each statistic of each agent; the optimality gap where 1 means something."""
    found: dict[str, dict[str, Estimate]] = {name: {} for name in STATISTICS}
    chosen = STATISTICS | ({"optimality_gap": optimality_gap} if normalised else {})
    for label, one in scores.items():
        indices = bootstrap_indices(_sizes(one), resamples, seed)
        for name, statistic in chosen.items():
            found.setdefault(name, {})[label] = estimate(statistic, one, indices=[indices])
    return found


def _by_env(
    scores: Mapping[str, Mapping[str, np.ndarray]], resamples: int, seed: int
) -> dict[str, dict[str, Estimate]]:
    """The IQM on each environment alone."""
    return {
        label: {
            env: estimate(interquartile_mean, [x], indices=[bootstrap_indices([len(x)], resamples, seed)])
            for env, x in found.items()
        }
        for label, found in scores.items()
    }


def _improvement(scores: Mapping[str, Scores], resamples: int, seed: int) -> dict[tuple[str, str], Estimate]:
    """P(X > Y) of every two agents; the two sides are resampled independently, as rliable does."""
    found = {}
    for x, y in combinations(scores, 2):
        indices = [bootstrap_indices(_sizes(scores[one]), resamples, seed, k) for k, one in enumerate((x, y))]
        one = estimate(probability_of_improvement, scores[x], scores[y], indices=indices)
        found[x, y] = one
        found[y, x] = Estimate(1 - one.value, None if one.ci95 is None else (1 - one.ci95[1], 1 - one.ci95[0]))
    return {pair: found[pair] for pair in permutations(scores, 2)}


def _differences(
    scores: Mapping[str, Scores], seeds: Mapping[str, tuple[tuple[int, ...], ...]], resamples: int, seed: int
) -> dict[tuple[str, str], Difference]:
    """IQM differences of every two agents: paired where both have the same seeds on every environment."""
    found = {}
    for x, y in combinations(scores, 2):
        paired = seeds[x] == seeds[y]
        indices = [
            bootstrap_indices(_sizes(scores[one]), resamples, seed, 0 if paired else k) for k, one in enumerate((x, y))
        ]
        value, ci95 = estimate(iqm_difference, scores[x], scores[y], indices=indices)
        found[x, y] = Difference(value, ci95, paired)
    return found


def _thresholds(scores: Mapping[str, Scores]) -> np.ndarray:
    """From the lowest score to the highest."""
    every = np.concatenate([one for found in scores.values() for one in found])
    return np.linspace(every.min(), every.max(), THRESHOLDS)


def _profile(scores: Scores, thresholds: np.ndarray, resamples: int, seed: int) -> Band:
    """The share of runs above each threshold, the mean over environments."""
    return band(mean_score, above_thresholds(scores, thresholds), bootstrap_indices(_sizes(scores), resamples, seed))


def _of_intervals(scores: Mapping[str, Scores]) -> list[str]:
    """What to know of the intervals of these numbers of seeds."""
    notes = []
    for label, found in scores.items():
        sizes = _sizes(found)
        if min(sizes) < 2:
            notes.append(f"{label}: no interval: that needs at least 2 seeds on each environment")
        elif (chance := nominal_coverage(sizes)) < COVERAGE:
            notes.append(
                f"{label}: intervals from {counted(sum(sizes), 'run')} are too narrow: where scores are normally"
                f" distributed they hold the true mean in about {100 * chance:.0f} % of all cases, not 95 %"
            )
        if len(set(sizes)) > 1:
            notes.append(f"{label}: {', '.join(map(str, sizes))} seeds: the IQM gives each run the same weight")
    return notes


def nominal_coverage(sizes: Sequence[int]) -> float:
    """How often a 95 % bootstrap interval of n ≥ 2 seeds on each of E environments holds the mean of normal scores.

    P(|t| < 1.96 √((n−1)/n)) with E·(n−1) degrees of freedom: resamples of n scores are narrower by √((n−1)/n) than
    means of n scores, and have nearly normal quantiles in the place of Student's (Hesterberg 2015, section 4.2).
    """
    from scipy.stats import t

    narrower = np.sqrt(np.mean([(n - 1) / n for n in sizes]))
    return float(2 * t.cdf(1.96 * narrower, sum(sizes) - len(sizes)) - 1)
