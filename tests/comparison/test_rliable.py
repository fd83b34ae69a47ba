"""Beside rliable's own results: scores of random numbers and of real runs, and what rliable 1.2.0 makes of them.

The numbers were printed by rliable 1.2.0 (arch 7.2.0, SciPy 1.17.1, NumPy 2.4.6; it brings pandas, statsmodels and
seaborn, so it is no dependency of the tests): `rliable.metrics.aggregate_*`, `probability_of_improvement` and
`rliable.library.run_score_deviation`, and the percentile intervals of `StratifiedBootstrap(x)` and of
`StratifiedIndependentBootstrap(x, y)`, `conf_int(…, reps=200, size=0.95, method="percentile")`, with `np.random.choice`
giving the resamples of `drawn` below. Scores are [seed][environment]. "runs": the mean returns of
`rlnut train sarsa-lambda|dqn CartPole-v1|Acrobot-v1 --steps 1500 --eval-every 500 --no-preset --final-episodes 20
--seeds 5` (dqn on CartPole-v1 with its preset and 100 episodes), normalised as `rlnut compare` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlnut.comparison.statistics import (
    above_thresholds,
    band,
    estimate,
    interquartile_mean,
    mean_score,
    median_score,
    optimality_gap,
    probability_of_improvement,
)

RESAMPLES = 200
THRESHOLDS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
STATISTICS = {
    "iqm": interquartile_mean,
    "mean": mean_score,
    "median": median_score,
    "optimality_gap": optimality_gap,
}
SCORES: Any = {
    "random": [
        [
            [0.883, 0.181, 0.396],
            [0.711, 0.295, 0.578],
            [0.654, 0.351, 0.207],
            [0.658, 0.898, 0.406],
            [0.5, 1.094, 0.432],
            [0.446, 1.321, 0.141],
        ],
        [
            [0.839, -0.001, 0.421],
            [1.051, 0.966, 0.33],
            [0.464, 0.624, 0.223],
            [0.766, 1.268, 0.193],
            [0.006, 0.686, 0.564],
        ],
    ],
    "runs": [
        [[0.0, 0.503884], [0.500386, 0.156343], [0.147642, 0.5238], [0.132955, 0.396535], [0.0, 0.692292]],
        [[0.0, 0.0], [0.0, 0.317666], [0.0, 1.0], [1.0, 0.473412], [0.0, 0.680143]],
    ],
}
RLIABLE: Any = {
    "random": {
        "iqm": [0.5132, 0.407895, 0.68958],
        "mean": [0.564, 0.4524680556, 0.691075],
        "median": [0.642, 0.3994, 0.73465],
        "optimality_gap": [0.4590555556, 0.3496611111, 0.5527513889],
        "improvement": [0.4888888889, 0.2994444444, 0.7113888889],
        "profile": [
            [1.0, 0.8333333333, 0.4444444444, 0.2222222222, 0.1111111111],
            [1.0, 0.6666666667, 0.2763888889, 0.05555555556, 0.0],
            [1.0, 0.9458333333, 0.6666666667, 0.3888888889, 0.2222222222],
        ],
    },
    "runs": {
        "iqm": [0.3062908333, 0.1759455167, 0.4437043792],
        "mean": [0.3053837, 0.2057402475, 0.4034609675],
        "median": [0.3053837, 0.2057402475, 0.4034609675],
        "optimality_gap": [0.6946163, 0.5965390325, 0.7942597525],
        "improvement": [0.58, 0.32975, 0.81025],
        "profile": [[0.8, 0.5, 0.4, 0.0, 0.0], [0.6, 0.3, 0.2, 0.0, 0.0], [1.0, 0.7, 0.6025, 0.0, 0.0]],
    },
}


def drawn(seeds: int, envs: int, stream: int) -> np.ndarray:
    """Resamples [B, n, E] by arithmetic that every language repeats: x ← (1103515245 x + 12345) mod 2³¹."""
    found, x = np.empty(RESAMPLES * seeds * envs, np.int64), 12345 + stream
    for i in range(len(found)):
        x = (1103515245 * x + 12345) % 2**31
        found[i] = (x >> 16) % seeds
    return found.reshape(RESAMPLES, seeds, envs)


def by_env(matrix: np.ndarray) -> list[np.ndarray]:
    return [matrix[..., e] for e in range(matrix.shape[-1])]


@pytest.mark.parametrize("name", SCORES)
def test_every_number_is_rliable_s(name: str):
    (x, y), expected = (np.array(one) for one in SCORES[name]), RLIABLE[name]
    of_x, of_y = (by_env(drawn(one.shape[0], one.shape[1], stream)) for stream, one in enumerate((x, y)))
    found = {key: estimate(statistic, by_env(x), indices=[of_x]) for key, statistic in STATISTICS.items()}
    both = [by_env(x), by_env(y)]
    found["improvement"] = estimate(probability_of_improvement, *both, indices=[of_x, of_y])
    for key, (value, ci95) in found.items():
        assert ci95 is not None
        np.testing.assert_allclose([value, *ci95], expected[key], rtol=0, atol=1e-9, err_msg=key)
    profile = band(mean_score, above_thresholds(by_env(x), THRESHOLDS), of_x)
    np.testing.assert_allclose(list(profile), expected["profile"], rtol=0, atol=1e-9)
