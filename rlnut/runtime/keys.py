"""Random keys whose numbers are those of `jax.random.key`, drawn in fewer operations on a CPU.

JAX compiles its hash (Threefry-2x32; Salmon et al. 2011) for CPUs as a loop of five passes over buffers in memory,
about fifteen small operations each. Written out, it is one operation that stays in registers. `fast_key` changes the
kind of a key, which everything that is folded in, split or drawn from it inherits, by `jax.random` too.

A draw of a fast key is still a hundred operations to compile. `light_key` is for programs that run a few times and of
which nothing that is learned depends: other numbers, of ten operations each.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.random import define_prng_impl, threefry_prng_impl

from rlnut.types import Key

JAX: Any = threefry_prng_impl
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
Words = tuple[Array, Array]


@jax.jit
def threefry(key: Array, count: Words) -> Words:
    """The hash of two words [...] of uint32 under a key [2]."""
    words = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    x, y = count[0] + words[0], count[1] + words[1]
    for i in range(5):
        for turn in ROTATIONS[i % 2]:
            x = x + y
            y = x ^ (y << np.uint32(turn) | y >> np.uint32(32 - turn))
        x, y = x + words[(i + 1) % 3], y + words[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


def _counted(key: Array, shape: tuple[int, ...]) -> Words:
    """The hashes of 0, 1, 2, … in this shape, fewer than 2³²."""
    low = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return threefry(key, (jnp.zeros_like(low), low))


def _fold_in(key: Array, data: Array | int) -> Array:
    low = jnp.asarray(data).astype(jnp.uint32)
    return jax.lax.optimization_barrier(jnp.stack(threefry(key, (jnp.zeros_like(low), low))))


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.lax.optimization_barrier(jnp.stack(_counted(key, shape), axis=-1))


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    if width != 32 or math.prod(shape) >= 2**32:
        return JAX.random_bits(key, width, shape)
    first, second = _counted(key, shape)
    return first ^ second


FAST: Any = define_prng_impl(
    key_shape=JAX.key_shape,
    seed=JAX.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_in_registers",
    tag="rlnut",
)


def fast_key(key: Key) -> Key:
    """The same key [...], of which the same numbers are drawn faster; on an accelerator, and of other kinds, itself."""
    usual = jax.random.key_impl(key) == "threefry2x32" and jax.config.values["jax_threefry_partitionable"]
    if not usual or jax.default_backend() != "cpu":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=FAST)


def _mixed(x: Array) -> Array:
    """A hash of words of uint32 (C. Wellons, hash-prospector, 2018: two multiplications, three shifts)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return x ^ (x >> np.uint32(15))


def _light_words(key: Array, data: Array | int) -> Array:
    """The words `data` [...] of a key [1]."""
    return _mixed(_mixed(key[0] + jnp.asarray(data).astype(jnp.uint32)) ^ key[0])


def _light_split(key: Array, shape: tuple[int, ...]) -> Array:
    return _light_words(key, jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(*shape, 1))


def _light_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    if width != 32 or math.prod(shape) >= 2**32:
        return JAX.random_bits(jnp.concatenate([key, key]), width, shape)
    return _light_words(key, jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape))


LIGHT: Any = define_prng_impl(
    key_shape=(1,),
    seed=lambda seed: JAX.seed(seed)[-1:],
    split=_light_split,
    random_bits=_light_bits,
    fold_in=lambda key, data: _light_words(key, data)[None],
    name="two_multiplications",
    tag="light",
)


def light_key(key: Key) -> Key:
    """A key [] of few operations made of one of another kind."""
    words = jax.random.key_data(key).astype(jnp.uint32)
    return jax.random.wrap_key_data(_light_words(words[:1], words[1:].sum())[None], impl=LIGHT)
