"""Batch control: every iteration is one regression onto targets made from a fixed set of transitions.

    FQI, NFQ   θ <- argmin Σ (r + D max_a q⁻(s', a) − q(s, a))²         (Ernst et al. 2005; Riedmiller 2005)
    CQL        the same + β Σ (log Σ_a exp q(s, a) − q(s, a_data))       (Kumar et al. 2020, eq. 4)
    FQE        NFQ with Σ_a π(a|s') q⁻(s', a) in place of the maximum     (Le, Voloshin & Yue 2019)
    LSPI       w <- (Xᵀ(X − D X'))⁻¹ Xᵀ r, X' of the greedy action       (Lagoudakis & Parr 2003)

Linear ones are solved exactly, in float64; networks are fitted by epochs of minibatches. `Agent.learn` is one
iteration, its experience the whole batch [T, N].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents.action_values import ActionValues
from rlnut.learner.agent import Agent, AgentState, Carry, Pace
from rlnut.learner.bellman import BellmanProblem
from rlnut.learner.changes import Changeable
from rlnut.learner.explore import allowed, epsilon_greedy, linear_schedule
from rlnut.learner.explore import greedy as best_allowed
from rlnut.learner.least_squares import Sums, check_system_size
from rlnut.regression.core import Regression
from rlnut.types import Array, Batch, Experience, Fit, Key, Look, Metrics, Params, Transition

State = TypeVar("State")
Out = TypeVar("Out")
Learn = Callable[[AgentState, Transition], tuple[AgentState, Metrics]]
LARGEST = 5000  # weights of a linear system
BLOCK = 4096  # rows of features at once
OFFLINE = "an offline agent does not explore, and each iteration is one regression with the step size of its options"
PART = 4096  # rows whose targets are computed at once


def linear_fqi(values: ActionValues, policy_iteration: bool, ridge: float) -> Agent:
    """FQI, or LSPI (`policy_iteration`), over linear q; `ridge` is added to the diagonal of the normal equations."""
    size = len(values.init(jax.random.key(0)))
    check_system_size(size, LARGEST)

    def improve(w: np.ndarray, seen: Transition) -> tuple[np.ndarray, Metrics]:
        square = np.zeros((size, size))
        sums = Sums(square, np.zeros(size), square)
        for i in range(0, len(seen.action), BLOCK):
            row = jax.tree.map(lambda a, i=i: a[i : i + BLOCK], seen)
            greedy = np.asarray(best_allowed(values.q(w.astype(np.float32), row.next_obs), row.next_mask))
            x = np.asarray(values.gradient(w, row.obs, row.action), np.float64)
            then = np.asarray(values.gradient(w, row.next_obs, greedy), np.float64) * row.discount[:, None]
            sums = sums.plus(x, x, then, row.reward.astype(np.float64))
        A, b, G = (np.asarray(s) for s in sums)
        stiff = ridge * np.eye(size)
        new = np.linalg.solve(A + stiff, b) if policy_iteration else np.linalg.solve(G + stiff, b + (G - A) @ w)
        reached = np.asarray(allowed(values.q(new.astype(np.float32), seen.obs), seen.mask))
        return new, {"delta": float(np.abs(new - w).max()), "value": float(reached.max(1).mean())}

    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        flat = flat_rows(seen)
        w = np.asarray(state.fit.params["w"][0], np.float64)
        if int(state.fit.step):
            w = np.asarray(state.memory).view(np.float64)
        new, metrics = improve(w, flat)
        fit = state.fit._replace(params={"w": new.astype(np.float32)[None]}, step=state.fit.step + 1)
        return state._replace(fit=fit, memory=new.view(np.uint32)), metrics

    return _agent(
        lambda key, obs: Fit({"w": values.init(key)[None]}, (), jnp.zeros((), jnp.int32), key),
        lambda params, obs: values.q(params["w"][0], obs),
        learn,
        values.host,
        jnp.zeros(2 * size, jnp.uint32),  # w in float64, which JAX has not, in pieces; before an iteration: nothing
    )


def fitted_q(core: Regression, problem: BellmanProblem, epochs: int, batch: int, host: bool) -> Agent:
    """NFQ by a problem with `greedy_policy`, FQE by one `following` π, CQL by an output penalty in `core`."""
    iteration = jax.jit(fitted_iteration(core, problem, epochs, batch))

    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        key = jax.random.fold_in(state.replay_key, state.fit.step)
        fit, metrics = iteration(state.fit, key, flat_rows(seen))
        return state._replace(fit=fit), metrics

    return _agent(core.init, core.predict, learn, host)


def fitted_iteration(
    core: Regression, problem: BellmanProblem, epochs: int, batch: int
) -> Callable[[Fit, Key, Transition], tuple[Fit, Metrics]]:
    """One iteration over transitions [B]: targets of θ as it was, then `epochs` passes of `batch` transitions each.

    The metrics are those of the last pass, and `value`, the mean target. Rows that are not valid count nothing.
    """

    def iteration(fit: Fit, key: Key, seen: Experience) -> tuple[Fit, Metrics]:
        def targets(rows: Transition) -> tuple:
            return problem(fit.params, fit.params, rows, jax.random.fold_in(key, epochs))[1:]  # all but x

        whole, counts = Batch(seen.x, *by_parts(targets, seen, PART)), seen.valid.astype(jnp.float32)
        whole = whole._replace(weight=counts if whole.weight is None else counts * whole.weight)

        def update(fit: Fit, i: Array) -> tuple[Fit, Metrics]:
            return core.update(fit, jax.tree.map(lambda a: a[i], whole))

        fit, metrics = passes(update, fit, key, len(counts), epochs, batch)
        last = {name: metrics[name][-1].mean() for name in ("cost", "delta", "gradient")}
        return fit, last | {"value": whole.y.mean()}

    return iteration


def by_parts(f: Callable[[Transition], Out], rows: Transition, size: int) -> Out:
    """f(rows [B]), computed `size` rows at a time, so that no more of a network's layers are held at once."""
    count = len(rows.reward)
    if count <= size:
        return f(rows)
    parts = -(-count // size)
    short = parts * size - count

    def split(x: Array) -> Array:
        return jnp.pad(x, [(0, short)] + [(0, 0)] * (x.ndim - 1)).reshape(parts, size, *x.shape[1:])

    found = jax.lax.map(f, jax.tree.map(split, rows))
    whole: Out = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], found)
    return whole


