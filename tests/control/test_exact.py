"""What a greedy policy is worth by the tables of its environment: by hand, by dynamic programming, by playing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from helpers.commands import run_main

import rlnut
import rlnut.envs
from rlnut import UsageError
from rlnut.control.evaluate import Evaluator, LearnedRewards
from rlnut.control.exact import EXACT, ExactEvaluator, ExactValue, visits_within
from rlnut.envs.garnet import garnet
from rlnut.envs.gridworlds import windy_gridworld
from rlnut.envs.spaces import read_spaces
from rlnut.envs.tabular import Tabular, from_env
from rlnut.runtime.log import read_metrics
from rlnut.truth import dynamic_programming as dp
from rlnut.truth.finite import Finite, make_mdp
from rlnut.truth.outcomes import from_lists, means
from rlnut.types import Look

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT: dict[str, Any] = {"steps": 300, "eval_every": 50, "eval_episodes": 2, "final_episodes": 2, "log_every": 25}
SHORT |= {"quiet": True}


class Table:
    """A policy that is greedy on a table q [S, A]."""

    def __init__(self, q: Any) -> None:
        self.q = np.array(q, float)

    def greedy_choices(self, stored: np.ndarray, mask: np.ndarray | None = None, lanes: int = 1) -> Any:
        q = self.q[stored] if mask is None else np.where(mask, self.q[stored], -np.inf)
        return q.argmax(1), q.max(1)


def limited_env(finite: Finite, limit: int | None) -> gym.Env:
    env: gym.Env = Tabular(finite)
    return env if limit is None else gym.wrappers.TimeLimit(env, limit)


def judge(finite: Finite, gamma: float, limit: int | None, scale: float = 1.0, clip: float | None = None) -> Any:
    spec = read_spaces(Tabular(finite))
    learned = LearnedRewards(gamma, scale, clip)
    evaluator = Evaluator(lambda: limited_env(finite, limit), spec, 2, None, learned)
    return ExactEvaluator(evaluator, rlnut.DQN(hidden=(2,)).build(spec), learned)


def two_states(pay: float = 1.0) -> Finite:
    """s0: action 0 pays 1 and leads to s1, 1 pays 2 and ends; s1: 0 pays 3 and ends, 1 pays 0 and leads to s0."""
    lists = {
        0: {0: [(1.0, 1, 1 * pay, False)], 1: [(1.0, 0, 2 * pay, True)]},
        1: {0: [(1.0, 1, 3 * pay, True)], 1: [(1.0, 0, 0.0, False)]},
    }
    law = from_lists(lists, start := np.array([1.0, 0.0]))
    return Finite(means(law, start), law=law)


def test_two_states_by_hand() -> None:
    worth = judge(two_states(), 0.5, 5)
    best = worth(Table([[1, 0], [1, 0]]))  # 1 + 3/2
    assert (best.value, best.expected_return, best.regret, best.optimal_value) == (2.5, 4.0, 0.0, 2.5)
    assert best.rmsve == pytest.approx(np.sqrt((1.5**2 + 2**2) / 2))  # q = 1 in both states, v = 2.5 and 3
    np.testing.assert_array_equal(best.visits, [1, 1])
    np.testing.assert_array_equal(best.values, [2.5, 3])
    at_once = worth(Table([[0, 1], [1, 0]]))
    assert (at_once.value, at_once.expected_return, at_once.regret, at_once.rmsve) == (2.0, 2.0, 0.5, 1.0)
    assert np.isnan(at_once.values[1]) and at_once.visits[1] == 0
    round_ = worth(Table([[4, 0], [0, 1]]))  # v(s0) = 1 + v(s0)/4
    assert round_.value == pytest.approx(4 / 3) and round_.expected_return == 3.0  # paid in steps 1, 3 and 5
    np.testing.assert_array_equal(round_.visits, [3, 2])
    assert round_.rmsve == pytest.approx(np.sqrt(0.6 * (4 - 4 / 3) ** 2 + 0.4 * (1 - 2 / 3) ** 2))
    assert judge(two_states(), 0.5, 1)(Table([[1, 0], [1, 0]])).expected_return == 1.0


def test_q_is_compared_in_the_units_that_are_learned_from() -> None:
    """q of scaled and clipped rewards: r = 10, 20, 30 is learned as clip(r/5, ±3)·5 = 10, 15, 15."""
    q = Table([[1, 0], [1, 0]])
    whole, scaled = judge(two_states(10), 0.5, 5)(q), judge(two_states(10), 0.5, 5, 0.2, 3.0)(q)
    assert whole.value == scaled.value == 25 and whole.expected_return == scaled.expected_return == 40
    assert whole.rmsve == pytest.approx(np.sqrt((24**2 + 29**2) / 2))
    # in the environment's units q says 1/0.2 = 5, and the learned rewards are worth 10 + 15/2 and 15
    assert scaled.rmsve == pytest.approx(np.sqrt((12.5**2 + 10**2) / 2))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("masked", [False, True])
def test_random_problems_against_dynamic_programming(seed: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    S, A, gamma, limit = 12, 3, 0.9, 7
    mdp = make_mdp(rng.dirichlet(np.full(S, 0.2), (S, A)), rng.normal(size=(S, A)), rng.dirichlet(np.ones(S)))
    allowed = rng.random((S, A)) < 0.6 if masked else None
    if allowed is not None:
        allowed[np.arange(S), rng.integers(A, size=S)] = True
        allowed[3] = False  # nothing is allowed where an episode is over: the player then has all
    q = rng.normal(size=(S, A))
    found = judge(Finite(mdp, allowed=allowed), gamma, limit)(Table(q))
    may = np.ones((S, A), bool) if allowed is None else np.where(allowed.any(1, keepdims=True), allowed, True)
    pi = np.eye(A)[np.where(may, q, -np.inf).argmax(1)]
    v = dp.values(dp.chain(mdp, pi), gamma)
    assert found.value == pytest.approx(mdp.start @ v, abs=1e-10)
    assert found.expected_return == pytest.approx(mdp.start @ dp.limited(mdp, limit, pi), abs=1e-10)
    best = np.zeros(S)
    for _ in range(400):
        best = np.where(may, dp.action_values(mdp, best, gamma), -np.inf).max(1)
    assert found.optimal_value == pytest.approx(mdp.start @ best, abs=1e-8) and found.regret >= 0


@pytest.mark.parametrize("few", [0, 128])
@pytest.mark.parametrize("steps", [1, 2, 7, 64, 100])
def test_visits_within_a_limit(few: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By squaring and step by step: Σ_{t<L} start Pᵗ."""
    from scipy.sparse import csr_array

    monkeypatch.setattr("rlnut.control.exact.FEW_STATES", few)
    rng = np.random.default_rng(steps)
    P, start = rng.dirichlet(np.ones(6), 5)[:, :5], rng.dirichlet(np.ones(5))
    wanted = sum(start @ np.linalg.matrix_power(P, t) for t in range(steps))
    for matrix in (P, csr_array(P)):
        np.testing.assert_allclose(visits_within(matrix, start, steps), wanted, rtol=1e-12)


