"""λ-returns of greedy Q against the oracle, with terminations and time limits in the middle; minibatches of a round."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut import UsageError, oracle
from rlnut.learner.lambda_targets import along, each_alone, q_lambda_labels
from rlnut.learner.rollout import permutation, rollout, sorting
from rlnut.types import Look, Transition

T, N, A = 12, 3, 4
RNG = np.random.default_rng(0)
Q = RNG.normal(size=(60, A)).astype(np.float32)  # a table: q of state 0 … 59


def seen(masked: bool = False) -> Any:
    """Random states; ends of both kinds in the middle, at other times in each environment."""
    kind = RNG.random((T, N))
    terminated, truncated = kind < 0.15, kind > 0.8
    obs, after = RNG.integers(60, size=(2, T, N)).astype(np.int32)
    end = terminated | truncated
    for t in range(T - 1):
        after[t] = np.where(end[t], after[t], obs[t + 1])
    mask = next_mask = None
    if masked:
        allowed = RNG.random((60, A)) < 0.5
        allowed[np.arange(60), RNG.integers(A, size=60)] = True
        mask, next_mask = allowed[obs], allowed[after]
    reward = RNG.normal(size=(T, N)).astype(np.float32)
    discount = np.where(terminated, 0, 0.9).astype(np.float32)
    action = RNG.integers(A, size=(T, N)).astype(np.int32)
    assert 0 < terminated[:-1].sum() < truncated[:-1].sum() + T
    return Transition(obs, action, reward, discount, after, end, np.ones((T, N), bool), mask, next_mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lam", [0.0, 0.65, 1.0])
def test_labels_are_the_oracle(lam, masked):
    rows = seen(masked)
    labelled = q_lambda_labels(each_alone(lambda params, obs: params[obs]), lam)(Q, rows)

    def best(state: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        every = Q[state].astype(float)
        return (every if mask is None else np.where(mask, every, -np.inf)).max(-1)

    v, next_v = best(rows.obs, rows.mask), best(rows.next_obs, rows.next_mask)
    for i in range(N):
        path = oracle.Trajectory(v[:, i], rows.reward[:, i], rows.discount[:, i], next_v[:, i], rows.end[:, i])
        np.testing.assert_allclose(labelled.reward[:, i], oracle.lambda_return(path, lam), rtol=1e-4, atol=1e-5)
    assert not np.asarray(labelled.discount).any()
    np.testing.assert_array_equal(labelled.action, rows.action)


def test_every_row_once_in_each_pass():
    memory = rollout(T * N, 3)
    rows = seen()._replace(valid=RNG.random((T, N)) < 0.8)
    state = memory.add(memory.init(jax.tree.map(lambda a: a[0], rows), T), rows)
    order = np.asarray(memory.draw(state, jax.random.key(0), 3 * T * N)).reshape(3, T * N)
    for one in order:
        np.testing.assert_array_equal(np.sort(one), np.arange(T * N))
    assert not np.array_equal(order[0], order[1])
    got = memory.read(state, order[0])
    np.testing.assert_array_equal(got.reward, rows.reward.reshape(-1)[order[0]])
    assert memory.weigh is not None
    np.testing.assert_array_equal(memory.weigh(state, order[0], np.zeros((), int)), rows.valid.reshape(-1)[order[0]])


@pytest.mark.parametrize("n", [1, 2, 7, 1625, 1626, 2048, 5000, 70_000])  # JAX sorts twice from 1,626 on
def test_the_permutation_of_jax(n):
    key = jax.random.key(n)
    np.testing.assert_array_equal(permutation(key, n), jax.random.permutation(key, n))


def test_permutations_side_by_side_are_those_alone():
    keys = jax.random.split(jax.random.key(1), 6)
    together = jax.vmap(lambda k: permutation(k, 2048))(keys)
    np.testing.assert_array_equal(together, [jax.random.permutation(k, 2048) for k in keys])


@pytest.mark.parametrize("first", [0, 2**31, 2**32 - 8])
@pytest.mark.parametrize("n", [0, 1, 2, 33, 1000])
def test_words_that_differ_in_their_lowest_bits_only_are_sorted_and_equal_ones_stay_in_order(n, first):
    words = (first + np.random.default_rng(n).integers(0, 7, n)).astype(np.uint32)
    np.testing.assert_array_equal(sorting(jnp.asarray(words)), np.argsort(words, kind="stable"))


def test_falling_words_are_turned_round():
    np.testing.assert_array_equal(sorting(jnp.arange(40, 0, -1, dtype=jnp.uint32)), np.arange(40)[::-1])


def test_environments_that_do_not_divide_a_round_are_refused():
    with pytest.raises(UsageError, match=r"--rollout 2,048 must be a multiple of the 3 environments"):
        rollout(2048, 1).init(jax.tree.map(lambda a: a[0], seen()), 682)


def recalling(params: float, carry: Any, look: Look) -> tuple[Any, Any]:
    """A memory that fades: c <- params·c + s, 0 at an episode's beginning; q = (c, −c)."""
    c = params * jnp.where(look.fresh, 0.0, carry) + look.obs
    return jnp.stack([c, -c], -1), c


