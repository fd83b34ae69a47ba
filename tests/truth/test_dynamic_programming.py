"""Dynamic programming against closed forms, published optima and hand-made chains."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.envs.counterexamples import a_b, maximisation_bias
from rlnut.envs.garnet import garnet
from rlnut.envs.gridworlds import cliff, windy_gridworld
from rlnut.envs.tabular import from_env
from rlnut.envs.walks import boyan_chain, chain_walk, random_walk
from rlnut.errors import UsageError
from rlnut.truth.dynamic_programming import (
    MDP,
    action_values,
    chain,
    discounted_visits,
    ends,
    epsilon_soft,
    limited,
    pair_chain,
    policy_iteration,
    reachable,
    ties,
    true_values,
    uniform,
    value_iteration,
    values,
    visits,
)
from rlnut.truth.finite import make_mdp
from rlnut.truth.fixed_points import exact_lspi

# V*(start) for γ = .9, .95, .99, 1 and V of the uniform policy for γ = .99
TOY_TEXT = {
    "FrozenLake-v1": ((0.06889, 0.18047, 0.54203, 14 / 17), 0.012356, 1e-5),
    "FrozenLake-v1 dry": ((0.59049, 0.95**5, 0.99**5, 1.0), 0.012356, 1e-5),
    "Taxi-v4": ((-1.2633, 1.7299, 6.3275, 7.93), -384.80, 1e-4),
    "CliffWalking-v1": ((-7.458, -9.733, -12.248, -13.0), -1072.24, 1e-3),
}


def toy(name: str) -> MDP:
    identity, _, dry = name.partition(" ")
    found = from_env(gymnasium.make(identity, **({"is_slippery": False} if dry else {})))
    assert found is not None
    return found.mdp


@pytest.mark.parametrize("name", TOY_TEXT)
def test_toy_text_optima(name: str) -> None:
    mdp = toy(name)
    best, random, near = TOY_TEXT[name]
    for gamma, value in zip((0.9, 0.95, 0.99, 1), best, strict=True):
        assert mdp.start @ value_iteration(mdp, gamma).V == pytest.approx(value, abs=near)
    found, step = value_iteration(mdp, 0.99), policy_iteration(mdp, 0.99)
    np.testing.assert_allclose(found.V, step.V, atol=1e-9)
    assert found.error <= 1e-11 and step.error < 1e-9
    assert mdp.start @ values(chain(mdp, uniform(mdp)), 0.99) == pytest.approx(random, rel=1e-4)


def test_undiscounted_optimal_policies_reach_the_goal() -> None:
    """γ = 1: among tied greedy actions some never end an episode; the policy returned must have the optimal value."""
    for name in ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"):
        mdp = toy(name)
        best = value_iteration(mdp, 1)
        kept = mdp.start @ np.nan_to_num(values(chain(mdp, best.policy), 1))
        assert kept == pytest.approx(mdp.start @ best.V, abs=1e-9)


# of 100 or 200 steps: the return of the γ = .99 optimum, the best possible, the return of the uniform policy
LIMITS = {
    "FrozenLake-v1": (100, 0.7402, 0.7442, None, 5.1e-5),
    "FrozenLake-v1 dry": (100, 1, 1, None, 5.1e-5),
    "Taxi-v4": (200, 7.93, 7.93, -771.1, 0.051),
}


@pytest.mark.parametrize("name", LIMITS)
def test_returns_inside_the_time_limit(name: str) -> None:
    mdp = toy(name)
    steps, kept, best, even, near = LIMITS[name]
    greedy = value_iteration(mdp, 0.99).policy
    assert mdp.start @ limited(mdp, steps, greedy) == pytest.approx(kept, abs=min(near, 0.005))
    assert mdp.start @ limited(mdp, steps) == pytest.approx(best, abs=min(near, 0.005))
    if even is not None:
        assert mdp.start @ limited(mdp, steps, uniform(mdp)) == pytest.approx(even, abs=near)


def test_a_limit_of_no_step_one_step_and_many() -> None:
    """0 steps pay nothing, one the reward, many the value; γ discounts them."""
    mdp = chain_walk().mdp
    pi = uniform(mdp)
    assert (limited(mdp, 0) == 0).all()
    assert limited(mdp, 1, pi).tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(limited(mdp, 400, pi, 0.9), values(chain(mdp, pi), 0.9), atol=1e-12)
    np.testing.assert_allclose(limited(mdp, 400, gamma=0.9), value_iteration(mdp, 0.9).V, atol=1e-11)


def test_uniform_cliff_walk_at_gamma_1_and_unreachable_states() -> None:
    """V(s0) = −65375; the ten cliff cells are never entered, the goal only ends episodes."""
    mdp = toy("CliffWalking-v1")
    v = true_values(mdp, uniform(mdp), 1)
    assert v[36] == pytest.approx(-65375, abs=0.5)
    assert np.isnan(v).nonzero()[0].tolist() == list(range(37, 47)) and v[47] == 0


def test_walks_and_chains_are_linear_in_the_distance() -> None:
    for states in (5, 19):
        walk = random_walk(states)
        expected = np.arange(1, states + 1) * 2 / (states + 1) - 1
        np.testing.assert_allclose(values(chain(walk.mdp, walk.policy), 1), expected, atol=1e-12)
    half = random_walk(5, left=0.0)
    np.testing.assert_allclose(values(chain(half.mdp, half.policy), 1), np.linspace(1 / 6, 5 / 6, 5), atol=1e-12)
    boyan = boyan_chain()
    process = chain(boyan.mdp, boyan.policy)
    np.testing.assert_allclose(values(process, 1), np.arange(-24, 1, 2), atol=1e-12)
    assert 1 / visits(process)[0] == pytest.approx(8.222, abs=5e-4)  # the start is left at once: μ₀ = 1/length
    np.testing.assert_allclose(values(chain(a_b().mdp, uniform(a_b().mdp)), 1), [0.75, 0.75, 0, 0])


def test_walk_of_1000_states() -> None:
    walk = random_walk(1000, 100)
    process = chain(walk.mdp, walk.policy)
    v = values(process, 1)
    assert (v[0], v[499]) == pytest.approx((-0.92196, -0.000943), abs=5e-6)
    np.testing.assert_allclose(v, -v[::-1] + (v[499] + v[500]), atol=2e-3)
    length = np.linalg.solve(np.eye(1000) - process.P, np.ones(1000))
    assert process.start @ length == pytest.approx(83.15, abs=0.005)
    mu = visits(process)
    eta = np.linalg.solve(np.eye(1000) - process.P.T, process.start)  # S&B 9.2
    np.testing.assert_allclose(mu, eta / eta.sum(), atol=1e-12)


def test_cliff_limits_of_epsilon_greedy_learning() -> None:
    """ε = .1: around Q* −50.80 (Q-learning), the best ε-soft policy −20.71 (expected SARSA), greedy −13."""
    mdp = cliff().mdp
    best = policy_iteration(mdp, 1)
    assert mdp.start @ best.V == pytest.approx(-13)
    tied = ties(best.Q) / ties(best.Q).sum(1, keepdims=True)
    online = values(chain(mdp, epsilon_soft(tied, 0.1)), 1)
    assert mdp.start @ np.nan_to_num(online) == pytest.approx(-50.80, abs=0.005)
    assert mdp.start @ value_iteration(soft(mdp, 0.1), 1).V == pytest.approx(-20.71, abs=0.005)
    # the greedy path of the best ε-soft policy takes 15 steps: it keeps away from the edge
    careful = np.eye(4)[value_iteration(soft(mdp, 0.1), 1).policy.argmax(1)]
    assert mdp.start @ np.nan_to_num(values(chain(mdp, careful), 1)) == pytest.approx(-15)
    own = from_env(gymnasium.make("CliffWalking-v1"))
    assert own is not None
    seen = reachable(chain(mdp, uniform(mdp)))
    np.testing.assert_array_equal(mdp.P[seen], own.mdp.P[seen])
    np.testing.assert_array_equal((mdp.R * mdp.P)[seen], (own.mdp.R * own.mdp.P)[seen])


def soft(mdp: MDP, epsilon: float) -> MDP:
    """The problem in which a random action replaces the chosen one with chance ε."""
    even = mdp.P.mean(1, keepdims=True)
    reward = (mdp.P * mdp.R).mean(1, keepdims=True)
    P = (1 - epsilon) * mdp.P + epsilon * even
    R = ((1 - epsilon) * mdp.P * mdp.R + epsilon * reward) / np.where(P > 0, P, 1)
    return mdp._replace(P=P, R=R)


@pytest.mark.parametrize(
    ("options", "steps", "mean"), [({}, 15, 17.05), ({"king": True}, 7, 8.19), ({"king": True, "stay": True}, 7, 8.17)]
)
def test_windy_gridworld(options: dict, steps: int, mean: float) -> None:
    mdp = windy_gridworld(**options).mdp
    assert mdp.start @ value_iteration(mdp, 1).V == pytest.approx(-steps)
    assert mdp.start @ value_iteration(soft(mdp, 0.1), 1).V == pytest.approx(-mean, abs=0.005)


@pytest.mark.parametrize(
    ("states", "rewards", "policy", "tried"),
    [
        (4, (1, 2), "RRLL", 4),
        (20, (0, 19), "L" * 10 + "R" * 10, 6),
        (50, (9, 40), "R" * 9 + "L" * 16 + "R" * 16 + "L" * 9, 7),
    ],
)
def test_chain_walks_of_lspi(states: int, rewards: tuple[int, ...], policy: str, tried: int) -> None:
    """Optimal policies; LSPI with the model and the paper's features, from "always right": policies until it repeats.

    50 states: a loss of .069 at most within 7 policies; with a table 11 policies and no loss.
    """
    walk = chain_walk(states, rewards)
    best = policy_iteration(walk.mdp, 0.9)
    one = np.ptp(best.Q, axis=1) > 1e-9  # the middle states may go either way where both are equally good
    np.testing.assert_array_equal(best.policy.argmax(1)[one], np.array(["LR".index(a) for a in policy])[one])
    assert one.sum() >= states - 2
    right = np.ones(states, int)
    path = exact_lspi(walk.mdp, walk.features, 0.9, right)
    assert len(path) == tried if states < 50 else len(path) <= tried
    loss = best.V - values(chain(walk.mdp, np.eye(2)[path[-1]]), 0.9)
    assert loss.max() < (1e-9 if states < 50 else 0.0695)
    if states == 50:
        table = exact_lspi(walk.mdp, np.eye(50), 0.9, right)
        assert len(table) == 11
        np.testing.assert_allclose(values(chain(walk.mdp, np.eye(2)[table[-1]]), 0.9), best.V, atol=1e-9)


def test_maximisation_bias_values() -> None:
    best = value_iteration(maximisation_bias().mdp, 1)
    np.testing.assert_allclose(best.V[:2], [0, -0.1])
    np.testing.assert_allclose(best.Q[0, :2], [-0.1, 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.97), st.integers(1, 8), st.integers(1, 4))
def test_bellman_equations_hold_on_random_problems(seed: int, gamma: float, states: int, actions: int) -> None:
    """V_π and Q_π satisfy their equations, Q comes out of its own chain too, and v* is above v_π."""
    problem = garnet(states, actions, min(2, states), seed)
    mdp, policy = problem.mdp, problem.policy
    assert policy is not None
    v = values(chain(mdp, policy), gamma)
    q = action_values(mdp, v, gamma)
    np.testing.assert_allclose((policy * q).sum(1), v, atol=1e-9)
    np.testing.assert_allclose(values(pair_chain(mdp, policy), gamma).reshape(q.shape), q, atol=1e-9)
    best = policy_iteration(mdp, gamma)
    assert (best.V - v > -1e-9).all()
    np.testing.assert_allclose(best.Q.max(1), best.V, atol=1e-8)
    looser = value_iteration(mdp, gamma, tolerance=1e-3)
    assert np.abs(looser.V - best.V).max() <= looser.error + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_state_distributions_are_left_alone_by_the_chain(seed: int, states: int) -> None:
    problem = garnet(states, 2, min(2, states), seed)
    process = chain(problem.mdp, problem.policy)
    mu = visits(process)
    assert mu.sum() == pytest.approx(1)
    np.testing.assert_allclose(mu @ process.P, mu, atol=1e-10)
    np.testing.assert_allclose(discounted_visits(process, 1 - 1e-9), mu, atol=1e-6)
    d = discounted_visits(process, 0.5)
    np.testing.assert_allclose(d, 0.5 * process.start + 0.5 * d @ process.P, atol=1e-12)


def test_visits_with_two_absorbing_classes_and_transient_states() -> None:
    """From 0: to the pair {1, 2} (which it visits 1 : 2) with 1/4, to 3 with 3/4, where it stays."""
    P = np.zeros((4, 1, 4))
    P[0, 0, [1, 3]], P[1, 0, 2], P[2, 0, [1, 2]], P[3, 0, 3] = (0.25, 0.75), 1, (0.5, 0.5), 1
    mdp = MDP(P, np.ones_like(P), np.zeros_like(P), np.eye(4)[0])
    np.testing.assert_allclose(visits(chain(mdp, uniform(mdp))), [0, 0.25 / 3, 0.5 / 3, 0.75], atol=1e-12)


def test_gamma_1_is_refused_only_where_it_means_nothing() -> None:
    chain4 = chain_walk().mdp
    for solve in (lambda g: values(chain(chain4, uniform(chain4)), g), lambda g: value_iteration(chain4, g)):
        with pytest.raises(UsageError, match="γ = 1 is refused"):
            solve(1)
    # state 2 circles for ever but cannot be reached from the start, which ends at once
    P = np.zeros((3, 1, 3))
    P[0, 0, 1], P[1, 0, 1], P[2, 0, 2] = 1, 1, 1
    mdp = make_mdp(P, [[5.0], [0.0], [1.0]], start=[1, 0, 0])
    np.testing.assert_array_equal(values(chain(mdp, uniform(mdp)), 1), [5, 0, np.nan])
    np.testing.assert_array_equal(true_values(mdp, uniform(mdp), 1), [5, 0, np.nan])
    assert ends(chain(mdp, uniform(mdp))).tolist() == [True, True, False]
    with pytest.raises(UsageError, match="state 2"):
        true_values(mdp._replace(start=np.array([0.5, 0, 0.5])), uniform(mdp), 1)
    for gamma in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="γ must be"):
            values(chain(mdp, uniform(mdp)), gamma)


def test_a_reward_loop_without_end_is_refused() -> None:
    """γ = 1: one may stop (0) or collect 1 for ever; v* is infinite."""
    mdp = make_mdp([[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(UsageError, match="γ = 1 is refused"):
        value_iteration(mdp, 1)
    assert value_iteration(mdp, 0.9).V[0] == pytest.approx(10)
