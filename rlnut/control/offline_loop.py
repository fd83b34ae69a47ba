"""The loop of offline agents: every advance is one regression onto targets from a fixed set of transitions.

The same `Loop` as those that play (`host_loop`, `native_loop`), its steps being iterations. The transitions are no part
of a run's state: they are read from their file or collected from their seed again, and their checksum is compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache

import gymnasium as gym
import jax
import numpy as np

from rlnut.control.checkpoints import on_host
from rlnut.control.experience import settled_by
from rlnut.control.host_loop import Loop, Run, one_row
from rlnut.control.plan import check_episodes, check_model, nbytes
from rlnut.control.profile import Timed, untimed
from rlnut.control.settings import EveryIteration, RunSettings
from rlnut.control.setup import Setup, Shared, check_choices
from rlnut.control.visit import METRICS
from rlnut.envs import transitions
from rlnut.envs.make import EnvLike, maker
from rlnut.envs.vector import host_vector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent, AgentState
from rlnut.learner.config import OfflineConfig
from rlnut.learner.remarks import RunFacts
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.arrays import all_finite, checksum
from rlnut.types import Key, Metrics, Network, Params, Transition

NO_EFFECT = "an offline agent learns from transitions that are there already"
UNUSED = {
    "native": NO_EFFECT,
    "overlap": NO_EFFECT,
    "stacks": NO_EFFECT,
    "devices": NO_EFFECT,
    "vectorization_mode": NO_EFFECT,
    "until": "an offline agent does not choose by playing",
}
UNUSED |= dict.fromkeys(
    ("normalise", "reward_scale", "reward_clip"), "an offline agent learns from transitions as they are"
)


def offline_loop(
    agent: Agent,
    spec: Spec,
    seen: Transition,
    programs: Callable[[Key], AgentState] | None = None,
    timed: Timed = untimed,
) -> Loop:
    """Learn from `seen` [T, N]. What a run carries is the largest change of a weight in its last iteration.

    programs: of a loop of the same agent, how its first state is made.
    """
    init = programs or jax.jit(lambda key: agent.init(key, one_row(spec, 1, False)))
    learn = timed("learn", agent.learn, wait=True)
    clock = {"compile": 0.0}

    def begin(seed: int) -> Run:
        return whole(init(jax.random.key(seed)), 0, math.inf)

    def whole(state: AgentState, done: int, change: float) -> Run:
        return Run(state, done, (), np.float64(change), (), ())  # type: ignore[arg-type]  # nothing is looked at

    def advance(run: Run, stop: int = 0) -> tuple[Run, list[Metrics]]:
        began, done = time.perf_counter(), run.steps + 1
        before = on_host(run.agent.fit.params)
        state, found = learn(run.agent, seen)
        after = on_host(state.fit.params)
        clock["compile"] = clock["compile"] or time.perf_counter() - began
        if not all_finite(after):
            raise RlnutError(f"the learner diverged in iteration {done}; give a smaller --gamma or other features")
        numbers = {name: float(found.get(name, math.nan)) for name in METRICS} | {"updates": int(state.fit.step)}
        change = largest_change(before, after) if run.steps else math.inf  # the first weights are no one's values
        run = whole(state._replace(steps=run.agent.steps + 1), done, change)
        return run, [numbers | {"episodes": []}]

    def shapes() -> Run:
        row = one_row(spec, 1, False)
        return whole(jax.eval_shape(lambda: agent.init(jax.random.key(0), row)), 0, 0.0)

    return Loop(begin, advance, lambda run: run, shapes, lambda: clock["compile"], init)


def largest_change(before: Params, after: Params) -> float:
    """The largest change of a weight, relative to the largest weight."""
    pairs = list(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    size = max(float(np.abs(b).max(initial=0)) for _, b in pairs)
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs) / max(size, 1e-12)


def offline(
    config: OfflineConfig,
    env: EnvLike,
    training: RunSettings,
    seed: int,
    network: Network | None,
    shared: Shared | None = None,
    timed: Timed = untimed,
) -> Setup:
    """A run of an offline agent: its transitions are of a file, or collected by a uniform policy."""
    for name, reason in UNUSED.items():
        if getattr(training, name) != getattr(RunSettings(), name):
            raise UsageError(f"--{name.replace('_', '-')} has no effect: {reason}")
    check_episodes(training.final_episodes)
    whole = env if isinstance(env, gym.vector.VectorEnv) else maker(env)
    vector = host_vector(whole, training.num_envs, Choice(training.actions, training.bins))
    try:
        spec = vector.spec
        check_choices(spec, False)
        if network is not None:
            check_model(network, spec)

        data, gamma = config.data, config.gamma

        @cache
        def rows() -> Transition:
            if data is not None:
                return transitions.load_transitions(data, spec, gamma)
            arrays = transitions.collect(vector, training.steps, seed)
            return transitions.checked_transitions(arrays, spec, gamma, "the environment")

        # an invalid file is reported first
        config = config.planned(training.steps if config.data is None else len(rows().action), 1)
        known, found = (config, []) if network is not None else settled_by(config, spec, timed("environment", rows))
        before = shared.find(known, spec) if shared else None
        agent, seen = before.agent if before else known.build(spec, network), timed("environment", rows)()
    finally:
        vector.close()
    count = len(seen.action)
    lines = [f"{count:,} transitions, at most {config.iterations} iterations", f"input      {spec.saw}", *found]
    loop, schedule = (
        offline_loop(agent, spec, seen, before and before.programs, timed),
        EveryIteration(config.iterations),
    )
    if shared:
        shared.keep(known, spec, agent, loop)
    facts = RunFacts(config.iterations, config.iterations)
    return Setup(known, agent, spec, loop, schedule, training, lines, None, nbytes(seen), count, checksum(seen), facts)
