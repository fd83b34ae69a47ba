"""Feature words of a Spec: tables of numbered observations, tiles and other maps over a box, the inputs of networks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rlnut.agents.dqn_settings import DQN
from rlnut.agents.observation_features import (
    Box,
    box_of,
    numbered,
    observation_features,
    reach,
    resolved_words,
    smooth_words,
)
from rlnut.agents.offline_settings import FQI, LSPI
from rlnut.agents.online_settings import QLearning
from rlnut.envs.actions import actions
from rlnut.envs.observations import observation
from rlnut.errors import UsageError
from rlnut.features import maps, tiles
from rlnut.learner.spec import Choice, Spec

TWO: spaces.Discrete = spaces.Discrete(2)
INF = np.inf


def spec_of(space: spaces.Space) -> Spec:
    return Spec(observation(space, "test"), actions(TWO, Choice(), "test"), "test", space, TWO)


PLANE = spec_of(spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32)))
OPEN = spec_of(spaces.Box(np.array([-1, -INF, 0], np.float32), np.array([1, INF, INF], np.float32)))
STATES = spec_of(spaces.Discrete(6, start=3))
PAIRS = spec_of(spaces.MultiDiscrete([3, 4]))
PIXELS = spec_of(spaces.Box(0, 255, (6, 5, 3), np.uint8))
PARTS = spec_of(spaces.Dict({"a": spaces.Box(0, 255, (6, 5, 3), np.uint8), "b": spaces.Box(-INF, INF, (2,))}))
MIXED = spec_of(spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-1, 1, (2,))}))


@pytest.mark.parametrize(
    ("spec", "words"),
    [(PLANE, "tiles:8"), (OPEN, "tiles:8"), (STATES, "one-hot"), (PAIRS, "one-hot"), (MIXED, "tiles:8"),
     (PIXELS, "raw"), (PARTS, "raw"), (spec_of(spaces.MultiBinary(60)), "tiles:8")],
)  # fmt: skip
def test_what_auto_stands_for(spec: Spec, words: str) -> None:
    assert resolved_words("auto", spec) == words
    found = observation_features("auto", spec, None if spec is not OPEN else Box(np.zeros(3), np.ones(3)))
    assert found.words == words and found.phi(np.zeros((2, *spec.shape), spec.dtype)).shape == (2, found.phi.dim)


def test_a_table_has_one_feature_for_each_observation() -> None:
    found = observation_features("one-hot", STATES)
    assert (found.kind, found.norm) == ("table", 1)
    np.testing.assert_array_equal(found.phi(np.arange(3, 9)), np.eye(6))
    pairs = np.array([[0, 0], [0, 3], [1, 0], [2, 3]])
    np.testing.assert_array_equal(observation_features("one-hot", PAIRS).phi(pairs).argmax(1), [0, 3, 4, 11])
    three = observation_features("aggregation:3", STATES)
    np.testing.assert_array_equal(three.phi(np.arange(3, 9)).argmax(1), [0, 0, 1, 1, 2, 2])


OBS = np.array([[-2, 0], [1, 2.5], [2, 10], [5, -3]], np.float32)
UNIT = np.array([[0, 0], [0.75, 0.25], [1, 1], [1, 0]], np.float32)  # the last one is outside: the nearest inside


@pytest.mark.parametrize(
    ("words", "phi", "kind"),
    [
        ("tiles:4,5", tiles.tile_coding([0, 0], [1, 1], 4, 5), "binary"),
        ("tiles:4,5,64", tiles.tile_coding([0, 0], [1, 1], 4, 5, size=64), "binary"),
        ("fourier:2", maps.fourier(2, 2), "dense"),
        ("polynomial:2", maps.polynomial(2, 2), "dense"),
        ("rbf:3", maps.rbf(maps.grid([0, 0], [1, 1], [3, 3]), 0.5), "dense"),
        ("raw", maps.monomials([[0, 0], [1, 0], [0, 1]]), "dense"),
    ],
)
def test_features_are_laid_over_the_box(words: str, phi: maps.Features, kind: str) -> None:
    found = observation_features(words, PLANE, box_of(PLANE))
    assert found.kind == kind and found.phi.dim == phi.dim
    np.testing.assert_allclose(found.phi(OBS), phi(UNIT), atol=1e-6)
    np.testing.assert_allclose(found.phi(jnp.asarray(OBS)), phi(UNIT), atol=1e-6)
    np.testing.assert_array_equal(observation_features(words, PLANE).phi(OBS), found.phi(OBS))
    if kind == "binary":
        assert found.norm == 4
        assert found.phi.active is not None
        np.testing.assert_array_equal(found.phi.active(OBS), phi.active(UNIT))  # type: ignore[misc]


def test_a_box_that_does_not_clip_goes_on_outside() -> None:
    found = observation_features("raw", PLANE, box_of(PLANE)._replace(clip=False))
    np.testing.assert_allclose(found.phi(OBS)[3], [1, 1.75, -0.3], atol=1e-6)


def test_random_features_are_the_same_in_every_run() -> None:
    a, b = (observation_features("random-fourier:7", PLANE).phi(OBS) for _ in range(2))
    assert a.shape == (4, 7)
    np.testing.assert_array_equal(a, b)


def test_inputs_of_a_network() -> None:
    """Without a box what the encoder makes of an observation; with one 1 and the observation scaled."""
    seen = observation_features("mlp", STATES)
    assert seen.kind == "network"
    np.testing.assert_array_equal(seen.phi(np.arange(3, 9)), np.eye(6))
    np.testing.assert_array_equal(observation_features("mlp:8", PLANE).phi(OBS), OBS)
    scaled = observation_features("mlp", PLANE, box_of(PLANE)).phi(OBS)
    np.testing.assert_allclose(scaled, np.concatenate([np.ones((4, 1)), UNIT], 1), atol=1e-6)


def test_pixels_and_parts_side_by_side() -> None:
    image = np.arange(90, dtype=np.uint8).reshape(1, 6, 5, 3)
    np.testing.assert_allclose(
        observation_features("raw", PIXELS).phi(image)[0], [1, *(np.arange(90) / 255)], rtol=1e-6
    )
    obs = PARTS.read({"a": image[0], "b": np.array([7, -8], np.float32)})[None]
    found = observation_features("raw", PARTS).phi(obs)[0]
    np.testing.assert_allclose(found, [1, *(np.arange(90) / 255), 7, -8], rtol=1e-6)


def test_bounds_are_given_or_of_the_space_or_of_what_was_seen() -> None:
    np.testing.assert_array_equal(box_of(PLANE).low, [-2, 0])
    np.testing.assert_array_equal(box_of(PLANE, high=(3, 3)).high, [3, 3])
    assert (box_of(STATES).low, box_of(STATES).high) == (3, 8)
    seen = np.array([[0, 2, 1], [0.5, -3, 1], [0.2, 1, 1]], np.float32)
    found = box_of(OPEN, seen=seen)  # the first dimension has bounds of its own, the third never changed
    np.testing.assert_array_equal(found.low, [-1, -3, 1])
    np.testing.assert_array_equal(found.high, [1, 2, 2])
    np.testing.assert_array_equal(box_of(OPEN, (-9, -9, -9), (9, 9, 9), seen).low, [-9, -9, -9])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: box_of(OPEN), "dimension 1 of the observation has no bounds.*--low and --high, 3 numbers each"),
        (lambda: box_of(OPEN, low=(0, 0, 0)), "dimension 1 .* has no bounds"),
        (lambda: box_of(PLANE, low=(0.0,)), "--low takes 2 numbers, .* got 1"),
        (lambda: box_of(PARTS), "features need a vector of bounded numbers"),
        (lambda: observation_features("tiles", PIXELS), "--features tiles needs a vector"),
        (lambda: observation_features("tiles", PLANE, Box(np.ones(2), np.zeros(2))), "low < high"),
        (lambda: observation_features("one-hot", PLANE), "one-hot is for numbered states"),
        (lambda: observation_features("aggregation", MIXED), "aggregation is for numbered states"),
        (lambda: observation_features("own", STATES), "an environment brings no features"),
        (lambda: numbered(spec_of(spaces.MultiBinary(60))), "a table of .* states is too large"),
    ],
)
def test_what_cannot_be_laid_is_refused(call, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        call()


def test_a_box_found_by_chance_reaches_twice_as_far_as_it_does() -> None:
    """Of 10,001 numbers in [0, 10] the middle 98 % are [0.1, 9.9], about 5; twice as long: [−4.8, 14.8]."""
    even = np.linspace(0, 10, 10_001)
    far = np.where(np.arange(10_001) % 1000 == 0, 1e9, 2.5)  # seldom anywhere else: all of it counts
    still = np.full(10_001, 7.0)
    low, high = reach(np.stack([even, far, still], 1))
    np.testing.assert_allclose(low, [-4.8, 2.5 - 5e8, 6], rtol=1e-2)
    np.testing.assert_allclose(high, [14.8, 1.5e9, 8], rtol=1e-2)
    one = np.append(even, 1e9)  # one number in ten thousand stretches nothing
    np.testing.assert_allclose(reach(one[:, None])[:, 0], [-4.8, 14.8], rtol=1e-2)


def test_bounds_that_are_missing_are_found_and_no_others() -> None:
    seen = np.stack([np.linspace(-1, 1, 1001), np.linspace(-10, 10, 1001), np.linspace(0, 4, 1001)], 1)
    asked = []

    def play() -> np.ndarray:
        asked.append(1)
        return seen.astype(np.float32)

    found = QLearning().with_experience(OPEN, play)
    assert found.low == (-1, -19.6, -1.92) and found.high == (1, 19.6, 5.92)  # the first has bounds of its own
    assert QLearning(low=(-2, -2, -2)).with_experience(OPEN, play).low == (-2, -2, -2)
    assert QLearning(low=(-2, -2, -2)).with_experience(OPEN, play).high == found.high
    assert LSPI(features="rbf:3", ridge=1).with_experience(OPEN, play).low == found.low
    assert len(asked) == 4
    for config, spec in (
        (found, OPEN), (QLearning(), PLANE), (QLearning(), STATES), (QLearning(), PARTS), (QLearning(), PIXELS),
        (QLearning(features="mlp"), OPEN), (DQN(), OPEN),
    ):  # fmt: skip
        assert config.with_experience(spec, play) is config
    assert len(asked) == 4


def test_least_squares_have_few_smooth_features_where_tiles_would_be_many() -> None:
    seen = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)  # 500 observations and their successors
    found = FQI().with_experience(OPEN, lambda: seen)
    assert found.low is not None and found.high is not None and found.features == "rbf:3"
    phi = observation_features(found.features, OPEN, box_of(OPEN, found.low, found.high)).phi
    inside = np.random.default_rng(1).uniform(found.low, found.high, (20_000, 3)).astype(np.float32)
    share = 500 * float((phi(inside) ** 2).mean()) / 2  # the mean of the diagonal: 500 rows, of two actions
    assert found.ridge == pytest.approx(0.005 * share, rel=0.05)
    assert found.with_experience(OPEN, lambda: seen) == found
    for config, spec in ((FQI(), PLANE), (FQI(), STATES), (FQI(features="tiles:2"), PLANE)):
        assert config.with_experience(spec, lambda: seen) == config.replace(ridge=1e-3)
    assert FQI(ridge=7).with_experience(OPEN, lambda: seen).ridge == 7
    assert [smooth_words(spec_of(spaces.Box(-1, 1, (k,)))) for k in (2, 5, 6, 8, 9)] == [
        "auto", "rbf:3", "rbf:2", "rbf:2", "random-fourier:300",
    ]  # fmt: skip