def test_without_discount_and_without_end() -> None:
    """γ = 1: −∞ is not a number, and a walk that is paid nothing for ever is worth nothing."""
    lost = judge(windy_gridworld(), 1.0, 50)(Table(np.zeros((70, 4))))  # up, for ever
    assert np.isnan([lost.value, lost.regret, lost.rmsve]).all() and lost.expected_return == -50
    assert lost.optimal_value == pytest.approx(-15)  # S&B example 6.5
    assert lost.record["exact_value"] is None and lost.record["exact_return"] == -50
    still = make_mdp(np.eye(2)[[[0, 1], [1, 1]]], [[0, 1], [0, 0]], [1, 0])  # 0: stay, 1: paid 1 and over
    stays = judge(Finite(still), 1.0, 10)(Table([[1, 0], [0, 0]]))
    assert (stays.value, stays.expected_return, stays.visits[0]) == (0.0, 0.0, 10.0)


def test_a_game_in_which_two_states_look_alike() -> None:
    """Blackjack: q can only know the mean of a dealt and a drawn soft 21, so the mean has no error."""
    spec = read_spaces(env := gym.make("Blackjack-v1"))
    finite = from_env(env)
    assert finite is not None and finite.observe is not None and finite.policy is not None
    actions, learned = finite.policy.argmax(1), LearnedRewards(1.0)
    evaluator = Evaluator(lambda: gym.make("Blackjack-v1"), spec, 2, 10_000, learned)
    worth = ExactEvaluator(evaluator, rlnut.DQN(hidden=(2,)).build(spec), learned)
    v = dp.true_values(finite.mdp, finite.policy, 1.0)
    d = dp.visits(dp.chain(finite.mdp, finite.policy))
    mean = [
        np.average(np.nan_to_num(v)[same], weights=d[same] + 1e-300)
        for same in finite.observe == finite.observe[:, None]
    ]

    class Known:
        def greedy_choices(self, stored: np.ndarray, mask: Any = None, lanes: int = 1) -> Any:
            return actions, np.array(mean)

    found = worth(Known())
    assert found.value == pytest.approx(finite.mdp.start @ np.nan_to_num(v))
    assert found.expected_return == pytest.approx(found.value)
    assert found.rmsve < 1e-9
    assert found.value + found.regret == pytest.approx(found.optimal_value) and -0.06 < found.optimal_value < -0.03


