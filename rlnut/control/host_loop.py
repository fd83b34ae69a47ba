"""The loop: environments on the host, learner on the device, one visit to the device for each round of steps.

A round is T steps of N environments with the weights and the exploration noise of the last visit, then one compiled
call that stores them, learns, and draws the noise of the next round. Small dense networks act in NumPy, which for few
environments is faster than any device call; other networks act by a compiled function.

    run = loop.start(seed)
    while run.steps < 50_000:
        run, metrics = loop.advance(run)        # log, save, stop: the body

With `overlap` the learner works on one round while the next is played, so that both take the time of the longer one.
Round k + 1 is then played by the weights that have learned rounds 1 … k − 1, and `Run.seen` holds round k.
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
from rlnut.control.visit import METRICS, Visit, drawn
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
    seen: Transition | tuple[()] = ()  # with `overlap`: the last round, [T, N, ...], which is not learned yet


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
    redraw: Callable[[Run], Run] = lambda run: run  # the run with the noise that its state draws, which was changed


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
    draw: Any  # jitted: (state, rounds ahead) -> noise of that round
    visit: Visit


def host_programs(agent: Agent, spec: Spec, envs: int, overlap: bool = False) -> HostPrograms:
    """Nothing is compiled before it is called."""

    def begin(seed: Array, masked: bool) -> tuple[AgentState, Params, Tree]:
        state = agent.init(jax.random.key(seed), one_row(spec, envs, masked, agent.carry(envs)))
        return state, jax.tree.map(jnp.copy, state.fit.params), agent.draw(state, envs)

    def draw(state: AgentState, ahead: int) -> Tree:
        return drawn(agent, state, envs, ahead)

    act, place = actor(agent.act, agent.host)
    act = agent.act if agent.host else act  # warnings are taken care of once in a round
    begun, again = program_once(begin, static_argnums=1), program_once(draw, static_argnums=1)
    return HostPrograms(act, place, begun, again, Visit(agent, envs, int(overlap)))


def host_loop(
    agent: Agent,
    vector: HostVector,
    gamma: float,
    programs: HostPrograms | None = None,
    timed: Timed = untimed,
    overlap: bool = False,
) -> Loop:
    """Train `agent` on `vector`; γ enters the experience as its discount γ·(1 − terminated).

    programs: of a loop of the same agent on as many environments; timed: puts clocks around the parts of a round;
    overlap: learn from a round while the next one is played.
    """
    programs = programs or host_programs(agent, vector.spec, vector.num_envs, overlap)
    act, place, environment = timed("act", programs.act), programs.place, timed("environment", vector.step)
    store, join = timed("store", RoundBuffer.write), timed("store", RoundBuffer.experience)
    count = timed("store", count_episodes)
    learn, result = timed("learn", programs.visit, wait=not overlap), timed("learn", programs.visit.result)
    unlearned = dict.fromkeys(METRICS, float("nan")) | {"updates": 0.0}
    clock = {"compile": 0.0, "first": True}

    def restore(run: Run) -> Run:
        acting = place(jax.tree.map(lambda leaf: jax.device_put(np.array(leaf)), run.agent.fit.params))
        return redraw(run._replace(acting=acting))

    def redraw(run: Run) -> Run:
        noise = programs.draw(run.agent, int(overlap and run.steps > 0))
        return run._replace(noise=jax.tree.map(np.asarray, noise))

    def start(seed: int) -> Run:
        began = time.perf_counter()
        n = vector.num_envs
        look = Look(vector.reset(seed), np.ones(n, bool), vector.mask)
        state, acting, noise = programs.begin(np.uint32(seed), vector.masked)
        acting, noise = place(acting), jax.tree.map(np.asarray, noise)
        carry = jax.tree.map(np.asarray, agent.carry(n))
        clock["compile"] += time.perf_counter() - began
        seen = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), one_round()) if overlap else ()
        return Run(state, 0, look, carry, np.zeros(n), np.zeros(n, np.int64), (), acting, noise, seen)

    def one_round() -> Transition:
        """The shapes and types of a round of experience."""
        n = vector.num_envs
        row = one_row(vector.spec, n, vector.masked, jax.eval_shape(lambda: agent.carry(n)))
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((agent.pace.round_length(n), *a.shape), a.dtype), row)

    def advance(run: Run, stop: int = 0) -> tuple[Run, list[Metrics]]:
        began, state, pending = time.perf_counter(), run.agent, None
        if isinstance(run.seen, Transition) and run.steps:
            pending = learn(state, run.seen)  # the device is at work on it while this plays
        look, carry, noise = run.look, run.carry, noise_rows(run.noise)
        buffer = RoundBuffer(len(noise), look, carry, vector.spec.choices[:-1])
        with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges: said by its δ
            for t, row in enumerate(noise):
                action, after = act(run.acting, carry, look, row)
                step = environment(action)
                store(buffer, t, look, carry, action, step)
                fresh = step.terminated | step.truncated | ~step.valid
                look, carry = Look(step.obs, fresh, vector.mask), after
        seen = join(buffer, gamma)
        check_stacks(vector.spec, seen)
        if not overlap:
            began = time.perf_counter()
            pending = learn(state, seen)  # while the device is at work:
        returns, lengths, episodes = count(run.returns, run.lengths, seen)
        done = run.steps + int(seen.valid.sum())
        if pending is None:
            acting, noise, metrics = run.acting, jax.tree.map(np.asarray, programs.draw(state, 1)), unlearned
        else:
            (acting, noise, metrics), state = result(pending), pending.state
        if clock["first"] and pending is not None:
            clock["compile"] += time.perf_counter() - began
            clock["first"] = False
        run = Run(state, done, look, carry, returns, lengths, (), acting, noise, seen if overlap else ())
        return run, [metrics | {"episodes": episodes}]

    def shapes() -> Run:
        n = vector.num_envs
        carry = jax.eval_shape(lambda: agent.carry(n))
        row = one_row(vector.spec, n, vector.masked, carry)
        state, _, _ = programs.begin.eval_shape(np.uint32(0), vector.masked)
        look = Look(row.obs, row.end, row.mask)
        seen = one_round() if overlap else ()
        return Run(state, 0, look, carry, np.zeros(n), np.zeros(n, np.int64), seen=seen)

    return Loop(start, advance, restore, shapes, lambda: clock["compile"], programs, redraw)


def cut_short(seen: Transition | tuple[()]) -> Transition | tuple[()]:
    """A round [T, N, ...] after which the running episodes are given up: its last step ends them, as a time limit."""
    if not isinstance(seen, Transition):
        return seen
    end = np.array(seen.end)
    end[-1] = True
    return seen._replace(end=end)


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
