"""Bellman targets against tables worked by hand and against rlax; the same update for labels and for targets."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.peers import rlax_module
from scipy.special import logsumexp

from rlnut import Batch, Model, Transition, linear, mlp
from rlnut.learner.agent import Pace, feed_forward, value_agent
from rlnut.learner.bellman import Next, conservative, double_policy, greedy_policy, munchausen, q_problem, soft_policy
from rlnut.learner.explore import epsilon_greedy, linear_schedule
from rlnut.learner.readout import bootstrap, categorical, quantiles, scalar
from rlnut.learner.replay import replay
from rlnut.regression.core import regression, select


def f32(values: Any) -> np.ndarray:
    """A float32 array."""
    return np.asarray(values, np.float32)


# one row each: terminated, truncated or running; q(s',·) online and target chosen so that every swap changes y
ONLINE = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, 0.0], [0.0, 1.0, 9.0]], np.float32)
TARGET = np.array([[10.0, 20.0, 70.0], [30.0, 50.0, 40.0], [80.0, 10.0, 60.0]], np.float32)
REWARD = np.array([1.0, 2.0, 3.0], np.float32)
DISCOUNT = np.array([0.9, 0.0, 0.5], np.float32)  # running; terminated (γ·0); another γ


def seen(**changes) -> Transition:
    now = np.eye(3, dtype=np.float32)
    end = np.array([False, True, True])
    rows = Transition(now, np.array([2, 0, 1]), REWARD, DISCOUNT, now + 3, end, np.ones(3, bool))
    return rows._replace(**changes)


KEY = jax.random.key(0)


def table(params, obs, key=None):
    """q(s', ·) for next observations (all > 2) only: reading the wrong observation gives NaN."""
    return jnp.where(obs.min(1, keepdims=True) > 2, params, jnp.nan)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (greedy_policy, [1 + 0.9 * 70, 2.0, 3 + 0.5 * 80]),  # max of the target net
        (double_policy, [1 + 0.9 * 20, 2.0, 3 + 0.5 * 60]),  # online argmax 1, 0, 2, evaluated by the target net
    ],
)
def test_targets_by_hand(rule, expected):
    batch = q_problem(table, rule)(ONLINE, TARGET, seen(), KEY)
    np.testing.assert_allclose(batch.y, expected, rtol=1e-6)
    np.testing.assert_array_equal(batch.index, [2, 0, 1])
    np.testing.assert_array_equal(batch.x, np.eye(3))


def test_truncation_bootstraps_and_termination_does_not():
    y = q_problem(table)(ONLINE, TARGET, seen(discount=np.array([0.9, 0.9, 0.0], np.float32)), KEY).y
    np.testing.assert_allclose(y, [64.0, 2 + 0.9 * 50, 3.0], rtol=1e-6)  # `end` of the rows plays no part


@pytest.mark.parametrize("rule", [greedy_policy, double_policy])
def test_delta_is_rlax(rule):
    rlax = rlax_module()
    rng = np.random.default_rng(0)
    q, q_next, q_target = rng.normal(size=(3, 40, 4)).astype(np.float32)
    action, reward = rng.integers(4, size=40), rng.normal(size=40).astype(np.float32)
    discount = np.where(rng.random(40) < 0.3, 0, 0.97).astype(np.float32)
    rows = Transition(np.zeros((40, 1)), action, reward, discount, np.zeros((40, 1)), discount == 0, np.ones(40, bool))
    batch = q_problem(lambda params, obs, key: params, rule)(q_next, q_target, rows, KEY)
    ours = batch.y - np.take_along_axis(q, action[:, None], 1)[:, 0]
    if rule is greedy_policy:
        theirs = jax.vmap(rlax.q_learning)(q, action, reward, discount, q_target)
    else:
        theirs = jax.vmap(rlax.double_q_learning)(
            q, action, reward, discount, q_target, q_next
        )  # (q_t value, q_t selector)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"bootstrap: shapes \(3,\)"):
        bootstrap(REWARD, DISCOUNT[:, None], REWARD)


