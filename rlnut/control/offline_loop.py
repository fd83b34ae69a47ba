"""One run of a batch agent: the transitions, the iterations, the log, the evaluation. Nothing is chosen by playing.

A run leaves what every run leaves but a checkpoint: it is deterministic and done in one go. The policy it returns is
the last one, for which of them is best on the environment is not in the data.
"""

from __future__ import annotations

import time
from pathlib import Path

import gymnasium as gym
import jax
import numpy as np

from rlnut.control.host_loop import one_row
from rlnut.control.plan import check_episodes, check_model
from rlnut.control.policy import Policy, PolicyOrigin, evaluator_of
from rlnut.control.result import FINAL, Trained, summary
from rlnut.control.run_folder import CONFIG, POLICY, SUMMARY, describe, identity
from rlnut.control.settings import RunSettings
from rlnut.envs import transitions
from rlnut.envs.make import EnvLike, maker, shown_environment
from rlnut.envs.vector import host_vector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.config import OfflineConfig
from rlnut.learner.spec import Choice
from rlnut.runtime.arrays import save_arrays
from rlnut.runtime.files import new_folder, write_json
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import COLUMNS, MetricsFile, Progress, say
from rlnut.types import Network

STILL = 1e-6  # largest change of a weight that counts as none, relative to the largest weight
LOOKS = 5  # greedy evaluations on the way, for the curve


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
    if training.native:
        raise UsageError("--native means nothing here: a batch agent learns from transitions that are there already")
    if training.until is not None:
        raise UsageError("--until means nothing here: a batch agent does not choose by playing")
    began = time.perf_counter()
    choice = Choice(training.actions, training.bins)
    whole = env if isinstance(env, gym.vector.VectorEnv) else maker(env)
    vector = host_vector(whole, training.num_envs, choice)
    try:
        spec = vector.spec
        if len(spec.choices) > 1:
            raise UsageError(f"{spec.name}: this agent takes one choice, not {spec.acts.saw}: --actions grid")
        seen = None if config.data is None else transitions.load_transitions(config.data, spec, config.gamma)
        check_episodes(training.final_episodes)
        if network is not None:
            check_model(network, spec)
        agent = config.build(spec, network)
        if seen is None:
            arrays = transitions.collect(vector, training.steps, seed)
            seen = transitions.checked_transitions(arrays, spec, config.gamma, "the environment")
        row = one_row(spec, 1, False)
        state = jax.jit(lambda key: agent.init(key, row))(jax.random.key(seed))
    finally:
        vector.close()
    folder = new_folder(out) if out is not None else None
    description = describe(config, env, training, seed, network is not None)
    rows, played = len(seen.action), env if eval_env is None else eval_env
    metrics_file = None
    if folder is not None:
        write_json(folder / CONFIG, description)
        metrics_file = MetricsFile(folder / "metrics.csv", COLUMNS)
    if not quiet:
        say(f"{description['agent']} on {shown_environment(description['env'])}, seed {seed}")
        say(f"  {rows:,} transitions, at most {config.iterations} iterations")
        say(f"  sees       {spec.saw}")
    evaluator = evaluator_of(played, spec, training.eval_episodes)
    progress, compile_s, params, interrupted = Progress(config.iterations, 0, quiet), 0.0, None, False
    looks = {round(config.iterations * (k + 1) / LOOKS) for k in range(LOOKS - 1)}
    fitting, done = time.perf_counter(), 0
    try:
        with interrupts(
            lambda: None if quiet else say("stopping after this iteration (once more: at once)")
        ) as stopped:
            for done in range(1, config.iterations + 1):
                state, found = agent.learn(state, seen)
                before, params = params, jax.device_get(state.fit.params)
                compile_s = compile_s or time.perf_counter() - fitting
                line = {name: float(value) for name, value in found.items()} | {
                    "step": done,
                    "updates": int(state.fit.step),
                }
                if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
                    raise RlnutError(
                        f"the learner diverged in iteration {done}; give a smaller --gamma or other features"
                    )
                if done in looks:
                    look = evaluator(Policy(agent, spec, params, played).player, seed, done)
                    std = float("nan") if look.std is None else look.std
                    line |= {"eval_mean": look.mean, "eval_std": std, "eval_length": float(np.mean(look.lengths))}
                if metrics_file is not None:
                    metrics_file.write(line)
                progress.show(done, line, plain=done in looks)
                interrupted = stopped()
                if interrupted or (before is not None and _still(before, params)):
                    break
    finally:
        evaluator.close()
        progress.close()
    policy = Policy(agent, spec, params, played, PolicyOrigin(config, training, network))
    rate = rows * done / max(time.perf_counter() - fitting, 1e-9)
    evaluation = policy.evaluate(1 if interrupted else training.final_episodes, seed, number=FINAL)
    wall = time.perf_counter() - began
    trained = Trained(policy, evaluation, rows, done, wall, compile_s, rate, interrupted, folder)
    if folder is not None:
        from rlnut.control.plots import learning_curve

        save_arrays(folder / POLICY, params, {"step": done, "run": identity(description)})
        learning_curve(folder)
        write_json(folder / SUMMARY, summary(trained, description))
    return trained


def _still(before: object, after: object) -> bool:
    """Did nothing change?"""
    pairs = list(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    size = max(float(np.abs(b).max(initial=0)) for _, b in pairs)
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs) <= STILL * max(size, 1e-12)
