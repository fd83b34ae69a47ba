"""The end of `rlnut train --seeds K`: what the seeds show together, as summary.json and curve.png beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.comparison.curves import LearningCurves, curve_of
from rlnut.comparison.grouping import Group
from rlnut.comparison.reading import read_run
from rlnut.comparison.statistics import (
    Estimate,
    Interval,
    bootstrap_indices,
    estimate,
    interquartile_mean,
    mean_score,
    median_score,
)
from rlnut.comparison.table import aligned, with_interval
from rlnut.errors import counted

RESAMPLES = 10_000


class SeedSummary(NamedTuple):
    """What K seeds show together: of each seed the mean return of its final evaluation."""

    seeds: tuple[int, ...]
    scores: np.ndarray  # [K]
    iqm: Estimate
    mean: Estimate
    median: Estimate
    picture: Path | None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds (n − 1)."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None

    @property
    def ci95(self) -> Interval | None:
        """95 % interval of the IQM, over seeds."""
        return self.iqm.ci95

    def table(self) -> str:
        """Two lines for people."""
        rows = [["greedy return", "IQM", "mean", "median", "lowest", "highest"]]
        ends = [f"{end:.4g}" for end in (self.scores.min(), self.scores.max())]
        rows += [[counted(len(self.seeds), "seed"), *map(with_interval, (self.iqm, self.mean, self.median)), *ends]]
        return "\n".join([*aligned(rows), *(["[95 % interval over seeds]"] if self.ci95 else [])])


def summarise_seeds(folder: Path, seeds: Sequence[int]) -> SeedSummary | None:
    """Read the runs of these seeds in `folder`, and draw their learning curve there if they have evaluations.

    None if no run has a final evaluation of finite returns.
    """
    every = [read_run(folder / f"seed{seed}") for seed in seeds]
    runs = tuple(run for run in every if not run.unfinished)
    if not runs:
        return None
    scores = np.array([np.mean(run.returns) for run in runs])
    indices = [bootstrap_indices([len(runs)], RESAMPLES, 0)]
    iqm, mean, median = (
        estimate(one, [scores], indices=indices) for one in (interquartile_mean, mean_score, median_score)
    )
    curve, _ = curve_of([Group(runs[0].agent, runs[0].env, runs)])
    picture = None
    if curve is not None:
        from rlnut.comparison.figures import curves_figure
        from rlnut.runtime.plotting import save_figure

        picture = folder / "curve.png"
        save_figure(curves_figure(LearningCurves(runs, (curve,), ())), picture)
    return SeedSummary(tuple(run.seed for run in runs), scores, iqm, mean, median, picture)
