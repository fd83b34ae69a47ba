"""Tile coding against its slow definition: look for the tile of each grid whose borders enclose the point."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import UsageError
from rlnut.features.maps import Features
from rlnut.features.tiles import tile_coding


def indices(phi: Features, x: np.ndarray) -> np.ndarray:
    assert phi.active is not None
    return np.asarray(phi.active(x))


def slow(low, high, tilings: int, tiles, displacement, x) -> list[int]:
    """The number of the enclosing tile in every tiling, found by comparing with every border."""
    found = []
    for t in range(tilings):
        number = t
        for j, (a, b, m) in enumerate(zip(low, high, tiles, strict=True)):
            width = (b - a) / m
            shift = (t * displacement[j] % tilings) / tilings * width
            inside = [i for i in range(m + 1) if a - shift + i * width <= x[j] < a - shift + (i + 1) * width]
            assert len(inside) == 1
            number = number * (m + 1) + inside[0]
        found.append(number)
    return found


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_equals_the_slow_definition(data):
    k = data.draw(st.integers(1, 3))
    tilings = data.draw(st.integers(1, 9))
    tiles = data.draw(st.lists(st.integers(1, 5), min_size=k, max_size=k))
    displacement = data.draw(st.none() | st.lists(st.integers(0, 12), min_size=k, max_size=k))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low = rng.normal(size=k)
    high = low + rng.uniform(0.1, 5, k)
    x = rng.uniform(low, high, (20, k))
    phi = tile_coding(low, high, tilings, tiles, displacement)
    truth = [slow(low, high, tilings, tiles, displacement or range(1, 2 * k, 2), row) for row in x]
    assert indices(phi, x).tolist() == truth
    dense = np.zeros((20, phi.dim))
    for b, row in enumerate(truth):
        for i in row:
            dense[b, i] += 1
    assert (phi(x) == dense).all() and (dense.sum(1) == tilings).all()


def test_by_hand_with_points_on_the_borders():
    phi = tile_coding(0, 4, tilings=2, tiles=2)  # borders 0 2 4 6 and −1 1 3 5
    assert phi.dim == 6
    assert indices(phi, np.array([0.0, 1.0, 2.0, 3.0, 4.0])).tolist() == [[0, 3], [0, 4], [1, 4], [1, 5], [2, 5]]
    assert indices(phi, np.array([-7.0, 9.0])).tolist() == [[0, 3], [2, 5]]  # the nearest point of the box


def sutton_tiles(x: np.ndarray, tilings: int) -> np.ndarray:
    """The tile of each tiling by the rule that Sutton documents for tiles3, for x [B, k] in tile widths: [B, n, k].

    Tiling t moves dimension j by t(1 + 2j) steps of 1/n of a tile: coordinate j is the whole part of
    (floor(x_j n) + t(1 + 2j)) / n.
    """
    moved = np.arange(tilings)[:, None] * (1 + 2 * np.arange(x.shape[1]))
    return (np.floor(x * tilings).astype(int)[:, None, :] + moved) // tilings


@pytest.mark.parametrize(("tilings", "dims"), [(1, 2), (3, 1), (4, 2), (8, 3), (16, 4), (32, 5)])
def test_same_partition_as_the_book_software(tilings: int, dims: int):
    x = np.random.default_rng(1).uniform(0, 4, (60, dims))
    ours = indices(tile_coding([0.0] * dims, [4.0] * dims, tilings, 4), x)
    theirs = sutton_tiles(x, tilings)
    for a, b in itertools.combinations(range(60), 2):
        assert ((ours[a] == ours[b]) == (theirs[a] == theirs[b]).all(-1)).all()


def test_displacement_by_hand():
    """Tiling 1 of 4 over tiles of width 1 is moved by (1, 3)/4: (0.2, 0.3) -> tile (0, 1); by (1, 1)/4: tile (0, 0)."""
    x = np.array([[0.2, 0.3]])
    assert indices(tile_coding([0, 0], [4, 4], 4, 4), x)[0, 1] == 25 + 1
    assert indices(tile_coding([0, 0], [4, 4], 4, 4, (3, 1)), x)[0, 1] == 25 + 0
    assert indices(tile_coding([0, 0], [4, 4], 4, 4, (1, 1)), x)[0, 1] == 25 + 0
    assert indices(tile_coding([0, 0], [4, 4], 4, (4, 2), (3, 1)), np.array([[0.3, 0.3]]))[0, 1] == 15 + 3


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(1, 3), st.integers(2, 400))
def test_numpy_and_jax_agree_on_indices(tilings: int, k: int, size: int):
    x = np.random.default_rng(size).uniform(-3, 3, (50, k)).astype(np.float32)
    for chosen in (None, size):
        phi = tile_coding([-1.0] * k, [1.0] * k, tilings, 4, size=chosen)
        assert phi.active is not None
        np.testing.assert_array_equal(jax.jit(phi.active)(jnp.asarray(x)), indices(phi, x))
        assert indices(phi, x).min() >= 0 and indices(phi, x).max() < phi.dim


def test_hashing_spreads_tiles_and_keeps_tiles_together():
    points = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2) + 0.5
    phi = tile_coding([0, 0], [8, 8], tilings=1, tiles=8, size=1024)
    index = indices(phi, points.astype(float))[:, 0]
    counts = np.bincount(index, minlength=1024)  # 4096 tiles, far outside the box, into 1024 features: 4 each
    chi2 = ((counts - 4) ** 2 / 4).sum()
    assert abs(chi2 - 1023) < 5 * np.sqrt(2 * 1023)
    assert (indices(phi, points + 0.3)[:, 0] == index).all()  # still in the same tile


@pytest.mark.parametrize("dims", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("tilings", [1, 2, 3, 8, 32])
def test_collisions_are_those_of_a_random_hash(dims: int, tilings: int):
    """N different tiles into M features: M(1 − (1 − 1/M)^N) features are expected to be in use, give or take 5σ."""
    x = np.random.default_rng(dims).uniform(-0.5, 1.5, (1000, dims))
    tile = sutton_tiles(x * 8, tilings)
    number = np.broadcast_to(np.arange(tilings)[:, None], (*tile.shape[:2], 1))
    tiles = len(np.unique(np.concatenate([number, tile], -1).reshape(-1, dims + 1), axis=0))
    for size in (100, 999, 4096, 10_007, 2**20, 10_000_000):
        used = len(np.unique(indices(tile_coding([0] * dims, [1] * dims, tilings, 8, size=size), x)))
        empty = (1 - 1 / size) ** tiles
        expected = size * -np.expm1(tiles * np.log1p(-1 / size))
        sigma = np.sqrt(min(size * empty * (1 - empty), tiles - expected) + 1)
        assert used <= min(tiles, size)
        assert abs(used - expected) < 5 * sigma, (size, used, expected)


@pytest.mark.parametrize("size", [1000, 4096, 1_000_003])
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_every_dimension_and_the_tiling_change_the_feature(dims: int, size: int):
    """A step to the next tile in one dimension gives a feature as unrelated as another tiling does."""
    x = np.random.default_rng(0).uniform(0, 500, (2000, dims))
    phi = tile_coding([0] * dims, [1] * dims, 8, 8, size=size)
    here = indices(phi, x)
    pairs = [(here, indices(phi, x + np.eye(dims)[j] / 8)) for j in range(dims)] + [(here[:, :-1], here[:, 1:])]
    for one, other in pairs:
        share = 1 / size
        assert abs((one == other).mean() - share) < 5 * np.sqrt(share / 2000)  # of 14,000 pairs or more


def test_the_example_that_lost_its_first_dimension():
    x = np.random.default_rng(0).uniform(0, 1, (5000, 2))
    assert len(np.unique(indices(tile_coding([0, 0], [1, 1], 8, 8, size=4096), x))) > 550  # 648 tiles; it was 131


def test_points_far_outside_a_hashed_grid_are_the_same_in_numpy_and_jax():
    x = np.array([[0.5, -3e38], [3e38, 0.5], [-1e12, 1e12], [np.inf, -np.inf], [1e5, -1e5], [-1e-30, 2.0]], np.float32)
    phi = tile_coding([0, 0], [1, 1], 8, 8, size=4093)
    assert phi.active is not None
    np.testing.assert_array_equal(jax.jit(phi.active)(jnp.asarray(x)), indices(phi, x))


def test_a_shared_feature_counts_twice():
    phi = tile_coding(0, 1, tilings=4, tiles=2, size=1)
    assert phi(np.array([0.2])).tolist() == [[4]]
    assert np.asarray(phi(jnp.array([0.2]))).tolist() == [[4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tilings": 0}, "tilings must be >= 1"),
        ({"tiles": (2, 2, 2)}, "one number >= 1 or 2 of them"),
        ({"displacement": (1,)}, "displacement must be 2 integers"),
        ({"displacement": (0.5, 1)}, "displacement must be 2 integers"),
        ({"size": 0}, "size must be >= 1"),
        ({"tiles": 5000}, "hash them with size"),
    ],
)
def test_bad_arguments_are_one_clear_line(options: dict, message: str):
    with pytest.raises(UsageError, match=message):
        tile_coding([0, 0], [1, 1], **options)


def test_a_box_of_very_many_dimensions_is_hashed_and_a_table_of_it_is_refused() -> None:
    phi = tile_coding([0.0] * 60, [1.0] * 60, 4, 4, size=512)
    assert phi(np.full((2, 60), 0.5)).sum() == 8
    with pytest.raises(UsageError, match="4 tilings of about 10\\^4893 tiles are over"):
        tile_coding([0.0] * 7000, [1.0] * 7000, 4, 4)
