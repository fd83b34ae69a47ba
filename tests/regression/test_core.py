"""The core: its gradient is −δ pulled back, index and weight select what they say, and least squares is found."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlnut.learner.bellman import conservative
from rlnut.networks.architectures import linear, mlp
from rlnut.regression.core import regression, select
from rlnut.regression.losses import cross_entropy, huber, l2, squared
from rlnut.types import Batch

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
KEY = jax.random.key(0)
Q = Batch(X, jnp.asarray(RNG.normal(size=6), jnp.float32), jnp.array([0, 3, 1, 1, 2, 0]))
MASK = jnp.asarray(RNG.random((6, 4)) < 0.7).at[jnp.arange(6), Q.index].set(True)
WEIGHTED = Q._replace(weight=jnp.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0]), mask=MASK)
CASES = [
    (squared, Batch(X, jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)), None, None),
    (squared, Q, None, None),
    (huber(0.5), WEIGHTED, None, None),
    (squared, Q, l2(0.1), None),
    (cross_entropy, Batch(X, jnp.array([0, 1, 2, 3, 0, 1])), l2(0.01), None),
    (squared, Q, l2(0.1), conservative(0.7)),
    (huber(0.5), WEIGHTED, None, conservative(0.7)),
    (squared, Batch(X, jnp.zeros((6, 4))), None, lambda outputs, batch: (outputs**4).sum(1)),
]


@pytest.mark.parametrize("loss, batch, penalty, whole", CASES)
def test_update_is_gradient_descent_on_the_cost(loss, batch, penalty, whole):
    """With plain gradient descent of step 1 the parameters change by −∂E/∂θ, as JAX derives it from the scalar cost."""
    core = regression(mlp((5,))((4,)), loss, optax.sgd(1.0), penalty, whole)
    fit = core.init(KEY, X)
    after, metrics = jax.jit(core.update)(fit, batch)
    (value, delta), slope = jax.value_and_grad(core.loss, has_aux=True)(fit.params, batch)
    for was, now, s in zip(*map(jax.tree.leaves, (fit.params, after.params, slope)), strict=True):
        np.testing.assert_allclose(now, was - s, atol=1e-6)
    assert float(metrics["cost"]) == pytest.approx(float(value), rel=1e-5)
    assert float(metrics["delta"]) == pytest.approx(float(jnp.abs(delta).mean()), rel=1e-5)
    assert float(metrics["gradient"]) == pytest.approx(float(optax.tree.norm(slope)), rel=1e-5)
    assert int(after.step) == 1


@pytest.mark.parametrize("loss, batch, penalty, whole", CASES)
def test_cost_has_the_slope_of_its_finite_difference(loss, batch, penalty, whole):
    core = regression(mlp((5,), "tanh")((4,)), loss, None, penalty, whole)
    params = core.init(KEY, X).params
    move = jax.tree.map(lambda p: jnp.asarray(RNG.normal(size=p.shape), p.dtype), params)

    @jax.jit
    def cost(h):
        return core.loss(jax.tree.map(lambda p, m: p + h * m, params, move), batch)[0]

    h = 1e-2
    assert float(jax.grad(cost)(0.0)) == pytest.approx(float((cost(h) - cost(-h)) / (2 * h)), rel=1e-2, abs=1e-2)


def test_a_penalty_of_all_outputs_by_hand():
    """q = (1, 2, 4), taken 2, y = 7, weight 3; p = 10 Σ_{a allowed} q: E = 3(½·3² + 10·5), δ = 3, slopes 30, 0, 21."""

    def total(outputs, batch):
        return 10 * jnp.where(batch.mask, outputs, 0).sum(1)

    core = regression(linear()((3,)), squared, optax.sgd(1.0), output_penalty=total)
    x, theta = jnp.zeros((1, 1)), {"w": jnp.zeros((1, 3)), "b": jnp.array([1.0, 2, 4])}
    batch = Batch(x, jnp.array([7.0]), jnp.array([2]), jnp.array([3.0]), jnp.array([[True, False, True]]))
    fit = core.init(KEY, x)
    shaped = jax.tree.unflatten(jax.tree.structure(fit.params), sorted(jax.tree.leaves(theta), key=lambda p: p.ndim))
    after, metrics, outputs = core.step(fit._replace(params=shaped), batch)
    cost, delta = core.loss(shaped, batch)
    assert float(cost) == float(metrics["cost"]) == pytest.approx(3 * (4.5 + 50))
    assert float(delta[0]) == float(metrics["delta"]) == 3.0 and float(outputs[0]) == 4.0
    slopes = jax.tree.map(jnp.subtract, shaped, after.params)
    moved = next(p for p in jax.tree.leaves(slopes) if p.ndim == 1)
    np.testing.assert_allclose(moved, [30, 0, 30 - 3 * 3], rtol=1e-5)


def test_a_penalty_that_is_not_one_number_for_each_row_is_refused():
    core = regression(linear()((4,)), output_penalty=lambda outputs, batch: outputs)
    with pytest.raises(ValueError, match=r"an output penalty of 6 rows must be \[6\], got \(6, 4\)"):
        core.update(core.init(KEY, X), Q)


def test_delta_and_cost_by_hand():
    """ŷ = (0, 0, 0), y = (1, −2, 4), weights (1, 2, 0): E = (½·1 + 2·½·4 + 0)/3, δ = y − ŷ whatever the weights."""
    core = regression(linear()(()), squared, optax.sgd(3.0))
    x = jnp.array([[1.0], [1.0], [1.0]])
    batch = Batch(x, jnp.array([1.0, -2.0, 4.0]), weight=jnp.array([1.0, 2.0, 0.0]))
    fit = core.init(KEY, x)
    cost, delta = core.loss(fit.params, batch)
    assert float(cost) == pytest.approx(1.5)
    assert delta.tolist() == [1.0, -2.0, 4.0]
    after, _ = core.update(fit, batch)  # slope of the bias: −Σ w δ / 3 = −(1 − 4 + 0)/3 = 1, times α = 3
    assert core.predict(after.params, jnp.zeros((1, 1))).tolist() == [-3.0]


def test_only_the_chosen_outputs_learn():
    core = regression(linear()((4,)), squared, optax.sgd(0.5))
    fit = core.init(KEY, X)
    after, _ = core.update(fit, Batch(X[:2], jnp.array([1.0, 2.0]), jnp.array([3, 1])))
    change = np.asarray(core.predict(after.params, jnp.zeros((1, 3))) - core.predict(fit.params, jnp.zeros((1, 3))))[0]
    assert change.tolist() == [0.0, 0.5, 0.0, 0.25]


def test_select():
    table = jnp.arange(24).reshape(2, 3, 4)
    assert select(table, jnp.array([2, 0])).tolist() == [table[0, 2].tolist(), table[1, 0].tolist()]
    assert select(table, None) is table


def test_a_batch_of_another_shape_is_refused():
    core = regression(linear()(()))
    with pytest.raises(ValueError, match="same shape"):
        core.update(core.init(KEY, X), Batch(X, jnp.zeros((6, 1))))


def test_least_squares_is_found():
    y = jnp.asarray(RNG.normal(size=6), jnp.float32)
    core = regression(linear()(()), squared, optax.sgd(0.2))
    fit = core.init(KEY, X)
    fit = jax.jit(lambda f: jax.lax.fori_loop(0, 5000, lambda i, f: core.update(f, Batch(X, y))[0], f))(fit)
    table = np.c_[X, np.ones(6)]
    best = table @ np.linalg.lstsq(table, np.asarray(y), rcond=None)[0]
    np.testing.assert_allclose(core.predict(fit.params, X), best, atol=1e-4)


def test_noise_differs_from_step_to_step_and_never_shows_in_predictions():
    core = regression(mlp((64,), drop=0.5)(()), squared, optax.sgd(0.0))  # step size 0: only the noise changes
    batch = Batch(X, jnp.ones(6))
    first = core.init(KEY, X)
    second, one = core.update(first, batch)
    _, two = core.update(second, batch)
    _, again = core.update(first, batch)
    assert float(one["cost"]) == float(again["cost"]) != float(two["cost"])
    np.testing.assert_array_equal(core.predict(first.params, X), core.predict(second.params, X))


def test_it_vmaps_over_seeds_and_scans():
    core = regression(mlp((4,))(()))
    batch = Batch(X, jnp.ones(6))

    def learn(key):
        return jax.lax.scan(lambda f, _: core.update(f, batch), core.init(key, X), None, length=3)[0]

    many = jax.jit(jax.vmap(learn))(jax.random.split(KEY, 2))
    alone = jax.jit(learn)(jax.random.split(KEY, 2)[1])
    for a, b in zip(*map(jax.tree.leaves, (many.params, alone.params)), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-6)
