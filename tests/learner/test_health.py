"""Numbers of value health against slow definitions, and a probe of an agent against the same sums written out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlnut
from rlnut import Transition
from rlnut.learner.agent import AgentState, Pace, periodic
from rlnut.learner.bellman import q_problem
from rlnut.learner.changes import Changes
from rlnut.learner.health import (
    Probed,
    dead_layer,
    dead_share,
    delta_quantiles,
    drift,
    effective_rank,
    has_hidden_layers,
    health_numbers,
    of_experience,
    probed,
    value_probe,
    weights_probe,
)
from rlnut.learner.prioritised_replay import prioritised, prioritised_windows
from rlnut.learner.readout import scalar
from rlnut.learner.replay import ReplayRows, replay
from rlnut.learner.rollout import rollout
from rlnut.learner.sequence_replay import windows
from rlnut.regression.core import regression
from rlnut.types import Fit


def slow_quantile(values: list[float], q: float) -> float:
    """Linear between the order statistics around q (n − 1)."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_quantiles_of_delta_are_those_of_its_size(deltas: list[float]):
    found = delta_quantiles(np.array(deltas))
    sizes = [abs(x) for x in deltas]
    for name, q in (("delta_median", 0.5), ("delta_90", 0.9), ("delta_max", 1.0)):
        assert found[name] == pytest.approx(slow_quantile(sizes, q), abs=1e-9)


def test_no_quantiles_of_nothing_and_of_what_is_not_finite():
    assert delta_quantiles(np.array([])) == {} == delta_quantiles(np.array([1.0, np.nan]))


def with_singular_values(sigma: list[float], rows: int = 20, columns: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (rows, columns))
    return u[:, : len(sigma)] @ np.diag(sigma) @ v[: len(sigma)]


@pytest.mark.parametrize(
    "sigma, delta, rank",
    [
        ([1, 1, 1, 1], 0.01, 4),
        ([100, 0.5, 0.4, 0.3], 0.01, 2),  # 100/101.2 < .99 <= 100.5/101.2
        ([99, 1], 0.01, 1),  # exactly .99
        ([50, 49, 1], 0.01, 2),
        ([50, 49, 1], 0.5, 1),
        ([0, 0], 0.01, 0),
        ([1] * 8, 0.01, 8),
    ],
)
def test_the_effective_rank_counts_singular_values(sigma: list[float], delta: float, rank: int):
    assert effective_rank(with_singular_values(sigma), delta) == rank
    assert effective_rank(3.7 * with_singular_values(sigma), delta) == rank


def test_dead_units_are_counted_over_layers():
    active = [np.array([True, False, True, False]), np.array([False, False])]
    assert dead_share(active) == pytest.approx(4 / 6)
    assert dead_layer(active) == 2 and dead_layer(active[:1]) == 0 and dead_layer(()) == 0


def test_rows_that_are_no_experience_are_left_out_also_of_several_features_a_row():
    rows = np.array([True, False, True])
    features = np.arange(6.0).reshape(6, 1)  # two fractions a row
    assert of_experience(features, rows).ravel().tolist() == [0, 1, 4, 5]
    assert len(of_experience(np.zeros((5000, 2)), np.ones(5000, bool))) == 512


LEARN = Pace(starts=1, every=1, updates=1, batch=4)
# W₁ and b₁ so that units 1 and 3 are never active where observations are between 0 and 1
W1 = np.array([[1.0, -1.0, 2.0, 0.0]], np.float32)
B1 = np.array([0.5, 0.0, -0.5, -1.0], np.float32)
W2 = np.array([[1.0, 0.0], [1.0, 1.0], [0.5, -1.0], [2.0, 2.0]], np.float32)
GAMMA = 0.5


def experience(steps: int, envs: int = 1) -> Transition:
    """Observations 0.1, 0.2, … 0.9, 0.1, …; episodes end every 7 steps."""
    t = np.arange(steps * envs).reshape(steps, envs)
    obs, after = 0.1 * (1 + t % 9), 0.1 * (1 + (t + envs) % 9)
    end = (np.arange(steps) % 7 == 6)[:, None] & np.ones(envs, bool)
    discount = np.where(end, 0.0, GAMMA)
    arrays = [a.astype(np.float32) for a in (obs[..., None], t % 3, discount, after[..., None])]
    action = (t % 2).astype(np.int32)
    return Transition(arrays[0], action, arrays[1], arrays[2], arrays[3], end, np.ones_like(end))


