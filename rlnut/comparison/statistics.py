"""Statistics over seeds and environments, with stratified bootstrap intervals: Agarwal et al. (2021), in NumPy.

`Scores` are the scores of one agent: for each environment an array [..., n] with one score for each of n seeds. All
statistics reduce the last axis, so a batch of resamples, or the steps of a learning curve, are axes before it. Where
all environments have the same number of seeds, they are those of rliable.

The bootstrap draws seeds with replacement within each environment; the indices are an argument, so that two agents can
be given the same ones (paired), and so that another library can be asked with the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Scores = Sequence[np.ndarray]
Indices = Sequence[np.ndarray]  # for each environment: integers [B, n], the seeds in each of B resamples
Interval = tuple[float, float]
MOST = 2_000_000  # numbers that are resampled at a time


class Estimate(NamedTuple):
    """A statistic and its 95 % bootstrap interval; None where an environment has one seed only."""

    value: float
    ci95: Interval | None


class Band(NamedTuple):
    """A statistic at each of T places with its pointwise 95 % interval, [T] each; NaN where there is no interval."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interquartile_mean(scores: Scores) -> np.ndarray:
    """IQM: the mean of the middle half of all scores; ⌊n/4⌋ are cut at each end (scipy.stats.trim_mean, 0.25)."""
    ordered = np.sort(np.concatenate(scores, -1), -1)
    n = ordered.shape[-1]
    cut = n // 4
    return ordered[..., cut : n - cut].mean(-1)


def mean_score(scores: Scores) -> np.ndarray:
    """Mean over environments of the mean over seeds."""
    return np.mean([one.mean(-1) for one in scores], 0)


def median_score(scores: Scores) -> np.ndarray:
    """Median over environments of the mean over seeds; of one environment, the median over its seeds.

    rliable's median of one environment is the mean over its seeds, which says nothing new.
    """
    if len(scores) == 1:
        return np.median(scores[0], -1)
    return np.median([one.mean(-1) for one in scores], 0)


def optimality_gap(scores: Scores, target: float = 1.0) -> np.ndarray:
    """How far scores fall short of `target`, in the mean; what is above counts as `target`."""
    return target - mean_score([np.minimum(one, target) for one in scores])


def probability_of_improvement(x: Scores, y: Scores) -> np.ndarray:
    """P(X > Y) + P(X = Y)/2 of a run of each agent drawn at random, the mean over environments (Mann-Whitney U/nm)."""
    chances = []
    for one, other in zip(x, y, strict=True):
        above, below = one[..., :, None], other[..., None, :]
        chances.append(np.mean((above > below) + 0.5 * (above == below), (-2, -1)))
    return np.mean(chances, 0)


def iqm_difference(x: Scores, y: Scores) -> np.ndarray:
    """IQM of X − IQM of Y."""
    return interquartile_mean(x) - interquartile_mean(y)


def above_thresholds(scores: Scores, thresholds: np.ndarray) -> list[np.ndarray]:
    """Is a score above each of T thresholds? [T, n] of 0 and 1; `mean_score` of it is the performance profile."""
    return [(one > thresholds[:, None]).astype(float) for one in scores]


def bootstrap_indices(sizes: Sequence[int], resamples: int, seed: int, stream: int = 0) -> list[np.ndarray]:
    """Seeds drawn with replacement in environments of `sizes` seeds: [B, n] each.

    stream: another number for draws that are independent of these.
    """
    rng = np.random.default_rng((seed, stream))
    return [rng.integers(0, n, (resamples, n)) for n in sizes]


def resampled(statistic: Callable[..., np.ndarray], *groups: Scores, indices: Sequence[Indices]) -> np.ndarray:
    """The statistic of each of B resamples: [..., B]. One set of indices for each group; the same one: paired."""
    resamples = len(indices[0][0])
    numbers = sum(int(np.prod(one.shape[:-1])) * index.shape[-1] for g, i in zip(groups, indices, strict=True)
                  for one, index in zip(g, i, strict=True))  # fmt: skip
    if len(groups) > 1:  # pairs of scores
        numbers = max(numbers, sum(x.shape[-1] * y.shape[-1] for x, y in zip(*groups, strict=True)))
    block, found = max(1, MOST // numbers), []
    for start in range(0, resamples, block):
        drawn = [
            [one[..., index[start : start + block]] for one, index in zip(group, chosen, strict=True)]
            for group, chosen in zip(groups, indices, strict=True)
        ]
        found.append(statistic(*drawn))
    return np.concatenate(found, -1)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The middle `level` of the resamples in the last axis: [2, ...], lower and upper end."""
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)


def estimate(statistic: Callable[..., np.ndarray], *groups: Scores, indices: Sequence[Indices]) -> Estimate:
    """A statistic of scores [n] and its interval."""
    value = float(statistic(*groups))
    if not enough_seeds(*groups):
        return Estimate(value, None)
    low, high = percentile_interval(resampled(statistic, *groups, indices=indices))
    return Estimate(value, (float(low), float(high)))


def band(statistic: Callable[..., np.ndarray], scores: Scores, indices: Indices) -> Band:
    """A statistic of scores [T, n] at each of T places, and its pointwise interval."""
    value = statistic(scores)
    if not enough_seeds(scores):
        nothing = np.full(value.shape, np.nan)
        return Band(value, nothing, nothing)
    low, high = percentile_interval(resampled(statistic, scores, indices=[indices]))
    return Band(value, low, high)


def enough_seeds(*groups: Scores) -> bool:
    """Are there two seeds in each environment, so that resamples differ?"""
    return all(one.shape[-1] > 1 for group in groups for one in group)
