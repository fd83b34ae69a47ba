"""The written-out backward pass equals `jax.grad`, and a network small enough to do by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.errors import UsageError
from rlnut.networks.architectures import linear, mlp
from rlnut.networks.backpropagation import SLOPES, backpropagation
from rlnut.networks.layers import ACTIVATIONS
from rlnut.regression.core import regression
from rlnut.regression.losses import cross_entropy, huber, squared
from rlnut.types import Batch

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 2, 3)), RNG.normal(size=(7, 4))


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("loss, y", [(squared, Y), (huber(0.5), Y), (cross_entropy, np.arange(7) % 4)])
def test_equal_to_jax_grad(activation, loss, y):
    core = regression(mlp((5, 6), activation)((4,)), loss)
    params = core.init(jax.random.key(0), X).params
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64) + 0.1, params)  # biases that matter
        batch = Batch(jnp.asarray(X), jnp.asarray(y))
        theirs, delta = jax.jit(jax.grad(core.loss, has_aux=True))(params, batch)
        ours = backpropagation(params, X, delta, activation)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-10), ours, theirs)


def test_by_hand():
    """ŷ = 3 relu(2 x + 1) + 5 at x = 1, with y = 15: ŷ = 14, δ = 1; and at x = −1, where the unit is off."""
    params = [{"b": np.array([1.0]), "w": np.array([[2.0]])}, {"b": np.array([5.0]), "w": np.array([[3.0]])}]
    first, last = backpropagation(params, np.array([[1.0]]), np.array([[1.0]]))
    assert (last["b"].tolist(), last["w"].tolist()) == ([-1.0], [[-3.0]])
    assert (first["b"].tolist(), first["w"].tolist()) == ([-3.0], [[-3.0]])
    first, last = backpropagation(params, np.array([[-1.0]]), np.array([[1.0]]))
    assert (last["b"].tolist(), last["w"].tolist()) == ([-1.0], [[0.0]])
    assert (first["b"].tolist(), first["w"].tolist()) == ([0.0], [[0.0]])


def test_slopes_are_those_of_all_activations():
    assert set(SLOPES) == set(ACTIVATIONS)
    z, h = np.linspace(-2.05, 2.05, 12), 1e-6
    for name, f in ACTIVATIONS.items():
        numeric = (np.asarray(f(z + h)) - np.asarray(f(z - h))) / (2 * h)
        np.testing.assert_allclose(SLOPES[name](z), numeric, atol=1e-8)


def test_scalar_head_and_refusals():
    params = linear()(()).init(jax.random.key(0), X)
    leaves = jax.tree.leaves(backpropagation(params, X, np.ones(7)))
    np.testing.assert_allclose(leaves[1][:, 0], -X.reshape(7, -1).mean(0), rtol=1e-6)
    with pytest.raises(UsageError, match="the head gives"):
        backpropagation(params, X, np.ones((7, 2)))
    with pytest.raises(UsageError, match="without normalisation"):
        backpropagation(mlp((3,), norm=True)(()).init(jax.random.key(0), X), X, np.ones(7))
    with pytest.raises(UsageError, match="unknown activation"):
        backpropagation(params, X, np.ones(7), "rleu")
