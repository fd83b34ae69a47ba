"""A value agent by composition: regression core + Bellman problem + exploration + memory + target network.

Its whole state is one pytree, `AgentState`; what it does is a few pure functions, `Agent`. The unit of
work is a round: T steps of N environments, then the updates that are owed for them. The loop that owns the
environments (`rlnut.control.host_loop`) knows nothing of how an agent learns, and an agent nothing of environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from rlnut.learner.bellman import BellmanProblem, ReadTarget
from rlnut.learner.changes import Changeable, Changes
from rlnut.learner.explore import EpisodeExploration, Exploration, Schedule, with_epsilon
from rlnut.learner.health import HealthProbe, value_probe
from rlnut.learner.readout import Readout
from rlnut.learner.replay import Memory
from rlnut.learner.rollout import Label
from rlnut.regression.core import Regression
from rlnut.runtime.devices import on_each, split, split_steps
from rlnut.runtime.keys import fast_key
from rlnut.types import Array, Carry, Experience, Fit, Key, Look, Metrics, Model, Params, Transition, Tree, call

Noise = Any  # what exploration draws for a round, a pytree [T, N, ...], and its rows [N, ...]
KeepFn = Callable[[Key, Transition], Tree]  # (key, experience [T, N, ...]) -> what is kept beside it [T, N, ...]
KEEP = 0x6B656570  # folded into the key of a round for what is kept beside its transitions
Steps = TypeVar("Steps", int, Array)


class AgentState(NamedTuple):
    """The whole state of an agent: a run that is saved and loaded continues bit for bit."""

    fit: Fit  # online network and optimiser
    target: Tree  # θ⁻, by `TargetNetwork`: often a copy of θ; () without one
    memory: Any  # a pytree of the agent's own: replay, traces, …
    steps: Array  # [] int32, transitions seen
    explore_key: Key  # base keys: every draw is fold_in of one of them and a count
    replay_key: Key
    changes: Changes = Changes()  # what was changed since the run began


class Pace(NamedTuple):
    """When to learn: from the step `starts` on, `updates` gradient steps for every `every` transitions."""

    starts: int
    every: int
    updates: int
    batch: int  # draws from the memory in an update
    window: int = 1  # steps in each draw

    def due(self, steps: Steps) -> Steps:
        """Updates that must have been done after `steps` transitions (an array, or a Python int of any size)."""
        return (steps >= self.starts) * ((steps - self.starts) // self.every + 1) * self.updates

    def most(self, steps: int) -> int:
        """The most updates that `steps` transitions can make due."""
        return (-(-steps // self.every)) * self.updates

    def round_length(self, envs: int) -> int:
        """Steps of N environments between two visits to the learner."""
        return max(1, self.every // envs)


class AgentInitFn(Protocol):
    """(key, one row [N, ...] of experience, of which shapes and types are read) -> the agent's state."""

    def __call__(self, key: Key, seen: Transition, /) -> AgentState: ...


class CarryFn(Protocol):
    """N -> what N environments carry before their first step, a pytree [N, ...]."""

    def __call__(self, envs: int, /) -> Carry: ...


class RoundNoiseFn(Protocol):
    """(state, N) -> the noise of the next round, a pytree [T, N, ...]."""

    def __call__(self, state: AgentState, envs: int, /) -> Noise: ...


class ActFn(Protocol):
    """(θ, carry [N, ...], look at N environments, noise [N, ...]) -> action [N], carry [N, ...]."""

    def __call__(self, params: Params, carry: Carry, look: Look, noise: Noise, /) -> tuple[Array, Carry]: ...


class LearnFn(Protocol):
    """(state, experience [T, N, ...] of a round) -> state, metrics []."""

    def __call__(self, state: AgentState, seen: Transition, /) -> tuple[AgentState, Metrics]: ...


class ValuesFn(Protocol):
    """(θ, carry [N, ...], look at N environments) -> q(s, ·) [N, A], carry [N, ...]."""

    def __call__(self, params: Params, carry: Carry, look: Look, /) -> tuple[Array, Carry]: ...


class ReturnsFn(Protocol):
    """(θ, carry [N, ...], look) -> the learned distribution of returns: values and probabilities, both [N, A, m]."""

    def __call__(self, params: Params, carry: Carry, look: Look, /) -> tuple[Array, Array]: ...


class LeaveFn(Protocol):
    """State -> the same, outside the running episodes: what comes next begins new ones."""

    def __call__(self, state: AgentState, /) -> AgentState: ...


class OutputsFn(Protocol):
    """(θ, carry [N, ...], look, key of noisy weights or None) -> outputs [N, A, ...], carry [N, ...]."""

    def __call__(self, params: Params, carry: Carry, look: Look, key: Key | None, /) -> tuple[Array, Carry]: ...


