"""Programs of a training loop: compiled otherwise, with the same numbers, where XLA knows how."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.networks.layers import INITIALIZERS
from rlnut.runtime import compiling
from rlnut.runtime.compiling import compiler_options, program, program_once
from rlnut.types import Array, Key


def several_updates(w: jax.Array, x: jax.Array) -> jax.Array:
    """Gradient steps on a layer of tanh, of operations that need not wait for one another."""

    def step(i: jax.Array, w: jax.Array) -> jax.Array:
        slopes = [jax.grad(lambda w, k=k: jnp.tanh(x @ w[k]).sum())(w) for k in range(len(w))]
        return w - 0.01 * sum(slopes[1:], slopes[0])

    return jax.lax.fori_loop(0, 20, step, w)


def test_a_program_gives_the_numbers_of_jit():
    w, x = jax.random.normal(jax.random.key(0), (3, 8, 8)), jax.random.normal(jax.random.key(1), (32, 8))
    expected = np.asarray(jax.jit(several_updates)(w, x))
    assert np.asarray(program(several_updates)(w, x)).tobytes() == expected.tobytes()


def test_a_program_takes_the_arguments_of_jit():
    assert program(lambda x, n: x * n, static_argnums=1)(jnp.ones(2), 3).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_program_that_runs_once_gives_the_numbers_of_jit(name: str):
    """Random words, the inverse error function, a QR decomposition."""

    def weights(key: Key) -> Array:
        return INITIALIZERS[name](key, (20, 7), jnp.float32)

    for seed in range(3):
        expected = np.asarray(jax.jit(weights)(jax.random.key(seed)))
        found = np.asarray(program_once(weights)(jax.random.key(seed)))
        np.testing.assert_allclose(found, expected, atol=5e-6)  # the same bytes, but the suite compiles at level 0


@pytest.mark.parametrize("lacks", ["IN_ORDER", "QUICKLY"])
def test_a_version_of_xla_that_lacks_an_option_compiles_without(lacks: str, monkeypatch: pytest.MonkeyPatch):
    compiling._usable.cache_clear()
    monkeypatch.setattr(compiling, lacks, {"xla_no_such_option": "1"})
    try:
        assert (compiler_options() is None) == (lacks == "IN_ORDER")
        assert program(lambda x: x + 1)(1) == program_once(lambda x: x + 1)(1) == 2
    finally:
        compiling._usable.cache_clear()
