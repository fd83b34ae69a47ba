"""`rlnut.predict` refuses what it cannot take when it is called, in one line; nothing exhausts the machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.sparse import eye_array

import rlnut
from rlnut.cli import main
from rlnut.prediction import plan
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.truth.finite import Finite, make_mdp
from rlnut.truth.markov import MDP
from rlnut.truth.start_states import chosen_places

WALK = "rlnut/RandomWalk5-v0"
RAGGED = [[0.5, 0.5], [1.0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": 3}, "method must be a name"),
        ({"method": None}, "method must be a name"),
        ({"env": 3}, "env must be a name"),
        ({"env": None}, "env must be a name"),
        ({"env": Path("nowhere")}, "not an .npz file"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": 2**32}, "<= 4294967295"),
        ({"policy": 3}, "policy must have shape"),
        ({"policy": RAGGED}, "rows differ in length"),
        ({"policy": {"a": 1}}, "policy"),
        ({"policy": np.full((5, 2), np.nan)}, "policy must be finite"),
        ({"policy": ["a"] * 5}, "policy must hold real numbers"),
        ({"behaviour": RAGGED}, "policy"),
        ({"behaviour": 7}, "policy must have shape"),
        ({"features": 3}, "features must be words"),
        ({"features": RAGGED}, "rows differ in length"),
        ({"features": np.ones(5)}, "features must have shape"),
        ({"features": np.full((5, 2), np.inf)}, "features must be finite"),
        ({"network": 3}, "network must be an architecture"),
        ({"network": lambda shape: 3}, "a network maps an output shape to a Model"),
        ({"network": lambda shape: rlnut.mlp((2,))((7,))}, "the network gives"),
        ({"out": 3}, "out must be the path"),
        ({"quick": True}, "unknown Prediction option"),
        ({"steps": "x"}, "steps must be of type int"),
        ({"steps": 1e13}, "steps must be >= 1 and <= 2147483647"),
        ({"alpha": float("nan")}, "alpha must be"),
        ({"lam": 2}, "lam"),
        ({"truth_states": RAGGED}, "rows of different lengths"),
        ({"truth_states": "x.txt"}, "takes an .npy file"),
        ({"truth_states": "missing.npy"}, "no such file"),
        ({"truth_states": [float("nan")]}, "finite numbers"),
        ({"truth_states": [1], "states": 4}, "not both"),
        ({"truth_states": [1]}, "exact in every state"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], message: str) -> None:
    whole: dict[str, Any] = {"method": "td-lambda", "env": WALK} | given
    with pytest.raises(rlnut.UsageError) as error:
        rlnut.predict(whole.pop("method"), whole.pop("env"), **whole)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"policy": 3}, "a policy for CartPole-v1 is"),
        ({"policy": RAGGED}, "a policy for CartPole-v1 is"),
        ({"policy": lambda obs: [0.5]}, "2 probabilities"),
        ({"policy": lambda obs: RAGGED}, "rows differ in length"),
        ({"features": np.ones((5, 2))}, "features of an environment without tables"),
        ({"network": lambda shape: rlnut.mlp((2,))((7,)), "features": "raw"}, "the network gives"),
        ({"truth_states": np.zeros((2, 3))}, "must have shape [K, 4]"),
        ({"truth_states": np.zeros((2,))}, "must have shape [K, 4]"),
    ],
)
def test_wrong_arguments_without_tables(given: dict[str, Any], message: str) -> None:
    with pytest.raises(rlnut.UsageError) as error:
        rlnut.predict("td0", "CartPole-v1", gamma=0.5, **({"steps": 20, "rollouts": 2} | given))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([WALK, "--runs", "1e9"], "experience of 50,000,000,000,000 steps needs"),
        ([WALK, "--steps", "2e9", "--runs", "1000"], "give fewer --steps or --runs"),
        ([WALK, "--episodes", "1e9", "--runs", "1000"], "give fewer --episodes or --runs"),
        (["CartPole-v1", "--steps", "2e9"], "give fewer --steps or --runs"),
        (["CartPole-v1", "--rollouts", "1e9"], "rollouts must be"),
        (["CartPole-v1", "--states", "1e9"], "states must be"),
        (["CartPole-v1", "--rollouts", "1e6", "--states", "1e6"], "a truth of 1,000,000,000,000 returns"),
        ([WALK, "--hidden", ",".join(["100000"] * 9)], "weights needs"),
        ([WALK, "--hidden", ",".join(["2"] * 2000)], "hidden takes at most"),
        ([WALK, "--features", "random-fourier:10000000000"], "at most"),
        ([WALK, "--features", "mlp:100000000"], "weights needs"),
    ],
)
def test_nothing_larger_than_the_machine_is_begun(capsys: Any, words: list[str], message: str) -> None:
    assert main(["predict", "td0", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_plans_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 GB free: what fits passes, what does not names both numbers."""
    monkeypatch.setattr(plan, "free_memory", lambda: 10**9)
    config = Prediction(steps=1000, runs=1000)
    plan.check_experience(config, 900)
    with pytest.raises(rlnut.UsageError, match=r"1,000,000 steps needs 1,049.0 MiB and 953.7 MiB are free"):
        plan.check_experience(config, 1100)
    plan.check_experience(config.replace(data="file.npz"), 1100)  # nothing is played
    plan.check_weights(METHODS["td0"], Prediction(), 10_000, 50)
    with pytest.raises(rlnut.UsageError, match="lstd over 1 × 10,000 weights"):
        plan.check_weights(METHODS["lstd"], Prediction(), 10_000, 10)
    with pytest.raises(rlnut.UsageError, match="a path of 1,000,000 updates"):
        plan.check_weights(METHODS["td0"], Prediction(expected=True, steps=10**6), 1000, 50)
    none = np.zeros(0)
    small, large = (MDP(np.broadcast_to(0.0, (S, 4, S)), none, none, np.zeros(S)) for S in (1000, 10_000))
    plan.check_states(small, 1000, False)
    with pytest.raises(rlnut.UsageError, match="the truth over 40,000 pairs"):
        plan.check_states(large, 1, True)
    sparse = eye_array(10_000, format="csr")
    plan.check_states(MDP(sparse, sparse, sparse, np.zeros(2500)), 1, True)


