"""Make the plan of a run from the agent, the environments and the settings, before anything is allocated."""

from __future__ import annotations

import math
from typing import Any

import jax
import psutil

from rlnut.agent import Agent
from rlnut.envs.functional import FuncVector
from rlnut.envs.vector import HostVector
from rlnut.loop import one_row
from rlnut.plan import Plan, Training


def make_plan(agent: Agent, vector: HostVector | FuncVector, training: Training) -> Plan:
    """The numbers of a run before it starts."""
    pace = agent.pace
    round_steps = pace.round_length(vector.num_envs) * vector.num_envs
    steps = whole_rounds(training.steps, round_steps)
    n = vector.num_envs
    row = one_row(vector.spec, n, vector.masked, agent.carry(n))
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), row))
    obs = math.prod(vector.spec.shape) * vector.spec.dtype.itemsize
    return Plan(
        steps=steps,
        round_steps=round_steps,
        updates=pace.due(steps),
        batch=pace.batch,
        window=pace.window,
        learning_starts=pace.starts,
        epsilon_end=float(agent.rate(steps)),
        memory_bytes=nbytes(state.memory),
        learner_bytes=2 * nbytes((state.fit, state.target)) + 2 * pace.batch * pace.window * obs,
        parameters=sum(a.size for a in jax.tree.leaves(state.fit.params)),
        evaluations=len(range(training.eval_every, steps + 1, training.eval_every)) + bool(steps % training.eval_every),
        saw=vector.spec.saw,
    )


def nbytes(shapes: Any) -> int:
    """Size of a pytree of arrays, or of their shapes."""
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes))


def whole_rounds(steps: int, round_steps: int) -> int:
    """The least whole number of rounds, in steps, that makes `steps`."""
    return math.ceil(steps / round_steps) * round_steps


def free_memory() -> int:
    """Free bytes where the arrays will live: of the accelerator if there is one, else of the machine."""
    stats = jax.devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return int(psutil.virtual_memory().available)
