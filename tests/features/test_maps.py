"""Feature maps against their formulas written out, scikit-learn, and the exact 1000-state walk."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PolynomialFeatures

from rlnut import UsageError
from rlnut.features.maps import (
    Features,
    aggregation,
    compose,
    concatenate,
    fit_features,
    fourier,
    grid,
    min_max,
    monomials,
    one_hot,
    polynomial,
    random_fourier,
    rbf,
    standardize,
)
from rlnut.features.tiles import tile_coding
from rlnut.networks.layers import head, serial

BOX = ([-1.0, 0.0], [2.0, 4.0])
MEMBERS = {
    "polynomial": polynomial(2, 3),
    "total": polynomial(2, 3, total=True),
    "fourier": compose(min_max(*BOX), fourier(2, 3)),
    "rbf": rbf(grid(*BOX, (3, 2)), (0.5, 2.0)),
    "random_fourier": random_fourier(jax.random.key(0), 2, 9, 1.5),
    "tiles": tile_coding(*BOX, tilings=4, tiles=(3, 5)),
    "hashed": tile_coding(*BOX, tilings=4, tiles=3, size=50),
    "joined": concatenate(monomials([[0, 0]]), rbf(grid(*BOX, (2, 2)), 1.0)),
    "standardize": standardize(np.array([[0.0, 5.0], [1.0, 7.0], [5.0, 5.0]])),
}


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*BOX, (n, 2))


@pytest.mark.parametrize("phi", MEMBERS.values(), ids=MEMBERS)
def test_every_map_is_the_same_for_numpy_and_jax_and_as_a_layer(phi: Features):
    x = points(40).astype(np.float32)
    ours = phi(x)
    assert isinstance(ours, np.ndarray) and ours.shape == (40, phi.dim) and ours.dtype == np.float32
    np.testing.assert_allclose(phi(x.astype(np.float64)), ours, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(phi.apply)(jnp.asarray(x)), ours, atol=2e-5, rtol=1e-4)
    model = serial(phi.model, head((), "zeros"))
    assert model.apply(model.init(jax.random.key(0), x), x).shape == (40,) and model.host


@pytest.mark.parametrize("phi", MEMBERS.values(), ids=MEMBERS)
def test_wrong_number_of_columns_is_refused(phi: Features):
    with pytest.raises(UsageError, match="take 2 numbers a row, got 3"):
        phi(np.zeros((4, 3)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(0, 4), st.integers(1, 5))
def test_polynomial_and_fourier_are_their_formulas(dims: int, order: int, n: int):
    x = np.random.default_rng(dims + order).uniform(-1, 1, (n, dims))
    powers = list(itertools.product(range(order + 1), repeat=dims))
    poly, wave = polynomial(dims, order), fourier(dims, order)
    assert poly.dim == wave.dim == len(powers) == (order + 1) ** dims
    for b, i in itertools.product(range(n), range(len(powers))):
        product = math.prod(float(x[b, j]) ** powers[i][j] for j in range(dims))
        cosine = math.cos(math.pi * sum(x[b, j] * powers[i][j] for j in range(dims)))
        assert poly(x)[b, i] == pytest.approx(product, abs=1e-14)
        assert wave(x)[b, i] == pytest.approx(cosine, abs=1e-12)
    assert wave.rate is not None
    assert wave.rate[0] == 1
    np.testing.assert_allclose(wave.rate[1:], [1 / math.hypot(*c) for c in powers[1:]])


def test_total_degree_spans_what_scikit_learn_spans():
    x = points(7)
    theirs = PolynomialFeatures(4).fit(x)
    ours = polynomial(2, 4, total=True)(x)
    order = np.lexsort(theirs.powers_.T[::-1])
    np.testing.assert_allclose(ours, theirs.transform(x)[:, order], rtol=1e-13)


def test_the_lectures_features_of_a_current():
    current = np.array([0.0, 2.0, -3.0])
    assert monomials([[1]])(current).tolist() == [[0], [2], [-3]]
    assert monomials([[2]])(current).tolist() == [[0], [4], [9]]
    assert polynomial(1, 2)(current).tolist() == [[1, 0, 0], [1, 2, 4], [1, -3, 9]]
    assert polynomial(1, 2)(np.array([3])).dtype == np.float64  # integers become floats


def test_polynomial_has_a_gradient_at_zero():
    slope = jax.grad(lambda x: polynomial(2, 2)(x[None])[0].sum())(jnp.zeros(2))
    assert slope.tolist() == [1.0, 1.0]


def test_rbf_by_hand():
    phi = rbf(np.array([[0.0, 0.0], [3.0, 4.0]]), 5.0)
    np.testing.assert_allclose(phi(np.array([[0.0, 0.0]])), [[1.0, math.exp(-0.5)]])
    uneven = rbf(np.array([[0.0, 0.0]]), (3.0, 1.0))
    np.testing.assert_allclose(uneven(np.array([[3.0, 2.0]])), [[math.exp(-0.5 * (1 + 4))]])


def test_grid_covers_the_box():
    assert grid([0, 10], [1, 30], (2, 3)).tolist() == [[0, 10], [0, 20], [0, 30], [1, 10], [1, 20], [1, 30]]
    assert grid(0, 4, (1,)).tolist() == [[2]]


def test_random_fourier_approximates_the_gaussian_kernel():
    x = points(30) * 0.5
    phi = random_fourier(jax.random.key(3), 2, 20_000, 0.7)(x)
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * 0.7**2))
    assert np.abs(phi @ phi.T - kernel).max() < 5 / math.sqrt(20_000)


def test_scaling():
    x = np.array([[1.0, 5.0, 7.0], [3.0, 5.0, 8.0], [8.0, 5.0, 0.0]])
    z = standardize(x)(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(z.std(0), [1, 0, 1])
    assert np.all(standardize(np.full((7, 1), 0.1))(np.full((7, 1), 0.1)) == 0)  # the std of these is 1e-17, not 0
    assert min_max(-1, 3)(np.array([-1.0, 0.0, 3.0, 5.0])).ravel().tolist() == [0, 0.25, 1, 1.5]
    assert min_max(-1, 3, clip=True)(np.array([-9.0, 5.0])).ravel().tolist() == [0, 1]


def test_composition_is_fitted_in_order():
    x = points(50)
    phi = fit_features(x, standardize, lambda z: rbf(z[:3], 1.0), standardize)
    np.testing.assert_allclose(phi(x).mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(phi(x).std(0), 1)
    scaled = compose(min_max(*BOX), fourier(2, 1))
    np.testing.assert_allclose(scaled(x), fourier(2, 1)((x - BOX[0]) / [3.0, 4.0]))
    assert scaled.rate is not None and scaled.dim == 4


def test_concatenation_shifts_indices_and_keeps_rates():
    both = concatenate(one_hot(3), aggregation(3, 1), one_hot(3))
    x = np.array([2, 0])
    assert both.active is not None
    assert both.active(x).tolist() == [[2, 3, 6], [0, 3, 4]]
    assert both(x).tolist() == [[0, 0, 1, 1, 0, 0, 1], [1, 0, 0, 1, 1, 0, 0]]
    mixed = concatenate(polynomial(1, 1), fourier(1, 2))
    assert mixed.active is None and mixed.rate is not None
    assert mixed.rate.tolist() == [1, 1, 1, 1, 0.5]


def test_one_hot_and_aggregation():
    assert one_hot(3, start=1)(np.array([1, 3, 2])).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    phi = aggregation(10, 3)
    assert phi.active is not None
    assert phi.active(np.arange(10)).ravel().tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    large = aggregation(100_000, 50_000)  # states × groups is over 2³¹
    assert large.active is not None
    assert large.active(jnp.array([99_999, 0])).ravel().tolist() == [49_999, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: polynomial(9, 9), "1,000,000,000 features"),
        (lambda: polynomial(0, 1), "dims must be >= 1"),
        (lambda: monomials([[-1]]), "integers >= 0"),
        (lambda: min_max([0, 0], [1, np.inf]), "dimension 1 must have finite bounds"),
        (lambda: min_max(1, 1), "low < high"),
        (lambda: rbf(np.zeros((1, 2)), 0.0), "width > 0"),
        (lambda: random_fourier(jax.random.key(0), 1, 0), "count must be >= 1"),
        (lambda: aggregation(3, 4), "<= the number of states 3"),
        (lambda: grid(0, 1, (0,)), "numbers >= 1"),
        (lambda: standardize(np.array([[np.nan]])), "finite numbers only"),
        (lambda: compose(), "at least one"),
        (lambda: concatenate(), "at least one"),
        (lambda: one_hot(3)(np.zeros((2, 2))), "one integer a row"),
    ],
)
def test_bad_arguments_are_one_clear_line(make, message: str):
    with pytest.raises(UsageError, match=message):
        make()


def walk(n: int = 1000, jump: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Exact V and on-policy distribution μ of the 1000-state walk (Sutton & Barto 2018, example 9.1)."""
    p, r = np.zeros((n, n)), np.zeros(n)
    for s, step in itertools.product(range(n), [*range(-jump, 0), *range(1, jump + 1)]):
        if 0 <= s + step < n:
            p[s, s + step] += 0.5 / jump
        else:
            r[s] += math.copysign(0.5 / jump, step)
    start = np.zeros(n)
    start[n // 2 - 1] = 1
    visits = np.linalg.solve(np.eye(n) - p.T, start)
    return np.linalg.solve(np.eye(n) - p, r), visits / visits.sum()


def test_best_linear_values_of_the_1000_state_walk():
    """√VE_μ of the μ-weighted least-squares fit; figures from an independent exact computation."""
    v, mu = walk()
    assert v[0] == pytest.approx(-0.92196, abs=1e-5)
    s = np.arange(1, 1001)
    unit = min_max(0, 1000)
    cases: list[tuple[Features, float, float]] = [
        (aggregation(1000, 5, start=1), 0.1050, 6e-5),
        (aggregation(1000, 10, start=1), 0.0544, 5e-5),
        (aggregation(1000, 20, start=1), 0.0273, 5e-5),
        (compose(unit, polynomial(1, 5)), 0.00100, 5e-6),
        (compose(unit, fourier(1, 5)), 0.00783, 5e-6),
        (compose(unit, fourier(1, 20)), 0.00074, 5e-6),
        (tile_coding(1, 1001, tilings=50, tiles=5), 0.0021, 5e-5),
    ]
    for phi, truth, tolerance in cases:
        f, w = phi(s).astype(np.float64), np.sqrt(mu)
        theta = np.linalg.lstsq(f * w[:, None], v * w, rcond=1e-12)[0]
        assert math.sqrt(mu @ (f @ theta - v) ** 2) == pytest.approx(truth, abs=tolerance)


def test_fourier_columns_are_in_the_order_that_is_documented():
    """c = 00, 01, 10, 11 at x = (1, 0): cos(π c₁)."""
    np.testing.assert_allclose(fourier(2, 1)(np.array([[1.0, 0.0]])), [[1, 1, -1, -1]], atol=1e-12)