def agree(found: ExactValue, returns: list[float]) -> None:
    """The mean return of many episodes is the exact one, to five standard errors."""
    assert abs(np.mean(returns) - found.expected_return) < 5 * np.std(returns) / np.sqrt(len(returns)) + 1e-9


@pytest.mark.parametrize("native", [False, True])
def test_at_every_evaluation_of_a_run(native: bool, tmp_path: Path) -> None:
    """The columns are what the policy of the look is worth; the best policy is the best by them."""
    values: list[tuple[float, int]] = []
    looks = rlnut.training("q-learning", "FrozenLake-v1", out=tmp_path / "run", native=native, **SHORT)
    for look in looks:
        if look.evaluation is not None:
            assert look.exact is not None and look.row is not None
            again = look.policy.evaluate_exactly()
            assert again.columns == look.exact.columns == {name: look.row[name] for name in EXACT}
            np.testing.assert_array_equal(again.actions, [look.policy.act(s) for s in range(16)])
            values.append((round(look.exact.expected_return, 10), look.step))
            assert look.best_step == max(values)[1]
    done = looks.result()
    assert len(values) == 6 and done.best_step == max(values)[1] and done.choice == ("exact_return", 1, 0)
    assert done.exact is not None and done.exact.columns == done.policy.evaluate_exactly().columns
    agree(done.exact, done.evaluate(500, seed=1).returns)
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.csv") if row["eval_mean"] == row["eval_mean"]]
    assert [round(row["exact_return"], 10) for row in rows] == [value for value, _ in values]
    saved = json.loads((tmp_path / "run" / "summary.json").read_text())["exact"]
    assert saved == done.exact.record and saved["states"] == 16 and saved["limit"] == 100


def test_equal_actions_are_taken_as_the_player_takes_them() -> None:
    """Values that are nearly equal in each state: rounding decides, as in an evaluation's batches."""
    run = rlnut.train(rlnut.DQN(hidden=(32,), learning_starts=10), "Taxi-v4", **(SHORT | {"steps": 50}))
    policy = run.policy
    params = jax.tree.map(np.array, policy.params)
    (head,) = [leaf for leaf in jax.tree.leaves(params) if leaf.shape == (32, 6)]
    head[:] = head[:, :1] * (1 + 1e-7 * np.random.default_rng(0).normal(size=(32, 6)))
    (bias,) = [leaf for leaf in jax.tree.leaves(params) if leaf.shape == (6,)]
    bias[:] = 0
    nearly = type(policy)(policy.agent, policy.spec, params, policy.env, policy.origin)
    stored, fresh = np.arange(500, dtype=np.int32), np.ones(10, bool)
    actions, q = nearly.greedy_choices(stored)
    assert len(set(actions.tolist())) > 1
    for part in np.split(stored, 50):
        played, _ = nearly.player.act((), Look(part, fresh))
        np.testing.assert_array_equal(played, actions[part])
    np.testing.assert_allclose(q, nearly.values(stored).max(1), rtol=1e-5)


