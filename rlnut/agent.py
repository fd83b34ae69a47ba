"""A value agent by composition: regression core + Bellman problem + exploration + memory + target network.

Everything it needs to go on is one pytree, `AgentState`; what it does is a few pure functions, `Agent`. The unit of
work is a round: T steps of N environments, then the updates that are owed for them. The loop that owns the
environments (`loop.py`) knows nothing of how an agent learns, and an agent nothing of environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlnut.bellman import Problem
from rlnut.explore import Exploration, Schedule
from rlnut.memory import Memory
from rlnut.regression import Regression
from rlnut.types import Array, Fit, Key, Look, Metrics, Params, Transition

Sync = Callable[[Params, Params, Array], Params]  # (online θ, target θ⁻, updates done) -> target θ⁻
Carry = Any  # what an actor carries through time for N environments, a pytree [N, ...]; () for feed-forward networks


class AgentState(NamedTuple):
    """All that an agent knows: a run that is saved and loaded goes on bit for bit."""

    fit: Fit  # online network and optimiser
    target: Params  # θ⁻; () without a target network
    memory: Any  # a pytree of the agent's own: replay, traces, …
    steps: Array  # [] int32, transitions seen
    explore_key: Key  # base keys: every draw is fold_in of one of them and a count
    replay_key: Key


class Pace(NamedTuple):
    """When to learn: from the step `starts` on, `updates` gradient steps for every `every` transitions."""

    starts: int
    every: int
    updates: int
    batch: int

    def due(self, steps: Any) -> Any:
        """Updates that must have been done after `steps` transitions (an array, or a Python int of any size)."""
        return (steps >= self.starts) * ((steps - self.starts) // self.every + 1) * self.updates

    def most(self, steps: int) -> int:
        """The most updates that `steps` transitions can make due."""
        return (-(-steps // self.every)) * self.updates

    def round_length(self, envs: int) -> int:
        """Steps of N environments between two visits to the learner."""
        return max(1, self.every // envs)


class Agent(NamedTuple):
    """Pure functions over `AgentState`: by `value_agent`, or composed by hand. Nothing in them asks for a host.

    The weights that act in a round are `state.fit.params` as they were when it began.
    """

    init: Callable[[Key, Transition], AgentState]  # from one row [N, ...] of experience (its shapes and types)
    carry: Callable[[int], Carry]  # what N environments carry before their first step
    draw: Callable[[AgentState, int], Any]  # (state, N) -> noise of the next round, a pytree [T, N, ...]
    act: Callable[[Params, Carry, Look, Any], tuple[Array, Carry]]  # (θ, carry, look, noise [N, ...]) -> action [N]
    learn: Callable[[AgentState, Transition], tuple[AgentState, Metrics]]  # experience [T, N, ...]
    q: Callable[[Params, Carry, Look], tuple[Array, Carry]]  # -> q(s, ·) [N, A], carry
    cut: Callable[[AgentState], AgentState]  # leave the running episodes: what comes next begins new ones
    rate: Schedule  # ε at a step count
    host: bool  # act and q also work in NumPy
    pace: Pace


class Actor(NamedTuple):
    """How a network that carries something through time acts; feed-forward networks need none."""

    carry: Callable[[int], Carry]  # N -> before the first step
    step: Callable[[Params, Carry, Look], tuple[Array, Carry]]  # -> outputs [N, A, ...], carry


def feed_forward(core: Regression) -> Actor:
    """An actor that carries nothing."""
    return Actor(lambda envs: (), lambda params, carry, look: (core.predict(params, look.obs), carry))


def value_agent(
    core: Regression,
    problem: Problem,
    explore: Exploration,
    memory: Memory,
    sync: Sync,
    pace: Pace,
    host: bool,
    actor: Actor | None = None,
) -> Agent:
    """Compose an agent that regresses `core` on the targets of `problem`, drawn from `memory`.

    A variant of an algorithm is one of these arguments: double DQN another problem, PER another memory, a recurrent
    network another actor.
    """
    actor = feed_forward(core) if actor is None else actor

    def init(key: Key, seen: Transition) -> AgentState:
        fit_key, explore_key, replay_key = jax.random.split(key, 3)
        fit = core.init(fit_key, seen.obs)
        target = jax.tree.map(jnp.copy, fit.params)  # a copy: the same buffers could not both be donated
        held = memory.init(seen, pace.round_length(len(seen.reward)))
        return AgentState(fit, target, held, jnp.zeros((), jnp.int32), explore_key, replay_key)

    def draw(state: AgentState, envs: int) -> Any:
        steps = state.steps + envs * jnp.arange(pace.round_length(envs))
        return explore.draw(jax.random.fold_in(state.explore_key, state.steps), steps, envs)

    def act(params: Params, carry: Carry, look: Look, noise: Any) -> tuple[Array, Carry]:
        q, carry = actor.step(params, carry, look)
        return explore.select(q, look.mask, noise), carry

    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        kept = memory.add(state.memory, seen)
        steps = state.steps + seen.valid.sum(dtype=jnp.int32)
        owed = pace.due(steps) - pace.due(state.steps)

        most = pace.most(seen.reward.size)
        key = jax.random.fold_in(state.replay_key, state.steps)
        drawn = memory.draw(kept, key, most * pace.batch)  # of the whole round: one draw is cheaper than many
        rows = jax.tree.map(lambda a: a.reshape(most, pace.batch), drawn)

        def one(i: Array, carry: tuple[Fit, Params, Metrics]) -> tuple[Fit, Params, Metrics]:
            fit, target, total = carry
            batch = problem(fit.params, target, memory.read(kept, jax.tree.map(lambda a: a[i], rows)))
            fit, metrics = core.update(fit, batch)
            metrics["value"] = batch.y.mean()
            return fit, sync(fit.params, target, fit.step), jax.tree.map(jnp.add, total, metrics)

        nothing = dict.fromkeys(("cost", "delta", "gradient", "value"), jnp.zeros(()))
        fit, target, total = jax.lax.fori_loop(0, owed, one, (state.fit, state.target, nothing))
        metrics = jax.tree.map(lambda sum_: sum_ / owed, total) | {"updates": fit.step}  # NaN: no update in this round
        return state._replace(fit=fit, target=target, memory=kept, steps=steps), metrics

    def cut(state: AgentState) -> AgentState:
        return state._replace(memory=memory.cut(state.memory))

    return Agent(init, actor.carry, draw, act, learn, actor.step, cut, explore.rate, host, pace)
