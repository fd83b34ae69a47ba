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
from rlnut.agents.default_networks import default_network, value_model
from rlnut.envs.actions import KINDS, actions
from rlnut.envs.make import EnvName, env_name, maker
from rlnut.envs.observations import observation
from rlnut.envs.spaces import read_spaces
from rlnut.learner.spec import Choice

pytestmark = pytest.mark.usefixtures("shared_programs")


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
        (spaces.Discrete(2), spaces.Box(-1, np.inf, (1,)), r"Fake: action space Box.* no bounds to put bins between"),
        (spaces.Discrete(2), spaces.Box(0, 5, (1,), np.int64), r"Fake: action space Box.* not of floats"),
        (spaces.Discrete(2), spaces.Text(5), r"Fake: action space Text.* not supported; allowed: Discrete, Multi"),
        (
            spaces.Dict({"a": spaces.Text(5)}),
            None,
            r"Fake: Text observations are not supported; allowed: Box, Discrete",
        ),
        (spaces.Sequence(spaces.Discrete(3)), None, "Fake: Sequence observations are not supported"),
        (spaces.Dict({}), None, "is empty"),
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


NUMBERS = st.one_of(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 6), st.integers(-3, 3)),
    st.builds(lambda n: spaces.MultiDiscrete([n, 2, 3], start=[0, -1, 4]), st.integers(1, 4)),
    st.builds(spaces.MultiBinary, st.integers(1, 4)),
    st.builds(lambda n: spaces.Box(-2, 7, (n, 2), np.float32), st.integers(1, 3)),
    st.builds(lambda n: spaces.Box(0, 255, (n,), np.uint8), st.integers(1, 3)),
)
BITS: Any = np.bool_
IMAGES = st.sampled_from([spaces.Box(0, 255, (6, 7, 3), np.uint8), spaces.Box(0, 1, (5, 5), BITS)])


def nested(leaves: Any) -> Any:
    """Dict and Tuple of what `leaves` makes, in each other."""
    both: list[Any] = [st.lists(leaves, min_size=1, max_size=3).map(spaces.Tuple)]
    both += [st.dictionaries(st.sampled_from("abc"), leaves, min_size=1, max_size=3).map(spaces.Dict)]
    return st.one_of(both)


def seeded(space: spaces.Space, count: int) -> list[Any]:
    space.seed(0)
    return [space.sample() for _ in range(count)]


def flat(space: spaces.Space, raw: Any) -> np.ndarray:
    """What a network should be shown of numbers: Gymnasium's own flattening; bytes scaled."""
    if isinstance(space, spaces.Dict):
        return np.concatenate([flat(inner, raw[key]) for key, inner in space.spaces.items()])
    if isinstance(space, spaces.Tuple):
        return np.concatenate([flat(inner, part) for inner, part in zip(space.spaces, raw, strict=True)])
    scale = 255 if isinstance(space, spaces.Box) and space.dtype == np.uint8 else 1
    return np.asarray(spaces.flatten(space, raw), np.float32) / scale


@settings(deadline=None, max_examples=40)
@given(space=st.one_of(NUMBERS, nested(st.one_of(NUMBERS, nested(NUMBERS)))))
def test_numbers_are_seen_as_gymnasium_flattens_them(space: spaces.Space) -> None:
    """Any nesting: stored in one array, the same in NumPy and JAX, one by one and side by side."""
    spec, raw = read_spaces(Fake(space)), seeded(space, 3)
    stored = np.stack([spec.read(one) for one in raw])
    assert stored.shape == (3, *spec.shape) and stored.dtype == spec.dtype
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *raw)
    np.testing.assert_array_equal(spec.read(together), stored)
    np.testing.assert_array_equal(spec.read(jax.tree.map(jnp.asarray, together), jnp), stored)
    expected = np.stack([flat(space, one) for one in raw])
    params = spec.encoder.init(jax.random.key(0), stored)
    np.testing.assert_allclose(spec.encoder.apply(params, stored).reshape(3, -1), expected, rtol=1e-6)
    if spec.discrete:
        assert spec.low is not None and spec.high is not None
        assert (stored.reshape(3, -1) >= spec.low).all() and (stored.reshape(3, -1) <= spec.high).all()


