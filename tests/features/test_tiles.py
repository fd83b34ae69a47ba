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


def test_same_partition_as_the_book_software():
    """tiles3 (Sutton): coordinate j of tiling t is (⌊x·n⌋ + t(1 + 2j)) // n for x in tile widths."""
    n, x = 8, np.random.default_rng(1).uniform(0, 8, (60, 3))
    ours = indices(tile_coding([0.0] * 3, [8.0] * 3, tilings=n, tiles=8), x)
    theirs = (np.floor(x * n).astype(int)[:, None, :] + np.arange(n)[:, None] * (1 + 2 * np.arange(3))) // n
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
