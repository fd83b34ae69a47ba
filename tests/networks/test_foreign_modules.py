"""Modules of other libraries as models, by the lines that `types.Model` documents.

Flax is large (110 MB with its dependencies), so it is not among the test extra: its test runs where it is installed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut import Model, fit, load

X = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
Y = X @ [3.0, -1.0] + 2


def learns(model: Model, tmp_path) -> None:
    """y = 3x₀ − x₁ + 2 by `fit`, kept and loaded."""
    data = X, Y[:, None], X, Y[:, None]
    found = fit(model, data, lr=0.05, epochs=40, batch=20, out=tmp_path / "o", progress=False)
    assert found.test_mse is not None and found.test_mse < 0.01 * Y.var()
    again = load(tmp_path / "o", lambda head: model)
    np.testing.assert_array_equal(again.predict(X), found.predict(X))


def test_haiku(tmp_path):
    hk = pytest.importorskip("haiku")
    net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([8, 1])(x)))
    model = Model(net.init, net.apply)
    params = model.init(jax.random.key(0), X)
    by_hand = jax.nn.relu(X @ params["mlp/~/linear_0"]["w"]) @ params["mlp/~/linear_1"]["w"]  # biases start at 0
    np.testing.assert_allclose(model.apply(params, X), by_hand, rtol=1e-5, atol=1e-6)
    learns(model, tmp_path)


def test_equinox(tmp_path):
    eqx = pytest.importorskip("equinox")
    make = lambda key: eqx.nn.MLP(2, 1, 8, 1, key=key)  # noqa: E731
    static = eqx.filter(make(jax.random.key(0)), eqx.is_array, inverse=True)
    model = Model(
        lambda key, x: eqx.filter(make(key), eqx.is_array), lambda theta, x: jax.vmap(eqx.combine(theta, static))(x)
    )
    whole = make(jax.random.key(3))
    np.testing.assert_array_equal(model.apply(model.init(jax.random.key(3), X), X), jax.vmap(whole)(jnp.asarray(X)))
    learns(model, tmp_path)


def test_flax(tmp_path):
    nn = pytest.importorskip("flax.linen")
    net = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(1)])
    model = Model(net.init, net.apply)
    layers = model.init(jax.random.key(0), X)["params"]
    by_hand = jax.nn.relu(X @ layers["layers_0"]["kernel"]) @ layers["layers_2"]["kernel"]
    np.testing.assert_allclose(model.apply({"params": layers}, X), by_hand, rtol=1e-5, atol=1e-6)
    learns(model, tmp_path)
