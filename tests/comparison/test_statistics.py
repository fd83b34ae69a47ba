"""Statistics over seeds and environments, beside rliable's own results and beside tables computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rlnut.comparison.compare import nominal_coverage
from rlnut.comparison.statistics import (
    above_thresholds,
    band,
    bootstrap_indices,
    estimate,
    interquartile_mean,
    iqm_difference,
    mean_score,
    median_score,
    optimality_gap,
    percentile_interval,
    probability_of_improvement,
    resampled,
)


def one(scores: list[float]) -> list[np.ndarray]:
    return [np.array(scores, float)]


# --- tables computed by hand


@pytest.mark.parametrize(
    "scores, iqm",
    [
        ([5], 5),
        ([1, 2, 6], 3),  # ⌊3/4⌋ = 0: nothing is cut
        ([0, 1, 3, 100], 2),
        ([100, 3, 0, 1, 5], 3),  # one at each end
        ([9, 1, 2, 3, 4, 5, 6, 700], 4.5),  # two at each end: 3, 4, 5, 6
    ],
)
def test_iqm_is_the_mean_of_the_middle_half(scores: list[float], iqm: float):
    assert interquartile_mean(one(scores)) == pytest.approx(iqm)
    apart = [np.array(scores[:1], float), np.array(scores[1:], float)]  # over all environments together
    assert interquartile_mean(apart) == pytest.approx(iqm)


def test_mean_median_and_gap_weigh_environments_equally():
    scores = [np.array([0.0, 4.0]), np.array([1.0]), np.array([7.0, 7.0, 10.0])]  # means 2, 1, 8
    assert mean_score(scores) == pytest.approx(11 / 3)
    assert median_score(scores) == pytest.approx(2)
    assert median_score([np.array([1.0, 2.0, 9.0])]) == 2  # one environment: over its seeds
    assert optimality_gap([np.array([0.5, 2.0]), np.array([0.0])]) == pytest.approx(1 - (0.75 + 0) / 2)


def test_probability_of_improvement_counts_ties_half():
    x, y = one([1, 2, 3]), one([2, 2])
    assert probability_of_improvement(x, y) == pytest.approx((0 + 0.5 + 1) / 3)
    assert probability_of_improvement(y, x) == pytest.approx(0.5)
    assert probability_of_improvement([*x, np.array([5.0])], [*y, np.array([1.0])]) == pytest.approx(0.75)


def test_profile_is_the_share_above_each_threshold():
    share = mean_score(above_thresholds([np.array([1.0, 3.0]), np.array([2.0])], np.array([0.0, 1.0, 2.0, 3.0])))
    np.testing.assert_allclose(share, [1, (0.5 + 1) / 2, 0.25, 0])  # strictly above


def test_statistics_take_batches():
    rng = np.random.default_rng(1)
    x, y = ([rng.integers(0, 9, (4, n)).astype(float) for n in sizes] for sizes in ((5, 3), (6, 2)))
    for statistic in (interquartile_mean, mean_score, median_score, optimality_gap):
        np.testing.assert_allclose(statistic(x), [statistic([part[i] for part in x]) for i in range(4)])
    each = [probability_of_improvement([p[i] for p in x], [p[i] for p in y]) for i in range(4)]
    np.testing.assert_allclose(probability_of_improvement(x, y), each)


# --- the bootstrap


def test_resamples_draw_seeds_within_each_environment():
    scores = [np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0])]
    indices = [np.array([[0, 0, 1], [2, 2, 2]]), np.array([[1, 1], [0, 1]])]
    np.testing.assert_allclose(resampled(mean_score, scores, indices=[indices]), [(4 / 3 + 20) / 2, (3 + 15) / 2])
    drawn = bootstrap_indices([3, 2], 5000, 0)
    assert [one.shape for one in drawn] == [(5000, 3), (5000, 2)] and [one.max() for one in drawn] == [2, 1]
    assert abs(np.mean(drawn[0]) - 1) < 5 * np.sqrt(2 / 3 / 15000)


def test_same_seed_same_interval_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    scores = [np.array([1.0, 2.0, 5.0, 9.0, 4.0]), np.array([10.0, 20.0, 3.0])]
    whole = estimate(interquartile_mean, scores, indices=[bootstrap_indices([5, 3], 500, 7)])
    monkeypatch.setattr("rlnut.comparison.statistics.MOST", 8 * 33)
    assert estimate(interquartile_mean, scores, indices=[bootstrap_indices([5, 3], 500, 7)]) == whole
    assert whole.ci95 is not None and whole.ci95[0] <= whole.value <= whole.ci95[1]
    other, stream = bootstrap_indices([5, 3], 500, 8), bootstrap_indices([5, 3], 500, 7, 1)
    assert not np.array_equal(other[0], stream[0])
    assert estimate(interquartile_mean, scores, indices=[other]) != whole


def test_one_seed_has_no_interval():
    assert estimate(mean_score, one([3]), indices=[bootstrap_indices([1], 100, 0)]) == (3.0, None)
    assert np.isnan(band(mean_score, [np.ones((4, 1))], bootstrap_indices([1], 100, 0)).low).all()


def test_a_band_is_an_interval_at_each_place():
    """Whole runs are drawn: at every step the interval is that of the scores there."""
    values, indices = np.random.default_rng(0).normal(size=(3, 6)), bootstrap_indices([6], 400, 1)
    found = band(interquartile_mean, [values], indices)
    for t in range(3):
        there = estimate(interquartile_mean, [values[t]], indices=[indices])
        assert there.ci95 is not None
        assert (found.value[t], found.low[t], found.high[t]) == pytest.approx((there.value, *there.ci95))


def test_intervals_of_the_mean_are_those_of_scipy():
    from scipy.stats import bootstrap

    data = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    low, high = percentile_interval(resampled(mean_score, [data], indices=[bootstrap_indices([8], 40_000, 0)]))
    there = bootstrap((data,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(1))
    # quantiles of 40,000 draws: standard error √(.025 · .975 / 40,000)/density, about 0.02 here
    assert (low, high) == pytest.approx(tuple(there.confidence_interval), abs=0.1)


def test_paired_differences_are_narrower_where_seeds_matter():
    """What both sides have in common cancels in paired resamples: here all but ± 0.1."""
    common = np.array([1.0, 50.0, 20.0, 90.0, 5.0, 70.0])
    x, y = [common + np.array([1.1, 0.9, 1.0, 1.1, 0.9, 1.0])], [common]
    same, others = bootstrap_indices([6], 1000, 0), bootstrap_indices([6], 1000, 0, 1)
    paired = estimate(iqm_difference, x, y, indices=[same, same])
    apart = estimate(iqm_difference, x, y, indices=[same, others])
    assert paired.ci95 is not None and apart.ci95 is not None
    assert paired.value == apart.value == pytest.approx(0.95)
    assert 0.85 <= paired.ci95[0] < paired.ci95[1] <= 1.15
    assert apart.ci95[0] < -20 and apart.ci95[1] > 20


@pytest.mark.parametrize("n, envs", [(3, 1), (5, 1), (10, 1), (3, 8)])
def test_the_stated_coverage_of_few_seeds(n: int, envs: int):
    """Beside 1000 experiments with normal scores; 5 standard errors, and 0.02 for the quantiles of few values."""
    scores = np.random.default_rng(n).normal(size=(envs, 1000, n))
    indices = bootstrap_indices([n] * envs, 400, 0)
    means = sum(one[:, index].mean(-1) for one, index in zip(scores, indices, strict=True))
    low, high = percentile_interval(means)
    covered, expected = np.mean((low <= 0) & (high >= 0)), nominal_coverage([n] * envs)
    assert abs(covered - expected) < 0.02 + 5 * np.sqrt(expected * (1 - expected) / 1000)
    assert expected < 0.91
