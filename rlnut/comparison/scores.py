"""One number of each run, the steps that several runs have, and one scale for several environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from rlnut.comparison.grouping import Group
from rlnut.comparison.reading import RecordedRun
from rlnut.errors import UsageError, unknown

SCORES = ("final", "last", "curve")  # what a run is judged by
Range = tuple[float, float]  # the returns that count as 0 and as 1


def finished(group: Group) -> tuple[Group | None, list[str]]:
    """The group with its finished runs only, None if it has none; and notes on the others."""
    done = tuple(run for run in group.runs if not run.unfinished)
    notes = [f"left out: {run.folder}: {run.unfinished}" for run in group.runs if run.unfinished]
    return (group._replace(runs=done) if done else None), notes


def common_steps(runs: Sequence[RecordedRun]) -> np.ndarray:
    """The steps at which every one of the runs has a greedy evaluation: [T], perhaps none."""
    return reduce(np.intersect1d, [run.steps for run in runs])


def evaluations_at(runs: Sequence[RecordedRun], steps: np.ndarray) -> np.ndarray:
    """Mean returns of the greedy evaluations at these steps: [T, n]."""
    return np.stack([run.evaluations[np.searchsorted(run.steps, steps)] for run in runs], -1)


def steps_left_out(name: str, runs: Sequence[RecordedRun], steps: np.ndarray) -> list[str]:
    """A note, where some of the runs have evaluations at other steps than these."""
    others = np.setdiff1d(np.concatenate([run.steps for run in runs]), steps)
    if not len(others):
        return []
    where = f"at step {others[0]:,}" if len(others) == 1 else f"at {len(others)} steps, {others[0]:,} … {others[-1]:,}"
    return [f"{name}: evaluations {where} are left out: not every run has one there"]


def score_runs(groups: Sequence[Group], score: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The scores of the runs of groups on one environment, by label: [n] each; and notes.

    final: mean return of the final evaluation (fresh episodes of the best policy). last, curve: the last and the mean
    of the greedy evaluations on the way, at the steps that every run of the environment has.
    """
    if score == "final":
        return {g.label: np.array([np.mean(run.returns) for run in g.runs]) for g in groups}, []
    runs = [run for group in groups for run in group.runs]
    env = groups[0].env
    if len({run.offline for run in runs}) > 1:
        raise UsageError(f"{env}: offline agents count iterations, the others steps: compare their final evaluations")
    steps = common_steps(runs)
    if not len(steps):
        raise UsageError(f"{env}: no step at which every run has a greedy evaluation; compare the final evaluations")
    take = (lambda values: values[-1]) if score == "last" else (lambda values: values.mean(0))
    found = {group.label: take(evaluations_at(group.runs, steps)) for group in groups}
    return found, steps_left_out(env, runs, steps)


class Normalisation(NamedTuple):
    """The returns that count as 0 and as 1 on each environment."""

    kind: str  # none, runs (lowest and highest score of those compared), given
    ranges: Mapping[str, Range]

    def scale(self, env: str, values: np.ndarray) -> np.ndarray:
        """Returns on the scale."""
        if self.kind == "none":
            return values
        low, high = self.ranges[env]
        return (values - low) / (high - low) if high > low else np.ones_like(values)


def normalisation(
    chosen: str | Mapping[str, Range] | None, scores: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[Normalisation, list[str]]:
    """The scale for scores[env][label]; and notes.

    chosen: "none"; "runs": the lowest score of a run on the environment is 0 and the highest 1; or (low, high) for each
    environment. None: "none" for one environment, "runs" for several.
    """
    if chosen is None:
        chosen = "none" if len(scores) == 1 else "runs"
    if isinstance(chosen, str):
        if chosen not in ("none", "runs"):
            raise unknown("normalisation", chosen, ("none", "runs"))
        if chosen == "none":
            if len(scores) > 1:
                raise UsageError("returns of several environments have no common scale: normalise them by runs or by"
                                 " ENV=LOW,HIGH, or compare one environment at a time")  # fmt: skip
            return Normalisation("none", {}), []
        ends = {env: np.concatenate([*found.values()]) for env, found in scores.items()}
        ranges = {env: (float(values.min()), float(values.max())) for env, values in ends.items()}
        notes = ["scores are normalised by the lowest and highest score of the runs that are compared, so they change"
                 " with what is compared; ENV=LOW,HIGH fixes the scale"]  # fmt: skip
        same = [env for env, (low, high) in ranges.items() if low == high]
        return Normalisation("runs", ranges), notes + [f"{env}: every run has the same score: 1" for env in same]
    return Normalisation("given", given_ranges(chosen, scores)), []


def given_ranges(chosen: Mapping[str, Range], envs: Mapping[str, object]) -> dict[str, Range]:
    """A valid range for each environment; UsageError for one that is missing, unknown or empty."""
    for name in chosen:
        if name not in envs:
            raise unknown("environment", name, envs)
    ranges = {}
    for env in envs:
        if env not in chosen:
            raise UsageError(f"give LOW,HIGH of {env}, too: one scale for all environments")
        low, high = (float(end) for end in chosen[env])
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise UsageError(f"{env}: LOW must be below HIGH, got {low:g},{high:g}")
        ranges[env] = (low, high)
    return ranges