def test_where_nothing_is_learned_the_first_allowed_action_is_taken() -> None:
    run = rlnut.train("sarsa", "Taxi-v4", **(SHORT | {"steps": 30, "eval_every": 30}))
    env: Any = gym.make("Taxi-v4").unwrapped
    found = run.policy.evaluate_exactly()
    untouched = [s for s in range(500) if not np.asarray(run.policy.q(s)).any()]
    assert len(untouched) > 400
    for s in untouched:
        assert found.actions[s] == np.argmax(env.action_mask(s)) if env.action_mask(s).any() else True


# --- where there is no exact value


class Slippery(FrozenLakeEnv):
    """Its tables say nothing of its steps."""

    def step(self, a: int) -> Any:
        obs, reward, *rest = super().step(a)
        return obs, 2.0 * float(reward), *rest


def test_tables_that_a_subclass_does_not_follow_are_none() -> None:
    assert from_env(Slippery()) is None and from_env(FrozenLakeEnv()) is not None
    run = rlnut.train("q-learning", Slippery, **SHORT)
    assert run.exact is None and run.choice.by == "evaluation"
    with pytest.raises(UsageError, match="exact values need tables P"):
        run.policy.evaluate_exactly()


RECURRENT = rlnut.DQN(memory="gru", memory_size=4, hidden=(4,), batch=2, sequence=4, burn_in=0, learning_starts=40)


@pytest.mark.parametrize(
    "agent, env, why",
    [
        (RECURRENT, "FrozenLake-v1", "a recurrent one has more"),
        (rlnut.DQN(hidden=(4,), learning_starts=20), "CartPole-v1", "exact values need numbered states"),
    ],
)
def test_runs_without_an_exact_value_have_no_such_columns(
    agent: Any, env: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = rlnut.train(agent, env, out=tmp_path / "run", **(SHORT | {"steps": 60}))
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert not set(EXACT) & set(rows[0]) and "overestimation" in rows[0] and run.exact is None
    with pytest.raises(UsageError, match=why):
        run.policy.evaluate_exactly()
    status, _, err = run_main(capsys, "evaluate", str(tmp_path / "run"), "--exact", "--episodes=1")
    assert status == 2 and why in err and "\n" not in err.strip()


def test_evaluate_exact_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rlnut.train("q-learning", "FrozenLake-v1", out=tmp_path / "run", **SHORT)
    status, out, err = run_main(capsys, "evaluate", str(tmp_path / "run"), "--exact", "--episodes=2", "--json")
    found = json.loads(out)
    assert status == 0 and run.exact is not None and found["exact"] == run.exact.record
    assert "exact value at the start" in err and "exact mean return" in err and "overestimated by" in err
    assert found["overestimation"]["mean"] == pytest.approx(
        found["overestimation"]["q_start"] - found["overestimation"]["return_discounted"]
    )
    shorter = run.policy.evaluate_exactly(gym.make("FrozenLake-v1", max_episode_steps=7))
    assert shorter.limit == 7 and shorter.value == run.exact.value


def test_many_states_are_left_out_of_a_run_but_not_of_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlnut.control.exact.MOST_STATES", 15)
    run = rlnut.train("q-learning", "FrozenLake-v1", **SHORT)
    assert run.exact is None and len(run.policy.evaluate_exactly().actions) == 16


def test_a_garnet_that_is_sparse() -> None:
    """Sparse rows give what arrays give."""
    from rlnut.truth import finite as tables

    dense = Finite(garnet(60, 3, 2, seed=1).mdp)
    q = Table(np.random.default_rng(0).normal(size=(60, 3)))
    wanted = judge(dense, 0.9, 30)(q)
    before = tables.SMALL_TABLE
    tables.SMALL_TABLE = 1
    try:
        found = judge(dense, 0.9, 30)(q)
    finally:
        tables.SMALL_TABLE = before
    np.testing.assert_allclose(list(found.columns.values()), list(wanted.columns.values()), rtol=1e-9)
