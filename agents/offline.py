"""Batch control: every iteration is one regression onto targets made from a fixed set of transitions.

    FQI, NFQ   θ <- argmin Σ (r + D max_a q⁻(s', a) − q(s, a))²         (Ernst et al. 2005; Riedmiller 2005)
    CQL        the same + β Σ (log Σ_a exp q(s, a) − q(s, a_data))       (Kumar et al. 2020, eq. 4)
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
from rlnut.errors import UsageError
from rlnut.learner.agent import Agent, AgentState, Carry, Pace
from rlnut.learner.bellman import bootstrap
from rlnut.learner.explore import allowed, epsilon_greedy, linear_schedule
from rlnut.learner.explore import greedy as best_allowed
from rlnut.regression.core import Regression
from rlnut.regression.losses import Loss
from rlnut.types import Array, Batch, Fit, Key, Look, Metrics, Params, Transition

State = TypeVar("State")
Out = TypeVar("Out")
Learn = Callable[[AgentState, Transition], tuple[AgentState, Metrics]]
LARGEST = 5000  # weights of a linear system
BLOCK = 4096  # rows of features at once


def linear_fqi(values: ActionValues, policy_iteration: bool, ridge: float) -> Agent:
    """FQI, or LSPI (`policy_iteration`), over linear q; `ridge` is added to the diagonal of the normal equations."""
    size = len(values.init(jax.random.key(0)))
    if size > LARGEST:
        raise UsageError(f"least squares over {size:,} weights is too large: at most {LARGEST:,}; take fewer features")

    def improve(w: np.ndarray, seen: Transition) -> tuple[np.ndarray, Metrics]:
        gram, cross, b = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size)
        for i in range(0, len(seen.action), BLOCK):
            row = jax.tree.map(lambda a, i=i: a[i : i + BLOCK], seen)
            greedy = np.asarray(best_allowed(values.q(w.astype(np.float32), row.next_obs), row.next_mask))
            x = np.asarray(values.gradient(w, row.obs, row.action), np.float64)
            then = np.asarray(values.gradient(w, row.next_obs, greedy), np.float64) * row.discount[:, None]
            gram, cross, b = gram + x.T @ x, cross + x.T @ then, b + x.T @ row.reward.astype(np.float64)
        stiff = gram + ridge * np.eye(size)
        new = np.linalg.solve(stiff - cross, b) if policy_iteration else np.linalg.solve(stiff, b + cross @ w)
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


def fitted_q(core: Regression, actions: int, epochs: int, batch: int, host: bool) -> Agent:
    """NFQ, or CQL by its loss: targets from the network as it was, then `epochs` passes of `batch` transitions."""

    def iteration(fit: Fit, key: Key, seen: Transition) -> tuple[Fit, Metrics]:
        v = allowed(core.predict(fit.params, seen.next_obs), seen.next_mask).max(-1)
        y = bootstrap(seen.reward, seen.discount, v)
        # y, the action, and which actions there are, side by side: the loss sees all of q(s, ·)
        target = jnp.stack([y, seen.action.astype(y.dtype)], -1)
        if seen.mask is not None:
            target = jnp.concatenate([target, seen.mask.astype(y.dtype)], -1)

        def update(fit: Fit, i: Array) -> tuple[Fit, Metrics]:
            return core.update(fit, Batch(seen.obs[i], target[i]))

        fit, metrics = passes(update, fit, key, len(y), epochs, batch)
        return fit, {name: metrics[name][-1].mean() for name in ("cost", "delta", "gradient")} | {"value": y.mean()}

    compiled = jax.jit(iteration)

    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        key = jax.random.fold_in(state.replay_key, state.fit.step)
        fit, metrics = compiled(state.fit, key, flat_rows(seen))
        return state._replace(fit=fit), metrics

    return _agent(core.init, core.predict, learn, host)


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


def of_the_action(conservative: float = 0.0) -> Loss:
    """½ (y − q(s, a))² + β (log Σ_a' exp q(s, a') − q(s, a)): q [B, A], (y, a) [B, 2] -> [B]; β = `conservative`.

    With the mask of the actions behind them, [B, 2 + A], the sum is over the allowed ones.
    """

    def loss(q: Array, target: Array) -> Array:
        taken = jnp.take_along_axis(q, target[:, 1:2].astype(jnp.int32), 1)[:, 0]
        cost = (target[:, 0] - taken) ** 2 / 2
        if not conservative:
            return cost
        mask = target[:, 2:] > 0 if target.shape[1] > 2 else None
        return cost + conservative * (jax.nn.logsumexp(q, 1, where=mask) - taken)

    return loss


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

    return Agent(
        init, lambda envs: (), draw, act, learn, values, lambda state: state, explore.rate, host, Pace(1, 1, 1, 1)
    )
