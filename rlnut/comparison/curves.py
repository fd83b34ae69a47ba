"""Learning curves over seeds: the IQM of greedy evaluations at every step that all runs have, with 95 % bands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.comparison.grouping import Group, grouped
from rlnut.comparison.reading import RecordedRun, find_runs
from rlnut.comparison.scores import common_steps, evaluations_at, finished, steps_left_out
from rlnut.comparison.statistics import Band, band, bootstrap_indices, interquartile_mean
from rlnut.runtime.files import JsonObject

RESAMPLES = 2_000  # of a band


class CurveOverSeeds(NamedTuple):
    """One line of a figure: an agent on one environment, or on several together."""

    label: str
    envs: tuple[str, ...]
    runs: tuple[RecordedRun, ...]
    steps: np.ndarray  # [T]
    band: Band  # IQM over all runs, and its interval
    each: tuple[np.ndarray, ...]  # [T, n] for each environment: one line for each run
    offline: bool  # the steps are iterations

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its runs, environment by environment."""
        return tuple(run.seed for run in self.runs)

    def record(self) -> JsonObject:
        """For JSON."""
        return {
            "label": self.label,
            "env": list(self.envs) if len(self.envs) > 1 else self.envs[0],
            "seeds": list(self.seeds),
            "steps": self.steps,
            "iqm": self.band.value,
            "ci95": np.stack([self.band.low, self.band.high], -1),
        }


class LearningCurves(NamedTuple):
    """The curves of all groups, and notes on what was left out."""

    runs: tuple[RecordedRun, ...]  # all that were found
    curves: tuple[CurveOverSeeds, ...]
    notes: tuple[str, ...]

    def record(self) -> JsonObject:
        """For JSON."""
        return {"curves": [curve.record() for curve in self.curves], "notes": list(self.notes)}


def curve_of(
    groups: Sequence[Group], scale: Callable[[str, np.ndarray], np.ndarray] | None = None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[CurveOverSeeds | None, list[str]]:  # fmt: skip
    """The curve of one agent, its groups being of one environment each; None if its runs have no step in common.

    scale: (environment, returns) -> numbers that environments have in common. Resamples draw whole runs.
    """
    runs = [run for group in groups for run in group.runs]
    envs, label = tuple(group.env for group in groups), groups[0].label
    steps = common_steps(runs)
    name = f"{label} on {envs[0]}" if len(envs) == 1 else label
    if not len(steps):
        return None, [f"{name}: no curve: its runs have no step with a greedy evaluation in common"]
    each = tuple(evaluations_at(group.runs, steps) for group in groups)
    if scale is not None:
        each = tuple(scale(env, values) for env, values in zip(envs, each, strict=True))
    indices = bootstrap_indices([values.shape[-1] for values in each], resamples, seed)
    found = band(interquartile_mean, each, indices)
    return CurveOverSeeds(label, envs, tuple(runs), steps, found, each, runs[0].offline), steps_left_out(
        name, runs, steps
    )


def learning_curves(*folders: str | Path, seed: int = 0, resamples: int = RESAMPLES) -> LearningCurves:
    """The curve of every group of runs in these folders. seed: of the resamples.

    Runs that are not finished are left out where others of their group are.
    """
    runs, notes = find_runs(folders)
    groups, more = grouped(runs)
    notes += more
    curves = []
    for group in groups:
        done, left = finished(group)
        if done is not None:
            notes += left
        else:
            notes += [f"{run.folder}: {run.unfinished}: its curve so far" for run in group.runs]
        curve, said = curve_of([done or group], seed=seed, resamples=resamples)
        notes += said
        curves += [] if curve is None else [curve]
    return LearningCurves(tuple(runs), tuple(curves), tuple(notes))
