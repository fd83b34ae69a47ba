"""V_π and Q_π by regression: targets by hand and by the oracle, learned values by dynamic programming."""

from __future__ import annotations

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlnut import linear, oracle
from rlnut.learner import bellman
from rlnut.learner.agent import Actor, Pace, feed_forward, value_agent
from rlnut.learner.bellman import following, q_problem, ratio, v_problem
from rlnut.learner.explore import boltzmann_actions
from rlnut.learner.readout import categorical, quantiles, scalar
from rlnut.learner.replay import replay
from rlnut.regression.core import regression
from rlnut.truth.dynamic_programming import MDP, chain, pair_chain, values
from rlnut.types import Array, Inputs, Key, Look, Params, Transition

S, A, GAMMA = 5, 3, 0.8
KEY = jax.random.key(0)
RNG = np.random.default_rng(4)
PI, B = RNG.dirichlet(np.ones(A), (2, S)).astype(np.float32)
GO = RNG.integers(S, size=(S, A))  # where an action leads for sure
ENDS = RNG.random((S, A)) < 0.2
R = RNG.normal(size=(S, A))
MADE = MDP(np.eye(S)[GO], np.repeat(R[:, :, None], S, 2), np.repeat(ENDS[:, :, None], S, 2) * 1.0, np.full(S, 1 / S))


def every_pair(times: int = 1) -> Transition:
    """Each state and action as often: the experience of the uniform policy, [S·A·times] rows, states one-hot."""
    s, a = (x.reshape(-1) for x in np.meshgrid(np.arange(S), np.arange(A), indexing="ij"))
    s, a = np.tile(s, times), np.tile(a, times)
    x, end = np.eye(S, dtype=np.float32), ENDS[s, a]
    discount = np.where(end, 0, GAMMA).astype(np.float32)
    return Transition(
        x[s], a.astype(np.int32), R[s, a].astype(np.float32), discount, x[GO[s, a]], end, np.ones(len(s), bool)
    )


def pi(x: Inputs) -> Array:
    """π(·|s) of one-hot states [B, S]."""
    return x @ PI


def uniform(x: Inputs) -> Array:
    """The behaviour of `every_pair`."""
    return jnp.full((len(x), A), 1 / A)


def only_next(params: Params, x: Inputs, key: Key) -> Array:
    """Values of next observations (all > 2) only: reading the wrong observation gives NaN."""
    return jnp.where(x.min(1).reshape(-1, *(1,) * (params.ndim - 1)) > 2, params, jnp.nan)


ROWS = Transition(
    np.eye(3, dtype=np.float32), np.array([2, 0, 1]), np.array([1.0, 2.0, 3.0], np.float32),
    np.array([0.9, 0.0, 0.5], np.float32), np.eye(3, dtype=np.float32) + 3, np.array([False, True, True]),
    np.ones(3, bool),
)  # fmt: skip


def test_targets_of_v_by_hand() -> None:
    """r + D v⁻(s'): of the target's values, not of the online ones; 0 after a termination; rows of V have no index."""
    online, frozen = jnp.array([7.0, 8.0, 9.0]), jnp.array([10.0, 20.0, 40.0])
    batch = v_problem(only_next)(online, frozen, ROWS, KEY)
    np.testing.assert_allclose(batch.y, [1 + 0.9 * 10, 2.0, 3 + 0.5 * 40])
    np.testing.assert_array_equal(batch.x, np.eye(3))
    assert batch.index is None and batch.weight is None


