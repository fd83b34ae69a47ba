"""Where linear methods end, against the published tables of the 1000-state walk, Boyan's chain and Baird's star."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.envs.counterexamples import baird, maximisation_bias, w_to_2w
from rlnut.envs.garnet import garnet
from rlnut.envs.walks import boyan_chain, random_walk
from rlnut.errors import RlnutError
from rlnut.features import maps
from rlnut.truth.dynamic_programming import Chain, chain, pair_chain, uniform, values, visits
from rlnut.truth.finite import from_toy_text, outcomes
from rlnut.truth.fixed_points import (
    bellman_error,
    bellman_residual,
    emphatic_fixed_point,
    key_matrices,
    linear_errors,
    projection,
    return_error,
    rms,
    td_error,
    td_fixed_point,
)
from rlnut.truth.return_distributions import return_law, return_variance

WALK = random_walk(1000, 100)
PROCESS = chain(WALK.mdp, WALK.policy)
V, MU = values(PROCESS, 1), visits(PROCESS)
UNIT = (np.arange(1000) + 1.0) / 1000


def tilings() -> np.ndarray:
    """50 tilings of width 200, each 4 states further on, as in figure 9.10."""
    index = (np.arange(1000)[:, None] + 4 * np.arange(50)) // 200  # 6 tiles a tiling
    return np.stack([(index == t) for t in range(6)], -1).reshape(1000, -1).astype(float)


# features -> √VE_μ of the projection, of the TD(0) and the TD(.8) fixed point, and the plain RMS at TD(0)
TABLE = [
    ("groups 5", 0.1050, 0.2335, 0.1261, 0.3069),
    ("groups 10", 0.0544, 0.1167, 0.0600, 0.1325),
    ("groups 20", 0.0273, 0.0482, 0.0286, 0.0491),
    ("polynomial 5", 0.00100, 0.00102, 0.00102, 0.0019),
    ("polynomial 10", 0.00042, 0.00042, 0.00042, 0.0006),
    ("fourier 5", 0.00783, 0.00792, 0.00792, 0.0153),
    ("fourier 10", 0.00279, 0.00282, 0.00282, 0.0056),
    ("fourier 20", 0.00074, 0.00074, 0.00074, 0.0017),
    ("tilings 50", 0.0021, 0.0023, 0.0021, 0.0022),
]


@pytest.mark.parametrize(("name", "best", "td", "td8", "plain"), TABLE)
def test_walk_of_1000_states(name: str, best: float, td: float, td8: float, plain: float) -> None:
    kind, order = name.split()
    n = int(order)
    X: Any
    if kind == "groups":
        X = maps.aggregation(1000, n)(np.arange(1000)).astype(float)
    elif kind == "tilings":
        X = tilings()
    else:
        X = getattr(maps, kind)(1, n)(UNIT)
    found = [projection(V, X, MU), td_fixed_point(PROCESS, X, MU, 1), td_fixed_point(PROCESS, X, MU, 1, 0.8)]
    digits = 5.1e-6 if best < 0.01 and kind != "tilings" else 5.5e-5
    near = [digits, digits, digits if kind == "groups" else 2e-4]
    for w, value, abs_error in zip(found, (best, td, td8), near, strict=True):
        assert rms(V - X @ w, MU) == pytest.approx(value, abs=abs_error)
    assert rms(V - X @ found[1]) == pytest.approx(plain, abs=5.1e-5)
    # λ = 1 is the projection
    np.testing.assert_allclose(X @ td_fixed_point(PROCESS, X, MU, 1, 1.0), X @ found[0], atol=1e-6)


def test_ill_conditioned_polynomials_stay_near_an_orthogonal_basis() -> None:
    """Order 20 in powers of x (condition 1e15) loses little against the same space in Legendre polynomials."""
    powers, legendre = np.asarray(maps.polynomial(1, 20)(UNIT)), np.polynomial.legendre.legvander(2 * UNIT - 1, 20)
    for solve in (lambda X: projection(V, X, MU), lambda X: td_fixed_point(PROCESS, X, MU, 1)):
        best = rms(V - legendre @ solve(legendre), MU)
        assert best == pytest.approx(0.00023, abs=5e-6)
        assert best - 1e-9 < rms(V - powers @ solve(powers), MU) < 1.1 * best


def test_published_polynomial_errors_are_those_of_normal_equations() -> None:
    """The published .00043 (order 10, projection) and .00034 (order 20, both) are no minima: they come from solving the
    normal equations A w = b in powers of x by least squares with NumPy's usual cutoff, which squares the condition.
    """
    for order, best, td in ((10, 0.00043, 0.00042), (20, 0.00034, 0.00034)):
        X = UNIT[:, None] ** np.arange(order + 1)
        XD = X.T * MU
        A, b = key_matrices(PROCESS, X, MU, 1)
        for left, right, published, ours in (
            (XD @ X, XD @ V, best, projection(V, X, MU)),
            (A, b, td, td_fixed_point(PROCESS, X, MU, 1)),
        ):
            normal = rms(V - X @ np.linalg.lstsq(left, right, rcond=1e-14)[0], MU)
            assert normal == pytest.approx(published, abs=1.1e-5)
            assert rms(V - X @ ours, MU) < normal + 1e-6


def test_boyan_chain_is_exact_for_every_lambda() -> None:
    boyan = boyan_chain()
    process = chain(boyan.mdp, boyan.policy)
    for lam in (0, 0.3, 0.7, 1):
        w = td_fixed_point(process, boyan.features, visits(process), 1, lam)
        np.testing.assert_allclose(w, [-24, -16, -8, 0], atol=1e-8)


def test_baird() -> None:
    """√VE₀, √PBE₀ and the largest real eigenvalue of −A as published."""
    star = baird()
    process, d = chain(star.mdp, star.policy), visits(chain(star.mdp, star.behaviour))
    errors = linear_errors(process, star.weights, star.features, d, 0.99, values(process, 0.99))
    assert (errors["ve"], errors["pbe"]) == pytest.approx((5.318, 8.221), abs=5e-4)
    A, b = key_matrices(process, star.features, d, 0.99)
    assert np.linalg.eigvals(-A).real.max() == pytest.approx(0.23925, abs=5e-6)
    np.testing.assert_allclose(td_fixed_point(process, star.features, d, 0.99), 0, atol=1e-12)
    np.testing.assert_allclose(b, 0)


def test_w_to_2w_has_no_negative_key_matrix() -> None:
    """With all weight on the first state A = −(2γ − 1): w grows by 1 + α(2γ − 1)."""
    two = w_to_2w()
    A, _ = key_matrices(chain(two.mdp, two.policy), two.features, np.array([1.0, 0]), 0.99)
    assert 1 - 0.1 * A[0, 0] == pytest.approx(1.098)
    singular, _ = key_matrices(chain(two.mdp, two.policy), two.features, np.array([1.0, 0]), 0.5)
    assert singular[0, 0] == pytest.approx(0)


def test_no_fixed_point_is_an_error() -> None:
    """w→2w at γ = ½ with a reward: 0 · w = 1 has no answer."""
    process = Chain(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([1.0, 1.0]), np.array([1.0, 0.0]))
    with pytest.raises(RlnutError, match="no fixed point"):
        td_fixed_point(process, np.array([[1.0], [2.0]]), np.array([1.0, 0.0]), 0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.95), st.floats(0, 1), st.booleans())
def test_each_point_is_the_best_of_its_error(seed: int, gamma: float, lam: float, pairs: bool) -> None:
    """Off-policy garnets, V and Q: PBE 0 at the TD fixed point, and no nearby w has less VE or less BE than theirs."""
    problem = garnet(8, 3, 3, seed)
    rng = np.random.default_rng(seed)
    process, d = chain(problem.mdp, problem.policy), visits(chain(problem.mdp, problem.behaviour))
    if pairs:
        process, d = pair_chain(problem.mdp, problem.policy), (d[:, None] * problem.behaviour).reshape(-1)
    X = rng.standard_normal((len(d), 3))
    v = values(process, gamma)
    point = linear_errors(process, td_fixed_point(process, X, d, gamma), X, d, gamma, v)
    scale = 1 + point["be"]
    assert point["pbe"] < 1e-6 * scale
    best, residual = projection(v, X, d), bellman_residual(process, X, d, gamma)
    for _ in range(5):
        step = 1e-2 * rng.standard_normal(3)
        assert rms(v - X @ best, d) <= rms(v - X @ (best + step), d)
        assert rms(bellman_error(process, X @ residual, gamma), d) <= rms(
            bellman_error(process, X @ (residual + step), gamma), d
        )
    # with a table every point is the truth, whatever λ and the weighting
    table = np.eye(len(d))
    for w in (
        td_fixed_point(process, table, d, gamma, lam),
        emphatic_fixed_point(process, table, d, gamma, lam),
        projection(v, table, d),
        bellman_residual(process, table, d, gamma),
    ):
        np.testing.assert_allclose(w, v, atol=1e-6)


def test_td_lambda_equals_the_sum_of_n_step_equations() -> None:
    """T^λ v = (1 − λ) Σ λⁿ⁻¹ Tⁿ v: the fixed point of the projected sum is `td_fixed_point` (S&B 12.2)."""
    problem = garnet(6, 2, 3, 5)
    process = chain(problem.mdp, problem.policy)
    d, X, gamma, lam = visits(process), np.random.default_rng(0).standard_normal((6, 2)), 0.8, 0.6
    w = td_fixed_point(process, X, d, gamma, lam)
    v, backup, total = X @ w, X @ w, np.zeros(6)
    for n in range(200):
        backup = process.r + gamma * process.P @ backup
        total += (1 - lam) * lam**n * backup
    np.testing.assert_allclose(X @ projection(total, X, d), v, atol=1e-10)


def test_emphatic_weighting_by_hand() -> None:
    """Two states, π: 0 -> 1 -> 1, d = (½, ½), γ = ½: f = d + γPᵀf = (½, 3/2)."""
    process = Chain(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([1.0, 3.0]), np.array([1.0, 0.0]))
    X, d = np.array([[1.0], [2.0]]), np.array([0.5, 0.5])
    # Σ f(s) x(s) (r + γ v(s') − v(s)) = ½·1·(1 + w − w) + 3/2·2·(3 + w − 2w) = 0  =>  w = 19/6
    assert emphatic_fixed_point(process, X, d, 0.5)[0] == pytest.approx(19 / 6)
    # plain: ½·1·(1 + w − w) + ½·2·(3 − w) = 0  =>  w = 7/2
    assert td_fixed_point(process, X, d, 0.5)[0] == pytest.approx(3.5)


def test_td_error_is_the_variance_at_the_truth() -> None:
    """At v = v_π and γ = 1 the squared TD errors of an episode add up to the return's variance."""
    walk = random_walk(5, left=0.0)
    process = chain(walk.mdp, walk.policy)
    length = np.linalg.solve(np.eye(5) - process.P, np.ones(5))[2]
    error = td_error(outcomes(walk), walk.policy, values(process, 1), visits(process), 1)
    assert error**2 * length == pytest.approx(return_variance(outcomes(walk), walk.policy, 1)[2])


