"""Hidden features of networks, ours and others', against the same networks written out by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut.networks.heads import dueling, implicit
from rlnut.networks.hidden_layers import hidden_layers
from rlnut.networks.recurrent_networks import gru, recurrent
from rlnut.types import Array, Model

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def relu(x: Any) -> np.ndarray:
    return np.maximum(np.asarray(x), 0)


def made(network: Any, x: Any = X, shape: tuple[int, ...] = (2,)) -> tuple[Model, Any]:
    model = network(shape)
    return model, model.init(jax.random.key(1), jnp.asarray(x))


def rows_of(model: Model, params: Any, x: Any = X) -> list[Array]:
    return [layer.rows for layer in hidden_layers(model.apply, params, jnp.asarray(x))]


def test_an_mlp_has_the_features_that_are_computed_by_hand_also_when_compiled():
    model, params = made(rlnut.mlp((6, 4)))
    weights = [leaf for leaf in params if leaf and isinstance(leaf, dict)]
    first = relu(X @ weights[0]["w"] + weights[0]["b"])
    second = relu(first @ weights[1]["w"] + weights[1]["b"])
    compiled = jax.jit(lambda p, x: [layer.rows for layer in hidden_layers(model.apply, p, x)])(params, X)
    for found in (rows_of(model, params), compiled):
        assert len(found) == 2
        np.testing.assert_allclose(found[0], first, rtol=1e-5)
        np.testing.assert_allclose(found[1], second, rtol=1e-5)


def test_a_linear_function_has_no_hidden_layer():
    assert rows_of(*made(rlnut.linear("he"))) == []


@pytest.mark.parametrize("norm", [False, True])
def test_layers_behind_a_normalisation_of_inputs_or_units_are_the_same(norm: bool):
    """γ, β and the statistics of a normaliser are no layers."""
    from rlnut.control.preprocessing import normaliser
    from rlnut.networks.layers import serial

    model = serial(normaliser(), rlnut.mlp((6, 4), norm=norm)((2,)))
    params = model.init(jax.random.key(1), jnp.asarray(X))
    assert [rows.shape for rows in rows_of(model, params)] == [(5, 6), (5, 4)]


@pytest.mark.parametrize("channels", [1, 8])  # by a product of patches, and by XLA's convolution
def test_the_units_of_a_convolution_are_its_filters(channels: int):
    x = np.random.default_rng(0).normal(size=(3, 8, 8, channels)).astype(np.float32)
    model, params = made(rlnut.cnn((4, 5), 3, 1, 1, (7,)), x)
    layers = hidden_layers(model.apply, params, jnp.asarray(x))
    assert [layer.units.shape[-1] for layer in layers] == [4, 5, 7]
    assert layers[-1].rows.shape == (3, 7)
    assert layers[1].units.shape == (3, 8, 8, 5) and layers[1].rows.shape == (3, 8 * 8 * 5)
    assert all(np.asarray(layer.units).min() >= 0 for layer in layers)  # behind the activation


def test_heads_and_recurrent_layers():
    model, params = made(dueling(rlnut.mlp((6, 4))))
    assert [rows.shape for rows in rows_of(model, params)] == [(5, 6), (5, 4)]
    model, params = made(implicit(rlnut.mlp((6,)), 4, act=3))
    assert rows_of(model, params)[-1].shape == (15, 4)  # f's hidden layer, at each fraction
    x = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)
    model, params = made(recurrent(gru, (6,)), x)
    last = rows_of(model, params, x)[-1]
    assert last.shape == (5, 6)
    head = params[-1][0]
    np.testing.assert_allclose(last @ head["w"] + head["b"], model.apply(params, x), rtol=1e-5)


def test_modules_of_other_libraries():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.relu(nn.Dense(6)(x))
            x = nn.tanh(nn.Dense(4)(x))
            return nn.Dense(2)(x)

    module = Net()
    params = module.init(jax.random.key(0), X)
    applies: list[Any] = [module.apply, jax.jit(module.apply)]
    for apply in applies:
        found = [layer.rows for layer in hidden_layers(apply, params, jnp.asarray(X))]
        own = params["params"]
        first = relu(X @ own["Dense_0"]["kernel"] + own["Dense_0"]["bias"])
        np.testing.assert_allclose(found[0], first, rtol=1e-5)
        np.testing.assert_allclose(found[1], np.tanh(first @ own["Dense_1"]["kernel"] + own["Dense_1"]["bias"]), 1e-5)


def test_a_table_is_a_layer():
    """An embedding of numbered states, then a product: what is looked up are hidden features."""

    def apply(params: Any, x: Any) -> Any:
        return params["table"][x] @ params["w"]

    params = {"table": jnp.arange(12.0).reshape(4, 3), "w": jnp.ones((3, 2))}
    (layer,) = hidden_layers(apply, params, jnp.array([2, 0]))
    np.testing.assert_array_equal(layer.rows, [[6, 7, 8], [0, 1, 2]])