def hand_made(frozen_bias: float = 1.0) -> tuple[Any, Any, AgentState]:
    model = rlnut.mlp((4,))((2,))
    core = regression(model, optimizer=optax.sgd(0.1))
    shapes = model.init(jax.random.key(0), jnp.zeros((1, 1)))
    leaves, tree = jax.tree.flatten(shapes)
    assert [leaf.shape for leaf in leaves] == [(4,), (1, 4), (2,), (4, 2)]
    params = jax.tree.unflatten(tree, [jnp.asarray(a) for a in (B1, W1, np.zeros(2, np.float32), W2)])
    frozen = jax.tree.unflatten(tree, [jnp.asarray(a) for a in (B1, W1, np.full(2, frozen_bias, np.float32), W2)])
    memory = replay(30)
    held = memory.add(memory.init(jax.tree.map(lambda a: a[0], experience(10)), 10), experience(10))
    fit = Fit(params, optax.sgd(0.1).init(params), jnp.int32(3), jax.random.key(0))
    state = AgentState(fit, frozen, held, jnp.int32(10), jax.random.key(1), jax.random.key(2))
    problem = q_problem(lambda p, x, key: model.apply(p, x), stochastic=False)
    return value_probe(core, problem, memory, scalar(), LEARN, periodic(5)), memory, state


def q_by_hand(obs: Any) -> np.ndarray:
    return np.maximum(obs @ W1 + B1, 0) @ W2


def test_a_probe_of_a_network_by_hand():
    """Two of four units are dead; θ⁻ is θ with 1 more in every value; δ, gradient and update from the same rows."""
    probe, _, state = hand_made()
    found = probed(probe, state, jax.jit(probe.run))
    numbers = health_numbers(found, [True] * 4)
    assert numbers["dead_units"] == 0.5
    assert numbers["target_drift"] == pytest.approx(1)
    assert numbers["weight_norm"] == pytest.approx(np.sqrt(sum((a**2).sum() for a in (W1, B1, W2))))
    # the δ of any row is one of ten
    seen = experience(10)
    obs, after = seen.obs[:, 0], seen.next_obs[:, 0]
    y = seen.reward[:, 0] + seen.discount[:, 0] * (q_by_hand(after) + 1).max(1)
    known = y - q_by_hand(obs)[np.arange(10), seen.action[:, 0]]
    delta = np.asarray(found.delta)
    assert len(delta) == 512 and np.abs(delta[:, None] - known).min(1).max() < 1e-5
    which = np.abs(delta[:, None] - known).argmin(1)
    assert set(which) == set(range(10))  # all are drawn
    # SGD moves θ by α times the gradient, and half the mean of δ² is what falls
    assert numbers["update_share"] == pytest.approx(0.1 * numbers["gradient_share"], rel=1e-5)
    h = np.maximum(obs @ W1 + B1, 0)
    head = np.zeros((4, 2))
    for i in which:
        head[:, seen.action[i, 0]] -= known[i] * h[i] / len(which)
    # ∂E/∂W₂ is a part of the gradient, and the rest comes of it by the chain rule
    bias2 = np.zeros(2)
    below, bias1 = np.zeros((1, 4)), np.zeros(4)
    for i in which:
        a = seen.action[i, 0]
        bias2[a] -= known[i] / len(which)
        back = -known[i] / len(which) * W2[:, a] * (h[i] > 0)
        below += np.outer(obs[i], back)
        bias1 += back
    norm = np.sqrt(sum((g**2).sum() for g in (head, bias2, below, bias1)))
    assert found.gradient is not None and float(found.gradient) == pytest.approx(norm, rel=1e-4)
    # rank: q is read from two active units, whose features are (x + ½, max(2x − ½, 0))
    assert numbers["feature_rank"] == effective_rank(h[which])


def test_the_update_of_a_probe_has_the_step_size_that_was_changed():
    """SGD: θ' − θ = −f α ∂E/∂θ, where the run has changed its α by the factor f."""
    probe, _, state = hand_made()
    run = jax.jit(probe.run)
    plain = health_numbers(probed(probe, state, run), [True] * 4)
    changed = state._replace(changes=Changes(lr=jnp.float32(0.25)))
    numbers = health_numbers(probed(probe, changed, run), [True] * 4)
    assert numbers["update_share"] == pytest.approx(0.1 * 0.25 * numbers["gradient_share"], rel=1e-5)
    assert {k: v for k, v in numbers.items() if k != "update_share"} == {
        k: plain[k] for k in numbers if k != "update_share"
    }


