"""Optimisers by name against optax's own, decay by hand, schedules at their ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlnut.choices import OPTIMIZERS
from rlnut.choices import SCHEDULES as SCHEDULE_NAMES
from rlnut.regression.optimizers import DIRECTIONS, SCHEDULES, optimizer

START = {"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([3.0])}
TRUTH = {
    "adam": optax.adam(0.1),
    "nadam": optax.nadam(0.1),
    "radam": optax.radam(0.1),
    "amsgrad": optax.amsgrad(0.1),
    "adabelief": optax.adabelief(0.1),
    "lion": optax.lion(0.1, weight_decay=0.0),
    "rmsprop": optax.rmsprop(0.1),
    "adagrad": optax.adagrad(0.1),
    "momentum": optax.sgd(0.1, 0.9),
    "nesterov": optax.sgd(0.1, 0.9, nesterov=True),
    "sgd": optax.sgd(0.1),
}


def path(method: optax.GradientTransformation, steps: int = 3):
    """θ after some steps down E = ½ ‖w‖² + ½ ‖b‖⁴."""
    params, state = START, method.init(START)
    for _ in range(steps):
        grads = jax.tree.map(lambda p: p if p.ndim == 2 else 2 * p**3, params)
        changes, state = method.update(grads, state, params)
        params = optax.apply_updates(params, changes)
    return params


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_is_optax_s_own(name):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        path(optimizer(name, 0.1, "constant", 3)),
        path(TRUTH[name]),
    )


def test_the_words_are_those_of_the_settings():
    assert list(OPTIMIZERS) == list(DIRECTIONS) and list(SCHEDULE_NAMES) == list(SCHEDULES)


def test_decay_is_decoupled_and_leaves_biases_free():
    ours, theirs = optimizer("adam", 0.1, "constant", 3, 0.5), optax.adamw(0.1, weight_decay=0.5)
    np.testing.assert_allclose(path(ours)["w"], path(theirs)["w"], rtol=1e-6)
    np.testing.assert_allclose(path(ours)["b"], path(TRUTH["adam"])["b"], rtol=1e-6)
    # one step of SGD by hand: w − α (w + decay·w)
    np.testing.assert_allclose(path(optimizer("sgd", 0.1, "constant", 3, 0.5), 1)["w"], 0.85 * START["w"], rtol=1e-6)


def test_schedules_by_hand():
    """After 0, half, and all of 100 updates: 0.1, then where the line, the cosine and the cycle are."""
    at = {
        name: [float(jnp.asarray(of(0.1, 100)(s))) for s in (0, 50, 100)]
        for name, of in SCHEDULES.items()
        if name != "constant"
    }
    np.testing.assert_allclose(at["linear"], [0.1, 0.05, 0], atol=1e-7)
    np.testing.assert_allclose(at["cosine"], [0.1, 0.05, 0], atol=1e-7)
    cycle = SCHEDULES["one-cycle"](0.1, 100)
    assert float(cycle(30)) == pytest.approx(0.1) and at["one-cycle"][0] == pytest.approx(0.1 / 25)
    assert at["one-cycle"][2] < 1e-4 < at["one-cycle"][1] < 0.1
    assert SCHEDULES["constant"](0.1, 100) == 0.1