def test_td_error_with_noise_and_two_rewards_for_one_successor() -> None:
    """v = 0: TDE is E[R²]. Noise: .1² + 1; a state that pays 4 and ends, or 2 and stays, by a fair coin: (16 + 4)/2."""
    noisy = maximisation_bias()
    at_b = np.array([0, 1.0, 0])
    assert td_error(outcomes(noisy), uniform(noisy.mdp), np.zeros(3), at_b, 1) ** 2 == pytest.approx(1.01)
    coin = from_toy_text({0: {0: [(0.5, 0, 4.0, True), (0.5, 0, 2.0, False)]}}, np.ones(1))
    here, one = np.ones(1), np.ones((1, 1))
    assert td_error(outcomes(coin), one, np.zeros(1), here, 1) ** 2 == pytest.approx(10)
    # v = 3, γ = ½: δ = 4 − 3 or 2 + 1.5 − 3
    assert td_error(outcomes(coin), one, np.full(1, 3.0), here, 0.5) ** 2 == pytest.approx((1 + 0.25) / 2)


def test_return_error_is_the_mean_square_over_the_law_of_returns() -> None:
    """RE = Σ d E[(G − v)²], computed from the law itself; the projection has the least (S&B 11.24)."""
    walk = random_walk(5, left=0.0)
    law, process = outcomes(walk), chain(walk.mdp, walk.policy)
    d, X = visits(process), np.array([[1.0, s] for s in range(5)])
    w = np.array([0.2, 0.1])
    laws = [return_law(law, walk.policy, 0.9, s) for s in range(5)]
    slow = sum(d[s] * (one.values - (X @ w)[s]) ** 2 @ one.chances for s, one in enumerate(laws))
    assert return_error(law, walk.policy, X @ w, d, 0.9) ** 2 == pytest.approx(slow, abs=1e-7)
    best = projection(values(process, 0.9), X, d)
    assert return_error(law, walk.policy, X @ best, d, 0.9) < return_error(law, walk.policy, X @ (best + 0.01), d, 0.9)
