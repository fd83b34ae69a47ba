"""Maps show what the policy says: each cell is q at its observation, each arrow the action that is played there."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers.policies import tabled, untrained

from rlnut.control.value_grids import POINTS, state_values, value_map, visited_states
from rlnut.envs.coordinates import coordinates
from rlnut.errors import UsageError

LAKE = "SFFFFHFHFFFHHFFG"


def table(states: int, actions: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(states, actions)).astype(np.float32)


def test_each_cell_of_the_lake_is_q_of_its_state() -> None:
    env = gym.make("FrozenLake-v1", is_slippery=False)
    q = table(16, 4)
    policy = tabled(env, q, gamma=0.9)
    found = value_map(policy)
    (one,) = found.slices
    assert one.letters is not None
    assert "".join(one.letters.ravel()) == LAKE and found.names == [["left", "down", "right", "up"]]
    for s, letter in enumerate(LAKE):
        at = divmod(s, 4)
        if letter in "HG":
            assert np.isnan(one.v[at]) and one.actions[at] == -1
        else:
            assert one.v[at] == q[s].max() == policy.q(s).max()
            assert one.actions[at][0] == policy.act(s) == q[s].argmax()
    # without slipping v* is γ^(steps to the goal − 1): six steps from the start, three from cell 6
    assert one.exact is not None and one.optimal is not None
    assert one.exact[0, 0] == pytest.approx(0.9**5) and one.exact[3, 2] == pytest.approx(1)
    assert one.exact[1, 2] == pytest.approx(0.9**2)
    assert one.optimal[0, 0].tolist() == [False, True, True, False] and one.optimal[3, 2].tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_v_star_is_in_the_units_of_what_was_learned() -> None:
    lake = gym.make("FrozenLake-v1", is_slippery=False)
    scaled = untrained(lake, "dqn", reward_scale=10.0)
    gamma = scaled.origin.config.gamma  # type: ignore[union-attr]
    exact = value_map(scaled).slices[0].exact
    assert exact is not None and exact[0, 0] == pytest.approx(10 * gamma**5)
    clipped = value_map(untrained(lake, "dqn", reward_clip=1.0))
    assert clipped.slices[0].exact is None and "No v*" in clipped.note


@pytest.mark.parametrize("name", ["CliffWalking-v1", "rlnut/Cliff-v0"])
def test_the_cliff_is_marked_and_safe_cells_are_valued(name: str) -> None:
    one = value_map(tabled(name, table(48, 4), gamma=1.0)).slices[0]
    assert one.exact is not None and one.letters is not None
    assert "".join(one.letters[3]) == "SCCCCCCCCCCG" and np.isnan(one.v[3, 1:]).all() and np.isfinite(one.v[:3]).all()
    assert one.exact[3, 0] == pytest.approx(-13) and one.exact[2, 11] == pytest.approx(-1)  # S&B example 6.6


def test_every_map_of_the_taxi_is_that_of_its_passenger_and_destination() -> None:
    env: Any = gym.make("Taxi-v4").unwrapped
    policy = tabled("Taxi-v4", table(500, 6))
    found = value_map(policy)
    assert len(found.slices) == 20 and found.coordinates.names == ("row", "column", "passenger", "destination")
    for one in (found.slices[0], found.slices[5], found.slices[18]):
        passenger, destination = (int(x) for x in one.at[2:])
        for row, column in np.ndindex(5, 5):
            s = env.encode(row, column, passenger, destination)
            assert one.stored[row, column] == s
            if np.isfinite(one.v[row, column]):
                mask = env.action_mask(s)
                assert one.actions[row, column, 0] == policy.act(s, mask)
                assert one.v[row, column] == policy.q(s)[mask.astype(bool)].max()
    assert np.isnan(found.slices[0].v).all()  # a passenger who is there already: never at a start


def test_boxes_show_q_at_the_points_of_the_map() -> None:
    policy = untrained("MountainCar-v0")
    found = value_map(policy)
    (one,) = found.slices
    assert found.coordinates.names == ("position", "velocity") and one.v.shape == (POINTS, POINTS)
    for j, i in ((0, 0), (10, 70), (80, 3)):
        obs = np.array([found.x[i], found.y[j]], np.float32)
        assert one.v[j, i] == pytest.approx(policy.q(obs).max(), rel=1e-6)
        assert one.actions[j, i, 0] == policy.act(obs)
    assert (found.x[0], found.x[-1]) == pytest.approx((-1.2, 0.6)) and len(found.visited) > 100


def test_other_coordinates_are_held_where_the_caption_says() -> None:
    policy = untrained("CartPole-v1")
    found = value_map(policy, dims=(2, 0), seed=3)
    seen = visited_states(policy, found.coordinates, 3)
    held = found.slices[0].at
    np.testing.assert_allclose(held[[1, 3]], seen[:, [1, 3]].mean(0))
    assert np.isnan(held[[0, 2]]).all() and "mean of" in found.note and f"cart velocity = {held[1]:.3g}" in found.note
    fixed = value_map(policy, dims=(2, 0), at=(0.5, -1.0))
    j, i = 7, 50
    obs = np.array([fixed.y[j], 0.5, fixed.x[i], -1.0], np.float32)
    assert fixed.slices[0].v[j, i] == pytest.approx(policy.q(obs).max(), rel=1e-6)
    line = value_map(policy, dims=(2,), at=(0, 0, 0)).slices[0]
    assert line.v.shape == (1, POINTS)


@pytest.mark.parametrize(
    ("dims", "at", "said"),
    [((0,) * 3, None, "one or two different numbers"), ((0, 4), None, "3 pole angular velocity"),
     ((0, 0), None, "got 0, 0"), ((0, 1), (1.0,), "2 values"), ((0, 1), (np.inf, 0), "a number of")],
)  # fmt: skip
def test_wrong_coordinates_are_refused(dims: Any, at: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        value_map(untrained("CartPole-v1"), dims, at)


def test_pendulum_is_drawn_over_its_angle() -> None:
    policy = untrained("Pendulum-v1")
    found = value_map(policy)
    one, (j, i) = found.slices[0], (20, 60)
    obs = np.array([np.cos(found.x[i]), np.sin(found.x[i]), found.y[j]], np.float32)
    assert one.v[j, i] == pytest.approx(policy.q(obs).max(), rel=1e-6)
    assert found.names == [["torque −2", "torque 0", "torque 2"]]


def test_decoupled_choices_have_the_mean_of_their_maxima() -> None:
    class Many(gym.Env):
        observation_space = spaces.MultiDiscrete([3, 4])
        action_space = spaces.MultiDiscrete([2, 3])

    policy = untrained(Many, actions="decoupled")
    found = value_map(policy)
    one = found.slices[0]
    for x, y in np.ndindex(3, 4):
        q = policy.q(np.array([x, y]))
        assert one.v[y, x] == pytest.approx((q[0, :2].max() + q[1].max()) / 2, rel=1e-6)
        assert one.actions[y, x].tolist() == policy.act(np.array([x, y])).tolist()


def test_blackjack_has_a_map_for_each_kind_of_hand() -> None:
    policy = untrained("Blackjack-v1")
    found = value_map(policy)
    assert len(found.slices) == 2 and found.dims == (1, 0)
    hard = found.slices[0]
    assert hard.v[15, 10] == pytest.approx(policy.q((15, 10, 0)).max(), rel=1e-6) and np.isnan(hard.v[25, 10])
    exact = found.slices[1].exact
    assert exact is not None and exact[20, 5] > 0.6  # a soft 20 against a 5


def test_a_walk_is_a_line_with_its_exact_values() -> None:
    found = value_map(tabled("rlnut/RandomWalk5-v0", table(5, 2), gamma=0.5))
    one = found.slices[0]
    assert one.exact is not None and one.exact[0] == pytest.approx(0.5 ** np.arange(4, -1, -1))
    assert found.dims == (0,) and found.names == [["left", "right"]]


def test_images_cannot_be_drawn() -> None:
    class Pictures(gym.Env):
        observation_space = spaces.Box(0, 255, (12, 12, 3), np.uint8)
        action_space = spaces.Discrete(2)

    policy = untrained(Pictures)
    with pytest.raises(UsageError, match=r"cannot be drawn over the observations.*possible: Discrete"):
        value_map(policy)


@pytest.mark.parametrize("name", ["Pendulum-v1", "Acrobot-v1", "Taxi-v4", "Blackjack-v1", "FrozenLake-v1"])
def test_coordinates_lead_back_to_the_observation(name: str) -> None:
    from rlnut.envs.tabular import from_env

    env, policy = gym.make(name), untrained(name)
    coords = coordinates(env, policy.spec, from_env(env))
    env.reset(seed=0)
    env.action_space.seed(0)
    stored = np.stack([policy.spec.read(env.reset(seed=k)[0]) for k in range(5)])
    c = coords.read(stored)
    assert (c >= coords.low).all() and (c <= coords.high).all()
    np.testing.assert_allclose(coords.observe(c), stored, rtol=1e-5, atol=1e-6)


def test_masks_decide_what_is_best() -> None:
    policy = untrained("CartPole-v1")
    stored = np.zeros((2, 4), np.float32)
    q = policy.values(stored)
    v, actions = state_values(policy, stored, np.array([[True, False], [False, True]]))
    assert v.tolist() == [q[0, 0], q[0, 1]] and actions.ravel().tolist() == [0, 1]
