"""The targets that `predict` learns from, row by row, against the oracle: corrections, n-step windows, whole returns.

A learner whose step size is 1 in one row and 0 in the others moves v(s_t) to the target of that row.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut import oracle
from rlnut.agents import td
from rlnut.envs.garnet import garnet
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import Experience, simulate
from rlnut.prediction.td_rows import make_rows, table, window_length

T, n = 40, 3
PROBLEM = garnet(5, 2, 3, 9, gamma=0.8)
PROBLEM.mdp.done[:, :, 0] = 0.6
PI, B = PROBLEM.policy, PROBLEM.behaviour


@pytest.fixture(scope="module", params=["off-policy", "on-policy"])
def stream(request: pytest.FixtureRequest) -> Experience:
    """40 rows with terminations, and truncations put in."""
    acting = B if request.param == "off-policy" else PI
    found = simulate(PROBLEM, PI, acting, 0.8, jax.random.key(3), 1, steps=T)
    end = np.array(found.step.end)
    end[[11, 25]] = True
    return found._replace(step=found.step._replace(end=end))


def moved(name: str, stream: Experience, w: np.ndarray, **given: Any) -> np.ndarray:
    """u (y − v) of every row under the weights w of a table."""
    config, pairs = Prediction(steps=T, n=n, **given), given.get("values") == "q"
    method = METHODS[name]
    wide = jax.tree.map(lambda x: np.repeat(np.asarray(x), T, 1), stream)
    rows = make_rows(wide, method, config, 2 if pairs else None, False, 1)
    rows = rows._replace(rate=rows.rate * np.eye(T, dtype=np.float32))
    X = np.eye(len(w))
    nexts = X
    if pairs and config.next_action == "expected":
        nexts = (PI[:, :, None] * np.eye(10).reshape(5, 2, 10)).sum(1)
    rule = method.rule._replace(window=window_length(stream, method, config))
    hyper = td.TDHyper(jnp.ones(()), jnp.asarray(method.trace(config), float), jnp.zeros(()))
    if rule.window:
        learner = td.dense_learner(rule, table(*map(jnp.asarray, (X, nexts, w))), hyper)
        padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x[: n - 1])]), rows)
        begin = learner.init(jax.random.key(0))
        ends = jax.jit(jax.vmap(lambda r: td.advance_learner(learner, begin, r, n).w, 1))(padded)
    else:
        parts = tuple(map(jnp.asarray, (X, nexts, w)))
        ends = td.swept_weights(rule, table, parts, rows, hyper, 1, jax.random.key(0))[:, -1]
    return (np.asarray(ends) - w).sum(1)


def path_of(stream: Experience, w: np.ndarray, pairs: bool, sampled: bool = False) -> Any:
    step = jax.tree.map(lambda x: np.asarray(x)[:, 0], stream.step)
    if not pairs:
        return oracle.Trajectory(w[step.obs], step.reward, step.discount, w[step.next_obs], step.end)
    q = w.reshape(5, 2)
    after = (PI * q).sum(1)[step.next_obs]
    if sampled:
        following = np.asarray(stream.next_action)[:, 0]
        after = q[step.next_obs, following] * np.asarray(stream.next_rho)[:, 0]
    return oracle.Trajectory(q[step.obs, step.action], step.reward, step.discount, after, step.end)


def test_states(stream: Experience) -> None:
    w = np.random.default_rng(0).standard_normal(5)
    path, rho = path_of(stream, w, False), np.asarray(stream.rho)[:, 0]
    G, weight = oracle.ordinary(path, rho, n)
    expected = {
        "importance": oracle.importance(path, rho, 1.0, n) - path.v,
        "v-trace": oracle.v_trace(path, rho, n=n) - path.v,
        "ordinary": weight * (G - path.v),
        "none": oracle.n_step(path, n) - path.v,
    }
    for correction, right in expected.items():
        found = moved("nstep", stream, w, correction=correction)
        np.testing.assert_allclose(found, right, atol=1e-4, err_msg=correction)
    # Monte Carlo: rows of the last episode have no return yet
    done = np.arange(T) <= np.flatnonzero(path.end)[-1]
    whole = {
        "importance": oracle.per_decision(path, rho) - path.v,
        "ordinary": np.multiply(*oracle.ordinary(path, rho)[::-1]) - oracle.ordinary(path, rho)[1] * path.v,
    }
    for correction, right in whole.items():
        found = moved("mc", stream, w, correction=correction)
        np.testing.assert_allclose(found, np.where(done, right, 0), atol=2e-3, rtol=1e-4, err_msg=correction)


@pytest.mark.parametrize("sampled", [False, True])
def test_pairs(stream: Experience, sampled: bool) -> None:
    w = np.random.default_rng(1).standard_normal(10)
    path, rho = path_of(stream, w, True, sampled), np.asarray(stream.rho)[:, 0]
    step = jax.tree.map(lambda x: np.asarray(x)[:, 0], stream.step)
    given: Any = {"values": "q", "next_action": "sampled" if sampled else "expected"}
    G, weight = oracle.ordinary(path, rho, n, True)
    plain = path_of(stream._replace(next_rho=np.ones_like(stream.next_rho)), w, True, sampled)
    expected = {
        "none": oracle.n_step(plain, n),
        "importance": oracle.q_importance(path, rho, 1.0, n),
        "ordinary": path.v + weight * (G - path.v),
    }
    if not sampled:
        expected["retrace"] = oracle.retrace(path, rho, 1.0, n)
        q, actions = w.reshape(5, 2)[step.next_obs], np.append(step.action, 0)
        expected["tree-backup"] = oracle.tree_backup(path, q, PI[step.next_obs], actions, n)
    for correction, right in expected.items():
        found = moved("nstep", stream, w, correction=correction, **given)
        np.testing.assert_allclose(found, right - path.v, atol=1e-4, err_msg=correction)
    done = np.arange(T) <= np.flatnonzero(path.end)[-1]
    found = moved("mc", stream, w, **given)
    right = np.where(done, oracle.per_decision(path, rho, None, True) - path.v, 0)
    np.testing.assert_allclose(found, right, atol=2e-3, rtol=1e-4)
    found = moved("td0", stream, w, **given)
    np.testing.assert_allclose(found, oracle.n_step(path, 1) - path.v, atol=1e-4)
