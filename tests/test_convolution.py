"""Convolution against its defining sum, the lecture's idea in 1-D, finite differences, and JAX's own gradient."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.convolution import by_products, by_transposes, conv, convolve, patches, pool
from rlnut.errors import UsageError


def slow_convolution(x: np.ndarray, w: np.ndarray, stride: int, padding: str) -> np.ndarray:
    """The sum in the docstring of `convolve`, with loops; SAME pads to ceil(n / stride) positions."""
    size = w.shape[:2]
    if padding == "SAME":
        counts = [-(-n // stride) for n in x.shape[1:3]]
        need = [max((c - 1) * stride + f - n, 0) for c, f, n in zip(counts, size, x.shape[1:3], strict=True)]
        x = np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in need), (0, 0)))
    else:
        counts = [(n - f) // stride + 1 for n, f in zip(x.shape[1:3], size, strict=True)]
    out = np.zeros((len(x), *counts, w.shape[-1]))
    for p in range(counts[0]):
        for q in range(counts[1]):
            seen = x[:, p * stride : p * stride + size[0], q * stride : q * stride + size[1]]
            out[:, p, q] = np.tensordot(seen, w, ((1, 2, 3), (0, 1, 2)))
    return out


@st.composite
def problems(draw):
    size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    sides = [draw(st.integers(f if padding == "VALID" else 1, 7)) for f in size]
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
        by_patches = patches(x, w.shape[:2], stride, padding) @ w.reshape(-1, w.shape[-1])
        return out, by_patches, pull(g), by_transposes(stride, padding, x, w, g)

    out, by_patches, ours, theirs = all_ways(x, w, g)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(by_patches, expected, atol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("stride, padding", [(1, "SAME"), (1, "VALID"), (2, "SAME"), (3, "VALID")])
def test_both_gradients_against_finite_differences(stride, padding):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 5, 6, 2)), rng.normal(size=(3, 3, 2, 2))
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


def test_gradient_by_products_is_the_same_for_any_number_of_images_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    x, w, g = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 4, 4, 2), (3, 3, 2, 3), (6, 4, 4, 3)))
    whole = by_products(1, "SAME", x, w, g)
    monkeypatch.setattr("rlnut.convolution.BLOCK", 2 * 4 * 4 * 9 * 2)  # room for two images
    for one, other in zip(whole, by_products(1, "SAME", x, w, g), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_edge_filter_finds_the_edge():
    """The lecture's 1-D example of a filter that answers to a change: (−1, 1) on 0 0 1 1 0."""
    x = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 5, 1)
    out = convolve(x, jnp.array([-1.0, 1.0]).reshape(1, 2, 1, 1), 1, "VALID")
    assert out.ravel().tolist() == [0.0, 1.0, 0.0, -1.0]


def test_the_layer_adds_its_bias_and_knows_its_shapes():
    layer = conv(3, size=5, stride=2)
    params = layer.init(jax.random.key(0), jnp.zeros((2, 9, 8, 4)))
    assert params["w"].shape == (5, 5, 4, 3)
    out = layer.apply(params | {"b": jnp.array([1.0, 2.0, 3.0])}, jnp.zeros((2, 9, 8, 4)))
    assert out.shape == (2, 5, 4, 3)
    assert out[0, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_pooling_by_hand():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)  # the last row and column fill no window
    assert pool(2).apply({}, x)[0, ..., 0].tolist() == [[6.0, 8.0]]
    assert pool(2, "average").apply({}, x)[0, ..., 0].tolist() == [[3.0, 5.0]]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: conv(3, padding="same"), "SAME"),
        (lambda: pool(2, "min"), "average"),
        (lambda: pool(3).apply({}, jnp.zeros((1, 2, 5, 1))), "smaller than the pooling window 3"),
        (lambda: conv(1, 3, padding="VALID").init(jax.random.key(0), jnp.zeros((1, 2, 2, 1))), None),
    ],
)
def test_wrong_words_are_refused(make, text):
    if text is None:
        layer = conv(1, 3, padding="VALID")
        with pytest.raises(UsageError, match="does not fit"):
            layer.apply(make(), jnp.zeros((1, 2, 2, 1)))
        return
    with pytest.raises(UsageError, match=text):
        make()