@settings(deadline=None, max_examples=8)
@given(space=st.tuples(IMAGES, st.one_of(IMAGES, NUMBERS), NUMBERS).map(spaces.Tuple))
def test_images_beside_numbers_are_bytes_and_come_back_whole(space: spaces.Tuple) -> None:
    spec, raw = read_spaces(Fake(space)), seeded(space, 3)
    stored = np.stack([spec.read(one) for one in raw])
    assert stored.dtype == np.uint8 and stored.nbytes <= sum(3 * np.asarray(part).nbytes for part in raw[0]) + 64
    together = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *raw)
    np.testing.assert_array_equal(spec.read(together, jnp), stored)
    images = [i for i, inner in enumerate(space.spaces) if read_spaces(Fake(inner)).image]
    for array in (stored, jnp.asarray(stored)):
        *seen, vector = spec.encoder.apply({}, array)
        assert len(seen) == len(images) == spec.observed.images
        for i, image in zip(images, seen, strict=True):
            scale = 255 if space.spaces[i].dtype == np.uint8 else 1
            shown = np.stack([np.asarray(one[i], np.float32) / scale for one in raw])
            np.testing.assert_allclose(np.asarray(image).reshape(shown.shape), shown, rtol=1e-6)
        numbers = [i for i in range(len(space.spaces)) if i not in images]
        expected = np.stack([np.concatenate([flat(space.spaces[i], one[i]) for i in numbers]) for one in raw])
        np.testing.assert_allclose(vector, expected, rtol=1e-6)


def test_an_image_beside_numbers_has_a_branch_of_its_own() -> None:
    """q depends on the image and on the numbers; an image alone in a Dict stays an image."""
    space = spaces.Dict({"camera": spaces.Box(0, 255, (8, 8, 3), np.uint8), "speed": spaces.Box(-1, 1, (2,))})
    spec = read_spaces(Fake(space))
    model = value_model(spec, default_network(spec, (16,)))
    space.seed(0)
    raw = space.sample()
    stored = [raw, raw | {"camera": 255 - raw["camera"]}, raw | {"speed": -raw["speed"]}]
    x = jnp.asarray(np.stack([spec.read(one) for one in stored]))
    values = np.asarray(model.apply(model.init(jax.random.key(0), x), x))
    assert values.shape == (3, 3) and np.isfinite(values).all()
    assert abs(values[0] - values[1]).max() > 1e-4 and abs(values[0] - values[2]).max() > 1e-4
    alone = read_spaces(Fake(spaces.Dict({"camera": space["camera"]})))
    assert alone.image and alone.shape == (8, 8, 3) and alone.dtype == np.uint8
    np.testing.assert_array_equal(alone.read(raw), raw["camera"])


ACTIONS = st.one_of(
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(spaces.MultiDiscrete),
    st.just(spaces.MultiDiscrete(np.array([[2, 3], [1, 4]]), start=np.array([[0, -1], [5, 2]]))),
    st.integers(1, 4).map(spaces.MultiBinary),
    st.integers(1, 3).map(lambda n: spaces.Box(np.full(n, -1, np.float32), np.arange(1, n + 1, dtype=np.float32))),
    st.just(spaces.Box(-2, 2, (1, 2), np.float64)),
)


@settings(deadline=None, max_examples=25)
@given(space=ACTIONS, bins=st.integers(2, 4), kind=st.sampled_from(KINDS))
def test_every_action_of_the_learner_is_an_action_of_the_environment(space: Any, bins: int, kind: str) -> None:
    """Each combination exactly once, within the space; in NumPy and in JAX."""
    chosen = actions(space, Choice(kind, bins if isinstance(space, spaces.Box) else None), "it")
    every: Any = np.arange(chosen.choices[0])
    if len(chosen.choices) == 2:
        rows = [np.flatnonzero(row) for row in chosen.allowed()]
        assert [len(row) for row in rows] == list(chosen.counts)
        every = np.stack(np.meshgrid(*rows, indexing="ij"), -1).reshape(-1, len(rows))
    taken = chosen.command(every)
    assert all(space.contains(one) for one in taken)
    assert len({one.tobytes() for one in taken}) == len(taken) == np.prod(chosen.counts)
    np.testing.assert_array_equal(chosen.command(jnp.asarray(every), jnp), np.asarray(taken, np.float32))
    if isinstance(space, spaces.Box):
        np.testing.assert_array_equal(taken.min(0), space.low)
        np.testing.assert_array_equal(taken.max(0), space.high)


