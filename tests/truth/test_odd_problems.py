"""Finite problems that dynamic programming could stumble over, solved by hand beside it."""

import numpy as np
import pytest

from rlnut.envs.counterexamples import maximisation_bias
from rlnut.errors import UsageError
from rlnut.truth.dynamic_programming import (
    chain,
    discounted_visits,
    epsilon_soft,
    policy_iteration,
    uniform,
    value_iteration,
    values,
    visits,
)
from rlnut.truth.finite import make_mdp


def lines(S: int, A: int, table: dict[tuple[int, int], dict[int, float]]) -> np.ndarray:
    """P [S, A, S] from {(s, a): {s': chance}}; what is not listed stays."""
    P = np.zeros((S, A, S))
    for s, a in np.ndindex(S, A):
        for t, p in table.get((s, a), {s: 1.0}).items():
            P[s, a, t] = p
    return P


def test_a_periodic_chain() -> None:
    """0 -> 1 -> 2 -> 0 pays 1, 2, 3: v₀ = (1 + 2γ + 3γ²)/(1 − γ³), μ even although no power of P settles."""
    mdp = make_mdp(lines(3, 1, {(s, 0): {(s + 1) % 3: 1.0} for s in range(3)}), [[1.0], [2.0], [3.0]], [1, 0, 0])
    process, g = chain(mdp, uniform(mdp)), 0.9
    assert values(process, g)[0] == pytest.approx((1 + 2 * g + 3 * g**2) / (1 - g**3))
    np.testing.assert_allclose(visits(process), np.full(3, 1 / 3))
    np.testing.assert_allclose(discounted_visits(process, 0.5), np.array([4, 2, 1]) / 7)


def test_several_recurrent_classes_at_once() -> None:
    """0 leads to the pair 1 ⇄ 2 (paying 1 and −1) or to 3, which ends; γ = 1 is refused, γ = ½ is a sum by hand."""
    P = lines(5, 1, {(0, 0): {1: 0.5, 3: 0.5}, (1, 0): {2: 1.0}, (2, 0): {1: 1.0}, (3, 0): {4: 1.0}})
    mdp = make_mdp(P, [[0.0], [1.0], [-1.0], [6.0], [0.0]], [1, 0, 0, 0, 0])
    process = chain(mdp, uniform(mdp))
    v1 = 1 / (1 + 0.5)  # 1 − ½ + ¼ − …
    np.testing.assert_allclose(values(process, 0.5), [0.25 * v1 + 0.25 * 6, v1, -v1, 6, 0])
    # a new game begins after each end, so that in the long run every one has been caught by the pair
    np.testing.assert_allclose(visits(process), [0, 0.5, 0.5, 0, 0], atol=1e-12)
    with pytest.raises(UsageError, match="state 0"):
        values(process, 1)


def test_improper_policies_at_gamma_1() -> None:
    """Waiting costs 1 (0: stay), leaving 5: staying for ever is improper and worse; without cost it is no episode."""
    P = lines(2, 2, {(0, 1): {1: 1.0}})
    for wait, best in ((-1.0, -5.0), (-0.001, -5.0)):
        mdp = make_mdp(P, [[wait, -5.0], [0.0, 0.0]], [1, 0])
        assert value_iteration(mdp, 1).V[0] == policy_iteration(mdp, 1).V[0] == best
        assert values(chain(mdp, np.array([[0.0, 1.0], [1.0, 0.0]])), 1)[0] == -5  # probability 0 of waiting: proper
        with pytest.raises(UsageError, match="γ = 1 is refused"):
            values(chain(mdp, np.array([[1.0, 0.0], [1.0, 0.0]])), 1)
    paid = make_mdp(P, [[0.5, -5.0], [0.0, 0.0]], [1, 0])
    for solve in (value_iteration, policy_iteration):
        with pytest.raises(UsageError, match="γ = 1 is refused"):
            solve(paid, 1)
        assert solve(paid, 0.5).V[0] == pytest.approx(1)


def test_what_cannot_be_reached_does_not_disturb() -> None:
    """State 2 pays 1 for ever, unreached: no value at γ = 1, 1/(1 − γ) below, and settled as well as the others."""
    mdp = make_mdp(lines(3, 1, {(0, 0): {1: 1.0}}), [[5.0], [0.0], [1.0]], [1, 0, 0])
    for solve in (value_iteration, policy_iteration):
        np.testing.assert_array_equal(solve(mdp, 1).V, [5, 0, np.nan])
        np.testing.assert_allclose(solve(mdp, 0.99).V, [5, 0, 100], atol=1e-9)


def test_an_absorbing_state_that_pays() -> None:
    """It is no terminal state: worth r/(1 − γ), and where all time is spent."""
    mdp = make_mdp(lines(2, 1, {(0, 0): {1: 1.0}}), [[0.0], [2.0]], [1, 0])
    process = chain(mdp, uniform(mdp))
    np.testing.assert_allclose(values(process, 0.5), [2, 4])
    assert visits(process).tolist() == [0, 1]


def test_policy_iteration_close_to_gamma_1() -> None:
    """γ = 1 − 1e-9: values of 1e9 do not hide which action is better: the policy of γ = .9999 again (Blackwell)."""
    rng = np.random.default_rng(0)
    mdp = make_mdp(rng.dirichlet(np.ones(30), (30, 3)), rng.standard_normal((30, 3)))
    near, nearest = policy_iteration(mdp, 0.9999), policy_iteration(mdp, 1 - 1e-9)
    np.testing.assert_array_equal(near.policy, nearest.policy)
    mean = visits(chain(mdp, near.policy)) @ np.einsum("sa,sat,sat->s", near.policy, mdp.P, mdp.R)
    assert nearest.V[0] * 1e-9 == pytest.approx(mean, rel=1e-6)


def test_epsilon_soft_over_the_actions_that_count() -> None:
    """Maximisation bias: in A two of ten actions count, so an ε = .1 greedy policy goes left in 5 %."""
    for actions in (10, 100):
        problem = maximisation_bias(actions)
        best = value_iteration(problem.mdp, 1).policy
        soft_policy = epsilon_soft(best, 0.1, problem.allowed)
        assert soft_policy[0, :2].tolist() == pytest.approx([0.05, 0.95]) and soft_policy[0, 2:].sum() == 0
        np.testing.assert_allclose(soft_policy.sum(1), 1)
