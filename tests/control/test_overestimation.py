"""What q promises at the start of an episode, beside what the episode gives: players whose values are known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

import rlnut
from rlnut.control.evaluate import OVERESTIMATION, Evaluation, Evaluator, LearnedRewards, Player, student_t
from rlnut.envs.spaces import read_spaces
from rlnut.learner.spec import Choice
from rlnut.runtime.log import read_metrics

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT: dict[str, Any] = {"steps": 120, "eval_every": 60, "eval_episodes": 3, "final_episodes": 2, "quiet": True}


class Steps(gym.Env):
    """Pays `pay` in each of `length` steps, of which the last one terminates; shows its seed's draw, then the time."""

    observation_space: gym.Space = gym.spaces.Box(-100, 100, (2,), np.float64)
    action_space: gym.Space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 3, pay: float = 1.0, mask: bool = False) -> None:
        self.length, self.pay, self.mask = length, pay, mask

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.draw = 0, float(self.np_random.uniform(0, 9))
        return self._told()

    def _told(self) -> Any:
        info = {"action_mask": np.array([self.time > 1, True], np.int8)} if self.mask else {}
        return np.array([self.draw, self.time]), info

    def step(self, action: Any) -> Any:
        self.time += 1
        obs, info = self._told()
        return obs, self.pay, self.time >= self.length, False, info


def player(q: Any) -> Player:
    """q: observations [N, 2] -> values; what it carries is how often it was asked in the running episode."""

    def values(carry: Any, look: Any) -> Any:
        count = np.where(look.fresh, 0, carry) + 1
        return q(look.obs, count), count

    def act(carry: Any, look: Any) -> Any:
        found, carry = values(carry, look)
        return found.argmax(-1), carry

    return Player(lambda n: np.zeros(n), act, values)


def constant(c: float) -> Player:
    return player(lambda obs, count: np.stack([np.full(len(obs), c), np.full(len(obs), c - 1)], 1))


def play(
    env: Any, who: Player, learned: LearnedRewards | None, episodes: int = 4, limit: int | None = None
) -> Evaluation:
    return Evaluator(env, read_spaces(env()), episodes, limit, learned)(who, 0, 0)


def test_a_constant_value_of_episodes_that_terminate() -> None:
    found = play(Steps, constant(5.0), LearnedRewards(0.5))
    assert found.q_start == (5.0,) * 4 and found.discounted == (1.75,) * 4
    assert found.overestimation == (3.25, 0.0)
    assert found.columns == dict(zip(OVERESTIMATION, (5.0, 1.75, 3.25, 0.0), strict=True))


def cut_at(limit: int, **more: Any) -> Any:
    return lambda: gym.wrappers.TimeLimit(Steps(9, **more), limit)


@pytest.mark.parametrize("env, limit", [(cut_at(3), None), (lambda: Steps(9), 3)])
def test_where_an_episode_is_cut_its_own_value_stands_for_the_rest(env: Any, limit: int | None) -> None:
    found = play(env, constant(5.0), LearnedRewards(0.5), limit=limit)
    assert found.discounted == (1.75 + 5 / 8,) * 4 and found.returns == [3.0] * 4
    assert play(env, constant(2.0), LearnedRewards(0.5), limit=limit).overestimation == (0.0, 0.0)  # 2 = 1/(1 − γ)


def test_an_end_and_a_cut_in_one_step_is_an_end() -> None:
    found = play(lambda: gym.wrappers.TimeLimit(Steps(3), 3), constant(5.0), LearnedRewards(0.5))
    assert found.discounted == (1.75,) * 4


def test_scaled_and_clipped_rewards_are_compared_in_units_of_reward() -> None:
    """Rewards of 4, scaled by 1/2, clipped to ±1: learned as 1, which is 2 in the environment's units."""
    found = play(lambda: Steps(2, 4.0), constant(3.0), LearnedRewards(0.5, 0.5, 1.0))
    assert found.q_start == (6.0,) * 4 and found.discounted == (3.0,) * 4 and found.returns == [8.0] * 4
    scaled = play(cut_at(2, pay=4.0), constant(3.0), LearnedRewards(0.5, 0.5))
    assert scaled.discounted == (6.0 + 6 / 4,) * 4


def test_each_episode_has_its_own_promise() -> None:
    """23 episodes in 10 lanes: q(s, a) = what the episode drew plus the time, so the promise is the draw."""
    who = player(lambda obs, count: np.stack([obs.sum(1), obs.sum(1) - 1], 1))
    found = play(Steps, who, LearnedRewards(1.0), episodes=23)
    draws = []
    for k in range(23):
        one = Evaluator(Steps, read_spaces(Steps()), 1, None, LearnedRewards(1.0))(who, 0, 0, k)
        draws.append(one.q_start[0])
    np.testing.assert_allclose(found.q_start, draws)
    assert len(set(draws)) == 23
    cut = play(cut_at(2), who, LearnedRewards(1.0), episodes=23)
    np.testing.assert_allclose(cut.discounted, np.array(draws) + 2 + 2)  # two rewards, and q at the time 2


