"""Programs of a training loop: compiled otherwise, with the same numbers, where XLA knows how."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.runtime import compiling
from rlnut.runtime.compiling import compiler_options, program


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


def test_a_version_of_xla_that_lacks_the_option_compiles_without(monkeypatch):
    compiler_options.cache_clear()
    monkeypatch.setattr(compiling, "IN_ORDER", {"xla_no_such_option": "1"})
    try:
        assert compiler_options() is None
        assert program(lambda x: x + 1)(1) == 2
    finally:
        compiler_options.cache_clear()
