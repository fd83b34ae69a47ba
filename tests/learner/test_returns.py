"""Fast targets against the oracle, against rlax, and against numbers worked out by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.peers import rlax_module
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import oracle
from rlnut.errors import UsageError
from rlnut.learner.returns import (
    Correction,
    fold,
    importance,
    on_policy,
    q_lambda,
    retrace,
    returns,
    tree_backup,
    v_trace,
)

ACTIONS = 3


class Data:
    """A random trajectory [T] with terminations and truncations in the middle, on- and off-policy quantities."""

    def __init__(self, seed: int, T: int) -> None:
        rng = np.random.default_rng(seed)
        self.q, self.pi = rng.standard_normal((T, ACTIONS)), rng.dirichlet(np.ones(ACTIONS), T)
        self.action = rng.integers(0, ACTIONS, T)
        terminated, truncated = rng.random(T) < 0.15, rng.random(T) < 0.15
        end = terminated | truncated
        # nothing ties v(s_t) to the value of a successor: they may come from two networks
        self.q_next, self.pi_next = rng.standard_normal((T, ACTIONS)), rng.dirichlet(np.ones(ACTIONS), T)
        taken = np.take_along_axis(self.q, self.action[:, None], 1)[:, 0]
        following = np.roll(self.action, -1)[:, None]  # the last one is not used
        self.next_q = np.take_along_axis(self.q_next, following, 1)[:, 0]
        self.taken_pi = np.roll(np.take_along_axis(self.pi_next, following, 1)[:, 0], 1)
        reward, discount = rng.standard_normal(T), 0.9 * ~terminated
        self.rho = rng.uniform(0, 2, T)
        self.path = oracle.Trajectory(taken, reward, discount, (self.q_next * self.pi_next).sum(1), end)
        self.states = self.path._replace(next_v=rng.standard_normal(T))

    def fast(self, rule: Correction, n: int | None = None, states: bool = False, next_q: bool = False) -> np.ndarray:
        """In the shape [T, 2], jitted: the second column is the first one scaled by 2 (rewards and values)."""
        v, r, d, nv, e = self.states if states else self.path
        two = [np.stack([x, k * x], 1) for x, k in ((v, 2), (r, 2), (d, 1), (nv, 2), (e, 1))]
        columns = [np.broadcast_to(x, len(v))[:, None] for x in (rule.trace, rule.gain)]
        replaced = np.stack([self.next_q, 2 * self.next_q], 1) if next_q else None
        y = np.asarray(compiled(*two[:4], two[4].astype(bool), replaced, *columns, rule.ahead, rule.summed, n))
        np.testing.assert_allclose(y[:, 1], 2 * y[:, 0], atol=1e-4, rtol=1e-4)
        return y[:, 0]


@partial(jax.jit, static_argnums=(8, 9, 10))
def compiled(v, r, d, nv, e, next_q, trace, gain, ahead, summed, n):
    return returns(v, r, d, nv, e, Correction(trace, gain, ahead, summed), n, next_q)


# few lengths, because each is compiled
paths = st.builds(Data, st.integers(0, 100_000), st.sampled_from([1, 2, 13]))
lengths = st.sampled_from([1, 2, 3, 7, 40])
unit = st.floats(0, 1)


@settings(max_examples=25, deadline=None)
@given(paths, unit, lengths)
def test_fast_equals_slow(data: Data, lam: float, n: int) -> None:
    path, states, rho = data.path, data.states, data.rho
    pairs = [
        (data.fast(on_policy(lam), states=True), oracle.lambda_return(states, lam)),
        (data.fast(on_policy(1.0), n, True), oracle.n_step(states, n)),
        (data.fast(on_policy(lam)), oracle.lambda_return(path, lam)),
        (data.fast(on_policy(1.0), n), oracle.n_step(path, n)),
        (data.fast(importance(rho, lam), states=True), oracle.importance(states, rho, lam)),
        (data.fast(importance(rho, lam, actions=True)), oracle.q_importance(path, rho, lam)),
        (data.fast(retrace(rho, lam)), oracle.retrace(path, rho, lam)),
        (data.fast(q_lambda(lam)), oracle.q_lambda(path, lam)),
        (data.fast(v_trace(rho, lam, 1.2, 0.7)), oracle.v_trace(path, rho, lam, 1.2, 0.7)),
        (data.fast(importance(rho, lam), n, True), oracle.importance(states, rho, lam, n)),
        (data.fast(importance(rho, lam, actions=True), n), oracle.q_importance(path, rho, lam, n)),
        (data.fast(retrace(rho, lam), n), oracle.retrace(path, rho, lam, n)),
        (data.fast(q_lambda(lam), n), oracle.q_lambda(path, lam, n)),
        (data.fast(v_trace(rho, lam, 1.2, 0.7), n), oracle.v_trace(path, rho, lam, 1.2, 0.7, n)),
        (
            data.fast(tree_backup(data.taken_pi), n, next_q=True),
            oracle.tree_backup(path, data.q_next, data.pi_next, data.action, n),
        ),
    ]
    for ours, truth in pairs:
        np.testing.assert_allclose(ours, truth, atol=2e-4, rtol=2e-4)


@settings(max_examples=25, deadline=None)
@given(paths, lengths)
def test_folded_transitions_give_the_n_step_return(data: Data, n: int) -> None:
    path = data.path
    folded = jax.jit(fold, static_argnums=3)(
        jnp.asarray(path.reward), jnp.asarray(path.discount), jnp.asarray(path.end), n
    )
    host = fold(path.reward, path.discount, path.end, n)
    for ours, theirs in zip(host, folded, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    y = folded.reward + folded.discount * path.next_v[np.asarray(folded.last)]
    np.testing.assert_allclose(y, oracle.n_step(path, n), atol=1e-5, rtol=1e-5)
    steps = np.asarray(folded.last) - np.arange(len(path.v))
    assert (steps >= 0).all() and (steps < n).all()


def test_values_of_two_networks_against_rlax() -> None:
    """v(s_t) and v(s_{t+1}) from different networks, no end in the middle."""
    rlax = rlax_module()
    rng = np.random.default_rng(3)
    v, r, nv = (jnp.asarray(x) for x in rng.standard_normal((3, 9)))
    d, e = jnp.asarray(rng.uniform(0, 1, 9)), jnp.zeros(9, bool)
    rho, nq = jnp.asarray(rng.uniform(0, 2, 9)), jnp.asarray(rng.standard_normal(9))
    np.testing.assert_allclose(
        returns(v, r, d, nv, e, retrace(rho, 0.9), next_q=nq),
        rlax.general_off_policy_returns_from_q_and_v(nq[:-1], nv, r, d, 0.9 * jnp.minimum(1.0, rho[1:])), atol=1e-5
    )  # fmt: skip
    for lam in (0.0, 0.6, 1.0):
        np.testing.assert_allclose(
            returns(v, r, d, nv, e, on_policy(lam)), rlax.lambda_returns(r, d, nv, lam), atol=1e-5
        )
        np.testing.assert_allclose(
            returns(v, r, d, nv, e, v_trace(rho, lam)) - v, rlax.vtrace(v, nv, r, d, rho, lam), atol=1e-5
        )
    for n in (1, 2, 5, 9, 20):
        np.testing.assert_allclose(
            returns(v, r, d, nv, e, on_policy(1.0), n),
            rlax.n_step_bootstrapped_returns(r, d, nv, n) if n <= 9 else rlax.lambda_returns(r, d, nv, 1.0),
            atol=1e-5,
        )


def test_against_rlax() -> None:
    """On one episode without an end in the middle, where rlax has the same function."""
    rlax = rlax_module()
    data = Data(7, 12)
    path = data.path._replace(end=np.zeros(12, bool))
    path = path._replace(next_v=np.append(path.v[1:], 0.3))
    v, r, d, nv, e = (jnp.asarray(x) for x in path)
    rho = jnp.asarray(data.rho)

    def check(ours, theirs) -> None:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    check(returns(v, r, d, nv, e, on_policy(0.7)), rlax.lambda_returns(r, d, nv, 0.7))
    check(returns(v, r, d, nv, e, on_policy(1.0), 3), rlax.n_step_bootstrapped_returns(r, d, nv, 3))
    check(returns(v, r, d, nv, e, v_trace(rho, 0.8)) - v, rlax.vtrace(v, nv, r, d, rho, 0.8))
    q, pi = jnp.asarray(data.q), jnp.asarray(data.pi)
    expected = (pi * q).sum(1)
    theirs = rlax.general_off_policy_returns_from_q_and_v(
        v[1:-1], expected[1:], r[:-1], d[:-1], 0.9 * jnp.minimum(1.0, rho[1:-1])
    )
    np.testing.assert_allclose(
        returns(v[:-1], r[:-1], d[:-1], expected[1:], e[:-1], retrace(rho[:-1], 0.9)), theirs, atol=1e-5
    )


def test_by_hand() -> None:
    """Rewards 1, 2, 4; D = ½ each; values 10, 20, 40, then 80; λ = ½; ρ = (2, ½, 3). All arguments matter."""
    v, nv = jnp.array([10.0, 20, 40]), jnp.array([20.0, 40, 80])
    r, d, e = jnp.array([1.0, 2, 4]), jnp.full(3, 0.5), jnp.array([False, False, False])
    rho = jnp.array([2.0, 0.5, 3.0])
    # δ = (1, 2, 4)
    np.testing.assert_allclose(returns(v, r, d, nv, e, on_policy(0.5)), [10 + 1 + (2 + 1) / 4, 20 + 2 + 1, 44])
    np.testing.assert_allclose(returns(v, r, d, nv, e, on_policy(1.0), 2), [1 + 1 + 10, 2 + 2 + 20, 44])
    # V: A = ρδ + ½·½ρ A':  A₂ = 12, A₁ = 1 + 12/8 = 2.5, A₀ = 2 + 2.5/2
    np.testing.assert_allclose(returns(v, r, d, nv, e, importance(rho, 0.5)), [13.25, 22.5, 52])
    # Q: A = δ + ½·½ρ' A':  A₂ = 4, A₁ = 2 + ¾·4 = 5, A₀ = 1 + 5/8
    np.testing.assert_allclose(returns(v, r, d, nv, e, importance(rho, 0.5, True)), [11.625, 25, 44])
    # Retrace: min(1, ρ') = ½, 1:  A₁ = 2 + ¼·4 = 3, A₀ = 1 + 3/8
    np.testing.assert_allclose(returns(v, r, d, nv, e, retrace(rho, 0.5)), [11.375, 23, 44])
    # V-trace: u = (1, ½, 1), c = ½(1, ½, 1): A₂ = 4, A₁ = 1 + ½·¼·4 = 1.5, A₀ = 1 + ¼·1.5
    np.testing.assert_allclose(returns(v, r, d, nv, e, v_trace(rho, 0.5)), [11.375, 21.5, 44])
    # the successors' values by another network, 100, 200, 80: the λ-return never reads v(s_t)
    other = jnp.array([100.0, 200, 80])
    np.testing.assert_allclose(  # 4 + 40 = 44, 2 + ½(½·200 + ½·44) = 63, 1 + ½(½·100 + ½·63) = 41.75
        returns(v, r, d, other, e, on_policy(0.5)), [41.75, 63, 44]
    )
    np.testing.assert_allclose(returns(v, r, d, other, e, on_policy(1.0), 2), [1 + 1 + 50, 2 + 2 + 20, 44])
    # a truncated row in the middle bootstraps, a terminated one does not; neither lets A through
    cut = jnp.array([False, True, False])
    np.testing.assert_allclose(returns(v, r, d, nv, cut, on_policy(1.0)), [1 + 0.5 * 22, 22, 44])
    np.testing.assert_allclose(returns(v, r, d.at[1].set(0), nv, cut, on_policy(1.0)), [2, 2, 44])


def test_projections_by_hand() -> None:
    atoms = np.array([0.0, 1, 2])
    shared = oracle.categorical_projection(np.array([-1, 0.25, 1, 5]), np.array([0.1, 0.4, 0.2, 0.3]), atoms)
    np.testing.assert_allclose(shared, [0.1 + 0.3, 0.1 + 0.2, 0.3])
    np.testing.assert_allclose(
        oracle.quantile_projection(np.array([3.0, 1, 2]), np.array([0.5, 0.25, 0.25]), 4), [1, 2, 3, 3]
    )


def test_refusals() -> None:
    x = jnp.zeros((4, 2))
    with pytest.raises(UsageError, match="one shape"):
        returns(x, x[:, 0], x, x, x, on_policy(1.0))
    with pytest.raises(UsageError, match="next_q is for corrections of action values"):
        returns(x, x, x, x, x, on_policy(1.0), next_q=x)
    with pytest.raises(UsageError, match="n must be >= 1, got 0"):
        fold(x, x, x.astype(bool), 0)
