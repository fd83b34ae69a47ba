"""The loop: environments on the host, learner on the device, one visit to the device for each round of steps.

A round is T steps of N environments with the weights and the exploration noise of the last visit, then one compiled
call that stores them, learns, and draws the noise of the next round. Small dense networks act in NumPy, which for few
environments is faster than any device call; other networks act by a compiled function.

    run = loop.start(seed)
    while run.steps < 50_000:
        run, metrics = loop.advance(run)        # log, save, stop: the body
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.control.profile import Timed, untimed
from rlnut.control.round_buffer import RoundBuffer
from rlnut.control.visit import Visit
from rlnut.envs.frame_stacks import check_stacks
from rlnut.envs.vector import HostVector
from rlnut.learner.agent import Agent, AgentState, Carry
from rlnut.learner.spec import Spec
from rlnut.runtime.compiling import program_once
from rlnut.types import Array, Look, Metrics, Params, Transition, Tree


class Run(NamedTuple):
    """All of a run but environments on the host (those are in `HostVector.snapshot`): a pytree."""

    agent: AgentState
    steps: int  # transitions seen
    look: Look  # what to act on next
    carry: Carry  # what a recurrent actor carries to it, a pytree [N, ...]; () for others
    returns: Any  # [N] rewards of the running episodes so far, float64 on the host
    lengths: Any  # [N] their steps
    envs: Tree = ()  # the environments, where they are a pytree (`native_loop.py`)
    acting: Params = None  # on the host: weights of the last visit, as `act` wants them
    noise: Tree = None  # on the host, a pytree [T, N, ...]: exploration of the round to come


class Episode(NamedTuple):
    """A finished episode of training: with exploration, reward as the environment gave it."""

    ret: float
    length: int


class StartFn(Protocol):
    """Seed -> a run before its first step."""

    def __call__(self, seed: int, /) -> Run: ...


class AdvanceFn(Protocol):
    """(run, stop) -> the run after one round, or after more up to the step `stop`, and each round's metrics."""

    def __call__(self, run: Run, stop: int = 0) -> tuple[Run, list[Metrics]]: ...


class RestoreFn(Protocol):
    """A saved run, without `acting` and `noise` -> the same, ready to go on."""

    def __call__(self, run: Run, /) -> Run: ...


class ShapesFn(Protocol):
    """The shapes and types of what `restore` takes; environments on the host have been reset before."""

    def __call__(self) -> Run: ...


class Loop(NamedTuple):
    """`start` a run from a seed, `advance` it by rounds, `restore` what was saved."""

    start: StartFn
    advance: AdvanceFn
    restore: RestoreFn
    shapes: ShapesFn
    compile_s: Callable[[], float]  # seconds spent compiling so far
    programs: Any = None  # what it has compiled: a loop of the same agent on other environments can be given it


def one_row(spec: Spec, envs: int, masked: bool = False, carry: Carry = ()) -> Transition:
    """The shapes and types of one row [N, ...] of experience, with action masks or without; carry: `Agent.carry(N)`."""

    def row(dtype: type, *shape: int) -> Any:
        return jax.ShapeDtypeStruct((envs, *shape), dtype)

    obs: Any = spec.example(envs)
    mask = row(bool, *spec.choices) if masked else None
    action, number, flag = row(np.int32, *spec.choices[:-1]), row(np.float32), row(bool)
    held = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), carry)
    return Transition(obs, action, number, number, obs, flag, flag, mask, mask, held, flag)


def actor(apply: Callable[..., Tree], host: bool) -> tuple[Callable[..., Tree], Callable[[Params], Params]]:
    """(act, place): `act(place(θ), ...)` runs in NumPy if the model can, else compiled on the device."""
    if host:

        def in_numpy(*args: Tree) -> Tree:
            with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges: said by its δ
                return apply(*args)

        return in_numpy, lambda params: jax.tree.map(np.asarray, params)
    compiled = jax.jit(apply)
    return lambda *args: jax.tree.map(np.asarray, compiled(*args)), lambda params: params


class HostPrograms(NamedTuple):
    """The compiled functions of a loop on the host: of an agent and a number of environments, whatever their state."""

    act: Callable[..., Tree]
    place: Callable[[Params], Params]  # weights -> as `act` wants them
    begin: Any  # jitted: (seed [] uint32, with action masks?) -> state, acting weights, noise of the first round
    draw: Callable[[AgentState], Tree]
    visit: Visit


def host_programs(agent: Agent, spec: Spec, envs: int) -> HostPrograms:
    """Nothing is compiled before it is called."""

    def begin(seed: Array, masked: bool) -> tuple[AgentState, Params, Tree]:
        state = agent.init(jax.random.key(seed), one_row(spec, envs, masked, agent.carry(envs)))
        return state, jax.tree.map(jnp.copy, state.fit.params), agent.draw(state, envs)

    def draw(state: AgentState) -> Tree:
        return agent.draw(state, envs)

    act, place = actor(agent.act, agent.host)
    act = agent.act if agent.host else act  # warnings are taken care of once in a round
    return HostPrograms(act, place, program_once(begin, static_argnums=1), program_once(draw), Visit(agent, envs))


