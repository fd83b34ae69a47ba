"""Prediction never plays or evaluates forbidden actions: uniform, greedy, soft and saved policies, truth and data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.environments import Corridor

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.envs import transitions
from rlnut.envs.tabular import from_env
from rlnut.envs.vector import EnvList
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Choice
from rlnut.prediction.env_policies import on_env, prediction_spec
from rlnut.prediction.policies import as_table, named_policy
from rlnut.truth.finite import Finite, make_mdp

OPTIONS: dict[str, Any] = {"gamma": 1.0, "steps": 600, "states": 6, "rollouts": 3}
SHORT: dict[str, Any] = {"steps": 64, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
DEEP: dict[str, Any] = {"learning_starts": 32, "hidden": (8,), "batch": 8, "replay": 100}


def truth_of(answer: Any) -> Any:
    """The Monte-Carlo truth of a prediction."""
    assert answer.known is not None
    return answer.known


class Greedy:
    """Likes the forbidden action best, everywhere."""

    def q(self, obs: Any) -> np.ndarray:
        return np.tile([0.0, 1.0], (len(np.asarray(obs)), 1))


@pytest.mark.parametrize("told", ["info", "action_masks", "action_mask"])
@pytest.mark.parametrize(
    "policy",
    [None, "uniform", "uniform:0.5", Greedy(), lambda obs: 0],
    ids=["none", "uniform", "soft", "greedy", "function"],
)
def test_values_of_allowed_actions(told: str, policy: Any) -> None:
    """The corridor raises where a forbidden action is played; v is −5 … −1 for every policy."""
    answer = rlnut.predict("lstd", partial(Corridor, told), policy, **OPTIONS)
    known = truth_of(answer)
    exact = np.asarray(known.obs) - 5.0
    np.testing.assert_array_equal(known.mean, exact)
    np.testing.assert_allclose(np.asarray(answer.values), exact, atol=1e-3)


@pytest.mark.parametrize("next_action", ["sampled", "expected"])
def test_action_values(next_action: str) -> None:
    answer = rlnut.predict("td0", Corridor, Greedy(), values="q", next_action=next_action, alpha=1.0, **OPTIONS)
    exact = np.asarray(truth_of(answer).obs) - 5.0
    np.testing.assert_array_equal(truth_of(answer).mean, exact)
    assert (np.asarray(truth_of(answer).actions) == 0).all()
    np.testing.assert_allclose(np.asarray(answer.values), exact, atol=1e-3)
    two = rlnut.predict("nstep", Corridor, None, values="q", n=3, next_action=next_action, alpha=1.0, **OPTIONS)
    np.testing.assert_allclose(np.asarray(two.values), np.asarray(truth_of(two).obs) - 5.0, atol=1e-3)


def test_an_off_policy_behaviour_is_masked_too() -> None:
    answer = rlnut.predict("td0", Corridor, Greedy(), behaviour="uniform", alpha=1.0, **OPTIONS)
    np.testing.assert_allclose(np.asarray(answer.values), np.asarray(truth_of(answer).obs) - 5.0, atol=1e-3)


def test_fitted_q_evaluation_of_a_file(tmp_path: Path) -> None:
    """The fifth of the offline learners: targets are expectations over allowed actions."""
    path = tmp_path / "corridor.npz"
    transitions.save_transitions(path, transitions.collect(EnvList(Corridor, 1), 60, 0))
    for policy in (None, Greedy()):
        answer = rlnut.predict(
            "fqe", Corridor, policy, data=str(path), values="q", gamma=1.0, iterations=20, states=6, rollouts=3
        )
        np.testing.assert_allclose(np.asarray(answer.values), np.asarray(truth_of(answer).obs) - 5.0, atol=1e-6)


def test_a_policy_that_takes_what_is_forbidden_is_refused() -> None:
    with pytest.raises(UsageError, match="the policy takes action 1 at 0, where it is forbidden"):
        rlnut.predict("td0", Corridor, lambda obs: [0.5, 0.5], **OPTIONS)


class Wrong(Corridor):
    def _given(self) -> tuple[Any, dict[str, Any]]:
        return super()._given()[0], {"action_mask": np.ones(3)}


def test_a_mask_of_another_size_is_one_line() -> None:
    with pytest.raises(RlnutError, match=r"info\['action_mask'\] is not a mask of 2 actions"):
        rlnut.predict("td0", Wrong, **OPTIONS)


def tables() -> Finite:
    """From state 0 action 1 would earn 100, and is forbidden; 0 earns 1 and goes to 1, where both end, for 2 or 3."""
    P = np.zeros((3, 2, 3))
    P[0, :, 1] = P[1, :, 2] = P[2, :, 2] = 1
    R = np.array([[1.0, 100], [2, 3], [0, 0]])
    return Finite(make_mdp(P, R), 1.0, allowed=np.array([[1, 0], [1, 1], [1, 1]], bool))


def test_policies_over_tables() -> None:
    """By hand: the best is 0 in state 0 and 1 in state 1; uniform and soft ones have only what is allowed."""
    problem = tables()
    np.testing.assert_array_equal(as_table("optimal", problem, 1.0)[:2], [[1, 0], [0, 1]])
    np.testing.assert_array_equal(as_table("uniform", problem, 1.0)[:2], [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(as_table("optimal:0.2", problem, 1.0)[:2], [[1.0, 0.0], [0.1, 0.9]])
    np.testing.assert_array_equal(as_table(Greedy(), problem, 1.0)[:2], [[1, 0], [0, 1]])
    assert rlnut.predict("td", problem, "optimal", steps=50).truth[:2].tolist() == [4, 3]
    for wrong in (np.array([1, 0, 0]), np.full((3, 2), 0.5), lambda s: 1):
        with pytest.raises(UsageError, match="the policy takes action 1 at 0, where it is forbidden"):
            as_table(wrong, problem, 1.0)


def test_tables_of_gymnasium_have_its_masks() -> None:
    """Taxi says which actions move or carry anything."""
    env: Any = gym.make("Taxi-v3" if "Taxi-v3" in gym.registry else "Taxi-v4")
    found = from_env(env)
    assert found is not None
    masks = np.array([env.unwrapped.action_mask(s) for s in range(500)], float)
    np.testing.assert_allclose(as_table("uniform", found, 0.9), masks / masks.sum(1, keepdims=True))


def test_tables_that_do_not_know_the_masks_are_not_used() -> None:
    lake: Any = gym.make("FrozenLake-v1").unwrapped
    assert from_env(lake) is not None
    lake.action_masks = lambda: np.array([1, 0, 1, 1])
    assert from_env(lake) is None


def test_a_recurrent_policy_is_no_function_of_the_observation(tmp_path: Path) -> None:
    config = AGENTS["drqn"](**{k: v for k, v in DEEP.items() if k in AGENTS["drqn"].__dataclass_fields__})
    run = rlnut.train(config, "CartPole-v1", out=tmp_path / "run", **SHORT)
    for policy in (run.policy, str(tmp_path / "run")):
        with pytest.raises(UsageError, match="a recurrent policy remembers"):
            on_env(policy, run.policy.spec)


def test_actions_of_a_box_are_those_of_training(tmp_path: Path) -> None:
    """Bins and normalisation come from the folder, so that ρ, Q and ε-soft policies mean what they mean in training."""
    training = SHORT | {"bins": 5, "normalise": True}
    run = rlnut.train(rlnut.DQN(**DEEP), "Pendulum-v1", out=tmp_path / "run", **training)
    pendulum = gym.make("Pendulum-v1")
    seen = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    for policy in (run.policy, rlnut.load_policy(tmp_path / "run"), str(tmp_path / "run")):
        spec = prediction_spec(pendulum, Choice(), False, [named_policy(policy, "here")])
        chances = on_env(policy, spec).at(seen)
        np.testing.assert_array_equal(spec.command(chances.argmax(-1)), run.policy.act(seen))
        assert chances.shape == (50, 5) and (chances.max(-1) == 1).all()
        traced = on_env(policy, spec).traced
        assert traced is not None
        np.testing.assert_array_equal(traced(seen, None), chances)
        with pytest.raises(UsageError, match="of another environment"):
            on_env(policy, prediction_spec(pendulum, Choice(bins=3), False, []))
    soft = named_policy(f"{tmp_path / 'run'}:behaviour", "here")
    spec = prediction_spec(pendulum, Choice(), False, [soft])
    best = np.eye(5)[run.policy.q(seen).argmax(-1)]
    np.testing.assert_allclose(on_env(soft, spec).at(seen), 0.95 * best + 0.05 / 5)
