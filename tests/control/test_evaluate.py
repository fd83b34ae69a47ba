"""Evaluations: an interval needs two episodes, wherever one is printed or written."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import SHORT, run_main

import rlnut
from rlnut.control.evaluate import Evaluation, mean_and_std
from rlnut.envs.make import EnvName
from rlnut.runtime.log import read_metrics
from rlnut.truth.monte_carlo import monte_carlo_truth

pytestmark = pytest.mark.usefixtures("shared_programs")


def test_one_episode_has_no_spread() -> None:
    one, two = Evaluation([3.0], [1], 0), Evaluation([3.0, 5.0], [1, 1], 0)
    assert (one.mean, one.std, one.ci95) == (3.0, None, None)
    assert two.std == pytest.approx(2**0.5) and two.ci95 == (3.0, 5.0)
    assert Evaluation([3.0, 3.0], [1, 1], 0).ci95 == (3.0, 3.0)
    assert (mean_and_std(3.0, None), mean_and_std(3.0, 0.5)) == ("3", "3 ± 0.5")


def test_commands_print_no_interval_of_one_episode(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    few = ["--eval-episodes=1", "--final-episodes=1", f"--out={folder}", "--json"]
    status, out, err = run_main(capsys, "train", "dqn", "CartPole-v1", *SHORT, *few)
    assert status == 0 and "±" not in err and "over 1 new episode," in err
    assert json.loads(out)["eval"]["std"] is None
    assert all(np.isnan(row["eval_std"]) for row in read_metrics(tmp_path / "run" / "metrics.csv"))
    status, out, err = run_main(capsys, "evaluate", folder, "--episodes=1", "--json")
    assert status == 0 and "±" not in err and "interval" not in err and "over 1 episode" in err
    assert json.loads(out)["std"] is None and json.loads(out)["ci95"] is None
    status, out, err = run_main(capsys, "evaluate", folder, "--episodes=2", "--json")
    assert "±" in err and "95 % interval" in err and len(json.loads(out)["ci95"]) == 2


def test_one_return_has_no_interval() -> None:
    truth = monte_carlo_truth(EnvName("CartPole-v1").make, lambda obs, rng: int(rng.integers(2)), 0.9, 3, 1, 0)
    assert np.isfinite(truth.mean).all() and np.isnan(truth.ci95).all()


# --- policies in the hands of others


@pytest.fixture(scope="module")
def run() -> Any:
    return rlnut.train(
        rlnut.DQN(learning_starts=10, hidden=(8,)), "CartPole-v1", steps=60, final_episodes=1, quiet=True
    )


NAN, STATE = float("nan"), [0.1, 0.0, -0.1, 0.2]


@pytest.mark.parametrize(
    "obs, said",
    [
        ([0.1, NAN, 0, 0], "an observation with nan at index 1; all numbers must be finite"),
        ([0.1, 0, 0, np.inf], "inf at index 3"),
        ([[0.1, 0, 0, 0], [0, 0, NAN, 0]], "nan at index 1, 2"),
        ([0.1, 0, 0], r"float64\[3\]; Box.* needs float32\[4\]"),
        (np.zeros((2, 5)), r"float64\[2, 5\]"),
        (np.zeros((1, 2, 4)), r"float64\[1, 2, 4\]"),
        (0.5, r"float64\[\]"),
        ("abcd", "needs float32"),
        (None, "needs float32"),
        ({"a": 1}, "needs float32"),
        (np.zeros(4, complex), "complex128"),
    ],
)
def test_an_observation_that_is_none_gets_no_action(run: Any, obs: Any, said: str) -> None:
    for ask in (run.policy.q, run.policy.act, run.q):
        with pytest.raises(rlnut.UsageError, match=f"the policy of CartPole-v1 was given .*{said}"):
            ask(obs)


def test_one_observation_and_many(run: Any) -> None:
    one = run.policy.q(STATE)
    assert one.shape == (2,) and run.policy.q([STATE]).shape == (1, 2)
    np.testing.assert_allclose(run.policy.q(np.array([STATE, [0, 0, 0, 0]], np.float32))[0], one, rtol=1e-6)
    assert run.policy.act(STATE) == one.argmax()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"episodes": "x"}, "episodes must be a whole number >= 1, got 'x'"),
        ({"episodes": -1}, "episodes must be a whole number >= 1, got -1"),
        ({"episodes": 2.5}, "episodes must be a whole number"),
        ({"episodes": True}, "episodes must be a whole number"),
        ({"seed": -1}, "seed must be a whole number >= 0 and < 4294967296, got -1"),
        ({"seed": "x"}, "seed must be"),
        ({"env": 3}, "an environment is a name, an instance or a function that makes one, got 3"),
        ({"env": "Acrobot-v1"}, "the policy was trained on"),
    ],
)
def test_arguments_of_an_evaluation(run: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(rlnut.UsageError, match=said):
        run.policy.evaluate(**given)


@pytest.mark.parametrize("kind", ["trained", "loaded", "offline", "normalised"])
def test_a_policy_can_be_pickled(kind: str, run: Any, tmp_path: Path) -> None:
    """The same values and episodes from another process's copy."""
    policy = run.policy
    if kind == "loaded":
        short: Any = {"steps": 60, "final_episodes": 1, "quiet": True}
        rlnut.train(rlnut.DQN(learning_starts=10, hidden=(8,)), "CartPole-v1", out=tmp_path / "a", **short)
        policy = rlnut.load_policy(tmp_path / "a")
    if kind == "offline":
        policy = rlnut.train("fqi", "rlnut/ChainWalk4-v0", steps=200, final_episodes=1, quiet=True).policy
    if kind == "normalised":
        policy = rlnut.train("dqn", "CartPole-v1", steps=1100, normalise=True, final_episodes=1, quiet=True).policy
    again = pickle.loads(pickle.dumps(policy))
    obs = 2 if kind == "offline" else STATE
    np.testing.assert_array_equal(again.q(obs), policy.q(obs))
    assert again.evaluate(2, 5).returns == policy.evaluate(2, 5).returns
