"""One run of a batch agent: the transitions, the iterations, the log, the evaluation. Nothing is chosen by playing.

A run leaves what every run leaves but a checkpoint: it is deterministic and done in one go. The policy it returns is
the last one, for which of them is best on the environment is not in the data.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import jax
import numpy as np

from rlnut.control.checkpoints import Best, on_host
from rlnut.control.host_loop import one_row
from rlnut.control.plan import check_episodes, check_model
from rlnut.control.policy import Policy, PolicyOrigin, evaluator_of
from rlnut.control.result import FINAL, Trained
from rlnut.control.run_files import RunFiles
from rlnut.control.run_folder import describe
from rlnut.control.settings import RunSettings
from rlnut.envs import transitions
from rlnut.envs.make import EnvLike, maker
from rlnut.envs.vector import host_vector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent, AgentState
from rlnut.learner.config import OfflineConfig
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.arrays import all_finite
from rlnut.runtime.files import new_folder
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.locks import locked
from rlnut.runtime.log import Progress, say
from rlnut.types import Network, Params, Transition

STILL = 1e-6  # largest change of a weight that counts as none, relative to the largest weight
LOOKS = 5  # greedy evaluations on the way, for the curve


class BatchProblem(NamedTuple):
    """What a batch agent learns from."""

    agent: Agent
    spec: Spec
    state: AgentState
    seen: Transition  # [T, N] all transitions


class Iterated(NamedTuple):
    """What the iterations came to."""

    params: Params
    iterations: int
    interrupted: bool
    compile_s: float
    seconds: float


def train_batch(
    config: OfflineConfig,
    env: EnvLike,
    training: RunSettings,
    seed: int = 0,
    out: str | Path | None = None,
    network: Network | None = None,
    eval_env: EnvLike | None = None,
    quiet: bool = False,
) -> Trained:
    """Learn Q from transitions by iterated regression; `training.steps` of a uniform policy unless `config.data`."""
    began = time.perf_counter()
    problem = batch_problem(config, env, training, seed, network)
    rows, played = len(problem.seen.action), env if eval_env is None else eval_env
    description = describe(config, env, training, seed, network is not None)
    folder = new_folder(out) if out is not None else None
    with contextlib.nullcontext() if folder is None else locked(folder):
        files = RunFiles(folder, description)
        files.open()
        if not quiet:
            say(f"{description['agent']} on {files.env}, seed {seed}")
            say(f"  {rows:,} transitions, at most {config.iterations} iterations")
            say(f"  sees       {problem.spec.saw}")
        found = iterate_batch(problem, config, training, seed, played, files, quiet)
        policy = Policy(problem.agent, problem.spec, found.params, played, PolicyOrigin(config, training, network))
        files.save_policy(Best(found.params, float("nan"), found.iterations))
        evaluation = policy.evaluate(1 if found.interrupted else training.final_episodes, seed, number=FINAL)
        rate, wall = rows * found.iterations / max(found.seconds, 1e-9), time.perf_counter() - began
        how = (found.iterations, wall, found.compile_s, rate, found.interrupted, folder)
        trained = Trained(policy, evaluation, rows, *how)
        files.finish(trained)
    return trained


def batch_problem(
    config: OfflineConfig, env: EnvLike, training: RunSettings, seed: int, network: Network | None
) -> BatchProblem:
    """The agent and its transitions: of a file, or collected by a uniform policy."""
    if training.native:
        raise UsageError("--native has no effect: a batch agent learns from transitions that are there already")
    if training.until is not None:
        raise UsageError("--until has no effect: a batch agent does not choose by playing")
    check_episodes(training.final_episodes)
    whole = env if isinstance(env, gym.vector.VectorEnv) else maker(env)
    vector = host_vector(whole, training.num_envs, Choice(training.actions, training.bins))
    try:
        spec = vector.spec
        if len(spec.choices) > 1:
            raise UsageError(f"{spec.name}: this agent takes one choice, not {spec.acts.saw}: --actions grid")
        if network is not None:
            check_model(network, spec)
        seen = None if config.data is None else transitions.load_transitions(config.data, spec, config.gamma)
        agent = config.build(spec, network)
        if seen is None:
            arrays = transitions.collect(vector, training.steps, seed)
            seen = transitions.checked_transitions(arrays, spec, config.gamma, "the environment")
        row = one_row(spec, 1, False)
        return BatchProblem(agent, spec, jax.jit(lambda key: agent.init(key, row))(jax.random.key(seed)), seen)
    finally:
        vector.close()


def iterate_batch(
    problem: BatchProblem,
    config: OfflineConfig,
    training: RunSettings,
    seed: int,
    played: EnvLike,
    files: RunFiles,
    quiet: bool,
) -> Iterated:
    """Regress until nothing changes, the iterations are done, or Ctrl-C; whatever else ends it leaves its policy."""
    agent, spec, state, seen = problem
    evaluator = evaluator_of(played, spec, training.eval_episodes)
    progress, compile_s, params, done = Progress(config.iterations, 0, quiet), 0.0, None, 0
    looks = {round(config.iterations * (k + 1) / LOOKS) for k in range(LOOKS - 1)}
    fitting, interrupted = time.perf_counter(), False
    try:
        with interrupts(
            lambda: None if quiet else say("stopping after this iteration (once more: at once)")
        ) as stopped:
            for done in range(1, config.iterations + 1):
                state, found = agent.learn(state, seen)
                before, params = params, on_host(state.fit.params)
                compile_s = compile_s or time.perf_counter() - fitting
                row = {name: float(value) for name, value in found.items()} | {"step": done}
                row["updates"] = int(state.fit.step)
                if not all_finite(params):
                    raise RlnutError(
                        f"the learner diverged in iteration {done}; give a smaller --gamma or other features"
                    )
                if done in looks:
                    look = evaluator(Policy(agent, spec, params, played).player, seed, done)
                    std = float("nan") if look.std is None else look.std
                    row |= {"eval_mean": look.mean, "eval_std": std, "eval_length": float(np.mean(look.lengths))}
                files.write_row(row)
                progress.show(done, row, plain=done in looks)
                interrupted = stopped()
                if interrupted or (before is not None and _still(before, params)):
                    break
    except BaseException:
        if params is not None and all_finite(params):
            with contextlib.suppress(RlnutError):
                files.save_policy(Best(params, float("nan"), done))
        raise
    finally:
        evaluator.close()
        progress.close()
    return Iterated(params, done, interrupted, compile_s, time.perf_counter() - fitting)


def _still(before: object, after: object) -> bool:
    """Did nothing change?"""
    pairs = list(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    size = max(float(np.abs(b).max(initial=0)) for _, b in pairs)
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs) <= STILL * max(size, 1e-12)