class Agent(NamedTuple):
    """Pure functions over `AgentState`: by `value_agent`, or composed by hand. Nothing in them asks for a host.

    The weights that act in a round are `state.fit.params` as they were when it began.
    """

    init: AgentInitFn
    carry: CarryFn
    draw: RoundNoiseFn
    act: ActFn
    learn: LearnFn
    q: ValuesFn
    cut: LeaveFn
    rate: Schedule  # ε at a step count
    host: bool  # act and q also work in NumPy
    pace: Pace
    distribution: ReturnsFn | None = None  # of agents that learn it; its mean is q
    probe: HealthProbe | None = None  # how healthy learning is, for the log; it changes nothing
    changeable: Changeable = Changeable()


class Actor(NamedTuple):
    """How a network that carries something through time acts; feed-forward networks need none."""

    carry: CarryFn
    step: OutputsFn


def feed_forward(model: Model) -> Actor:
    """An actor that carries nothing."""
    return Actor(lambda envs: (), lambda params, carry, look, key: (call(model, params, look.obs, key), carry))


class Carried(NamedTuple):
    """What environments carry through time where exploration carries something, too: both are pytrees [N, ...]."""

    actor: Carry
    explore: Carry


class TargetNetwork(NamedTuple):
    """θ⁻, which the next state is valued by: any pytree. `read` says how it is read; by default as θ itself is."""

    init: Callable[[Params], Tree]  # θ -> θ⁻ before the first update
    update: Callable[[Params, Tree, Array], Tree]  # (θ, θ⁻, updates done) -> θ⁻
    read: ReadTarget | None = None  # given to `q_problem`: (θ, s, key) -> outputs becomes (θ⁻, s, key) -> outputs
    at: Callable[[Array], TargetNetwork] | None = None  # the same with another interval; None: it has none


def copied_params(params: Params) -> Params:
    """θ in buffers of its own: the same ones could not both be donated."""
    return jax.tree.map(jnp.copy, params)


def periodic(every: int | Array) -> TargetNetwork:
    """θ⁻ = θ after every `every` updates (Mnih et al. 2015)."""

    def update(params: Params, target: Params, updates: Array) -> Params:
        return jax.tree.map(lambda p, t: jnp.where(updates % every == 0, p, t), params, target)

    return TargetNetwork(copied_params, update, at=periodic)


def polyak(rate: float) -> TargetNetwork:
    """θ⁻ <- θ⁻ + rate (θ − θ⁻) after each update (Polyak averaging; Lillicrap et al. 2016)."""

    def update(params: Params, target: Params, updates: Array) -> Params:
        return jax.tree.map(lambda p, t: t + rate * (p - t), params, target)

    return TargetNetwork(copied_params, update)