def test_the_same_update_fits_labels_and_bellman_targets():
    """The one idea: `Regression.update` does not know where y comes from."""
    core = regression(linear()((2,)), optimizer=optax.sgd(0.5))
    x = jnp.eye(3)
    fit = core.init(jax.random.key(0), x)
    labels = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    update, supervised = jax.jit(core.update), fit
    for _ in range(200):
        supervised, _ = update(supervised, Batch(x, labels))
    np.testing.assert_allclose(core.predict(supervised.params, x), labels, atol=1e-3)
    # a chain 0 -> 1 -> 2 -> end with reward 1 each; action 1 ends at once with reward 0
    rows = Transition(jnp.repeat(x, 2, 0), jnp.tile(jnp.array([0, 1]), 3), jnp.tile(jnp.array([1.0, 0.0]), 3),
                      jnp.array([0.5, 0, 0.5, 0, 0, 0]), jnp.repeat(jnp.roll(x, -1, 0), 2, 0),
                      jnp.zeros(6, bool), jnp.ones(6, bool))  # fmt: skip
    target, learned = jax.jit(q_problem(lambda params, obs, key: core.predict(params, obs))), fit
    for _ in range(400):
        learned, _ = update(learned, target(learned.params, learned.params, rows, KEY))
    np.testing.assert_allclose(core.predict(learned.params, x), [[1.75, 0], [1.5, 0], [1.0, 0]], atol=1e-3)


def test_the_gradient_of_a_td_update_is_the_semi_gradient():
    """∂E/∂θ with y held fixed, by finite differences; the full gradient is another number."""
    model = mlp((5,), "tanh")((2,))
    core = regression(model, optimizer=optax.sgd(1.0))
    rng = np.random.default_rng(1)
    obs, after = rng.normal(size=(2, 8, 3)).astype(np.float32)
    rows = Transition(obs, rng.integers(2, size=8), rng.normal(size=8).astype(np.float32), np.full(8, 0.9, np.float32),
                      after, np.zeros(8, bool), np.ones(8, bool))  # fmt: skip
    fit = core.init(jax.random.key(2), obs)
    problem = q_problem(lambda params, obs, key: model.apply(params, obs))
    batch = problem(fit.params, fit.params, rows, KEY)
    moved, _ = core.update(fit, batch)
    step = jax.tree.map(lambda a, b: a - b, fit.params, moved.params)  # α = 1: the gradient
    direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), fit.params)
    along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: jnp.vdot(g, d), step, direction)))
    size = 1e-2

    def cost(shift: float, fixed: bool) -> float:
        params = jax.tree.map(lambda p, d: p + shift * d, fit.params, direction)
        return float(core.loss(params, batch if fixed else problem(params, params, rows, KEY))[0])

    semi = (cost(size, True) - cost(-size, True)) / (2 * size)
    full = (cost(size, False) - cost(-size, False)) / (2 * size)
    assert abs(along - semi) < 2e-3 * max(1, abs(semi))
    assert abs(along - full) > 10 * abs(along - semi)


def test_soft_values_are_logsumexp():
    """v = τ ln Σ_a exp(q⁻/τ), over the allowed actions only."""
    mask = np.array([[True, True, False], [True, True, True], [False, True, False]])
    for temperature in (0.5, 20.0):
        for allowed in (None, mask):
            y = q_problem(table, soft_policy(temperature))(ONLINE, TARGET, seen(next_mask=allowed), KEY).y
            v = temperature * logsumexp(TARGET / temperature, axis=1, b=1.0 if allowed is None else allowed)
            np.testing.assert_allclose(y, REWARD + DISCOUNT * v, rtol=1e-5)