def test_drift_is_a_mean_over_allowed_actions_of_rows_that_are_experience():
    q, target_q = np.array([[1.0, 5.0], [2.0, 3.0], [0.0, 9.0]]), np.array([[2.0, 5.0], [0.0, 9.0], [0.0, 0.0]])
    mask, rows = np.array([[True, True], [True, False], [True, True]]), np.array([True, True, False])
    seen = Probed((np.ones(1),), counts=rows, q=q, target_q=target_q)
    assert drift(seen, rows) == (1 / 2 + 8 / 2) / 2
    assert drift(seen._replace(mask=mask), rows) == (1 / 2 + 2) / 2


def test_the_age_of_rows_is_counted_in_steps_of_all_environments():
    """The oldest rows are overwritten, and ends of episodes take rows of the ring that are no steps."""
    for envs in (1, 3):
        memory = replay(20 * envs)
        row, add = jax.tree.map(lambda a: a[0], experience(9, envs)), jax.jit(memory.add)
        seen = [experience(9, envs) for _ in range(4)]
        held = memory.init(row, 9)
        stamps = 0
        for chunk in seen:  # the reward says when a transition was seen
            steps = stamps + np.arange(9)
            chunk = chunk._replace(reward=np.broadcast_to(steps[:, None], (9, envs)).astype(np.float32))
            held = add(held, chunk)
            stamps += 9
        begins = np.argwhere(np.asarray(held.begins))
        rows = ReplayRows(jnp.asarray(begins[:, 0]), jnp.asarray(begins[:, 1]))
        stamp = np.asarray(held.reward)[begins[:, 0], begins[:, 1]]
        assert memory.age is not None
        np.testing.assert_array_equal(memory.age(held, rows), (stamps - 1 - stamp) * envs)


def test_rows_from_the_host_have_the_chances_of_those_that_learning_draws():
    """200,000 rows each, of a ring that wrapped: χ² of two samples; of at most 30 places its 99.9 % point is 60."""
    size = 200_000
    by_priority = prioritised(30, alpha=1.0), prioritised_windows(windows(30, 3), 3)
    for memory, length in ((replay(30), 1), (windows(30, 3), 1), (by_priority[0], 1), (by_priority[1], 3)):
        held = memory.init(jax.tree.map(lambda a: a[0], experience(5, 3)), 5)
        for _ in range(3):
            held = memory.add(held, experience(5, 3))
        if memory.score is not None:
            rows = memory.draw(held, jax.random.key(1), 4)
            held = memory.score(held, rows, np.repeat([0.3, 4.0, 0.1, 2.0], length))
        assert memory.sample is not None
        both = [memory.draw(held, jax.random.key(0), size), memory.sample(held, np.random.default_rng(0), size)]
        counts = np.array([np.bincount(np.asarray(r.row) * 3 + np.asarray(r.env), minlength=33) for r in both])
        total = counts.sum(0)
        assert (total > 0).sum() > 8
        assert (np.square(counts[0] - counts[1])[total > 0] / total[total > 0]).sum() < 60


def test_every_memory_that_knows_the_age_tells_it():
    row = jax.tree.map(lambda a: a[0], experience(9))
    newest = ReplayRows(jnp.array([8]), jnp.array([0]))
    first = ReplayRows(jnp.array([0]), jnp.array([0]))
    seen = experience(6)  # no end in it
    for memory in (replay(40), prioritised(40), windows(40, 3)):
        held = memory.add(memory.init(row, 6), seen)
        assert memory.age is not None and memory.age(held, first).tolist() == [5]
        assert memory.age(held, newest._replace(row=jnp.array([5]))).tolist() == [0]
    assert rollout(6, 1).age is None


def test_columns_are_those_of_the_numbers():
    probe, _, state = hand_made()
    assert set(probe.columns) == set(health_numbers(probed(probe, state, jax.jit(probe.run)), [True] * 4))
    leaves = np.array([[3.0]]), np.array([4.0]), np.array([10.0])
    assert health_numbers(Probed(leaves), [True, True, False]) == {"weight_norm": 5.0}
    weights = weights_probe(lambda params: params["w"])
    fit = state.fit._replace(params={"w": np.array([[3.0, 4.0]]), "visits": np.array([7.0, 7.0])})
    assert health_numbers(weights.run(state._replace(fit=fit), None), [True]) == {"weight_norm": 5.0}


def test_a_linear_network_has_no_hidden_layer():
    for hidden in ((), (4,), (4, 4)):
        params = rlnut.mlp(hidden)((2,)).init(jax.random.key(0), jnp.zeros((1, 3)))
        assert has_hidden_layers(params) == bool(hidden)


def test_what_is_not_finite_has_no_number():
    probe, _, state = hand_made(float("nan"))
    numbers = health_numbers(probed(probe, state, jax.jit(probe.run)), [True] * 4)
    assert "target_drift" not in numbers and "delta_max" not in numbers and "feature_rank" in numbers