def value_agent(
    core: Regression,
    problem: BellmanProblem,
    explore: Exploration | EpisodeExploration,
    memory: Memory,
    pace: Pace,
    actor: Actor,
    host: bool,
    readout: Readout,
    target: TargetNetwork | None = None,
    label: Label | None = None,
    keep: KeepFn | None = None,
    lr: float | None = None,
) -> Agent:
    """Compose an agent that regresses `core` on the targets of `problem`, drawn from `memory`.

    A variant of an algorithm is one of these arguments: double DQN another problem, PER another memory, C51 another
    readout, a recurrent network another actor. `target` None: θ itself is the target network. `label`, with the weights
    of the round's start, puts targets into the experience of a round before it is stored (λ-returns). What `keep`
    makes of a round is stored with its transitions, and `problem` finds it as `seen.kept` (bootstrap masks). `lr`: the
    step size of `core`, if it may be changed during a run.
    """
    episodic = explore if isinstance(explore, EpisodeExploration) else None

    def carry(envs: int) -> Carry:
        held = actor.carry(envs)
        return Carried(held, episodic.empty(envs)) if episodic else held

    def bare(seen: Experience) -> Experience:
        """What is remembered of experience: of what was carried the part that the network reads."""
        return seen._replace(carry=seen.carry.actor) if episodic else seen

    def init(key: Key, seen: Experience) -> AgentState:
        fit_key, explore_key, replay_key = jax.random.split(key, 3)
        fit = core.init(fit_key, seen.obs)  # fast keys would be fused into every weight that comes of them
        fit, explore_key, replay_key = fit._replace(key=fast_key(fit.key)), fast_key(explore_key), fast_key(replay_key)
        if keep is not None:
            round_ = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype), seen)
            shapes = jax.eval_shape(keep, key, round_)
            seen = seen._replace(kept=jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), shapes))
        held = memory.init(bare(seen), pace.round_length(len(seen.reward)))
        frozen = target.init(fit.params) if target else ()
        return AgentState(fit, frozen, held, jnp.zeros((), jnp.int32), explore_key, replay_key)

    def draw(state: AgentState, envs: int) -> Noise:
        key, steps = state.explore_key, state.steps + envs * jnp.arange(pace.round_length(envs))
        return with_epsilon(explore, state.changes.epsilon).draw(jax.random.fold_in(key, state.steps), steps, envs)

    def act(params: Params, carry: Carry, look: Look, noise: Noise) -> tuple[Array, Carry]:
        before = carry.actor if episodic else carry
        outputs, after = actor.step(params, before, look, explore.key(noise) if explore.key else None)
        values = (explore.read or readout.q)(outputs)
        if isinstance(explore, Exploration):
            return explore.select(values, look.mask, noise), after
        action, held = explore.act(values, look.mask, noise, carry.explore, look.fresh)
        return action, Carried(after, held)

    def q(params: Params, carry: Carry, look: Look) -> tuple[Array, Carry]:
        outputs, after = actor.step(params, carry.actor if episodic else carry, look, None)
        return readout.q(outputs), carry._replace(actor=after) if episodic else after

    def distribution(params: Params, carry: Carry, look: Look) -> tuple[Array, Array]:
        outputs, _ = actor.step(params, carry.actor if episodic else carry, look, None)
        assert readout.distribution is not None
        return readout.distribution(outputs)

    def learn(state: AgentState, seen: Experience) -> tuple[AgentState, Metrics]:
        if keep is not None:
            keep_key = jax.random.fold_in(jax.random.fold_in(state.replay_key, state.steps), KEEP)
            seen = seen._replace(kept=keep(keep_key, seen))
        seen = split_steps(bare(seen), seen.reward.shape[1])  # of several devices each labels what it played
        stored = on_each(memory.add(state.memory, label(state.fit.params, seen) if label else seen))
        steps = state.steps + seen.valid.sum(dtype=jnp.int32)
        owed = pace.due(steps) - pace.due(state.steps)
        rows_key, problem_key = jax.random.split(jax.random.fold_in(state.replay_key, state.steps))
        most = pace.most(seen.reward.size)
        blind = memory.score is None  # then what is learned does not change what is drawn: one draw for the round
        drawn = memory.draw(stored, rows_key, most * pace.batch) if blind else None
        parts = jax.tree.map(lambda a: a.reshape(most, pace.batch), drawn)
        factor, every = state.changes.lr, state.changes.target_every
        follow = target if target is None or target.at is None or every is None else target.at(every)

        def one(i: Array, carry: tuple) -> tuple:
            fit, frozen, scored, total = carry
            held = stored if blind else scored
            key = jax.random.fold_in(problem_key, i)
            if blind:
                rows = jax.tree.map(lambda a: a[i], parts)
            else:
                rows = memory.draw(held, jax.random.fold_in(rows_key, i), pace.batch)
            read = memory.read(held, split(rows, pace.batch))
            batch = problem(fit.params, frozen if target else fit.params, read, key)
            if memory.weigh is not None:
                weight = memory.weigh(held, rows, steps)
                batch = batch._replace(weight=weight if batch.weight is None else weight * batch.weight)
            fit, metrics, outputs = core.step(fit, batch) if factor is None else core.step(fit, batch, factor)
            if memory.score is not None:
                scored = memory.score(held, rows, readout.score(outputs, batch.y))
            value = readout.mean(batch.y)
            error = value - readout.q(outputs[:, None])[:, 0]  # the Bellman error in units of return, for every loss
            metrics |= {"value": value.mean(), "delta": jnp.abs(error).mean()}
            frozen = follow.update(fit.params, frozen, fit.step) if follow else frozen
            return fit, frozen, scored, jax.tree.map(jnp.add, total, metrics)

        nothing = dict.fromkeys(("cost", "delta", "gradient", "value"), jnp.zeros(()))
        start = (state.fit, state.target, () if blind else stored, nothing)
        fit, frozen, scored, total = jax.lax.fori_loop(0, owed, one, start)
        metrics = jax.tree.map(lambda sum_: sum_ / owed, total) | {"updates": fit.step}  # NaN: no update in this round
        return state._replace(fit=fit, target=frozen, memory=stored if blind else scored, steps=steps), metrics

    def cut(state: AgentState) -> AgentState:
        return state._replace(memory=memory.cut(state.memory))

    spread = distribution if readout.distribution else None
    probe = value_probe(core, problem, memory, readout, pace, target)
    able = Changeable(lr, (0.0, 1.0) if explore.at else None, target is not None and target.at is not None)
    return Agent(init, carry, draw, act, learn, q, cut, explore.rate, host, pace, spread, probe, able)
