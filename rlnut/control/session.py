"""One run at work: plan, loop, periodic greedy evaluation, log, checkpoints, final evaluation.

The loop body here is the only place that decides when to look, log and save; what is learned is decided by
(agent, environment, seed) alone, so the same seed leaves the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut.control.evaluate import Evaluation
from rlnut.control.host_loop import Episode, Loop, Run, host_loop
from rlnut.control.native_loop import native_loop
from rlnut.control.plan import free_memory, make_plan
from rlnut.control.policy import Policy, evaluator_of
from rlnut.control.preprocessing import prepared, prepared_spec
from rlnut.control.result import FINAL, Trained, summary
from rlnut.control.run_folder import CHECKPOINT, CONFIG, POLICY, write_json
from rlnut.control.settings import RunSettings
from rlnut.envs.functional import FuncVector, func_vector
from rlnut.envs.make import EnvLike, maker, shown_environment
from rlnut.envs.twins import twin
from rlnut.envs.vector import HostVector, host_vector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent
from rlnut.learner.config import AgentConfig
from rlnut.learner.spec import Choice
from rlnut.runtime.files import load_arrays, save_arrays
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import COLUMNS, MetricsFile, Progress, say
from rlnut.runtime.wrappers import time_limit
from rlnut.types import Look, Network, Params


class Best(NamedTuple):
    """The best greedy policy so far, by periodic evaluation; of equals, the later one."""

    params: Params
    mean: float
    step: int


class Interval(NamedTuple):
    """What has been seen since the last row of the log."""

    episodes: list[Episode]
    rounds: list[dict[str, float]]


class Session:
    """One run at work: the environments, the loop, the evaluator and the files."""

    def __init__(
        self,
        config: AgentConfig,
        env: EnvLike,
        training: RunSettings,
        seed: int,
        network: Network | None = None,
        eval_env: EnvLike | None = None,
        quiet: bool = False,
    ) -> None:
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed must be >= 0 and < 2**32, got {seed}")
        self.config, self.seed, self.quiet = config, seed, quiet
        self.eval_env = env if eval_env is None else eval_env
        self.vector = environments(env, training)
        self.spec = prepared_spec(self.vector.spec, training)
        if len(self.spec.choices) > 1 and not config.decoupled:
            raise UsageError(f"{self.spec.name}: this agent takes one choice, not {self.spec.acts.saw}: --actions grid")
        self.training = training = training.replace(num_envs=self.vector.num_envs)
        self.agent: Agent = prepared(config.build(self.spec, network), self.vector.spec, training)
        self.loop: Loop
        if isinstance(self.vector, HostVector):
            self.loop = host_loop(self.agent, self.vector, config.gamma)
        else:
            self.loop = native_loop(self.agent, self.vector, config.gamma, min(training.log_every, training.eval_every))
        self.plan = make_plan(self.agent, self.vector, training)
        self.plan.check(free_memory())
        self.evaluator = evaluator_of(self.eval_env, self.spec, training.eval_episodes)
        self.began = time.perf_counter()
        self.stepping = (0, 0.0)  # steps and seconds in advance(), but for the first round, which compiles
        self.folder: Path | None = None
        self.metrics: MetricsFile | None = None
        self.best: Best | None = None
        self.interval = Interval([], [])
        self.logged = 0  # step of the last row of the log
        self.delta = float("nan")  # mean |δ| in that row
        self.looked = 0  # step of the last greedy evaluation

    def open(self, folder: Path | None, description: dict[str, Any], since: int | None = None) -> None:
        """Say the plan and open the files; `since`: the step from which a run goes on."""
        self.folder, self.description = folder, description
        if not self.quiet:
            name = shown_environment(description["env"])
            seed, where = self.seed, f" -> {folder}" if folder else ""
            say(f"{description['agent']} on {name}, seed {seed}{where}")
            for line in self.plan.lines():
                say(f"  {line}")
        if folder is not None:
            if since is None:
                write_json(folder / CONFIG, description)
            self.metrics = MetricsFile(folder / "metrics.csv", COLUMNS, since)

    def restore(self, meta: dict[str, Any]) -> Run:
        """The run in the folder's checkpoint."""
        assert self.folder is not None
        again = self._play_again(meta)
        like = saved_part(self.loop.shapes())
        saved = load_arrays(self.folder / CHECKPOINT, like | {"best": like["agent"].fit.params})
        mean, step = meta["best"]
        self.best = None if mean is None else Best(saved["best"], mean, step)
        self.logged = int(meta["logged"])
        self.interval = Interval([Episode(*e) for e in meta["interval"][0]], meta["interval"][1])
        agent = jax.tree.map(jnp.asarray, saved["agent"])
        run = Run(agent, int(agent.steps), *(saved[name] for name in ("look", "carry", "returns", "lengths", "envs")))
        if isinstance(again, np.ndarray) and not np.array_equal(again, run.look.obs):
            again = RlnutError("the running episodes, played again from their seeds, come out differently")
        if isinstance(again, RlnutError):
            assert isinstance(self.vector, HostVector)
            say(f"not exact: {again}; new episodes are started, all else goes on")
            n = self.vector.num_envs
            look = Look(self.vector.reset(self.seed + 1), np.ones(n, bool), self.vector.mask)
            agent, returns, lengths = self.agent.cut(agent), np.zeros(n), np.zeros(n, np.int64)
            run = run._replace(agent=agent, look=look, returns=returns, lengths=lengths)
        return self.loop.restore(run)

    def _play_again(self, meta: dict[str, Any]) -> np.ndarray | RlnutError | None:
        """Bring environments on the host to where they were: what they show, or why that cannot be done."""
        if not isinstance(self.vector, HostVector):
            return None
        try:
            return self.vector.restore(self.seed, {k: np.array(v, np.int64) for k, v in meta["env"].items()})
        except RlnutError as error:
            self.vector.reset(self.seed)
            return error

    def close(self) -> None:
        """Release the environments."""
        self.evaluator.close()
        if isinstance(self.vector, HostVector):
            self.vector.close()

    def go(self, begin: Callable[[], Run]) -> Trained:
        """The loop: advance, log, evaluate, save, until the steps are done, `until` is reached or Ctrl-C."""
        total, training = self.plan.steps, self.training
        with interrupts() as stopped:
            run = begin()
            first, progress = run.steps, Progress(total, run.steps, self.quiet)
            while run.steps < total and not stopped():
                before, began = run.steps, time.perf_counter()
                run, metrics = self.loop.advance(run, min(total, next_look(run.steps, training)))
                if before > first or not isinstance(self.vector, HostVector):  # compiled before it began
                    steps, seconds = self.stepping
                    self.stepping = (steps + run.steps - before, seconds + time.perf_counter() - began)
                for one in metrics:
                    self._note(run, one)
                look = crossed(before, run.steps, training.eval_every)
                if look or crossed(before, run.steps, training.log_every):
                    evaluation = self._record(run, look, progress)
                    self.logged = run.steps
                    if evaluation is None:
                        continue
                    self._checkpoint(run)
                    self._save_policy(run)
                    if training.until is not None and evaluation.mean >= training.until:
                        break
            interrupted = stopped()
        self._checkpoint(run)  # before the last look, which a longer run would not take here
        if not interrupted and run.steps > self.looked:
            if run.steps > self.logged:
                self._record(run, True, progress)
            else:  # the log has its row for this step already
                self._look(run)
        progress.close()
        return self._finish(run, interrupted)

    def _record(self, run: Run, look: bool, progress: Progress) -> Evaluation | None:
        """One row of the log, with a greedy evaluation or without."""
        row = self._row(run)
        self.delta = row.get("delta", self.delta)
        evaluation = self._look(run) if look else None
        if evaluation is not None:
            lengths = float(np.mean(evaluation.lengths))
            row |= {"eval_mean": evaluation.mean, "eval_std": evaluation.std, "eval_length": lengths}
        if self.metrics is not None:
            self.metrics.write(row)
        progress.show(run.steps, row, plain=look)
        return evaluation

    def _note(self, run: Run, metrics: dict[str, Any]) -> None:
        self.interval.episodes.extend(metrics.pop("episodes"))
        self.interval.rounds.append(metrics)
        if np.isinf(metrics["delta"]) or (np.isnan(metrics["delta"]) and self._updated(metrics)):
            raise RlnutError(
                f"the learner diverged before step {run.steps:,}: δ is not finite; give a smaller --lr,"
                " a smaller --gamma or more steps between target copies (--target-every)"
            )

    def _updated(self, metrics: dict[str, float]) -> bool:
        before = self.interval.rounds[-2]["updates"] if len(self.interval.rounds) > 1 else metrics["updates"]
        return metrics["updates"] > before

    def _row(self, run: Run) -> dict[str, float]:
        """One row of the log: means over what has been seen since the last one."""
        episodes, rounds = self.interval
        learned = [r for r in rounds if not np.isnan(r["cost"])]
        names = ("cost", "delta", "gradient", "value")
        row: dict[str, float] = {name: float(np.mean([r[name] for r in learned])) for name in names if learned}
        if episodes:
            row |= {"return": float(np.mean([e.ret for e in episodes]))}
            row |= {"length": float(np.mean([e.length for e in episodes]))}
        row |= {"step": run.steps, "episodes": len(episodes), "updates": rounds[-1]["updates"]}
        self.interval = Interval([], [])
        return row | {"epsilon": float(self.agent.rate(run.steps))}

    def _look(self, run: Run) -> Evaluation:
        """Play greedy episodes and keep the weights if they are the best so far."""
        self.looked = run.steps
        policy = Policy(self.agent, self.spec, run.agent.fit.params, self.eval_env)
        evaluation = self.evaluator(policy.player, self.seed, run.steps)
        if self.best is None or evaluation.mean >= self.best.mean:
            self.best = Best(jax.device_get(run.agent.fit.params), evaluation.mean, run.steps)
        return evaluation

    def _checkpoint(self, run: Run) -> None:
        """Write all of the run: whole, or as it was before."""
        if self.folder is None:
            return
        best = self._best(run)
        meta = {"steps": run.steps, "logged": self.logged, "interval": self.interval}
        meta["best"] = [best.mean if self.best else None, best.step]
        snapshot = self.vector.snapshot() if isinstance(self.vector, HostVector) else {}
        meta["env"] = {name: array.tolist() for name, array in snapshot.items()}
        save_arrays(self.folder / CHECKPOINT, saved_part(run) | {"best": best.params}, meta)

    def _save_policy(self, run: Run) -> None:
        if self.folder is not None:
            best = self._best(run)
            save_arrays(self.folder / POLICY, best.params, {"step": best.step})

    def _best(self, run: Run) -> Best:
        """The best policy so far; before any evaluation, the present one."""
        return self.best or Best(jax.device_get(run.agent.fit.params), float("-inf"), run.steps)

    def _finish(self, run: Run, interrupted: bool) -> Trained:
        self.best = self._best(run)
        self._save_policy(run)
        if not self.quiet and (remark := self.config.remark(self.delta)):
            say(remark)
        policy = Policy(self.agent, self.spec, self.best.params, self.eval_env)
        episodes = 1 if interrupted else self.training.final_episodes
        evaluation = policy.evaluate(episodes, self.seed, number=FINAL)
        wall, compile_s = time.perf_counter() - self.began, self.loop.compile_s()
        rate = self.stepping[0] / max(self.stepping[1], 1e-9)
        done = Trained(policy, evaluation, run.steps, self.best.step, wall, compile_s, rate, interrupted, self.folder)
        if self.folder is not None:
            from rlnut.control.plots import learning_curve

            learning_curve(self.folder)
            write_json(self.folder / "summary.json", summary(done, self.description))
        return done


def saved_part(run: Run) -> dict[str, Any]:
    """What a checkpoint holds of a run; the rest follows from it."""
    names = ("agent", "look", "carry", "returns", "lengths", "envs")
    return {name: getattr(run, name) for name in names}


def environments(env: EnvLike, training: RunSettings) -> HostVector | FuncVector:
    """N environments to train on: on the host, or as functions of the twin."""
    choice = Choice(training.actions, training.bins)
    if isinstance(env, gym.vector.VectorEnv):
        if training.native:
            raise UsageError("a VectorEnv has no functional twin: pass an environment, its name or a FuncEnv")
        return host_vector(env, choice=choice)
    make = maker(env)
    if not training.native:
        return host_vector(make, training.num_envs, choice)
    real = make()
    try:
        return func_vector(twin(real), training.num_envs, time_limit(real), choice)
    finally:
        real.close()


def next_look(step: int, training: RunSettings) -> int:
    """The step after `step` at which something is logged or evaluated."""
    return min((step // every + 1) * every for every in (training.log_every, training.eval_every))


def crossed(before: int, after: int, every: int) -> bool:
    """Did the count pass a multiple of `every`?"""
    return before // every != after // every
