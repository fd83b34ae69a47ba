"""Convolution and pooling, 1-D and 2-D, against their defining sums, SciPy, finite differences, JAX's own gradients."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.errors import UsageError
from rlnut.networks import convolution
from rlnut.networks.convolution import (
    bias,
    by_products,
    by_transposes,
    conv,
    convolve,
    group_norm,
    max_pool,
    pool,
    product_forward,
    standardised,
    xla_forward,
)


def slow_convolution(x: np.ndarray, w: np.ndarray, stride: int, padding: str) -> np.ndarray:
    """The sum in the docstring of `convolve`, with loops; "same" pads to ceil(n / stride) positions."""
    size, space = w.shape[:-2], x.shape[1:-1]
    if padding == "same":
        counts = [-(-n // stride) for n in space]
        need = [max((c - 1) * stride + f - n, 0) for c, f, n in zip(counts, size, space, strict=True)]
        x = np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in need), (0, 0)))
    else:
        counts = [(n - f) // stride + 1 for n, f in zip(space, size, strict=True)]
    out = np.zeros((len(x), *counts, w.shape[-1]))
    for place in np.ndindex(*counts):
        seen = x[(slice(None), *(slice(p * stride, p * stride + f) for p, f in zip(place, size, strict=True)))]
        out[(slice(None), *place)] = np.tensordot(seen, w, (range(1, seen.ndim), range(w.ndim - 1)))
    return out


PRODUCTS = ("convolution", "dot_general")


@st.composite
def problems(draw):
    size = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))
    stride = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["same", "valid"]))
    sides = [draw(st.integers(f if padding == "valid" else 1, 7)) for f in size]
    shape = draw(st.integers(1, 3)), *sides, draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x, w = rng.normal(size=shape), rng.normal(size=(*size, shape[-1], draw(st.integers(1, 2))))
    return x, w, stride, padding, rng


@settings(max_examples=6, deadline=None)
@given(problems())
def test_forward_is_the_defining_sum_and_gradients_are_those_of_jax(problem):
    x, w, stride, padding, rng = problem
    expected = slow_convolution(x, w, stride, padding)
    x, w = jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)
    g = jnp.asarray(rng.normal(size=expected.shape), jnp.float32)

    @jax.jit
    def all_ways(x, w, g):
        out, pull = jax.vjp(lambda x, w: convolve(x, w, stride, padding), x, w)
        forward = [out, *(way(stride, padding, x, w) for way in (xla_forward, product_forward))]
        return forward, pull(g), by_transposes(stride, padding, x, w, g)

    forward, ours, theirs = all_ways(x, w, g)
    for out in forward:
        np.testing.assert_allclose(out, expected, atol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("stride, padding", [(1, "same"), (1, "valid"), (2, "same"), (3, "valid")])
@pytest.mark.parametrize("axes", [1, 2])
def test_both_gradients_against_finite_differences(axes, stride, padding):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, *(5, 6)[:axes], 2)), rng.normal(size=(*(3, 3)[:axes], 2, 2))
    g = rng.normal(size=slow_convolution(x, w, stride, padding).shape)
    dx, dw = rng.normal(size=x.shape), rng.normal(size=w.shape)
    step = 1e-6
    high = slow_convolution(x + step * dx, w + step * dw, stride, padding)
    low = slow_convolution(x - step * dx, w - step * dw, stride, padding)
    expected = np.sum(g * (high - low)) / (2 * step)
    for gradient in (by_products, by_transposes):
        compiled = jax.jit(partial(gradient, stride, padding))
        x_slope, w_slope = compiled(*(jnp.asarray(a, jnp.float32) for a in (x, w, g)))
        assert np.sum(x_slope * dx) + np.sum(w_slope * dw) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 32])  # a patch of few numbers, and of many
@pytest.mark.parametrize("platform, ordinary", [("cuda", True), ("rocm", True), ("tpu", True), ("cpu", False)])
def test_off_a_cpu_the_compiler_is_given_ordinary_convolutions_only(platform, ordinary, channels):
    x, w = jnp.zeros((2, 8, 8, channels)), jnp.zeros((3, 3, channels, 4))

    def operations(fn):
        text = jax.jit(fn).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        return [text.count(f"stablehlo.{name} ") + text.count(f"stablehlo.{name}(") for name in PRODUCTS]

    forward = operations(convolve)
    both = operations(jax.grad(lambda x, w: (convolve(x, w) ** 2).sum(), (0, 1)))
    if ordinary:
        assert forward == [1, 0] and both == [3, 0]  # itself, and one for each gradient
    else:
        assert forward == ([0, 1] if channels == 1 else [1, 0]) and both[1] > 0


def test_gradient_by_products_is_the_same_for_any_number_of_images_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    x, w, g = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 4, 4, 2), (3, 3, 2, 3), (6, 4, 4, 3)))
    whole = by_products(1, "same", x, w, g)
    monkeypatch.setattr(convolution, "BLOCK", 2 * 4 * 4 * 9 * 2)  # room for two images
    for one, other in zip(whole, by_products(1, "same", x, w, g), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_edge_filter_finds_the_edge():
    """The lecture's 1-D example of a filter that answers to a change: (−1, 1) on 0 0 1 1 0."""
    signal, edge = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0]), jnp.array([-1.0, 1.0])
    for x, w in (
        (signal[None, :, None], edge[:, None, None]),
        (signal[None, None, :, None], edge[None, :, None, None]),
    ):
        assert convolve(x, w, 1, "valid").ravel().tolist() == [0.0, 1.0, 0.0, -1.0]


