"""Prediction on environments without tables, where the exact values are known all the same: a walk that hides them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlnut
from rlnut.envs.walks import random_walk
from rlnut.features.maps import Features
from rlnut.prediction.methods import Prediction
from rlnut.prediction.table_truth import table_truth
from rlnut.truth.dynamic_programming import action_values, chain, values
from rlnut.truth.finite import Finite, make_mdp

GAMMA, PI = 0.8, np.array([0.3, 0.7])
WALK = random_walk(5, left=0.0)
TABLE = np.tile(PI, (5, 1))
V = values(chain(WALK.mdp, TABLE), GAMMA)
Q = action_values(WALK.mdp, V, GAMMA)
# the exact standard deviation of a return, of each state and of each pair
SPREAD, SPREAD_Q = (
    np.sqrt(table_truth(WALK, Prediction(values=kind), TABLE, TABLE, GAMMA).variance) for kind in ("v", "q")
)
SPREAD_Q = SPREAD_Q.reshape(Q.shape)
ROLLOUTS = 40


class Place(gym.ObservationWrapper):
    """The walk's state as one number of a box, (s + 1)/6: its tables are out of reach."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

    def observation(self, observation: Any) -> np.ndarray:
        return np.array([(observation + 1) / 6], np.float32)


def make() -> gym.Env:
    return Place(gym.make("rlnut/RandomWalk5-v0"))


def right_mostly(obs: np.ndarray) -> np.ndarray:
    return PI


def state(obs: np.ndarray) -> np.ndarray:
    return (obs[:, 0] * 6 - 0.5).astype(int)


def learn(method: str, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Learned and exact values at the places that were reported."""
    usual: dict[str, Any] = {"states": 12, "rollouts": ROLLOUTS, "features": "tiles:1,6", "policy": right_mostly}
    usual |= {"gamma": GAMMA} | ({} if "episodes" in given else {"steps": 6000})
    found = rlnut.predict(method, make, **(usual | given))
    assert found.known is not None
    s = state(found.known.obs)
    at = (s, found.known.actions) if given.get("values") == "q" else s
    exact, spread = (Q[at], SPREAD_Q[at]) if given.get("values") == "q" else (V[at], SPREAD[at])
    assert (np.abs(found.truth - exact) <= 4.5 * spread / np.sqrt(ROLLOUTS) + 1e-9).all()  # no constant passes
    return found.values, exact


def test_no_constant_passes_for_the_truth() -> None:
    """The bound of `learn` is one that a constant cannot keep."""
    near = 4.5 * SPREAD / np.sqrt(ROLLOUTS)
    assert (V - near).max() > (V + near).min()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("method", ["lstd", "td-lambda", "nstep"])
def test_off_policy_values(method: str, pairs: bool) -> None:
    given = {"values": "q", "correction": "tree-backup"} if pairs and method == "nstep" else {}
    given = {"values": "q"} if pairs and not given else given
    learned, exact = learn(method, behaviour="uniform", **given)
    assert np.sqrt(np.mean((learned - exact) ** 2)) < 0.06


def test_networks_and_a_second_try() -> None:
    learned, exact = learn("nstep", features="raw", hidden=(16,), values="q", episodes=800, runs=2)
    assert np.sqrt(np.mean((learned - exact) ** 2)) < 0.12
    learned, exact = learn("residual-gradient-double", steps=3000, alpha=0.5)
    assert np.sqrt(np.mean((learned - exact) ** 2)) < 0.15


def test_a_behaviour_that_leaves_actions_out_is_refused() -> None:
    with pytest.raises(rlnut.UsageError, match="never takes action 1"):
        learn("td0", behaviour=lambda obs: 0, steps=50, states=1, rollouts=2)


@pytest.mark.figures
def test_folder(tmp_path: Any) -> None:
    rlnut.predict("td0", make, gamma=GAMMA, steps=500, states=3, rollouts=2, out=tmp_path / "new")
    rows = (tmp_path / "new" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("step,rmse") and len(rows) == 51 and rows[-1].startswith("500,")
    assert (tmp_path / "new" / "values.png").stat().st_size > 5000


class Broken(gym.Wrapper):
    """The seventh step of every episode gives a number that is not finite."""

    def __init__(self, what: str, value: float) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.what, self.value, self.time = what, value, 0

    def reset(self, **given: Any) -> Any:
        self.time = 0
        return super().reset(**given)

    def step(self, action: Any) -> Any:
        obs, reward, *rest = super().step(action)
        self.time += 1
        if self.time == 7 and self.what == "reward":
            reward = self.value
        if self.time == 7 and self.what == "observation":
            obs = np.array([*obs[:3], self.value], np.float32)
        return obs, reward, *rest


@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["td0", "lstd"])
def test_numbers_that_are_not_finite_are_no_divergence(method: str, value: float, what: str) -> None:
    with pytest.raises(rlnut.RlnutError, match=rf"{what}.* {value}"):
        rlnut.predict(method, lambda: Broken(what, value), gamma=0.9, steps=300, states=2, rollouts=2)


def test_features_that_are_not_finite_are_no_divergence() -> None:
    def root(x: Any) -> Any:
        return (x[:, :1] - 1e9) ** 0.5

    with pytest.raises(rlnut.UsageError, match="NaN or infinity"):
        rlnut.predict("td0", "CartPole-v1", features=Features(root, 1), gamma=0.9, steps=50, states=2, rollouts=2)


@pytest.mark.filterwarnings("ignore:overflow")
def test_rewards_beyond_single_precision_are_no_divergence() -> None:
    problem = Finite(make_mdp(np.full((2, 1, 2), 0.5), np.full((2, 1), 1e100)))
    with pytest.raises(rlnut.RlnutError, match="reward of step 1 of run 1 is inf"):
        rlnut.predict("td0", problem, gamma=0.5, steps=50)