def test_what_is_carried_is_carried_to_the_cut() -> None:
    """q is the number of steps that the player remembers: 1 at the start, 4 after three steps."""
    who = player(lambda obs, count: np.stack([count, count - 1.0], 1))
    found = play(cut_at(3), who, LearnedRewards(1.0), episodes=14)
    assert found.q_start == (1.0,) * 14 and found.discounted == (3.0 + 4.0,) * 14


def test_only_allowed_actions_count() -> None:
    """Action 0 is worth 9, and allowed from the time 2 on; action 1 is worth 1."""
    who = player(lambda obs, count: np.tile([9.0, 1.0], (len(obs), 1)))
    found = play(lambda: Steps(5, mask=True), who, LearnedRewards(1.0))
    assert found.q_start == (1.0,) * 4
    assert play(cut_at(1, mask=True), who, LearnedRewards(1.0)).discounted == (1.0 + 1.0,) * 4
    assert play(cut_at(2, mask=True), who, LearnedRewards(1.0)).discounted == (2.0 + 9.0,) * 4


class Pair(Steps):
    action_space = gym.spaces.MultiDiscrete([2, 2])


def test_of_decoupled_actions_the_mean() -> None:
    who = player(lambda obs, count: np.tile([[1.0, 3.0], [7.0, 2.0]], (len(obs), 1, 1)))
    spec = read_spaces(Pair(), Choice("decoupled"))
    found = Evaluator(Pair, spec, 4, None, LearnedRewards(1.0))(who, 0, 0)
    assert found.q_start == (5.0,) * 4


def test_the_interval_is_students() -> None:
    numbers = np.array([1.0, 4.0, 2.0, 0.5])
    found = Evaluation([0.0] * 4, [1] * 4, 0, tuple(numbers), (0.0,) * 4).overestimation
    wanted = stats.ttest_1samp(numbers, 0).confidence_interval(0.95)
    assert found is not None and found.interval == pytest.approx(tuple(wanted), rel=0, abs=5e-3)
    freedom = np.array([1, 2, 3, 4, 19, 99, 10**6])
    np.testing.assert_allclose([student_t(n) for n in freedom], stats.t.ppf(0.975, freedom), rtol=1.3e-3)
    np.testing.assert_allclose([student_t(n) for n in freedom[4:]], stats.t.ppf(0.975, freedom[4:]), rtol=1e-5)
    one = Evaluation([0.0], [1], 0, (1.0,), (0.25,))
    assert one.overestimation is not None and one.overestimation.interval is None and one.overestimation.mean == 0.75
    assert one.record == {"overestimation": {"mean": 0.75, "ci95": None, "q_start": 1.0, "return_discounted": 0.25}}
    assert Evaluation([0.0], [1], 0).overestimation is None and Evaluation([0.0], [1], 0).columns == {}


def test_the_episodes_are_those_of_an_evaluation_that_does_not_ask() -> None:
    who = player(lambda obs, count: np.stack([np.sin(obs[:, 0] + obs[:, 1]), np.cos(obs[:, 0])], 1))
    env: Any = lambda: gym.wrappers.TimeLimit(gym.make("Acrobot-v1").unwrapped, 40)  # noqa: E731
    asked = play(env, who, LearnedRewards(0.99), episodes=12)
    blind = play(env, Player(who.carry, who.act), LearnedRewards(0.99), episodes=12)
    assert asked[:3] == blind[:3] and blind.q_start == () and len(asked.q_start) == 12


RECURRENT = rlnut.DQN(memory="gru", memory_size=4, hidden=(4,), batch=2, sequence=4, burn_in=0, learning_starts=40)


@pytest.mark.parametrize("agent", [rlnut.DQN(hidden=(4,), learning_starts=20), RECURRENT, "fqi"])
def test_in_the_log_of_every_kind_of_run(agent: Any, tmp_path: Any) -> None:
    """Columns of metrics.csv, recurrent and offline agents included; and they are what the look's evaluation says."""
    short: dict[str, Any] = SHORT | {"log_every": 60}
    env = "rlnut/ChainWalk4-v0" if agent == "fqi" else "CartPole-v1"
    looks = rlnut.training(agent, env, out=tmp_path / "run", **short)
    told = [look.evaluation.columns for look in looks if look.evaluation is not None]
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.csv") if row["eval_mean"] == row["eval_mean"]]
    assert len(told) == len(rows) > 1
    for columns, row in zip(told, rows, strict=True):
        assert {name: row[name] for name in OVERESTIMATION} == pytest.approx(columns, nan_ok=True)
        assert row["overestimation"] == pytest.approx(row["q_start"] - row["return_discounted"], abs=1e-5)