@pytest.mark.parametrize("shape, size", [((9,), (4,)), ((9, 7), (3, 4))])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolution_is_the_correlation_of_scipy(shape, size, padding):
    """In the lecture and everywhere in this field "convolution" does not turn the filter round."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=shape), rng.normal(size=size)
    padded = x if padding == "valid" else np.pad(x, [((f - 1) // 2, f // 2) for f in size])
    expected = scipy.signal.correlate(padded, w, mode="valid")
    out = convolve(
        jnp.asarray(x[None, ..., None], jnp.float32), jnp.asarray(w[..., None, None], jnp.float32), 1, padding
    )
    np.testing.assert_allclose(out[0, ..., 0], expected, atol=1e-5)


def test_the_layer_adds_its_bias_and_knows_its_shapes():
    layer = conv(3, size=5, stride=2)
    params = layer.init(jax.random.key(0), jnp.zeros((2, 9, 8, 4)))
    assert params["w"].shape == (5, 5, 4, 3)
    out = layer.apply(params | {"b": jnp.array([1.0, 2.0, 3.0])}, jnp.zeros((2, 9, 8, 4)))
    assert out.shape == (2, 5, 4, 3)
    assert out[0, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_the_layer_may_do_without_bias_and_works_along_one_axis():
    layer = conv(3, size=4, stride=2, padding="valid", bias=False)
    params = layer.init(jax.random.key(0), jnp.zeros((2, 9, 5)))
    assert {name: p.shape for name, p in params.items()} == {"w": (4, 5, 3)}
    assert layer.apply(params, jnp.zeros((2, 9, 5))).shape == (2, 3, 3)


def test_standard_filters_have_mean_0_and_the_length_of_their_gain():
    layer = conv(4, standard=True, bias=False)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 6, 6, 2)))
    gain = jnp.array([1.0, 2.0, -1.0, 0.0])
    w = np.asarray(standardised(7 * params["w"] + 3, gain), float).reshape(-1, 4)
    np.testing.assert_allclose(w.sum(0), 0, atol=1e-5)
    np.testing.assert_allclose((w * w).sum(0), 2 * gain**2, rtol=1e-4)
    ones = jnp.ones((1, 6, 6, 2))  # a constant image is nothing to a filter of mean 0, but at its border
    assert layer.apply(params, ones)[0, 1:-1, 1:-1] == pytest.approx(0, abs=1e-5)


def test_pooling_by_hand():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)  # the last row and column fill no window
    assert pool(2).apply({}, x)[0, ..., 0].tolist() == [[6.0, 8.0]]
    assert pool(2, "average").apply({}, x)[0, ..., 0].tolist() == [[3.0, 5.0]]
    assert pool(2, "max", 1).apply({}, x)[0, ..., 0].tolist() == [[6, 7, 8, 9], [11, 12, 13, 14]]
    assert pool(2, "average", 1).apply({}, x)[0, 1, :, 0].tolist() == [8, 9, 10, 11]
    assert pool(3, "max", 2).apply({}, x[:, 0])[0, :, 0].tolist() == [2, 4]


@settings(max_examples=4, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.sampled_from(["max", "average"]), st.integers(0, 9))
def test_pooling_and_its_gradient_are_their_definitions(axes, window, stride, kind, seed):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.permutation(2 * 7**axes * 3).reshape(2, *(7,) * axes, 3), jnp.float32)  # no two are equal
    out, pull = jax.vjp(lambda x: pool(window, kind, stride).apply({}, x), x)
    g = rng.normal(size=out.shape).astype(np.float32)
    slope = np.zeros(x.shape)
    for place in np.ndindex(*out.shape):
        inside = (place[0], *(slice(p * stride, p * stride + window) for p in place[1:-1]), place[-1])
        seen = np.asarray(x[inside])
        assert out[place] == pytest.approx(seen.max() if kind == "max" else seen.mean(), rel=1e-5)
        slope[inside] += g[place] * (seen == seen.max() if kind == "max" else 1 / seen.size)
    np.testing.assert_allclose(pull(jnp.asarray(g))[0], slope, atol=1e-5)


def test_among_equals_the_first_has_the_gradient():
    x = jnp.array([[0.0, 5, 5, 1], [5, 2, 1, 1]]).reshape(1, 2, 4, 1)
    slope = jax.grad(lambda x: jnp.sum(max_pool(x, 2) * jnp.array([3.0, 4.0])[:, None]))(x)
    assert slope[0, ..., 0].tolist() == [[0, 3, 4, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 4, 5, 6)])
def test_group_norm_is_the_z_score_over_space_and_the_channels_of_a_group(shape):
    x = np.random.default_rng(3).normal(2.0, 3.0, size=shape)
    layer = group_norm(2)
    params = layer.init(jax.random.key(0), x)
    grouped = scipy.stats.zscore(x.reshape(3, -1, 2, 3), axis=(1, 3)).reshape(shape)
    np.testing.assert_allclose(layer.apply(params, jnp.asarray(x, jnp.float32)), grouped, atol=1e-4)
    changed = {"gamma": jnp.arange(6.0), "beta": jnp.full(6, 0.5)}
    np.testing.assert_allclose(layer.apply(changed, jnp.asarray(x, jnp.float32)), grouped * range(6) + 0.5, atol=1e-3)
    other = group_norm(8).apply(params, jnp.asarray(x, jnp.float32))  # gcd(8, 6) = 2 groups again
    np.testing.assert_allclose(other, grouped, atol=1e-4)


def test_a_bias_is_one_number_a_channel():
    layer = bias()
    assert layer.init(jax.random.key(0), jnp.zeros((1, 4, 3)))["b"].tolist() == [0, 0, 0]
    assert layer.apply({"b": np.array([1.0, 2.0])}, np.zeros((1, 2, 2))).tolist() == [[[1, 2], [1, 2]]]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: conv(3, padding="SAME"), "Did you mean same"),
        (lambda: pool(2, "min"), "average"),
        (lambda: pool(3).apply({}, jnp.zeros((1, 2, 5, 1))), "smaller than the pooling window 3"),
        (lambda: conv(1, 3, padding="valid").init(jax.random.key(0), jnp.zeros((1, 2, 2, 1))), None),
    ],
)
def test_wrong_words_are_refused(make, text):
    if text is None:
        layer = conv(1, 3, padding="valid")
        with pytest.raises(UsageError, match="does not fit"):
            layer.apply(make(), jnp.zeros((1, 2, 2, 1)))
        return
    with pytest.raises(UsageError, match=text):
        make()
