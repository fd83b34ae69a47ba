"""Moved images: by hand, and turned as SciPy turns them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from rlnut.supervised.augment import augmented, shifted, turned

RNG = np.random.default_rng(0)


def test_shifted_images_by_hand():
    x = jnp.arange(1, 10, dtype=jnp.uint8).reshape(1, 3, 3)
    seen = set()
    for seed in range(60):
        moved = np.asarray(shifted(x, jnp.array([0]), 1, jax.random.key(seed)))[0]
        down, right = np.argwhere(moved == 5)[0] - 1  # where the middle pixel went
        expected = np.zeros((5, 5), np.uint8)
        expected[1 + down : 4 + down, 1 + right : 4 + right] = x[0]
        np.testing.assert_array_equal(moved, expected[1:4, 1:4])
        seen.add((int(down), int(right)))
    assert len(seen) == 9


def test_turned_images_by_hand_and_by_scipy():
    x = np.arange(9.0).reshape(1, 3, 3)
    quarter = turned(jnp.asarray(np.concatenate([x, x])), jnp.array([np.pi / 2, 0.0]))
    np.testing.assert_allclose(quarter[0], np.rot90(x[0], 1), atol=1e-5)
    np.testing.assert_allclose(quarter[1], x[0], atol=1e-5)
    image = RNG.uniform(size=(9, 8, 2))
    expected = scipy.ndimage.rotate(image, 20, reshape=False, order=1, mode="constant")
    found = turned(jnp.asarray(image[None], jnp.float32), jnp.deg2rad(jnp.array([20.0])))[0]
    inner = (slice(2, -2), slice(2, -2))  # at the border the two libraries fade out differently
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)


def test_nothing_to_do_leaves_the_rows_as_they_are():
    x = jnp.arange(12, dtype=jnp.uint8).reshape(3, 2, 2)
    out = augmented(x, jnp.array([2, 0]), 0, 0.0, jax.random.key(0))
    assert out.dtype == jnp.uint8 and out.tolist() == x[jnp.array([2, 0])].tolist()