def passes(
    update: Callable[[State, Array], tuple[State, Out]], state: State, key: Key, rows: int, epochs: int, batch: int
) -> tuple[State, Out]:
    """`epochs` passes over numbered rows in batches, each in an order of its own: state, outputs [epochs, updates].

    `update`: (state, row numbers [B]) -> state, output. What fills no batch is left out of that pass.
    """
    size = min(batch, rows)

    def one(state: State, key: Key) -> tuple[State, Out]:
        order = jax.random.permutation(key, rows)
        return jax.lax.scan(update, state, order[: rows // size * size].reshape(-1, size))

    return jax.lax.scan(one, state, jax.random.split(key, epochs))


def flat_rows(seen: Transition) -> Transition:
    """[T, N, ...] -> [T·N, ...], without the rows that are no experience."""
    keep = np.asarray(seen.valid).reshape(-1)
    return jax.tree.map(lambda a: np.asarray(a).reshape(-1, *np.shape(a)[2:])[keep], seen)


def _agent(
    init_fit: Callable[[Key, Array], Fit],
    q: Callable[[Params, Array], Array],
    learn: Learn,
    host: bool,
    memory: Array | tuple[()] = (),
) -> Agent:
    """The batch learner as an `Agent`; it acts uniformly, which is how a batch is collected."""
    explore = epsilon_greedy(linear_schedule(1.0, 1.0, 1), 1)

    def init(key: Key, seen: Transition) -> AgentState:
        fit_key, explore_key, replay_key = jax.random.split(key, 3)
        obs = jnp.zeros(seen.obs.shape, seen.obs.dtype)
        return AgentState(init_fit(fit_key, obs), (), memory, jnp.zeros((), jnp.int32), explore_key, replay_key)

    def draw(state: AgentState, envs: int) -> Array:
        return explore.draw(jax.random.fold_in(state.explore_key, state.steps), state.steps + jnp.zeros(1), envs)

    def values(params: Params, carry: Carry, look: Look) -> tuple[Array, Carry]:
        return q(params, look.obs), carry

    def act(params: Params, carry: Carry, look: Look, noise: Array) -> tuple[Array, Carry]:
        return explore.select(q(params, look.obs), look.mask, noise), carry

    pace, able = Pace(1, 1, 1, 1), Changeable(why=OFFLINE)
    return Agent(
        init, lambda envs: (), draw, act, learn, values, lambda state: state, explore.rate, host, pace, changeable=able
    )
