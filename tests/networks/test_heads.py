"""Dueling streams, noisy layers, implicit quantiles: against their definitions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.networks.architectures import mlp
from rlnut.networks.heads import COSINES, combined, dueling, implicit
from rlnut.networks.layers import noisy_dense
from rlnut.types import call

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_dueling_by_hand():
    outputs = np.array([[10.0, 1.0, 2.0, 6.0]], np.float32)  # v, then a
    np.testing.assert_allclose(combined("mean").apply({}, outputs), [[8, 9, 13]])
    np.testing.assert_allclose(combined("max").apply({}, outputs), [[5, 6, 10]])  # max over actions is v
    atoms = np.array([[[10.0, 0.0], [1.0, 5.0], [3.0, 7.0]]], np.float32)  # two atoms: each of its own
    np.testing.assert_allclose(combined("mean").apply({}, atoms), [[[9, -1], [11, 1]]])


@pytest.mark.parametrize("shape", [(3,), (3, 5)])
def test_dueling_networks_have_the_shape_that_is_asked_for(shape):
    model = dueling(mlp((8,)), "mean")(shape)
    x = RNG.normal(size=(4, 2)).astype(np.float32)
    params = model.init(KEY, x)
    outputs = model.apply(params, x)
    assert outputs.shape == (4, *shape)
    np.testing.assert_allclose(model.apply(jax.tree.map(np.asarray, params), x), outputs, rtol=1e-4, atol=1e-5)


def test_noise_of_a_noisy_layer_has_its_mean_and_covariance():
    """y − μ = (Σ_j S x_j f(ε_j) + s) f(ε_out), f(ε) = sign(ε)√|ε|, E f² = E|ε| = m: variance S² Σx² m² + s² m."""
    layer = noisy_dense(0.7)(2)
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    params = layer.init(KEY, x)
    limit = 1 / np.sqrt(3)
    assert np.abs(np.asarray(params["w"])).max() <= limit
    np.testing.assert_allclose(params["w_noise"], 0.7 * limit, rtol=1e-6)
    still = np.asarray(layer.apply(params, x))
    np.testing.assert_allclose(still, x @ np.asarray(params["w"]) + np.asarray(params["b"]), rtol=1e-5)
    many = np.asarray(layer.apply(params, np.repeat(x, 200_000, 0), KEY)) - still
    second = np.sqrt(2 / np.pi)  # E f² = E|ε|
    spread = (0.7 * limit) ** 2
    variance = spread * (x**2).sum() * second**2 + spread * second
    np.testing.assert_allclose(many.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(many.var(0), variance, rtol=0.03)
    assert abs(np.corrcoef(many.T)[0, 1]) < 0.02  # εᵒᵘᵗ of the two outputs are independent of each other


def test_implicit_quantiles_are_the_formula():
    """f(ψ(s) ∘ relu(W cos(πiτ) + b)) written out for one row and every fraction."""
    model = implicit(mlp(()), width=6, learn=5, act=4)((3,))
    x = RNG.normal(size=(2, 2)).astype(np.float32)
    params = jax.tree.map(np.asarray, model.init(KEY, x))
    outputs = model.apply(params, x)
    assert isinstance(outputs, np.ndarray)
    assert outputs.shape == (2, 3, 4, 2)
    np.testing.assert_allclose(outputs[..., 1], np.broadcast_to([0.125, 0.375, 0.625, 0.875], (2, 3, 4)))
    drawn = np.asarray(model.apply(params, x, jax.random.key(1)))
    assert drawn.shape == (2, 3, 5, 2)
    assert (drawn[:, 0, :, 1] == drawn[:, 2, :, 1]).all()  # one draw serves all actions of a row
    assert (drawn[0, 0, :, 1] != drawn[1, 0, :, 1]).all()

    def dense(theta, z):
        return z @ theta["w"] + theta["b"]

    # θ: of the trunk (body (flatten, head (dense, reshape)), relu), of the cosines, of ((dense, relu), head)
    body = params[0][0][1][0]
    for b, k in ((0, 1), (1, 4)):
        tau = drawn[b, 0, k, 1]
        psi = np.maximum(dense(body, x[b]), 0)
        phi = np.maximum(dense(params[1][0], np.cos(np.pi * np.arange(COSINES) * tau)), 0)
        hidden = np.maximum(dense(params[2][0][0], psi * phi), 0)
        np.testing.assert_allclose(drawn[b, :, k, 0], dense(params[2][1][0], hidden), rtol=1e-3, atol=1e-4)


def test_fractions_are_uniform():
    model = implicit(mlp(()), width=2, learn=8)((1,))
    x = jnp.zeros((2000, 1))
    tau = np.asarray(call(model, model.init(KEY, x), x, KEY))[:, 0, :, 1].ravel()
    assert np.abs(np.quantile(tau, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.02
    assert abs(np.corrcoef(tau[:-1], tau[1:])[0, 1]) < 0.03