def test_targets_of_q_following_a_policy_by_hand() -> None:
    """Σ_a π(a|s') q⁻(s', a) with π of the next state; a mask takes away what is forbidden, and all after an end."""
    q = jnp.array([[10.0, 20.0, 70.0], [30.0, 50.0, 40.0], [80.0, 10.0, 60.0]])
    chances = jnp.array([[0.5, 0.2, 0.3], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
    given = {"a function": following(lambda x: jnp.where(x.min() > 2, chances, jnp.nan)), "rows": following()}
    for name, rule in given.items():
        seen = ROWS._replace(next_policy=chances) if name == "rows" else ROWS
        problem = q_problem(only_next, rule)
        batch = problem(0 * q, q, seen, KEY)
        np.testing.assert_allclose(batch.y, [1 + 0.9 * (5 + 4 + 21), 2.0, 3 + 0.5 * (20 + 2.5 + 30)], rtol=1e-6)
        np.testing.assert_array_equal(batch.index, [2, 0, 1])
        mask = np.array([[True, False, True], [False] * 3, [True, True, False]])
        y = problem(0 * q, q, seen._replace(next_mask=mask), KEY).y
        np.testing.assert_allclose(y, [1 + 0.9 * (5 + 21) / 0.8, 2.0, 3 + 0.5 * (20 + 2.5) / 0.5], rtol=1e-6)


@pytest.mark.parametrize("chances", [None, jnp.ones((3, 1)), jnp.ones((3, 4))])
def test_probabilities_that_would_broadcast_are_refused(chances: Array | None) -> None:
    with pytest.raises(ValueError, match=r"following: action values \(3, 3\) need as many probabilities, got"):
        q_problem(only_next, following())(jnp.ones((3, 3)), jnp.ones((3, 3)), ROWS._replace(next_policy=chances), KEY)


def test_rho_weighs_delta_as_the_oracle_does() -> None:
    """ρ (y − v) is the oracle's importance-sampled one-step return minus v; π and b must not be swapped."""
    seen = every_pair()
    v = RNG.normal(size=S).astype(np.float32)
    batch = v_problem(lambda params, x, key: x @ params, rho=ratio(pi, lambda x: x @ B))(v, v, seen, KEY)
    s, a = seen.obs.argmax(1), seen.action
    r, D, end = (np.asarray(x) for x in (seen.reward, seen.discount, seen.end))
    path = oracle.Trajectory(v[s], r, D, v[seen.next_obs.argmax(1)], end)
    assert batch.weight is not None
    expected = oracle.importance(path, PI[s, a] / B[s, a], n=1) - path.v
    np.testing.assert_allclose(batch.weight * (batch.y - path.v), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("of", ["v", "q"])
def test_a_table_learns_what_dynamic_programming_computes(of: str) -> None:
    """Every action equally often, another policy's values: ρ corrects V; Q needs no correction of one step."""
    core = regression(linear()((A,) if of == "q" else ()), optimizer=optax.sgd(2.0))

    def apply(params: Params, x: Inputs, key: Key) -> Array:
        return core.predict(params, x)

    problem = q_problem(apply, following(pi)) if of == "q" else v_problem(apply, rho=ratio(pi, uniform))
    seen = every_pair()
    fit = core.init(KEY, seen.obs)
    step = jax.jit(lambda fit: core.update(fit, problem(fit.params, fit.params, seen, KEY))[0])
    for _ in range(600):
        fit = step(fit)
    learned = core.predict(fit.params, np.eye(S))
    truth = values(pair_chain(MADE, PI), GAMMA) if of == "q" else values(chain(MADE, PI), GAMMA)
    np.testing.assert_allclose(learned, truth.reshape(S, -1).squeeze(), atol=2e-3)
    assert np.abs(truth - values(pair_chain(MADE, B) if of == "q" else chain(MADE, B), GAMMA)).max() > 0.1


@pytest.mark.parametrize("of", ["v", "q"])
def test_an_agent_learns_the_values_of_the_policy_that_it_is_given(of: str) -> None:
    """`value_agent` with a replay: what acts is an `Actor`, here π itself for V, for Q anything."""
    model = linear()((A,) if of == "q" else ())
    core = regression(model, optimizer=optax.sgd(optax.exponential_decay(2.0, 80, 0.3)))

    def apply(params: Params, x: Inputs, key: Key) -> Array:
        return core.predict(params, x)

    as_pi = Actor(lambda envs: (), lambda params, carry, look, key: (jnp.log(pi(look.obs)), carry))
    actor, problem = (
        (feed_forward(model), q_problem(apply, following(pi)))
        if of == "q"
        else (as_pi, v_problem(apply, rho=ratio(pi, uniform)))
    )
    pace, explore = Pace(1, S * A, 4, 600), boltzmann_actions(1.0, (A,))
    agent = value_agent(core, problem, explore, replay(2000), pace, actor, False, scalar())
    rows = jax.tree.map(lambda x: x[None], every_pair())  # one step of S·A environments
    state = agent.init(KEY, jax.tree.map(lambda x: x[0], rows))
    learn = jax.jit(agent.learn)
    for _ in range(90):
        state, metrics = learn(state, rows._replace(end=np.ones_like(rows.end)))
    truth = values(pair_chain(MADE, PI) if of == "q" else chain(MADE, PI), GAMMA)
    np.testing.assert_allclose(core.predict(state.fit.params, np.eye(S)).reshape(-1), truth, atol=0.05)
    assert np.isfinite(float(metrics["delta"]))
    if of == "v":
        obs, count = np.eye(S, dtype=np.float32)[np.full(20_000, 2)], 20_000
        noise = explore.draw(KEY, jnp.zeros(1), count)
        acted, _ = agent.act(state.fit.params, (), Look(obs, np.zeros(count, bool)), noise[0])
        np.testing.assert_allclose(np.bincount(np.asarray(acted), minlength=A) / count, PI[2], atol=0.02)


def test_the_law_of_the_return_under_a_policy_by_hand() -> None:
    """After reward 1 at γ = ½ a return of 0 or 2, even odds: ½ at 1, ½ at 2; quantiles likewise."""
    seen = Transition(np.ones((1, 1)), np.zeros(1, np.int32), np.ones(1, np.float32), np.full(1, 0.5, np.float32),
                      np.ones((1, 1)), np.zeros(1, bool), np.ones(1, bool))  # fmt: skip
    law = jnp.log(jnp.array([[0.5, 0.0, 0.5, 0.0, 0.0]]))
    y = v_problem(lambda params, x, key: params, categorical(0, 4, 5))(None, law, seen, KEY).y
    np.testing.assert_allclose(y, [[0, 0.5, 0.5, 0, 0]], atol=1e-6)
    readout = quantiles(2)
    sample = jnp.array([[[0.0, 0.25], [2.0, 0.75]]])  # values beside their fractions
    batch = v_problem(lambda params, x, key: params, readout)(None, sample, seen, KEY)
    np.testing.assert_allclose(batch.y, [[1, 2]])
    np.testing.assert_allclose(readout.loss(jnp.array([[[1.0, 0.25], [2.0, 0.75]]]), batch.y), [1 / 8], atol=1e-6)


def test_the_example_of_the_docstring() -> None:
    found = doctest.testmod(bellman)
    assert found.failed == 0 and found.attempted > 5