def lived(rows: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """`rows` as `recalling` lives it, the first row in the middle of an episode; q and q' step by step."""
    fresh = np.concatenate([[[False, True, False]], rows.end[:-1]])
    c, carries, q, after = np.array([0.3, 7.0, -1.0]), [], [], []
    for t in range(T):
        carries.append(c)
        c = 0.5 * np.where(fresh[t], 0, c) + rows.obs[t]
        q.append(np.stack([c, -c], -1))
        then = 0.5 * c + rows.next_obs[t]
        after.append(np.stack([then, -then], -1))
    return rows._replace(fresh=fresh, carry=np.array(carries, np.float32)), np.array(q), np.array(after)


def test_values_along_a_memory():
    rows, obs = seen(), RNG.normal(size=(T, N))
    after = np.where(rows.end, RNG.normal(size=(T, N)), np.roll(obs, -1, 0))
    rows, q, after = lived(rows._replace(obs=obs, next_obs=after))
    found, then = along(recalling)(0.5, rows)
    np.testing.assert_allclose(found, q, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(then, after, rtol=1e-5, atol=1e-5)
    labelled = q_lambda_labels(along(recalling), 0.6)(0.5, rows)
    for i in range(N):
        v, next_v = np.abs(q[:, i, 0]), np.abs(after[:, i, 0])
        path = oracle.Trajectory(v, rows.reward[:, i], rows.discount[:, i], next_v, rows.end[:, i])
        np.testing.assert_allclose(labelled.reward[:, i], oracle.lambda_return(path, 0.6), rtol=1e-4, atol=1e-5)


def test_windows_of_a_round():
    """Each window is 4 steps of one environment, begins with what was carried into it, and comes once in a pass."""
    rows, q, _ = lived(seen())
    memory = rollout(T * N, 2, 4)
    state = memory.add(memory.init(jax.tree.map(lambda a: a[0], rows), T), rows)
    order = np.asarray(memory.draw(state, jax.random.key(0), 2 * T * N // 4)).reshape(2, -1)
    for one in order:
        np.testing.assert_array_equal(np.sort(one), np.arange(T * N // 4))
    got: Any = memory.read(state, order[0])
    assert memory.weigh is not None and memory.weigh(state, order[0], np.zeros((), int)).shape == (T * N,)
    for w, number in enumerate(order[0]):
        first, env = number // N * 4, number % N
        part = slice(first, first + 4), env
        np.testing.assert_array_equal(got.window.obs[w], rows.obs[part])
        np.testing.assert_array_equal(got.action[4 * w : 4 * w + 4], rows.action[part])
        np.testing.assert_array_equal(got.reward[4 * w : 4 * w + 4], rows.reward[part])
        c = got.window.carry[w]
        for t in range(4):
            value, c = recalling(0.5, c, Look(got.window.obs[w, t], got.window.begin[w, t]))
            np.testing.assert_allclose(value, q[first + t, env], rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="--sequence 5 must divide the 12 steps"):
        rollout(T * N, 2, 5).init(jax.tree.map(lambda a: a[0], rows), T)
