"""Every space that `train` takes, `predict` takes: one walk, shown and steered in many ways, has one truth."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlnut
from rlnut.agents.observation_features import Box, box_of, observation_features
from rlnut.cli import main
from rlnut.envs.observations import observation, written_back
from rlnut.envs.space_records import recorded_space, space_record
from rlnut.envs.spaces import read_spaces
from rlnut.envs.walks import random_walk
from rlnut.errors import UsageError
from rlnut.features.maps import Features
from rlnut.prediction.methods import Prediction
from rlnut.prediction.value_function import feature_words, laid_features, recipe_of
from rlnut.truth.dynamic_programming import action_values, chain, values

GAMMA = 0.8
WALK = random_walk(5, left=0.0)
EVEN = np.full((5, 2), 0.5)
V = values(chain(WALK.mdp, EVEN), GAMMA)
Q = action_values(WALK.mdp, V, GAMMA)
QUICK: dict[str, Any] = {"gamma": GAMMA, "steps": 3000, "states": 3, "rollouts": 2}


PICTURE = spaces.Box(0, 255, (6, 6, 1), np.uint8)


def image(s: int) -> np.ndarray:
    found = np.zeros((6, 6, 1), np.uint8)
    found[s, s] = 255
    return found


# name -> (space, state -> what is shown)
SHOWN: dict[str, tuple[spaces.Space, Any]] = {
    "box": (spaces.Box(0, 4, (1,), np.float64), lambda s: np.array([s], np.float64)),
    "integers": (spaces.Box(0, 4, (1,), np.int16), lambda s: np.array([s], np.int16)),
    "unbounded": (spaces.Box(-np.inf, np.inf, (1,)), lambda s: np.array([s], np.float32)),
    "discrete": (spaces.Discrete(5, start=7), lambda s: s + 7),
    "multi-discrete": (spaces.MultiDiscrete([2, 3], start=[0, 1]), lambda s: np.array([s // 3, s % 3 + 1])),
    "multi-binary": (spaces.MultiBinary(3), lambda s: np.array([s // 4, s // 2 % 2, s % 2], np.int8)),
    "image": (PICTURE, image),
    "dict of numbers": (
        spaces.Dict(place=spaces.Discrete(5), text=spaces.Text(9)), lambda s: {"place": s, "text": "here"}
    ),
    "dict": (
        spaces.Dict(place=spaces.Discrete(5), other=spaces.Box(-1, 1, (1,))),
        lambda s: {"place": s, "other": np.array([0.5], np.float32)},
    ),
    "tuple": (
        spaces.Tuple((spaces.MultiDiscrete([5]), spaces.Box(0, 1, (2,)))),
        lambda s: (np.array([s]), np.array([s / 4, 1], np.float32)),
    ),
    "nested": (
        spaces.Dict(a=spaces.Tuple((PICTURE, spaces.Discrete(2))), b=spaces.Box(0, 1, ())),
        lambda s: {"a": (image(s), s % 2), "b": np.array(s / 4, np.float32)},
    ),
}  # fmt: skip
# name -> (space, as the environment takes it -> 0 or 1, options)
TAKEN: dict[str, tuple[spaces.Space, Any, dict[str, Any]]] = {
    "start": (spaces.Discrete(2, start=3), lambda a: a - 3, {}),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), lambda a: a[0], {}),
    "decoupled": (spaces.MultiDiscrete([2, 3]), lambda a: a[0], {"actions": "decoupled"}),
    "multi-binary": (spaces.MultiBinary(2), lambda a: a[1], {}),
    "bins": (spaces.Box(-1, 1, (1,)), lambda a: int(a[0] > 0), {"bins": 2}),
}


class Walk(gym.Env):
    """The walk in disguise."""

    def __init__(self, shown: str = "box", taken: str | None = None) -> None:
        self.observation_space, self.show = SHOWN[shown]
        self.action_space = spaces.Discrete(2) if taken is None else TAKEN[taken][0]
        self.meaning = (lambda a: a) if taken is None else TAKEN[taken][1]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(5))
        return self.show(self.state), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action if not isinstance(self.action_space, spaces.Discrete) else int(action))
        where = self.state + (1 if self.meaning(action) else -1)
        self.state = min(max(where, 0), 4)
        return self.show(self.state), float(where == 5), where in (-1, 5), False, {}


def right_is(pair: np.ndarray, taken: str | None) -> np.ndarray:
    """q of learned values [A] or [D, K] for left and right, whatever else an action says."""
    if taken == "decoupled":  # q(s, a) is the mean over groups; the second number changes nothing
        return (pair[0, :2] + pair[1].mean()) / 2
    if taken == "multi-discrete":
        return pair.reshape(2, 3).mean(1)
    return pair.reshape(2, 2).mean(0) if taken == "multi-binary" else pair


@pytest.mark.parametrize("shown", SHOWN)
def test_state_values_of_every_observation(shown: str, tmp_path: Path) -> None:
    """LSTD with the features that are chosen: V of dynamic programming, in each state, and the same from the folder."""
    show = SHOWN[shown][1]
    options = QUICK | ({"features": "tiles:1,5"} if shown in ("dict", "tuple") else {})  # fewer than are chosen
    answer = rlnut.predict("lstd", partial(Walk, shown), out=tmp_path / "o", **options)
    found = np.array([answer.value(show(s)) for s in range(5)])
    np.testing.assert_allclose(found, V, atol=0.06)
    loaded = rlnut.load_values(tmp_path / "o")
    np.testing.assert_array_equal([loaded.value(show(s)) for s in range(5)], found)
    assert answer.known is not None
    np.testing.assert_allclose(answer.value(answer.known.obs), answer.values, atol=1e-6)  # several, side by side
    with pytest.raises(UsageError, match=r"the values of .* cannot be computed: they were given"):
        answer.value(np.full((7, 7), np.nan))


@pytest.mark.parametrize("taken", TAKEN)
def test_action_values_of_every_action(taken: str) -> None:
    _, _, options = TAKEN[taken]
    answer = rlnut.predict("lstd", partial(Walk, "discrete", taken), values="q", **QUICK | options)
    found = np.array([right_is(answer.value(s + 7), taken) for s in range(5)])
    np.testing.assert_allclose(found, Q, atol=0.08)
    assert answer.known is not None and answer.known.actions is not None
    assert all(TAKEN[taken][0].contains(a) for a in answer.known.actions)


@pytest.mark.parametrize("taken", [None, "decoupled", "bins"])
def test_off_policy_with_a_function_of_the_observation(taken: str | None) -> None:
    """A function is given what the environment gives, text included; ρ is that of the actions, whatever their space."""
    chances = {None: [0.3, 0.7], "bins": [0.3, 0.7], "decoupled": [[0.3, 0.7, 0], [1 / 3] * 3]}[taken]
    options: dict[str, Any] = {} if taken is None else TAKEN[taken][2]

    def policy(obs: Any) -> Any:
        assert obs["text"] == "here"
        return chances

    there = partial(Walk, "dict of numbers", taken)
    answer = rlnut.predict("lstd", there, policy, behaviour="uniform", **QUICK | options)
    exact = values(chain(WALK.mdp, np.tile([0.3, 0.7], (5, 1))), GAMMA)
    found = [answer.value({"place": s, "text": "there"}) for s in range(5)]
    np.testing.assert_allclose(found, exact, atol=0.08)


SLOW_SPACES = [pytest.param(shown, marks=pytest.mark.slow) for shown in ("dict", "multi-discrete")]


@pytest.mark.parametrize("shown", ["image", "nested", *SLOW_SPACES])  # nested has both of the others
def test_networks_are_those_of_training(shown: str, tmp_path: Path) -> None:
    show = SHOWN[shown][1]
    few = QUICK | {"steps": 60}
    answer = rlnut.predict("td0", partial(Walk, shown), values="q", hidden=(8,), out=tmp_path / "o", **few)
    config = rlnut.DQN(hidden=(8,), learning_starts=2, batch=2, replay=16)
    run = rlnut.train(
        config, partial(Walk, shown), steps=4, eval_every=4, eval_episodes=1, final_episodes=1, quiet=True
    )
    import jax

    size = sum(leaf.size for leaf in jax.tree.leaves(run.policy.params))
    assert answer.learned is not None and answer.learned.weights.shape == (1, size)  # type: ignore[union-attr]
    loaded = rlnut.load_values(tmp_path / "o")
    np.testing.assert_array_equal(loaded.value(show(2)), answer.value(show(2)))


def test_a_second_try_goes_on() -> None:
    """Double-sample residual gradient on a Dict, whose successors are read like all others."""
    there = partial(Walk, "dict of numbers")
    answer = rlnut.predict("residual-gradient-double", there, alpha=0.1, **QUICK | {"steps": 6000})
    found = [answer.value({"place": s, "text": ""}) for s in range(5)]
    np.testing.assert_allclose(found, V, atol=0.15)


def test_runs_are_lanes_that_do_not_depend_on_each_other() -> None:
    """Run 1 of two is the only run of one, whatever else is played beside it."""
    one, two = (rlnut.predict("td0", Walk, runs=n, **QUICK | {"steps": 200}) for n in (1, 2))
    np.testing.assert_array_equal(one.weights, two.weights)


def test_features_of_ones_own_are_given_numbers_side_by_side() -> None:
    phi = Features(lambda x: (x[:, :1] == np.arange(5)) * 1.0, 5)  # of "place", "other"
    there = partial(Walk, "dict")
    answer = rlnut.predict("lstd", there, features=phi, **QUICK)
    found = [answer.value(SHOWN["dict"][1](s)) for s in range(5)]
    np.testing.assert_allclose(found, V, atol=0.06)


def test_spaces_as_data() -> None:
    """A record holds all that is read of an observation, also what is stored can be written back."""
    for space, show in SHOWN.values():
        again = recorded_space(space_record(space))
        for s in range(5):
            stored = observation(space, "here").read(show(s), np)
            np.testing.assert_array_equal(observation(again, "here").read(show(s), np), stored)
            back = written_back(space, np.asarray(stored))
            np.testing.assert_array_equal(observation(space, "here").read(back, np), stored)


def test_the_command_shows_parts_and_refuses_actions_where_there_are_tables(capsys: pytest.CaptureFixture[str]) -> None:
    spec = "prediction_spaces/Dict-v0"
    gym.register(spec, partial(Walk, "nested"))
    try:
        words = ["predict", "td0", spec, "--steps", "50", "--states", "2", "--rollouts", "2", "--json"]
        assert main(words) == 0
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert np.shape(answer["states"]["a"][0]) == (2, 6, 6, 1) and np.shape(answer["states"]["b"]) == (2,)
    finally:
        gym.registry.pop(spec)
    assert main(["predict", "td0", "rlnut/RandomWalk5-v0", "--bins", "3"]) == 2
    assert "--bins has no effect on a problem with tables" in capsys.readouterr().err


@pytest.mark.parametrize("env", ["MountainCar-v0", "CartPole-v1"])
@pytest.mark.parametrize("words", ["auto", "tiles:4", "fourier:2"])
def test_control_and_prediction_lay_the_same_features(env: str, words: str) -> None:
    """Over a box of the same observations φ is that of `train sarsa`, number for number."""
    made = gym.make(env)
    spec = read_spaces(made)
    seen = np.random.default_rng(0).uniform(-0.07, 0.07, (200, *spec.shape)).astype(np.float32)
    config = Prediction(features=words)
    recipe, scale = recipe_of(config, spec, feature_words(config, spec, False), seen, None)
    box = box_of(spec, seen=seen)
    control = observation_features(words, spec, Box(box.low, box.high))
    np.testing.assert_array_equal(laid_features(recipe, scale, spec)(seen), control.phi(seen))