def test_actions_of_several_numbers_by_hand() -> None:
    """A torque in three; a grid counts its last number fastest; a mask of each number forbids its combinations."""
    torque = actions(spaces.Box(-2, 2, (1,)), Choice(), "it")
    np.testing.assert_array_equal(torque.command(np.array([0, 1, 2])), [[-2], [0], [2]])
    grid = actions(spaces.MultiDiscrete([2, 3]), Choice("grid"), "it")
    np.testing.assert_array_equal(grid.command(np.arange(6)), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])
    mask = ([1, 0], [1, 0, 1])
    np.testing.assert_array_equal(grid.allowed(mask), [True, False, True, False, False, False])
    apart = actions(spaces.MultiDiscrete([2, 3]), Choice("decoupled"), "it")
    assert apart.choices == (2, 3) and apart.padded
    np.testing.assert_array_equal(apart.command(np.array([[1, 2], [0, 1]])), [[1, 2], [0, 1]])
    np.testing.assert_array_equal(apart.allowed(mask), [[True, False, False], [True, False, True]])
    with pytest.raises(ValueError, match="takes"):
        grid.allowed(([1, 0], [1, 0]))
    assert actions(spaces.MultiBinary(20), Choice(), "it").choices == (20, 2)  # too many to combine
    assert actions(spaces.MultiBinary(20), Choice(), "it").command(np.ones((3, 20), int)).shape == (3, 20)


@pytest.mark.parametrize(
    ("space", "choice", "reason"),
    [
        (spaces.Discrete(2), Choice("grid"), "actions grid has no effect"),
        (spaces.Discrete(2), Choice(bins=3), "bins have no effect"),
        (spaces.MultiBinary(2), Choice(bins=3), "bins have no effect"),
        (spaces.MultiBinary(30), Choice("grid"), "grid of 1,073,741,824 actions is too large"),
        (spaces.Box(0, 1, (1,)), Choice(bins=1), "bins must be >= 2"),
    ],
)
def test_choices_that_mean_nothing_are_refused(space: Any, choice: Choice, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        actions(space, choice, "it")


@pytest.mark.parametrize(
    "extra",
    [
        spaces.Text(20),
        spaces.Sequence(spaces.Discrete(3)),
        spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)]),
        spaces.Graph(spaces.Discrete(2), None),
    ],
    ids=lambda space: type(space).__name__,
)
def test_parts_that_no_network_takes_are_left_out(extra: spaces.Space) -> None:
    """MiniGrid's mission: what remains is stored as if the part were not there, and one line says what is missing."""
    box = spaces.Box(-1, 1, (3,), np.float32)
    kind = type(extra).__name__
    for space, raw in (
        (spaces.Dict({"image": box, "mission": extra}), {"image": np.ones(3, np.float32), "mission": "go"}),
        (spaces.Tuple([extra, box]), ("go", np.ones(3, np.float32))),
        (spaces.Dict({"a": spaces.Dict({"b": extra}), "c": box}), {"a": {"b": "go"}, "c": np.ones(3, np.float32)}),
    ):
        found = observation(space, "Fake")
        assert found.shape == (3,) and f"left out: {extra_path(space)} ({kind})" in found.saw
        np.testing.assert_array_equal(found.read(raw, np), np.ones(3))
    both = observation(spaces.Dict({"n": spaces.Discrete(4), "x": box, "mission": extra}), "Fake")
    np.testing.assert_array_equal(both.read({"n": 2, "x": np.zeros(3), "mission": "go"}, np), [2, 0, 0, 0])
    with pytest.raises(UsageError, match=f"Fake: {kind} observations are not"):
        observation(spaces.Dict({"mission": extra}), "Fake")


def extra_path(space: spaces.Space) -> str:
    return "0" if not isinstance(space, spaces.Dict) else "mission" if "mission" in space.spaces else "a.b"
