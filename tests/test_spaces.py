"""What the learner sees of each space, and what it refuses, by name and with the reason."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import UsageError
from rlnut.envs.make import EnvName, env_name, maker
from rlnut.envs.spaces import default_network, read_spaces, value_model


class Fake(gym.Env[Any, Any]):
    """An environment that has spaces and nothing else."""

    def __init__(self, observation: spaces.Space, action: spaces.Space | None = None) -> None:
        self.observation_space = observation
        self.action_space = action or spaces.Discrete(3)


def q(observation: spaces.Space, batch: int = 4) -> tuple[np.ndarray, Any]:
    """q(s, ·) of a fresh network on samples of the space, as they are stored."""
    spec = read_spaces(Fake(observation))
    model = value_model(spec, default_network(spec, (16,)))
    stored = np.stack([np.asarray(observation.sample(), spec.dtype) for _ in range(batch)])
    params = model.init(jax.random.key(0), jnp.asarray(stored))
    return np.asarray(model.apply(params, jnp.asarray(stored))), (spec, model, params, stored)


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    kind=st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]),
)
def test_boxes_of_any_shape_and_type(shape, kind):
    box = spaces.Box(0, 1, tuple(shape), np.dtype(kind))
    values, (spec, model, params, stored) = q(box)
    assert values.shape == (4, 3)
    assert np.isfinite(values).all()
    assert not spec.image
    host = model.apply(jax.tree.map(np.asarray, params), stored)  # the same numbers in NumPy
    assert isinstance(host, np.ndarray)
    np.testing.assert_allclose(host, values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "kind", "image"),
    [
        ((84, 84, 4), "uint8", True),
        ((4, 12, 12), "uint8", True),
        ((12, 12), "uint8", True),
        ((10, 10, 4), "bool", True),
        ((12, 12, 3), "float32", True),
        ((20, 20), "float32", False),  # a matrix of numbers, not a picture
        ((3, 3, 2), "float32", False),
    ],
)
def test_images_get_a_cnn(shape, kind, image):
    values, (spec, _, params, _) = q(spaces.Box(0, 255 if kind == "uint8" else 1, shape, np.dtype(kind)), 2)
    assert spec.image == image
    assert values.shape == (2, 3)
    assert spec.dtype == (np.dtype(kind) if kind in ("uint8", "bool") else np.float32)
    filters = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    assert bool(filters) == image
    if image:
        assert filters[0].shape[2] == (1 if len(shape) == 2 else min(shape))  # channels, wherever they stand


def test_bytes_are_scaled_to_one_and_floats_are_left_alone():
    spec = read_spaces(Fake(spaces.Box(0, 255, (2,), np.uint8)))
    np.testing.assert_allclose(spec.encoder.apply({}, np.array([[0, 255]], np.uint8)), [[0.0, 1.0]])
    spec = read_spaces(Fake(spaces.Box(-9, 9, (2,), np.float32)))
    np.testing.assert_allclose(spec.encoder.apply({}, np.array([[-3, 7]], np.float32)), [[-3.0, 7.0]])


def test_discrete_observations_are_one_hot_from_their_start():
    spec = read_spaces(Fake(spaces.Discrete(3, start=5)))
    np.testing.assert_array_equal(spec.encoder.apply({}, np.array([5, 7, 6])), np.eye(3)[[0, 2, 1]])


def test_bounds_are_kept_for_tables_and_features():
    spec = read_spaces(Fake(spaces.Discrete(5, start=3)))
    assert (spec.low, spec.high, spec.discrete) == ([3], [7], True)
    box = spaces.Box(np.array([[0, -1], [-2, -np.inf]], np.float32), np.array([[1, 2], [3, np.inf]], np.float32))
    spec = read_spaces(Fake(box))
    assert not spec.discrete
    np.testing.assert_array_equal(spec.low, [0, -1, -2, -np.inf])
    np.testing.assert_array_equal(spec.high, [1, 2, 3, np.inf])


def test_actions_with_a_start():
    spec = read_spaces(Fake(spaces.Discrete(2), spaces.Discrete(4, start=-1)))
    assert (spec.actions, spec.first_action) == (4, -1)


@pytest.mark.parametrize(
    ("observation", "action", "reason"),
    [
        (spaces.Discrete(2), spaces.Box(-1, 1, (1,)), r"Fake: action space Box.* not served.*Discrete"),
        (spaces.Dict({"a": spaces.Discrete(2)}), None, r"Fake: observation space Dict.* not served.*Box, Discrete"),
        (spaces.Text(5), None, "observation space Text"),
        (spaces.Box(0, 1, (0,)), None, "is empty"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(observation, action, reason):
    with pytest.raises(UsageError, match=reason):
        read_spaces(Fake(observation, action))


def test_names_of_environments():
    assert env_name(gym.make("FrozenLake-v1", is_slippery=False)) == EnvName("FrozenLake-v1", {"is_slippery": False})
    slow = env_name(gym.make("MountainCar-v0", max_episode_steps=5000))
    assert slow is not None and slow.time_limit == 5000
    assert slow.make().spec.max_episode_steps == 5000  # type: ignore[union-attr]
    assert EnvName("CartPole-v1").time_limit == 500
    assert EnvName("CartPole-v1").threshold == 475
    with pytest.raises(UsageError, match="Did you mean CartPole-v1"):
        EnvName("CartPol-v1").make()
    with pytest.raises(UsageError, match="cannot be made twice"):
        maker(Fake(spaces.Discrete(2)))
