"""What was learned can be asked afterwards: at once, and from the folder of a prediction."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlnut
from rlnut.cli import main
from rlnut.envs.walks import random_walk
from rlnut.features.maps import Features, fourier
from rlnut.prediction.learned_values import FILE, FunctionValues, TableValues
from rlnut.truth.dynamic_programming import chain, values

QUICK: dict[str, Any] = {"gamma": 0.9, "steps": 300, "states": 4, "rollouts": 2}


@pytest.mark.parametrize("given", [{}, {"hidden": (4,)}, {"features": "aggregation:2"}])
@pytest.mark.parametrize("kind", ["v", "q"])
def test_values_of_a_finite_problem(tmp_path: Path, kind: str, given: dict[str, Any]) -> None:
    found = rlnut.predict("td-lambda", "FrozenLake-v1", values=kind, out=tmp_path / "o", steps=300, runs=2, **given)
    loaded = rlnut.load_values(tmp_path / "o")
    reached = np.isfinite(found.values)
    everywhere = found.value(np.arange(16))
    assert everywhere.shape == found.values.shape and np.isfinite(everywhere).all()
    np.testing.assert_allclose(everywhere[reached], found.values[reached], atol=1e-9)
    np.testing.assert_array_equal(loaded.value(np.arange(16)), everywhere)
    assert loaded.value(3).shape == everywhere[3].shape
    np.testing.assert_array_equal(loaded.value(3), everywhere[3])


FORMS: list[dict[str, Any]] = [
    {},
    {"hidden": (3, 3), "features": "rbf:2"},
    {"features": "raw"},
    {"features": "fourier:2"},
    {"features": "mlp:4"},
]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *(("v", given) for given in FORMS),
        *(("q", given) for given in FORMS[:2]),  # the maps are those of v
        *(pytest.param("q", given, marks=pytest.mark.slow) for given in FORMS[2:]),
    ],
)
def test_values_of_an_environment(tmp_path: Path, kind: str, given: dict[str, Any]) -> None:
    """v(s) where the truth was estimated is what was reported, over two runs, and the same after loading."""
    found = rlnut.predict("td0", "CartPole-v1", values=kind, runs=2, out=tmp_path / "o", **QUICK, **given)
    assert found.known is not None
    loaded, obs = rlnut.load_values(tmp_path / "o"), found.known.obs
    told = loaded.value(obs)
    np.testing.assert_array_equal(told, found.value(obs))
    if kind == "q":
        assert found.known.actions is not None
        told = told[np.arange(len(obs)), found.known.actions]
    np.testing.assert_allclose(told, found.values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loaded.value(obs[1]), loaded.value(obs)[1], rtol=1e-6)
    assert loaded.value(obs[:0]).shape == ((0, 2) if kind == "q" else (0,))


def test_states_that_were_not_reported() -> None:
    """LSTD on a chain of five states, asked where no truth was estimated: the exact values."""

    class Place(gym.ObservationWrapper):
        def __init__(self) -> None:
            super().__init__(gym.make("rlnut/RandomWalk5-v0"))
            self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

        def observation(self, observation: Any) -> np.ndarray:
            return np.array([(observation + 1) / 6], np.float32)

    found = rlnut.predict("lstd", Place, gamma=0.8, steps=20_000, states=1, rollouts=2, features="tiles:1,6")
    walk = random_walk(5, left=0.0)
    exact = values(chain(walk.mdp, walk.policy), 0.8)
    np.testing.assert_allclose(found.value(np.arange(1, 6)[:, None] / 6), exact, atol=0.03)


def test_parts_of_an_observation(tmp_path: Path) -> None:
    problem = random_walk(6)._replace(shown=(np.arange(6) // 2, np.arange(6) % 2))
    found = rlnut.predict("td0", problem, steps=500, out=tmp_path / "o")
    loaded = rlnut.load_values(tmp_path / "o")
    assert isinstance(loaded, TableValues) and loaded.shown is not None
    assert loaded.value((1, 1)) == pytest.approx(found.values[3])
    np.testing.assert_array_equal(loaded.value((np.array([0, 2]), np.array([1, 0]))), loaded.value(np.array([1, 4])))
    with pytest.raises(rlnut.UsageError, match="no state"):
        loaded.value((99, 1))
    with pytest.raises(rlnut.UsageError, match="2 parts"):
        loaded.value((1, 1, 0))


def test_maps_and_networks_of_ones_own_are_given_again(tmp_path: Path) -> None:
    phi = Features(lambda x: fourier(4, 1)(x[:, :4]), 16)
    found = rlnut.predict("td0", "CartPole-v1", features=phi, out=tmp_path / "phi", **QUICK)
    assert found.known is not None
    loaded = rlnut.load_values(tmp_path / "phi", features=phi)
    np.testing.assert_array_equal(loaded.value(found.known.obs), found.value(found.known.obs))
    with pytest.raises(rlnut.UsageError, match="features of your own"):
        rlnut.load_values(tmp_path / "phi")
    net = rlnut.mlp((5,))
    found = rlnut.predict("td0", "CartPole-v1", network=net, out=tmp_path / "net", **QUICK)
    assert found.known is not None
    loaded = rlnut.load_values(tmp_path / "net", network=net)
    np.testing.assert_array_equal(loaded.value(found.known.obs), found.value(found.known.obs))
    with pytest.raises(rlnut.UsageError, match="network of your own"):
        rlnut.load_values(tmp_path / "net")
    with pytest.raises(rlnut.RlnutError, match="do not fit"):
        rlnut.load_values(tmp_path / "net", network=rlnut.mlp((6,)))


def test_wrong_questions_and_damaged_files(tmp_path: Path) -> None:
    found = rlnut.predict("td0", "CartPole-v1", out=tmp_path / "o", **QUICK)
    assert isinstance(found.learned, FunctionValues)
    wrong: list[Any] = [3, [1, 2, 3], "x", [[1, 2], [3]], np.full(4, np.nan), None]
    for obs in wrong:
        with pytest.raises(rlnut.UsageError):
            found.value(obs)
    table = rlnut.predict("td0", "rlnut/RandomWalk5-v0", steps=50)
    wrong = [5, -1, 0.5, [[1]], "x", None, [[1], [1, 2]]]
    for state in wrong:
        with pytest.raises(rlnut.UsageError, match="0 … 4"):
            table.value(state)
    with pytest.raises(rlnut.UsageError, match="not the folder of a prediction"):
        rlnut.load_values(tmp_path)
    with pytest.raises(rlnut.UsageError, match="takes the folder"):
        rlnut.load_values(3)  # type: ignore[arg-type]
    whole = (tmp_path / "o" / FILE).read_bytes()
    for damaged in (whole[:40], whole[:-8], b"", whole.replace(b'"function', b'"functiom')):
        (tmp_path / "o" / FILE).write_bytes(damaged)
        with pytest.raises(rlnut.RlnutError):
            rlnut.load_values(tmp_path / "o")


def test_command(capsys: Any, tmp_path: Path) -> None:
    """--env-arg reaches the environment; the folder answers afterwards; --truth-states are the states reported."""
    words = ["predict", "td0", "FrozenLake-v1", "--env-arg", "is_slippery=False", "--env-arg", "map_name=8x8"]
    assert main([*words, "--steps", "100", "--policy", "optimal", "--out", str(tmp_path / "o"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(answer["truth"]) == 64 and answer["truth"][0] == pytest.approx(0.99**13)  # 14 steps, none slips
    assert rlnut.load_values(tmp_path / "o").value(63) == 0
    np.save(tmp_path / "states.npy", np.array([[0.0, 0.1, 0.02, -0.1], [0.1, 0, 0, 0]]))
    words = ["predict", "td0", "CartPole-v1", "--truth-states", str(tmp_path / "states.npy"), "--steps", "100"]
    assert main([*words, "--rollouts", "3", "--gamma", "0.5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    np.testing.assert_allclose(answer["states"], np.load(tmp_path / "states.npy"), atol=1e-7)
    refused = {
        ("--env-arg", "is_slipery=no"): "is_slippery",
        ("--truth-states", str(tmp_path / "states.npy")): "exact in every state",
    }
    for more, message in refused.items():
        assert main(["predict", "td0", "FrozenLake-v1", *more]) == 2
        assert message in capsys.readouterr().err
