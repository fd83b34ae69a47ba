"""Names of actions and observations: as many as there are, those of the documentation, none where they may be wrong."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit, TransformAction

from rlnut.envs.coordinates import cell_letters
from rlnut.envs.make import maker
from rlnut.envs.meanings import ACTIONS, OBSERVATIONS, TABLES, action_names, symbols
from rlnut.envs.spaces import read_spaces
from rlnut.envs.tabular import from_env
from rlnut.learner.spec import Choice

IDS = {
    "AcrobotEnv": "Acrobot-v1", "BlackjackEnv": "Blackjack-v1", "CartPoleEnv": "CartPole-v1",
    "CliffWalkingEnv": "CliffWalking-v1", "Continuous_MountainCarEnv": "MountainCarContinuous-v0",
    "FrozenLakeEnv": "FrozenLake-v1", "MountainCarEnv": "MountainCar-v0", "TaxiEnv": "Taxi-v4",
}  # fmt: skip


def names(env: gym.Env, kind: str | None = None, bins: int | None = None) -> list[list[str]]:
    return action_names(env, read_spaces(env, Choice(kind, bins)))


@pytest.mark.parametrize("name", sorted(IDS))
def test_there_are_as_many_names_as_numbers(name: str) -> None:
    env: Any = gym.make(IDS[name])
    assert type(env.unwrapped).__name__ == name
    if name in ACTIONS:
        assert names(env) == [list(ACTIONS[name])] and len(ACTIONS[name]) == env.action_space.n
    if name in OBSERVATIONS:
        count = len(env.observation_space) if name == "BlackjackEnv" else env.observation_space.shape[0]
        assert len(OBSERVATIONS[name]) == count


def test_moves_lead_where_they_say() -> None:
    """Played in the middle of each grid: the cell that is reached lies where the arrow points."""
    ways = {"↑": (-1, 0), "↓": (1, 0), "←": (0, -1), "→": (0, 1)}
    for env, shape, place in (
        (gym.make("FrozenLake-v1", is_slippery=False), (4, 4), (2, 2)),
        (gym.make("CliffWalking-v1"), (4, 12), (1, 5)),
        (gym.make("rlnut/Cliff-v0"), (4, 12), (1, 5)),
    ):
        inner: Any = env.unwrapped
        for action, sign in enumerate(symbols(names(env)[0])):
            env.reset(seed=0)
            start = int(np.ravel_multi_index(place, shape))
            inner.s = inner.state = start
            reached = np.unravel_index(env.step(action)[0], shape)
            assert (reached[0] - place[0], reached[1] - place[1]) == ways[sign]


def test_tables_of_ours_have_names_for_their_actions() -> None:
    for name in (
        "RandomWalk5",
        "ChainWalk4",
        "Cliff",
        "WindyGridworld",
        "WindyGridworldKing",
        "WindyGridworldKingStay",
    ):
        env: Any = maker(f"rlnut/{name}-v0")()
        source = env.unwrapped.spec.kwargs["source"]
        assert names(env)[0] == list(TABLES[source][: env.action_space.n])


def test_numbers_stand_where_words_may_be_wrong() -> None:
    cart = gym.make("CartPole-v1")
    assert names(TimeLimit(cart, 10)) == [["push left", "push right"]]
    assert names(TransformAction(cart, lambda a: 1 - a, cart.action_space)) == [["0", "1"]]

    class Other(gym.Env):
        observation_space = spaces.Discrete(2)
        action_space: Any = spaces.Discrete(2, start=5)

    assert names(Other()) == [["5", "6"]]
    Other.action_space = spaces.MultiDiscrete([2, 3])
    assert names(Other())[0][:4] == ["(0, 0)", "(0, 1)", "(0, 2)", "(1, 0)"]
    assert names(Other(), "decoupled") == [["a[0] 0", "a[0] 1"], ["a[1] 0", "a[1] 1", "a[1] 2"]]
    assert names(gym.make("Pendulum-v1"), bins=5) == [["torque −2", "torque −1", "torque 0", "torque 1", "torque 2"]]


def test_symbols_are_numbers_where_one_is_missing() -> None:
    assert symbols(["left", "jump"]) == ["0", "1"] and symbols(["north", "pick up"]) == ["↑", "P"]


def test_cells_are_named_as_the_lake_names_them() -> None:
    for name in ("4x4", "8x8"):
        env: Any = gym.make("FrozenLake-v1", map_name=name)
        finite = from_env(env)
        assert finite is not None
        assert "".join(cell_letters(env, finite)) == "".join(cell.decode() for cell in env.unwrapped.desc.reshape(-1))
    windy = gym.make("rlnut/WindyGridworld-v0")
    finite = from_env(windy)
    assert finite is not None
    letters = cell_letters(windy, finite)
    assert np.flatnonzero(letters == "S").tolist() == [30] and np.flatnonzero(letters == "G").tolist() == [37]
