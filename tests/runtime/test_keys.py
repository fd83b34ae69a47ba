"""Fast keys draw what `jax.random` draws."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.runtime.keys import fast_key, light_key, threefry

DRAWS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "bits": lambda key: jax.random.bits(key, (3, 5)),
    "bits of no axes": lambda key: jax.random.bits(key, ()),
    "no bits": lambda key: jax.random.bits(key, (0, 4)),
    "bytes": lambda key: jax.random.bits(key, (7,), jnp.uint8),
    "fold in": lambda key: jax.random.key_data(jax.random.fold_in(key, 17)),
    "fold in the largest number": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**32 - 1)),
    "fold in a traced count": lambda key: jax.random.key_data(jax.jit(jax.random.fold_in)(key, jnp.int32(5))),
    "fold in a negative count": lambda key: jax.random.key_data(jax.random.fold_in(key, jnp.int32(-5))),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "split of a split": lambda key: jax.random.bits(jax.random.split(key)[1], (4,)),
    "split and mapped": lambda key: jax.vmap(lambda k: jax.random.bits(k, (2,)))(jax.random.split(key, 3)),
    "integers": lambda key: jax.random.randint(key, (9,), -3, 12),
    "uniform": lambda key: jax.random.uniform(key, (6,), minval=-0.05, maxval=0.05),
    "normal": lambda key: jax.random.normal(key, (6,)),
    "permutation": lambda key: jax.random.permutation(key, 10),
    "categorical": lambda key: jax.random.categorical(key, jnp.arange(5.0), shape=(8,)),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_numbers_are_those_of_jax(name: str, seed: int):
    key = jax.random.key(seed)
    fast = fast_key(key)
    assert np.array_equal(DRAWS[name](fast), DRAWS[name](key))
    assert np.array_equal(jax.random.key_data(fast), jax.random.key_data(key))


@pytest.mark.parametrize(
    ("key", "count", "expected"),
    [  # known answers of Random123, tests/kat_vectors: threefry2x32, 20 rounds
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_the_hash(key: tuple[int, int], count: tuple[int, int], expected: tuple[int, int]):
    found = threefry(jnp.array(key, jnp.uint32), (jnp.uint32(count[0]), jnp.uint32(count[1])))
    assert tuple(int(word) for word in found) == expected


def test_a_fast_key_and_a_key_of_another_kind_stay_what_they_are():
    fast = fast_key(jax.random.key(3))
    assert fast_key(fast).dtype == fast.dtype
    other = jax.random.key(3, impl="rbg")
    assert fast_key(other) is other


def test_many_keys_at_once_and_under_vmap():
    keys = jax.random.split(jax.random.key(4), 5)
    draw = jax.vmap(lambda key: jax.random.bits(fast_key(key), (3,)))
    assert np.array_equal(draw(keys), jax.vmap(lambda key: jax.random.bits(key, (3,)))(keys))
    assert fast_key(keys).shape == (5,)


def test_draws_of_a_light_key_are_uniform_and_differ_between_keys():
    """χ² of 100 cells (its 99.9 % point is 149), of pairs of neighbours and of the same draw of neighbouring keys."""
    base = light_key(jax.random.key(7))
    words = np.stack([np.asarray(jax.random.bits(jax.random.fold_in(base, t), (5000,))) for t in range(8)])
    assert len(np.unique(words)) > 39_980  # 40,000 of 2³² meet about 0.2 times
    cells = words % 10
    for a, b in ((cells, np.roll(cells, 1, 1)), (cells, np.roll(cells, 1, 0))):
        counts = np.bincount((10 * a + b).ravel(), minlength=100)
        assert np.square(counts - 400).sum() / 400 < 149


@pytest.mark.parametrize("name", DRAWS)
def test_all_draws_work_with_a_light_key(name: str):
    key = light_key(fast_key(jax.random.key(1)))
    found, usual = DRAWS[name](key), DRAWS[name](jax.random.key(1))
    assert found.dtype == usual.dtype and (found.shape == usual.shape or found.shape[-1] == 1)