def test_munchausen_by_its_formula():
    """r + α clip(τ ln π(a|s), l₀, 0) + γ Σ π (q⁻ − τ ln π), π of the target net at s and s'."""
    now = np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 3.5], [2.0, 2.0, 2.0]], np.float32)

    def apply(params, obs, key):
        return jnp.where(obs.min(1, keepdims=True) > 2, params[1], params[0])

    online, target = (np.full((3, 3), np.nan, np.float32), ONLINE), (now, TARGET)  # q of the online net at s: unused
    tau, share, lowest = 2.0, 0.7, -3.0
    y = q_problem(apply, soft_policy(tau), extra=munchausen(tau, share, lowest))(online, target, seen(), KEY).y
    log = now / tau - logsumexp(now / tau, axis=1, keepdims=True)
    taken = tau * log[[0, 1, 2], [2, 0, 1]]
    assert taken.min() < lowest < taken.max()
    expected = REWARD + share * np.clip(taken, lowest, 0) + DISCOUNT * tau * logsumexp(TARGET / tau, axis=1)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("rule", "expected"), [(greedy_policy, [20.0, 50.0, 10.0]), (double_policy, [20.0, 30.0, 10.0])]
)
def test_what_is_not_allowed_is_never_bootstrapped_from(rule, expected):
    """The best action of all is forbidden in rows 0 and 2; −∞ reaches nothing."""
    mask = np.array([[True, True, False], [True, True, True], [False, True, False]])
    ones = np.ones(3, np.float32)
    batch = q_problem(table, rule)(ONLINE, TARGET, seen(next_mask=mask, discount=ones), KEY)
    np.testing.assert_allclose(batch.y, REWARD + expected, rtol=1e-6)


def test_groups_of_actions_are_averaged():
    """Decoupled Q: v(s') = mean_d max_k q_d(s', k), ŷ = mean_d q_d(s, a_d) (Seyde et al. 2023, eq. 2)."""
    q = np.arange(12, dtype=np.float32).reshape(2, 2, 3) ** 2
    rows = Transition(np.zeros((2, 1)), np.array([[0, 2], [1, 1]]), f32([1, 2]), f32([0.5, 1]),
                      np.zeros((2, 1)), np.zeros(2, bool), np.ones(2, bool))  # fmt: skip
    batch = q_problem(lambda params, obs, key: params)(q, q, rows, KEY)
    np.testing.assert_allclose(batch.y, [1 + 0.5 * (4 + 25) / 2, 2 + (64 + 121) / 2])
    np.testing.assert_allclose(select(jnp.asarray(q), batch.index), [(0 + 25) / 2, (49 + 100) / 2])


