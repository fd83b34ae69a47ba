"""Shapes are checked while the tests run: a swapped axis or [B, 1] for [B] is refused where it would broadcast."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.shapes import CHECKED, same_lead

from rlnut import types
from rlnut.errors import UsageError
from rlnut.learner.behaviour import epsilon_greedy_behaviour, sample
from rlnut.learner.bellman import double_policy, q_problem, softmax_policy
from rlnut.learner.explore import allowed, nth_allowed
from rlnut.learner.readout import categorical, mixture, project, two_hot
from rlnut.learner.replay import replay
from rlnut.learner.returns import fold, on_policy, returns
from rlnut.networks.architectures import linear
from rlnut.networks.layers import layer_norm
from rlnut.networks.recurrent_networks import gru, scan
from rlnut.regression.core import regression, select
from rlnut.regression.losses import quantile_huber, squared
from rlnut.types import Batch, Transition

checked = pytest.mark.skipif(types.Shaped.__module__ == "typing", reason="jaxtyping or beartype is missing")
T, N, A = 5, 3, 4
X = np.zeros((T, N), np.float32)
Q = np.arange(N * A, dtype=np.float32).reshape(N, A)
FLAGS = np.zeros((T, N), bool)
SEEN = Transition(np.zeros((T, N, 2), np.float32), X.astype(int), X, X, np.zeros((T, N, 2), np.float32), FLAGS, ~FLAGS)
SWAPPED: list[Any] = [
    pytest.param(lambda: allowed(Q, np.ones((A, N), bool)), id="mask [A, N]"),
    pytest.param(lambda: allowed(Q, np.ones((1, A), bool)), id="mask [1, A]"),
    pytest.param(lambda: nth_allowed(np.ones((N, A), bool), np.zeros((N, 1), int)), id="[N, 1] for [N]"),
    pytest.param(lambda: epsilon_greedy_behaviour(Q, None, np.zeros((N, 1))), id="ε [N, 1]"),
    pytest.param(lambda: sample(Q, np.zeros((N, 1))), id="u [N, 1]"),
    pytest.param(lambda: double_policy(Q, Q.T), id="q [A, N]"),
    pytest.param(lambda: softmax_policy(Q, 1.0, np.ones((N, 1), bool)), id="mask [N, 1]"),
    pytest.param(lambda: mixture(Q, np.zeros((A, N, 2))), id="atoms [A, N, n]"),
    pytest.param(lambda: project(two_hot(0.0, 1.0, 2), Q, Q[:1]), id="chances of one row"),
    pytest.param(lambda: categorical(0.0, 1.0, A).target(Q[:, :1], Q[:, 0], Q), id="reward [B, 1]"),
    pytest.param(lambda: select(jnp.asarray(Q), jnp.zeros((1,), int)), id="index [1] for [B]"),
    pytest.param(lambda: layer_norm().apply({"gamma": np.ones((N, 1)), "beta": np.ones(A)}, np.ones(A)), id="γ [N, 1]"),
    pytest.param(lambda: scan(gru(2), gru(2).init(jax.random.key(0), Q), jnp.asarray(Q)), id="[B, D] for [B, T, D]"),
    pytest.param(lambda: replay(40).add(replay(40).init(row(SEEN), T), SEEN._replace(reward=X.T)), id="reward [N, T]"),
    pytest.param(lambda: replay(40).add(replay(40).init(row(SEEN), T), SEEN._replace(end=FLAGS[..., None])), id="end"),
    pytest.param(lambda: bellman(discount=X[:, :1]), id="discount [T, 1]"),
    pytest.param(lambda: bellman(end=FLAGS.T), id="end [N, T]"),
]


def row(seen: Transition) -> Transition:
    """One row of experience."""
    return jax.tree.map(lambda a: a[0], seen)


def bellman(**changes: Any) -> Batch:
    """The targets of experience in which something has another shape."""

    def outputs(params: object, x: Any, key: object) -> jax.Array:
        return jnp.zeros((*x.shape[:-1], A))

    problem = q_problem(outputs)
    return problem(None, None, SEEN._replace(**changes), jax.random.key(0))


@checked
@pytest.mark.parametrize("call", SWAPPED)
def test_a_swapped_axis_is_refused_with_its_place_and_shape(call: Any) -> None:
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError, match=r"(?s)checking the (parameters|return value) of rlnut\..*Expected type"):
        call()


@checked
def test_shapes_are_checked_under_jit_and_vmap_too() -> None:
    from jaxtyping import TypeCheckError

    rows = jax.vmap(lambda q, mask: jax.jit(allowed)(q, mask))(Q, np.ones((N, A), bool))
    np.testing.assert_array_equal(rows, Q)
    with pytest.raises(TypeCheckError):
        jax.vmap(lambda q, mask: jax.jit(allowed)(q, mask), (0, None))(np.stack([Q, Q]), np.ones((A, N), bool))


def test_what_users_call_refuses_by_itself() -> None:
    """Trajectories, losses and the weights of a batch have messages of their own, in every program."""
    with pytest.raises(UsageError, match=r"one shape .* reward \(3, 5\)"):
        returns(X, X.T, X, X, FLAGS, on_policy(1.0))
    with pytest.raises(UsageError, match="one shape"):
        fold(X, X[:, :1], FLAGS, 2)
    with pytest.raises(ValueError, match=r"squared: prediction \(3, 1\)"):
        squared(jnp.zeros((3, 1)), jnp.zeros(3))
    with pytest.raises(ValueError, match="quantile_huber: prediction"):
        quantile_huber()(jnp.zeros((3, 2, 2)), jnp.zeros((2, 4)))
    core = regression(linear()(()))
    fit = core.init(jax.random.key(0), Q)
    with pytest.raises(ValueError, match=r"3 rows needs weights of shape \(3,\), got \(3, 1\)"):
        core.update(fit, Batch(jnp.asarray(Q), jnp.zeros(3), weight=jnp.ones((3, 1))))


def test_the_leading_axes_of_experience() -> None:
    assert same_lead(SEEN) and same_lead(row(SEEN))
    assert not same_lead(SEEN._replace(obs=SEEN.obs.swapaxes(0, 1)))
    assert not same_lead(SEEN._replace(valid=~FLAGS[..., None]))


def test_users_pay_nothing() -> None:
    """In a program without the tests nothing is wrapped, and neither jaxtyping nor beartype is imported by us."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from rlnut import types; from rlnut.learner.explore import allowed\n"
        "import typing; assert types.Shaped is typing.Annotated and not hasattr(allowed, '__wrapped__')\n"
        "assert 'beartype' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(name.startswith("rlnut.") for name in CHECKED)
