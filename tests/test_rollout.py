"""λ-returns of greedy Q against the oracle, with terminations and time limits in the middle; minibatches of a round."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from rlnut import UsageError, oracle
from rlnut.rollout import q_lambda_labels, rollout
from rlnut.types import Transition

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
    labelled = q_lambda_labels(lambda params, obs: params[obs], lam)(Q, rows)

    def best(state: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        every = Q[state].astype(float)
        return (every if mask is None else np.where(mask, every, -np.inf)).max(-1)

    v, next_v = best(rows.obs, rows.mask), best(rows.next_obs, rows.next_mask)
    for i in range(N):
        path = oracle.Path(v[:, i], rows.reward[:, i], rows.discount[:, i], next_v[:, i], rows.end[:, i])
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


def test_environments_that_do_not_divide_a_round_are_refused():
    with pytest.raises(UsageError, match=r"--rollout 2,048 must be a multiple of the 3 environments"):
        rollout(2048, 1).init(jax.tree.map(lambda a: a[0], seen()), 682)