def host_loop(
    agent: Agent,
    vector: HostVector,
    gamma: float,
    programs: HostPrograms | None = None,
    timed: Timed = untimed,
) -> Loop:
    """Train `agent` on `vector`; γ enters the experience as its discount γ·(1 − terminated).

    programs: of a loop of the same agent on as many environments; timed: puts clocks around the parts of a round.
    """
    programs = programs or host_programs(agent, vector.spec, vector.num_envs)
    act, place, environment = timed("act", programs.act), programs.place, timed("environment", vector.step)
    store, join = timed("store", RoundBuffer.write), timed("store", RoundBuffer.experience)
    count = timed("store", count_episodes)
    learn = timed("learn", programs.visit, wait=True)
    clock = {"compile": 0.0, "first": True}

    def restore(run: Run) -> Run:
        acting = place(jax.tree.map(lambda leaf: jax.device_put(np.array(leaf)), run.agent.fit.params))
        noise = jax.tree.map(np.asarray, programs.draw(run.agent))
        return run._replace(acting=acting, noise=noise)

    def start(seed: int) -> Run:
        began = time.perf_counter()
        n = vector.num_envs
        look = Look(vector.reset(seed), np.ones(n, bool), vector.mask)
        state, acting, drawn = programs.begin(np.uint32(seed), vector.masked)
        acting, noise = place(acting), jax.tree.map(np.asarray, drawn)
        carry = jax.tree.map(np.asarray, agent.carry(n))
        clock["compile"] += time.perf_counter() - began
        return Run(state, 0, look, carry, np.zeros(n), np.zeros(n, np.int64), (), acting, noise)

    def advance(run: Run, stop: int = 0) -> tuple[Run, list[Metrics]]:
        look, carry, noise = run.look, run.carry, noise_rows(run.noise)
        buffer = RoundBuffer(len(noise), look, carry, vector.spec.choices[:-1])
        with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges: said by its δ
            for t, drawn in enumerate(noise):
                action, after = act(run.acting, carry, look, drawn)
                step = environment(action)
                store(buffer, t, look, carry, action, step)
                fresh = step.terminated | step.truncated | ~step.valid
                look, carry = Look(step.obs, fresh, vector.mask), after
        seen = join(buffer, gamma)
        check_stacks(vector.spec, seen)
        began = time.perf_counter()
        pending = learn(run.agent, seen)  # while the device is at work:
        returns, lengths, episodes = count(run.returns, run.lengths, seen)
        done = run.steps + int(seen.valid.sum())
        acting, drawn, metrics = programs.visit.result(pending)
        run = Run(pending.state, done, look, carry, returns, lengths, (), acting, drawn)
        if clock["first"]:
            clock["compile"] += time.perf_counter() - began
            clock["first"] = False
        return run, [metrics | {"episodes": episodes}]

    def shapes() -> Run:
        n = vector.num_envs
        carry = jax.eval_shape(lambda: agent.carry(n))
        row = one_row(vector.spec, n, vector.masked, carry)
        state, _, _ = programs.begin.eval_shape(np.uint32(0), vector.masked)
        look = Look(row.obs, row.end, row.mask)
        return Run(state, 0, look, carry, np.zeros(n), np.zeros(n, np.int64))

    return Loop(start, advance, restore, shapes, lambda: clock["compile"], programs)


def noise_rows(noise: Tree) -> list[Tree]:
    """The T rows of a pytree [T, N, ...]."""
    if isinstance(noise, np.ndarray):
        return list(noise)
    leaves, tree = jax.tree.flatten(noise)
    return [jax.tree.unflatten(tree, row) for row in zip(*leaves, strict=True)]


def count_episodes(
    returns: np.ndarray, lengths: np.ndarray, seen: Transition
) -> tuple[np.ndarray, np.ndarray, list[Episode]]:
    """Running returns and lengths after a round [T, N], and the episodes that ended in it."""
    if not seen.end.any():
        return returns + seen.reward.sum(0, where=seen.valid), lengths + seen.valid.sum(0), []
    totals, counts, episodes = returns.tolist(), lengths.tolist(), []
    for reward, end, valid in zip(seen.reward.tolist(), seen.end.tolist(), seen.valid.tolist(), strict=True):
        for i in range(len(totals)):
            if valid[i]:
                totals[i] += reward[i]
                counts[i] += 1
                if end[i]:
                    episodes.append(Episode(totals[i], counts[i]))
                    totals[i], counts[i] = 0.0, 0
    return np.array(totals), np.array(counts, np.int64), episodes
