"""The compiled loop: functional environments and the learner in one program, many rounds to a visit.

The same rounds as `host_loop.py`, with the environments on the device, too; the same keys give the same numbers.
Everything is in `Live`, a pytree, so `vmap` over keys trains many agents at once:

    begin, one_round = rounds(agent, func_vector(env, 8, limit), gamma)
    returns, lengths = jax.vmap(lambda key: first_episodes(begin, one_round, key, 500))(jax.random.split(key, 1000))
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.control.host_loop import Episode, Loop, Run, one_row
from rlnut.control.profile import Timed, untimed
from rlnut.control.visit import METRICS
from rlnut.envs.functional import FuncVector, Lanes
from rlnut.errors import RlnutError
from rlnut.learner.agent import Agent, AgentState, Carry
from rlnut.runtime.arrays import owned
from rlnut.runtime.compiling import program, program_once
from rlnut.runtime.devices import agreed, check_split, mesh, on_all, split, whole_outputs
from rlnut.types import Key, Look, Metrics, Transition, Tree, transition

ENVS = 0x656E7673  # folded into the run's key for the environments; the agent splits the same key for itself
LONGEST = 10.0  # seconds of a visit, about: a run can be stopped and saved only between two of them
FIRST = 1000  # rounds of the first visit at most, before it is known how long a round takes


class Live(NamedTuple):
    """All of a run: a pytree."""

    agent: AgentState
    lanes: Lanes
    look: Look  # what to act on next
    carry: Carry  # what a recurrent actor carries to it
    returns: Array  # [N] float32, rewards of the running episodes so far
    lengths: Array  # [N] int32, their steps


class Seen(NamedTuple):
    """What one round was like."""

    metrics: Array  # METRICS
    ended: Array | np.ndarray  # [T, N] bool: an episode ended here,
    returns: Array  # [T, N] with this return
    lengths: Array  # [T, N] and this many steps
    finite: Array  # [T] bool: rewards and observations were finite


Begin = Callable[[Key], Live]
Round = Callable[[Live], tuple[Live, Seen]]
RunRounds = Callable[[Live, Array | np.integer], tuple[Live, Seen]]


def rounds(agent: Agent, vector: FuncVector, gamma: float) -> tuple[Begin, Round]:
    """(begin, one_round): T steps of N environments, then `agent.learn`; pure, for jit, vmap and scan."""
    n = vector.num_envs

    def begin(key: Key) -> Live:
        lanes, look = vector.reset(jax.random.fold_in(key, ENVS))
        row = one_row(vector.spec, n, vector.masked, agent.carry(n))
        zeros = jnp.zeros(n, jnp.float32), jnp.zeros(n, jnp.int32)
        return Live(agent.init(key, row), lanes, look, jax.tree.map(jnp.asarray, agent.carry(n)), *zeros)

    def one_round(live: Live) -> tuple[Live, Seen]:
        acting = live.agent.fit.params

        def spread(live: Live) -> Live:
            """With several devices: each has its part of the environments."""
            return Live(live.agent, *split(live[1:], n))

        def one_step(live: Live, noise: Tree) -> tuple[Live, tuple[Transition, Array, Array]]:
            live = spread(live)
            action, carry = agent.act(acting, live.carry, live.look, noise)
            action = jnp.asarray(action, jnp.int32)
            lanes, look, step = vector.step(live.lanes, action)
            told = (live.look.obs, action, step.reward, step.next_obs, step.terminated, step.truncated)
            more = {"mask": live.look.mask, "next_mask": step.next_mask, "carry": live.carry, "fresh": live.look.fresh}
            seen = transition(*told, gamma, step.valid, **more)
            returns, lengths = live.returns + step.reward, live.lengths + 1
            running = jnp.where(seen.end, 0, returns), jnp.where(seen.end, 0, lengths)
            after = Live(live.agent, lanes, look, carry, *running)
            return after, (seen, returns, lengths)

        live, (seen, returns, lengths) = jax.lax.scan(one_step, live, agent.draw(live.agent, n))
        state, metrics = agent.learn(live.agent, seen)
        numbers = jnp.stack([metrics[name] for name in METRICS])
        floats = [x for x in (seen.reward, seen.next_obs) if jnp.issubdtype(x.dtype, jnp.floating)]
        finite = jnp.array([jnp.isfinite(x).reshape(len(x), -1).all(1) for x in floats]).all(0)
        return live._replace(agent=state), Seen(numbers, seen.end, returns, lengths, finite)

    return begin, one_round


def first_episodes(begin: Begin, one_round: Round, key: Key, episodes: int) -> tuple[Array, Array]:
    """Returns and lengths [episodes] of the first ones to end, in their order (by step, then by lane), while learning.

    Under `vmap` every run goes on until the slowest has its episodes.
    """

    def unfinished(carry: tuple[Live, Array, Array, Array]) -> Array:
        return carry[1] < episodes

    def more(carry: tuple[Live, Array, Array, Array]) -> tuple[Live, Array, Array, Array]:
        live, count, returns, lengths = carry
        live, seen = one_round(live)
        ended = seen.ended.ravel()
        place = jnp.where(ended, count + jnp.cumsum(ended) - 1, episodes)
        returns = returns.at[place].set(seen.returns.ravel(), mode="drop")
        return live, count + ended.sum(), returns, lengths.at[place].set(seen.lengths.ravel(), mode="drop")

    nothing = jnp.int32(0), jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32)
    _, _, returns, lengths = jax.lax.while_loop(unfinished, more, (begin(key), *nothing))
    return returns, lengths


class NativePrograms(NamedTuple):
    """The compiled functions of a loop: of an agent, its environments and the most rounds of a visit."""

    begin: Any  # jitted: seed [] uint32 -> run
    visit: Callable[
        [Live, Array | np.integer], tuple[Live, Seen]
    ]  # (run, rounds) -> run, and each round, `room` of them
    room: int
    compiled: dict[Any, RunRounds]  # `visit`, once it is, by what was changed
    devices: int  # that the environments and the minibatches are split over


def native_programs(agent: Agent, vector: FuncVector, gamma: float, most: int, devices: int = 1) -> NativePrograms:
    """Nothing is compiled yet; UsageError if environments or minibatches cannot be split over the devices."""
    check_split(devices, "num_envs", vector.num_envs)
    check_split(devices, "a minibatch of", agent.pace.batch)
    begin, one_round = rounds(agent, vector, gamma)
    steps = agent.pace.round_length(vector.num_envs) * vector.num_envs
    room = max(1, math.ceil(most / steps))

    def visit(live: Live, count: Array | np.integer) -> tuple[Live, Seen]:
        blank = jax.tree.map(lambda a: jnp.zeros((room, *a.shape), a.dtype), jax.eval_shape(one_round, live)[1])

        def again(i: Array, carry: tuple[Live, Seen]) -> tuple[Live, Seen]:
            live, seen = one_round(carry[0])
            return live, jax.tree.map(lambda all_, one: all_.at[i].set(one), carry[1], seen)

        return jax.lax.fori_loop(0, count, again, (live, blank))

    return NativePrograms(program_once(lambda seed: begin(jax.random.key(seed))), visit, room, {}, devices)


def native_loop(
    agent: Agent,
    vector: FuncVector,
    gamma: float,
    most: int,
    programs: NativePrograms | None = None,
    timed: Timed = untimed,
    devices: int = 1,
) -> Loop:
    """Train `agent` on `vector` in one program; `advance` makes at most `most` steps of the environments at a visit.

    programs: of a loop of the same arguments; timed: puts a clock around the visits. devices: each plays a part of the
    environments and learns from a part of each minibatch; between two visits each has all of the run.
    """
    programs = programs or native_programs(agent, vector, gamma, most, devices)
    begin, visit, room, compiled, devices = programs
    steps = agent.pace.round_length(vector.num_envs) * vector.num_envs
    clock = {"compile": 0.0, "round": 0.0}  # seconds: of all compilation, of a round in the last visit

    def ready(live: Live) -> RunRounds:
        changed = jax.tree.structure(live.agent.changes)
        if changed not in compiled:
            began = time.perf_counter()
            with mesh(devices):
                jitted = program(visit, donate_argnums=0, **whole_outputs(devices))
                compiled[changed] = jitted.lower(live, np.int32(1)).compile()
            clock["compile"] += time.perf_counter() - began
        return compiled[changed]

    def wrap(live: Live) -> Run:
        ready(live)
        return Run(live.agent, int(live.agent.steps), live.look, live.carry, live.returns, live.lengths, live.lanes)

    def start(seed: int) -> Run:
        began = time.perf_counter()
        live = on_all(begin(np.uint32(seed)), devices)
        clock["compile"] += time.perf_counter() - began
        return wrap(live)

    def restore(saved: Run) -> Run:
        live = Live(saved.agent, saved.envs, saved.look, saved.carry, saved.returns, saved.lengths)
        return wrap(on_all(owned(live), devices))

    def advance(run: Run, stop: int = 0) -> tuple[Run, list[Metrics]]:
        live = Live(run.agent, run.envs, run.look, run.carry, run.returns, run.lengths)
        most = max(1, int(LONGEST / clock["round"])) if clock["round"] else FIRST
        count = agreed(min(room, most, max(1, math.ceil((stop - run.steps) / steps))))  # `most` is of a clock
        go = ready(live)
        began = time.perf_counter()
        live, seen = timed("play and learn", go, wait=True)(live, np.int32(count))
        seen = jax.tree.map(lambda a: np.asarray(a)[:count], seen)
        clock["round"] = (time.perf_counter() - began) / count
        if not seen.finite.all():
            last = run.steps + (int(np.argmin(seen.finite.ravel())) + 1) * vector.num_envs
            which = f"steps {last - vector.num_envs + 1:,} … {last:,}" if vector.num_envs > 1 else f"step {last:,}"
            raise RlnutError(f"{vector.spec.name}: {which} returned a reward or observation that is NaN or infinite")
        return wrap(live), [metrics_of(Seen(*(leaf[i] for leaf in seen))) for i in range(count)]

    def shapes() -> Run:
        live = begin.eval_shape(np.uint32(0))
        return Run(live.agent, 0, live.look, live.carry, live.returns, live.lengths, live.lanes)

    return Loop(start, advance, restore, shapes, lambda: clock["compile"], programs)


def metrics_of(seen: Seen) -> Metrics:
    """One round as the host loop tells it."""
    at = np.nonzero(seen.ended)
    ends = zip(seen.returns[at].tolist(), seen.lengths[at].tolist(), strict=True)
    return dict(zip(METRICS, seen.metrics.tolist(), strict=True)) | {"episodes": [Episode(*end) for end in ends]}
