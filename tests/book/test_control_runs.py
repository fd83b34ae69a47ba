"""Tables of control by many compiled runs, in short; whole figures are slow tests of tests/test_book.py."""

from __future__ import annotations

import numpy as np
import pytest

from rlnut.agents.online import OnlineRule
from rlnut.book.control import MEMBERS, mountain_car, table_task
from rlnut.book.control_runs import learn_many
from rlnut.envs.counterexamples import maximisation_bias
from rlnut.envs.gridworlds import cliff


def near(runs: np.ndarray, expected: float) -> None:
    """Means of runs within 3.5 standard errors of a reference of far more runs."""
    assert runs.mean() == pytest.approx(expected, abs=3.5 * runs.std(ddof=1) / np.sqrt(len(runs)))


def test_step_sizes_are_swept_as_one_program() -> None:
    """Expected SARSA on the cliff: first 100 episodes at α = 0.5 and 1 (figure 6.3); the same runs as one by one."""
    task = table_task(cliff())
    both = learn_many(task, MEMBERS["expected SARSA"], 0, 30, 100, alpha=[0.5, 1.0]).returns
    for found, expected in zip(both.mean(2), (-55.9, -44.3), strict=True):
        near(found, expected)


def test_maximisation_bias_respects_the_mask() -> None:
    """From A two actions count; after 50 episodes Q-learning goes left (two steps) 83 % of the time (figure 6.5)."""
    found = learn_many(table_task(maximisation_bias()), MEMBERS["Q-learning"], 1, 200, 50, alpha=0.1).lengths
    assert set(np.unique(found)) == {1, 2}
    near((found[:, 48:] == 2).mean(1), 0.83)


def test_mountain_car() -> None:
    """SARSA(0.9), replacing traces, α = 1.25/8: 184 steps an episode over the first 50 (figure 12.10)."""
    rule = OnlineRule("sampled", cut="none", trace="replacing")
    near(learn_many(mountain_car(), rule, 0, 6, 50, alpha=1.25, lam=0.9).lengths.mean(1), 184)