def test_huge_finite_problems_are_refused_before_their_tables_are_made() -> None:
    with pytest.raises(rlnut.UsageError, match="20,000 states and 4 actions"):
        make_mdp(np.broadcast_to(np.float32(0), (20_000, 4, 20_000)), np.zeros((20_000, 4)))
    assert Finite(make_mdp(np.full((2, 1, 2), 0.5), np.ones((2, 1)))).gamma is None


def test_truth_at_chosen_states() -> None:
    """The walk of five states shows (s + 1)/6: its states are met on the way; CartPole is put where it is wanted."""

    class Place(gym.ObservationWrapper):
        def __init__(self) -> None:
            super().__init__(gym.make(WALK))
            self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

        def observation(self, observation: Any) -> np.ndarray:
            return np.array([(observation + 1) / 6], np.float32)

    wanted = np.array([[5 / 6], [1 / 6], [3 / 6]])
    found = rlnut.predict("td0", Place, gamma=1.0, steps=20, rollouts=200, truth_states=wanted)
    assert found.known is not None
    np.testing.assert_allclose(found.known.obs, wanted, atol=1e-6)
    np.testing.assert_allclose(found.truth, wanted[:, 0], atol=4.5 * 0.5 / np.sqrt(200))
    with pytest.raises(rlnut.UsageError, match=r"state 0 of the truth, \[0.25\], was not met in 2,000 steps"):
        rlnut.predict("td0", Place, gamma=1.0, steps=20, rollouts=2, truth_states=[[0.25]])
    fall = np.array([[0.0, 0.0, 0.2, 1.0], [0.0, 0.0, 0.0, 0.0]])  # falling at once, and upright
    found = rlnut.predict("td0", "CartPole-v1", gamma=0.9, steps=20, rollouts=20, truth_states=fall)
    assert found.known is not None
    np.testing.assert_allclose(found.known.obs, fall, atol=1e-7)
    assert found.truth[0] == pytest.approx(1.0) and found.truth[1] > 5  # the first step is rewarded, and ends it


def test_an_environment_that_is_put_somewhere_stays_as_it_was() -> None:
    """Each chosen state is a copy of its own, and moves by the environment's own law from there."""
    rng = np.random.default_rng(0)
    wanted = np.array([[-0.5, 0.01], [0.3, 0.02]], np.float32)
    places, first = chosen_places(lambda: gym.make("MountainCar-v0"), lambda obs, rng: 2, wanted, rng)
    assert first == [2, 2]
    for place, (x, v) in zip(places, wanted.tolist(), strict=True):
        assert place.env is not None
        obs = place.env.step(2)[0]
        speed = v + 0.001 - 0.0025 * np.cos(3 * x)
        np.testing.assert_allclose(obs, [x + speed, speed], atol=1e-6)


@pytest.mark.parametrize("quiet", [True, False])
def test_one_word_for_silence(quiet: bool, capsys: pytest.CaptureFixture[str]):
    """`quiet` of train, fit and predict is one switch with one default: to say what happens."""
    short: dict[str, Any] = {"steps": 64, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1}
    calls: dict[str, Callable[..., object]] = {
        "train": lambda **word: rlnut.train("q-learning", "rlnut/RandomWalk5-v0", **short, **word),
        "fit": lambda **word: rlnut.fit("mlp", "iris", epochs=1, hidden=(4,), **word),
        "predict": lambda **word: rlnut.predict("td0", "rlnut/RandomWalk5-v0", steps=50, **word),
    }
    for name, call in calls.items():
        call(**({"quiet": True} if quiet else {}))
        out, err = capsys.readouterr()
        assert out == "" and (err == "") == quiet, name
    rlnut.fit("mlp", "iris", epochs=1, hidden=(4,), progress=False)  # the older name
    assert capsys.readouterr().err == ""
