"""Learned distributions of returns have q as their mean; realised returns are those of the greedy policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers.policies import untrained

import rlnut
from rlnut.control.return_plots import return_distributions, start_returns, weighted_quantile
from rlnut.errors import UsageError

pytestmark = [pytest.mark.figures, pytest.mark.usefixtures("shared_programs")]


class Coins(gym.Env):
    """Starts in 0 or 1; three steps that pay 1 each, after a start in 1 by the toss of a coin; cut after them."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.count = int(self.np_random.integers(2)), 0
        return np.array([self.place], np.float32), {}

    def step(self, action: int) -> Any:
        self.count += 1
        pays = 1.0 if self.place == 0 else float(self.np_random.integers(2))
        return np.array([self.place], np.float32), pays, self.count == 3, False, {}


@pytest.mark.parametrize("agent", ["c51", "qr-dqn", "iqn", "rainbow"])
def test_the_mean_of_the_distribution_is_q(agent: str) -> None:
    policy = untrained(Coins, agent)
    for obs in (np.zeros(1, np.float32), np.array([[0.0], [1.0], [0.3]], np.float32)):
        found = policy.distribution(obs)
        np.testing.assert_allclose(found.mean, policy.q(obs), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.probabilities.sum(-1), 1, rtol=1e-6)
        assert found.values.shape == found.probabilities.shape and found.values.shape[:-1] == policy.q(obs).shape


def test_realised_returns_are_discounted_and_each_future_is_another() -> None:
    config = rlnut.DQN(loss="c51", hidden=(8,), gamma=0.5)
    found = start_returns(untrained(Coins, config, reward_scale=2.0), states=3, rollouts=12)
    assert len(found) == 2  # there are no more
    sure, chance = sorted(found, key=lambda one: float(np.asarray(one.obs).item()))
    assert sure.realised == pytest.approx(np.full(12, 3.5))  # 2 (1 + ½ + ¼)
    assert len(set(chance.realised.tolist())) > 2 and np.isin(chance.realised, np.arange(8) / 2).all()
    assert sure.action == sure.learned.mean.argmax()


def test_returns_run_on_beyond_a_time_limit() -> None:
    """CartPole that is cut after 10 steps: a policy that stands longer has more than the sum of ten."""
    config = rlnut.DQN(loss="quantile", hidden=(8,), gamma=0.9)
    env = gym.make("CartPole-v1", max_episode_steps=3)
    (one,) = start_returns(untrained(env, config), states=1, rollouts=2)
    assert (one.realised > 1 + 0.9 + 0.81).all()


def test_agents_that_learn_a_mean_say_so() -> None:
    with pytest.raises(UsageError, match="not its distribution; c51, qr-dqn"):
        return_distributions(untrained(Coins))
    with pytest.raises(UsageError, match="clipped"):
        start_returns(untrained(Coins, "c51", reward_clip=1.0))


def test_the_figure_has_two_panels_for_each_start_state() -> None:
    figure = return_distributions(untrained(Coins, "qr-dqn"), rollouts=4)
    assert len(figure.axes) == 4
    assert figure.axes[1].get_legend_handles_labels()[1] == ["realised", "learned", "mean realised", "q"]


def test_quantiles_of_weighted_values() -> None:
    values, chances = np.array([3.0, 1.0, 2.0]), np.array([0.2, 0.5, 0.3])
    assert weighted_quantile(values, chances, np.array([0.0, 0.5, 0.6, 0.8, 0.81, 1.0])).tolist() == [1, 1, 2, 2, 3, 3]