def test_a_distribution_is_mixed_by_the_policy_of_the_next_state():
    """Double C51: the online means select, the target's law is projected; a swap gives another y."""
    readout = categorical(0.0, 2.0, 3)
    online = jnp.log(jnp.array([[[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]]))
    target = jnp.log(jnp.array([[[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]]))
    rows = Transition(np.zeros((1, 1)), np.array([0]), f32([0]), f32([1]), np.zeros((1, 1)),
                      np.zeros(1, bool), np.ones(1, bool))  # fmt: skip
    for rule, law in ((double_policy, [0.6, 0.3, 0.1]), (greedy_policy, [0.1, 0.2, 0.7])):
        y = q_problem(lambda params, obs, key: params, rule, readout)(online, target, rows, KEY).y
        np.testing.assert_allclose(y[0], law, atol=1e-6)


def opposite(params, obs, key):
    """Two actions of mean 0, with the quantile functions τ − ½ and ½ − τ at 8 random fractions: [B, 2, 8, 2]."""
    tau = jax.random.uniform(key, (len(obs), 8))
    return jnp.stack([jnp.stack([tau - 0.5, 0.5 - tau], 1), jnp.stack([tau, tau], 1)], -1)


def noisy_zeros(params, obs, key):
    """Two actions whose value is 0, read through noise: [B, 2]."""
    return jax.random.normal(key, (len(obs), 2))


@pytest.mark.parametrize("rule", [greedy_policy, double_policy, soft_policy(1e-3)], ids=["greedy", "double", "soft"])
@pytest.mark.parametrize(
    ("apply", "readout"), [(opposite, quantiles(8)), (noisy_zeros, None)], ids=["fractions", "noisy weights"]
)
def test_a_random_network_chooses_with_one_draw_and_evaluates_with_another(apply, readout, rule):
    """All values are 0: so is the mean target, within 4 standard errors; one draw for both gave .08 and .56."""
    rows = 20_000
    zeros, flags = np.zeros((rows, 1), np.float32), np.zeros(rows, bool)
    nothing = Transition(zeros, np.zeros(rows, int), zeros[:, 0], np.ones(rows, np.float32), zeros, flags, ~flags)
    y = q_problem(apply, rule, readout)(None, None, nothing, KEY).y
    mean = np.asarray(y if readout is None else readout.mean(y))
    error, entropy = mean.std() / np.sqrt(rows), 1e-3 * np.log(2)  # what soft values have beside the mean, at most
    assert -4 * error < mean.mean() < 4 * error + entropy


def test_quantiles_under_a_stochastic_policy_are_those_of_the_mixture():
    """The loss is rlax's of expected SARSA; δ is a slope to the quantiles of all actions' laws, weighted by π."""
    rlax = rlax_module()
    rng = np.random.default_rng(2)
    n, actions, rows = 5, 3, 7
    readout = quantiles(n, 0.7)
    policy = rng.dirichlet(np.ones(actions), rows).astype(np.float32)
    z, after = rng.normal(size=(2, rows, actions, n)).astype(np.float32)
    tau = np.broadcast_to((2 * np.arange(n, dtype=np.float32) + 1) / (2 * n), (rows, actions, n))
    taken, reward = rng.integers(actions, size=rows), rng.normal(size=rows).astype(np.float32)
    discount = rng.uniform(0, 1, rows).astype(np.float32)
    obs = np.zeros((rows, 1), np.float32)
    seen = Transition(obs, taken, reward, discount, obs, discount > 2, discount < 2)
    problem = q_problem(
        lambda params, obs, key: params, lambda online, target, mask, seen: Next(jnp.asarray(policy)), readout
    )
    frozen = np.stack([after, tau], -1)
    batch = problem(frozen, frozen, seen, KEY)
    outputs = select(jnp.stack([z, tau], -1), jnp.asarray(taken))
    ours = readout.loss(outputs, batch.y)
    theirs = jax.vmap(lambda *row: rlax.quantile_expected_sarsa(*row, huber_param=0.7))(
        z.swapaxes(1, 2), tau[:, 0], taken, reward, discount, after.swapaxes(1, 2), policy
    )
    np.testing.assert_allclose(0.7 * ours, theirs, rtol=1e-4)  # rlax does not divide by κ
    mean = reward + discount * (policy * after.mean(-1)).sum(1)
    np.testing.assert_allclose(readout.mean(batch.y), mean, rtol=1e-4, atol=1e-5)


def test_a_coin_toss_between_two_sure_returns_is_learned_as_a_coin_toss():
    """π is even between an action worth 0 and one worth 1: half of the quantiles are 0, half 1, not all of them ½."""
    readout = quantiles(4, 0.0)
    tau = (2 * jnp.arange(4.0) + 1) / 8
    frozen = jnp.stack([jnp.broadcast_to(jnp.array([[0.0], [1.0]]), (2, 4)), jnp.broadcast_to(tau, (2, 4))], -1)[None]
    seen = Transition(np.zeros((1, 1)), np.array([0]), f32([0]), f32([1]), np.zeros((1, 1)),
                      np.zeros(1, bool), np.ones(1, bool))  # fmt: skip
    even = Next(jnp.full((1, 2), 0.5))
    y = q_problem(lambda params, obs, key: params, lambda *_: even, readout)(frozen, frozen, seen, KEY).y
    slope = jax.jit(jax.grad(lambda theta: readout.loss(jnp.stack([theta, tau[None]], -1), y).sum()))
    theta = jnp.full((1, 4), 0.5)
    for k in range(300):
        theta = theta - 0.1 / (1 + k / 20) * slope(theta)
    np.testing.assert_allclose(theta[0], [0, 0, 1, 1], atol=0.03)


def test_conservative_penalty_by_hand():
    """β (log Σ exp q − q(s, a)) over the allowed actions; of groups the mean; of classes, of their values."""
    q = jnp.array([[1.0, 3.0, 9.0], [2.0, 0.0, 1.0]])
    batch = Batch(q, jnp.zeros(2), index=jnp.array([1, 0]), mask=jnp.array([[True, True, False], [True, False, False]]))
    by_hand = [2 * (np.log(np.exp(1) + np.exp(3)) - 3), 0.0]
    np.testing.assert_allclose(conservative(2.0)(q, batch), by_hand, atol=1e-6)
    every = conservative(2.0)(q, batch._replace(mask=None))
    np.testing.assert_allclose(every, 2 * (logsumexp(q, 1) - [3, 2]), rtol=1e-6)
    groups = jnp.stack([q, 2 * q], 1)  # [B, D, A]
    found = conservative(1.0)(groups, Batch(q, jnp.zeros(2), index=jnp.array([[1, 2], [0, 0]])))
    np.testing.assert_allclose(found, (logsumexp(q, 1) - [3, 2] + logsumexp(2 * q, 1) - [18, 4]) / 2, rtol=1e-5)
    readout = categorical(0.0, 4.0, 3)
    logits = jnp.log(jnp.array([[[0.5, 0.5, 1e-9], [1e-9, 0.5, 0.5]]]))  # q = 1, 3
    found = conservative(1.0, readout)(logits, Batch(q[:1], q[:1], index=jnp.array([0])))
    np.testing.assert_allclose(found, [np.log(np.exp(1) + np.exp(3)) - 1], rtol=1e-5)
    with pytest.raises(ValueError, match="which actions were taken"):
        conservative(1.0)(q, Batch(q, jnp.zeros(2)))


def test_an_agent_with_replay_takes_a_core_with_a_penalty_of_all_outputs():
    """CQL on-line, one update by hand: the only transition there is, of two allowed actions of three."""
    q = np.array([[0.2, 0.9, 5.0]])
    model = Model(lambda key, x: jnp.asarray(q[0], jnp.float32), lambda q, x: jnp.broadcast_to(q, (len(x), 3)))
    core = regression(model, optimizer=optax.sgd(0.1), output_penalty=conservative(2.0))
    problem = q_problem(lambda q, x, key: model.apply(q, x))
    explore = epsilon_greedy(linear_schedule(0.0, 0.0, 1), 3)
    agent = value_agent(core, problem, explore, replay(20), Pace(1, 1, 1, 4), feed_forward(model), False, scalar())
    one = np.zeros((1, 1), np.float32)
    mask = np.array([[[True, True, False]]])
    row = Transition(one[..., None], np.zeros((1, 1), np.int32), one + 7, one, one[..., None], one < 1, one < 1,
                     mask, mask)  # fmt: skip
    state = agent.init(KEY, jax.tree.map(lambda x: x[0], row))
    state, metrics = jax.jit(agent.learn)(state, row)
    chances = np.exp(q[0, :2]) / np.exp(q[0, :2]).sum()
    slope = np.array([2 * chances[0] - 2 - (7 - 0.2), 2 * chances[1], 0])
    np.testing.assert_allclose(state.fit.params, q[0] - 0.1 * slope, rtol=1e-5)
    assert float(metrics["delta"]) == pytest.approx(6.8)
