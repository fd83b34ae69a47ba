"""Layers and networks: shapes, values by hand, gradients by finite differences, NumPy and JAX giving the same."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.errors import UsageError
from rlnut.networks.architectures import cnn, lenet, linear, mlp
from rlnut.networks.convolution import conv, group_norm, pool
from rlnut.networks.layers import (
    ACTIVATIONS,
    INITIALIZERS,
    activation,
    dense,
    dropout,
    flatten,
    layer_norm,
    noisy_dense,
    one_hot_layer,
    parameter_count,
    serial,
    unit_scale,
)
from rlnut.networks.residual_networks import impala, residual, resnet
from rlnut.types import call

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(5, 3)).astype(np.float32)
IMAGES = RNG.normal(size=(2, 9, 7, 3)).astype(np.float32)
MEMBERS = [  # name, network, x
    ("linear", linear(), TABLE),
    ("mlp", mlp((8, 4)), TABLE),
    ("mlp tanh", mlp((8,), "tanh", "orthogonal"), TABLE),
    ("mlp with dropout", mlp((8,), drop=0.5), TABLE),
    ("mlp with layer norm", mlp((8, 8), norm=True), TABLE),
    ("no hidden layer", mlp(()), TABLE),
    ("mlp on images", mlp((4,)), IMAGES),
    ("cnn", cnn((4, 5), hidden=(6,)), IMAGES),
    ("cnn on grey images, without pooling", cnn((4,), 4, 2, window=1, hidden=()), IMAGES[..., 0]),
    (
        "cnn, average pooling, group norm",
        cnn((4,), 3, 1, 3, (), padding="valid", pooling="average", pool_stride=2, filter_norm="group"),
        IMAGES,
    ),
    ("cnn along an axis, standard filters", cnn((4,), hidden=(), filter_norm="weight", dims=1), IMAGES[:, 0]),
    ("lenet, a cnn", lenet("relu", "max"), np.resize(IMAGES, (2, 12, 12))),
    ("resnet, a cnn", resnet((2, 3)), IMAGES),
    ("impala, a cnn", impala((2, 3), 1, (4,)), IMAGES),
    ("resnet, a cnn along an axis", resnet((4,), 2, norm="none", dims=1), IMAGES[:, 0]),
    ("plain cnn of a resnet's depth", resnet((2,), norm="group", skip=False, dims=1), IMAGES[:, 0]),
]
SMALL = [
    m for m in MEMBERS if m[0] not in ("lenet, a cnn", "resnet, a cnn", "impala, a cnn")
]  # those compile for seconds


@pytest.mark.parametrize("head", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize("name, network, x", MEMBERS, ids=[m[0] for m in MEMBERS])
def test_every_network_gives_every_head_its_shape(name, network, x, head):
    model = network(head)
    params = jax.eval_shape(model.init, KEY, x)
    assert jax.eval_shape(model.apply, params, x).shape == (len(x), *head)


@pytest.mark.parametrize("name, network, x", SMALL, ids=[m[0] for m in SMALL])
def test_gradients_are_finite_differences(name, network, x):
    """In float64, so that the step is too small to meet a kink of ReLU or max."""
    model = network((2,))
    params = model.init(KEY, x)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
        moves = jax.tree.map(lambda p: jnp.asarray(RNG.normal(size=p.shape)), params)
        weight, x = jnp.asarray(RNG.normal(size=(len(x), 2))), jnp.asarray(x, jnp.float64)

        @jax.jit
        def cost(step):
            return jnp.sum(weight * model.apply(jax.tree.map(lambda p, m: p + step * m, params, moves), x))

        h = 1e-6
        slope = float(jax.grad(cost)(0.0))
        assert slope == pytest.approx(float((cost(h) - cost(-h)) / (2 * h)), rel=1e-5)
        assert slope != 0


@pytest.mark.parametrize("name, network, x", MEMBERS, ids=[m[0] for m in MEMBERS])
def test_host_networks_answer_numpy_with_numpy_and_the_same_numbers(name, network, x):
    model = network((2,))
    params = model.init(KEY, x)
    device = model.apply(params, jnp.asarray(x))
    assert model.host == ("cnn" not in name)
    if model.host:
        host = model.apply(jax.tree.map(np.asarray, params), x)
        assert type(host) is np.ndarray
        np.testing.assert_allclose(host, device, rtol=1e-4, atol=1e-5)


def test_the_order_of_pooling_bias_and_relu_does_not_matter_for_a_maximum():
    """The usual order, written out from the parts that are tested in test_convolution."""
    model = cnn((4,), hidden=())(())
    params = model.init(KEY, IMAGES)
    params = jax.tree.map(lambda p: p + 0.1 * jnp.arange(p.size).reshape(p.shape) / p.size, params)
    leaves = {p.shape: np.asarray(p) for p in jax.tree.leaves(params)}
    w, b, head, intercept = leaves[3, 3, 3, 4], leaves[4,], leaves[48, 1], leaves[1,]
    z = np.maximum(np.asarray(conv(4, bias=False).apply({"w": w}, IMAGES)) + b, 0)
    pooled = z[:, :8, :6].reshape(2, 4, 2, 3, 2, 4).max((2, 4))
    np.testing.assert_allclose(model.apply(params, IMAGES), (pooled.reshape(2, -1) @ head + intercept)[:, 0], rtol=1e-4)


def test_lenet_has_the_number_of_weights_that_is_known_of_it():
    """156 + 2,416 + 48,120 + 10,164 + 850: every layer sees all maps of the one before."""
    params = jax.eval_shape(lenet()((10,)).init, KEY, np.zeros((1, 28, 28)))
    assert parameter_count(params) == 61_706


def test_a_residual_block_begins_as_the_identity_and_adds():
    layer, x = residual(dense(3)), TABLE
    params = layer.init(KEY, x)
    np.testing.assert_array_equal(layer.apply(params, x), x)
    np.testing.assert_allclose(layer.apply(params | {"scale": 2.0}, x), x + 2 * x @ params["f"]["w"], rtol=1e-5)
    noisy = residual(dropout(0.5))
    moved = noisy.apply({"f": {}, "scale": 1.0}, jnp.ones((4, 50)), KEY)
    assert set(np.unique(moved)) == {1.0, 3.0}


def test_without_skips_it_is_the_same_filters_one_after_the_other():
    with_, without = (resnet((4,), blocks=2, skip=skip)((2,)) for skip in (True, False))
    a, b = (m.init(KEY, IMAGES) for m in (with_, without))
    count = len([p for p in jax.tree.leaves(a) if p.ndim == 4])
    assert count == len([p for p in jax.tree.leaves(b) if p.ndim == 4]) == 1 + 2 * 2
    assert parameter_count(a) == parameter_count(b) + 2  # α of each block


def test_impala_has_the_weights_of_its_paper_and_adds_what_it_says():
    """On 84 × 84 × 4: 97,744 in 15 convolutions (figure 3), then 11 · 11 · 32 × 256; stage by stage with SciPy."""
    params = jax.eval_shape(impala()((6,)).init, KEY, np.zeros((1, 84, 84, 4), np.float32))
    assert parameter_count(params) == 97_744 + 11 * 11 * 32 * 256 + 256 + 256 * 6 + 6
    model = impala((3,), 1, (), activation_name="tanh")(())
    params = jax.tree.map(lambda p: p + 0.1 * jnp.arange(p.size).reshape(p.shape) / p.size, model.init(KEY, IMAGES))
    (w, b), (w1, b1), (w2, b2), (last, intercept) = (
        [np.asarray(p, np.float64) for p in sorted(jax.tree.leaves(part), key=lambda p: -p.ndim)]
        for part in (params[1:3], params[5]["f"][1:3], params[5]["f"][4:6], params[-1])
    )

    def convolved(x, w, b):
        maps = [
            sum(scipy.signal.correlate2d(x[..., c], w[..., c, d], "same") for c in range(x.shape[-1]))
            for d in range(w.shape[-1])
        ]
        return np.stack(maps, -1) + b

    for x, got in zip(IMAGES, np.asarray(model.apply(params, IMAGES)), strict=True):
        padded = np.pad(convolved(x, w, b), ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)  # 9 × 7 -> 5 × 4
        tops = np.array([[padded[i : i + 3, j : j + 3].max((0, 1)) for j in range(0, 7, 2)] for i in range(0, 9, 2)])
        block = tops + convolved(np.tanh(convolved(np.tanh(tops), w1, b1)), w2, b2)
        assert got == pytest.approx(float(np.tanh(block).reshape(-1) @ last[:, 0] + intercept[0]), rel=1e-4)


@pytest.mark.parametrize("network", [cnn((2,)), resnet((2,)), lenet(), impala((2,))])
def test_rows_with_too_few_axes_are_refused(network):
    with pytest.raises(UsageError, match="take rows of 2 or 3 axes"):
        network(()).init(KEY, TABLE)


def test_an_mlp_by_hand():
    """ŷ = W₂ relu(W₁ x + b₁) + b₂."""
    model = mlp((2,))(())
    params = model.init(KEY, np.zeros((1, 2), np.float32))
    numbers = iter([[[1.0, -1.0], [2.0, 0.0]], [0.5, 1.0], [[3.0], [10.0]], [7.0]])  # W₁, b₁, W₂, b₂ where they belong
    shapes = {(2, 2): None, (2,): None, (2, 1): None, (1,): None}
    given_ = {shape: np.array(next(numbers)) for shape in shapes}
    params = jax.tree.map(lambda leaf: given_[leaf.shape], params)
    # x = (1, 1): W₁ᵀx + b₁ = (1+2+.5, −1+1) = (3.5, 0); ŷ = 3·3.5 + 0 + 7
    assert model.apply(params, np.array([[1.0, 1.0], [-5.0, 0.0]])).tolist() == [17.5, 7 + 10 * 6.0]


@pytest.mark.parametrize(
    "name, truth",
    [
        ("relu", lambda x: np.where(x > 0, x, 0)),
        ("tanh", np.tanh),
        ("sigmoid", scipy.special.expit),
        ("elu", lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)),
        ("identity", lambda x: x),
    ],
)
def test_activations(name, truth):
    x = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(activation(name).apply({}, x), truth(x), atol=1e-12)
    assert set(ACTIVATIONS) == {"relu", "tanh", "sigmoid", "elu", "identity"}


FAR = np.array([-1e4, -1e3, -300, -89, -88, -20, -1, 0, 1, 20, 88, 89, 300, 1e3, 1e4], np.float32)
SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.where(x > 0, 1, np.where(x < 0, 0, np.nan)),  # at 0 any number from 0 to 1
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "sigmoid": lambda x: scipy.special.expit(x) * scipy.special.expit(-x),
    "elu": lambda x: np.exp(np.minimum(x, 0)),
    "identity": np.ones_like,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes_are_right_far_out_and_at_0(name):
    """The slope is checked against f′ in float64: 1/(1 + exp(−x)) had NaN below −88.7."""
    f, x = ACTIVATIONS[name], np.unique(np.concatenate([FAR, np.linspace(-1000, 1000, 2001, dtype=np.float32)]))
    slope = np.asarray(jax.jit(jax.vmap(jax.grad(f)))(x))
    right = SLOPES[name](x.astype(float))
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope, np.where(np.isnan(right), slope, right), atol=1e-6)
    np.testing.assert_array_equal(np.isfinite(f(x)), True)  # in NumPy, where a warning would be an error
    assert 0 <= slope[x == 0] <= 1


@pytest.mark.parametrize(
    "layer",
    [
        layer_norm(),
        group_norm(2),
        conv(3, 2, standard=True),
        pool(2),
        pool(2, "average"),
        noisy_dense()(3),
        dropout(0.5),
    ],
    ids=["layer norm", "group norm", "standardised filters", "max", "average", "noisy", "dropout"],
)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e4])
def test_layers_and_their_slopes_are_numbers_for_flat_and_large_rows(layer, size):
    """Rows of one number (variance 0), with weights of one number, too; of both signs."""
    for row in (np.ones((2, 4, 4, 2)), np.sign(RNG.normal(size=(2, 4, 4, 2)))):
        x = jnp.asarray(size * row, jnp.float32)
        first = layer.init(KEY, x)
        for params in (first, jax.tree.map(jnp.zeros_like, first), jax.tree.map(lambda w: w + 1e4, first)):
            total, slopes = jax.value_and_grad(lambda p, z: call(layer, p, z, KEY).sum(), (0, 1))(params, x)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((total, slopes)))


@pytest.mark.parametrize("name, variance", [("he", 2 / 400), ("glorot", 2 / 700)])
def test_variance_of_the_first_weights(name, variance):
    w = dense(300, name).init(KEY, np.zeros((1, 400)))["w"]
    spread = np.sqrt(2 / w.size) * variance  # of the variance of as many normal numbers: a wide bound for bounded ones
    assert abs(float(jnp.var(w)) - variance) < 4 * spread


def test_orthogonal_weights_keep_lengths_but_for_relu_s_factor():
    w = dense(50, "orthogonal").init(KEY, np.zeros((1, 50)))["w"]
    np.testing.assert_allclose(w.T @ w, 2 * np.eye(50), atol=1e-5)
    assert "zeros" in INITIALIZERS


def test_layer_norm_is_the_z_score_of_a_row_times_gamma_plus_beta():
    layer, x = layer_norm(), RNG.normal(3.0, 2.0, size=(4, 6))
    params = layer.init(KEY, x)
    np.testing.assert_allclose(layer.apply(params, x), scipy.stats.zscore(x, axis=1), atol=1e-4)
    changed = {"gamma": np.arange(6.0), "beta": np.full(6, 0.5)}
    np.testing.assert_allclose(layer.apply(changed, x), scipy.stats.zscore(x, axis=1) * range(6) + 0.5, atol=1e-4)
    assert np.isfinite(layer.apply(params, np.ones((1, 6)))).all()


def test_dropout_silences_its_share_keeps_the_mean_and_is_off_without_a_key():
    layer, x = dropout(0.3), jnp.ones((100, 100))
    out = layer.apply({}, x, KEY)
    silent = int((out == 0).sum())
    assert scipy.stats.binomtest(silent, 10_000, 0.3).pvalue > 0.001
    np.testing.assert_allclose(out[out != 0], 1 / 0.7, rtol=1e-6)
    assert layer.apply({}, x) is x
    model = mlp((50,), drop=0.5)(())
    params = model.init(KEY, TABLE)
    a, b = (model.apply(params, TABLE, jax.random.key(s)) for s in (1, 2))
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(a, model.apply(params, TABLE, jax.random.key(1)))
    np.testing.assert_array_equal(model.apply(params, TABLE), model.apply(params, TABLE, None))


def test_two_dropout_layers_draw_apart():
    model = serial(dropout(0.5), dropout(0.5))
    out = model.apply(model.init(KEY, jnp.ones((1, 10))), jnp.ones((200, 10)), KEY)
    assert 0.15 < float((out != 0).mean()) < 0.35  # a quarter; the same draw twice would leave a half


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(-2, 3), st.lists(st.integers(-3, 9), min_size=1, max_size=5))
def test_one_hot(n, start, values):
    out = one_hot_layer(n, start).apply({}, np.array(values))
    expected = [[float(v == start + k) for k in range(n)] for v in values]
    assert out.tolist() == expected


def test_images_are_scaled_and_rows_flattened():
    assert unit_scale().apply({}, np.array([[0, 51, 255]], np.uint8)).tolist() == [[0, np.float32(0.2), 1]]
    assert flatten().apply({}, np.zeros((2, 3, 4))).shape == (2, 12)


def test_linear_starts_at_zero_and_parameters_are_counted():
    params = linear()((10,)).init(KEY, np.zeros((1, 28, 28)))
    assert parameter_count(params) == 7850
    assert all(not leaf.any() for leaf in jax.tree.leaves(params))


def test_wrong_names():
    with pytest.raises(UsageError, match="Did you mean relu"):
        mlp((3,), "rleu")(())
    with pytest.raises(UsageError, match="unknown initializer"):
        dense(3, "hee")


def test_the_slope_of_relu_is_that_of_a_maximum_bit_for_bit():
    x = jnp.array([-2.0, -1e-40, -0.0, 0.0, 1e-40, 3.0, np.inf, -np.inf, np.nan])
    pulled = jnp.array([0.3, -7.0, 5.0, -5.0, 2.0, 1e-30, 1.0, 2.0, 3.0])
    ours, plain = (
        jax.vjp(f, x)[1](pulled)[0] for f in (lambda x: activation("relu").apply({}, x), lambda x: jnp.maximum(x, 0))
    )
    assert np.asarray(ours).tobytes() == np.asarray(plain).tobytes()
