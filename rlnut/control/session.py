"""One run at work: plan, loop, periodic greedy evaluation, log, checkpoints, final evaluation.

The loop body here is the only place that decides when to look, log and save; what is learned is decided by
(agent, environment, seed) alone, so the same seed leaves the same bytes. Whatever ends a run, an exception included,
leaves the newest whole state in a checkpoint if one can be written.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rlnut.control.checkpoints import Best, Interval, Progressed, can_be_saved, on_host, saved_envs, unpacked
from rlnut.control.evaluate import Evaluation
from rlnut.control.host_loop import Loop, Run, host_loop
from rlnut.control.native_loop import native_loop
from rlnut.control.plan import check_episodes, check_model, check_outputs, environments, free_memory, make_plan
from rlnut.control.policy import Policy, PolicyOrigin, evaluator_of
from rlnut.control.preprocessing import prepared, prepared_spec
from rlnut.control.result import FINAL, Trained
from rlnut.control.run_files import RunFiles
from rlnut.control.settings import RunSettings, crossed, next_look
from rlnut.envs.functional import FuncVector
from rlnut.envs.make import EnvLike
from rlnut.envs.vector import HostVector, Mark
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent
from rlnut.learner.config import AgentConfig
from rlnut.runtime.arrays import StoredArrays
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import Progress, say
from rlnut.types import Look, Metrics, Network


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
        self.config, self.seed, self.quiet, self.network = config, seed, quiet, network
        self.eval_env = env if eval_env is None else eval_env
        self.vector = environments(env, training)
        self.spec = prepared_spec(self.vector.spec, training)
        if len(self.spec.choices) > 1 and not config.decoupled:
            raise UsageError(f"{self.spec.name}: this agent takes one choice, not {self.spec.acts.saw}: --actions grid")
        self.training = training = training.replace(num_envs=self.vector.num_envs)
        check_episodes(training.final_episodes)
        if network is not None:
            check_model(network, self.spec)
        built = config.build(self.spec, network)
        if network is not None:
            check_outputs(built, self.spec)
        self.agent: Agent = prepared(built, self.vector.spec, training)
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
        self.files = RunFiles(None, {"env": None})
        self.run: Run | None = None  # the newest whole state, and where its environments were
        self.mark: Mark | None = None
        self.best: Best | None = None
        self.interval = Interval([], [])
        self.logged = 0  # step of the last row of the log
        self.delta = float("nan")  # mean |δ| in that row
        self.looked = 0  # step of the last greedy evaluation

    def announce(self, files: RunFiles) -> None:
        """Take the files of the run, and print the plan."""
        self.files = files
        if not self.quiet:
            where = f" -> {files.folder}" if files.folder else ""
            say(f"{files.description['agent']} on {files.env}, seed {self.seed}{where}")
            for line in self.plan.lines():
                say(f"  {line}")

    def restore(self, stored: StoredArrays) -> Run:
        """The run in a checkpoint."""
        again = self._play_again(stored)
        saved = unpacked(stored, self.loop.shapes())
        run = saved.run
        self.best = saved.best if saved.evaluated else None
        self.logged, self.interval = saved.logged, saved.interval
        self.files.saver.step, self.files.saver.logged = run.steps, saved.logged
        if isinstance(again, np.ndarray) and not np.array_equal(again, run.look.obs):
            again = RlnutError("the running episodes, played again from their seeds, come out differently")
        if isinstance(again, RlnutError):
            assert isinstance(self.vector, HostVector)
            say(f"not exact: {again}; new episodes are started, all else goes on")
            n = self.vector.num_envs
            look = Look(self.vector.reset(self.seed + 1), np.ones(n, bool), self.vector.mask)
            agent, returns, lengths = self.agent.cut(run.agent), np.zeros(n), np.zeros(n, np.int64)
            run = run._replace(agent=agent, look=look, returns=returns, lengths=lengths)
        return self.loop.restore(run)

    def _play_again(self, stored: StoredArrays) -> np.ndarray | RlnutError | None:
        """Bring environments on the host to where they were: what they show, or why that cannot be done."""
        if not isinstance(self.vector, HostVector):
            return None
        envs = saved_envs(stored)
        try:
            return self.vector.restore(self.seed, {k: np.asarray(v, np.int64) for k, v in envs.items()})
        except RlnutError as error:
            reason = error
        except Exception as error:  # an environment of the user's, or actions that it does not take
            reason = RlnutError(f"the running episodes cannot be played again: {type(error).__name__}: {error}")
        self.vector.reset(self.seed)
        return reason

    def close(self) -> None:
        """Release the environments."""
        for part in (self.evaluator, self.vector):
            if not isinstance(part, FuncVector):
                with contextlib.suppress(Exception):  # a user's close() that fails must not hide the result
                    part.close()

    def go(self, begin: Callable[[], Run]) -> Trained:
        """Advance, log, evaluate and save until the steps are done, `until` is reached, or Ctrl-C.

        What else ends it is raised as an RlnutError that says where, after the newest state has been saved.
        """

        def tell() -> None:
            if not self.quiet:
                say("stopping after this round of steps (once more: at once, without saving)")

        try:
            with interrupts(tell) as stopped:
                run = self._learn(begin(), stopped)
                interrupted = stopped()
            return self._finish(run, interrupted)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an environment may raise anything, SystemExit too
            raise self._failure(error) from (error.__cause__ or error)

    def _learn(self, run: Run, stopped: Callable[[], bool]) -> Run:
        """The loop."""
        total, training = self.plan.steps, self.training
        first, progress = run.steps, Progress(self.plan.steps, run.steps, self.quiet)
        self._reached(run)
        if self.files.saver.step < 0:
            self._save(run)  # so that there is one, whenever the process is killed
        try:
            while True:
                evaluation = self._record_due(run, progress)
                if self.files.saver.due(evaluation is not None):
                    self._save(run)
                elif evaluation is not None:
                    self.files.save_policy(self._best(run))
                good = evaluation is not None and training.until is not None and evaluation.mean >= training.until
                if run.steps >= total or stopped() or good:
                    break
                before, began = run.steps, time.perf_counter()
                run, metrics = self.loop.advance(run, min(total, next_look(run.steps, training)))
                if before > first or not isinstance(self.vector, HostVector):  # compiled before it began
                    steps, seconds = self.stepping
                    self.stepping = (steps + run.steps - before, seconds + time.perf_counter() - began)
                for one in metrics:
                    self._note(run, one)
                self._reached(run)
            self._save(run)  # before the last look, which a longer run would not take here
            if not stopped() and run.steps > self.looked:
                if run.steps > self.logged:
                    self._record(run, True, progress)
                else:  # the log has its row for this step already
                    self._look(run)
        finally:
            progress.close()
        return run

    def _reached(self, run: Run) -> None:
        """This state is whole: what is saved if something goes wrong in the next round."""
        self.run = run
        if isinstance(self.vector, HostVector):
            self.mark = self.vector.mark()

    def _record_due(self, run: Run, progress: Progress) -> Evaluation | None:
        """A row of the log if one is due, with a greedy evaluation if that is due, too."""
        look = crossed(self.logged, run.steps, self.training.eval_every)
        if look or crossed(self.logged, run.steps, self.training.log_every):
            return self._record(run, look, progress)
        return None

    def _record(self, run: Run, look: bool, progress: Progress) -> Evaluation | None:
        """One row of the log, with a greedy evaluation or without."""
        row = self._row(run)
        self.delta = row.get("delta", self.delta)
        evaluation = self._look(run) if look else None
        if evaluation is not None:
            lengths = float(np.mean(evaluation.lengths))
            std = float("nan") if evaluation.std is None else evaluation.std
            row |= {"eval_mean": evaluation.mean, "eval_std": std, "eval_length": lengths}
        self.files.write_row(row)
        self.interval = Interval([], [])  # only now: an evaluation that fails leaves all as it was
        self.logged = run.steps
        progress.show(run.steps, row, plain=look)
        return evaluation

    def _note(self, run: Run, metrics: Metrics) -> None:
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
        return row | {"epsilon": float(self.agent.rate(run.steps))}

    def _look(self, run: Run) -> Evaluation:
        """Play greedy episodes and keep the weights if they are the best so far."""
        self.looked = run.steps
        policy = Policy(self.agent, self.spec, run.agent.fit.params, self.eval_env)
        evaluation = self.evaluator(policy.player, self.seed, run.steps)
        if self.best is None or evaluation.mean >= self.best.mean:
            self.best = Best(on_host(run.agent.fit.params), evaluation.mean, run.steps)
        return evaluation

    def _save(self, run: Run) -> None:
        """Write all of the run, whole or as it was before, and its policy."""
        if self.files.folder is None or self.files.saver.has(run.steps, self.logged):
            return
        envs = self.vector.snapshot(self.mark) if isinstance(self.vector, HostVector) else {}
        self.files.save(Progressed(run, self._best(run), self.best is not None, self.logged, self.interval, envs))

    def _best(self, run: Run) -> Best:
        """The best policy so far; before any evaluation, the present one."""
        return self.best or Best(on_host(run.agent.fit.params), float("-inf"), run.steps)

    def _failure(self, error: BaseException) -> RlnutError:
        """What ended the run, where, and how to go on, in one line; the newest whole state is saved first."""
        text = " ".join(str(error).split())[:500]
        if not isinstance(error, RlnutError):
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}{': ' if text else ''}{text} ({Path(frame.filename).name}:{frame.lineno})"
            where = "before the first step" if self.run is None else f"after step {self.run.steps:,}"
            text = f"{self.files.env}, {where}: {text}"
        kind, run = type(error) if isinstance(error, RlnutError) else RlnutError, self.run
        if run is not None and can_be_saved(run):
            self.files.rescue(lambda: self._save(run))
        return kind(text + self.files.way_on())

    def _finish(self, run: Run, interrupted: bool) -> Trained:
        self.best = self._best(run)
        self.files.save_policy(self.best)
        if not self.quiet and (remark := self.config.remark(self.delta)):
            say(remark)
        origin = PolicyOrigin(self.config, self.training, self.network)
        policy = Policy(self.agent, self.spec, self.best.params, self.eval_env, origin)
        episodes = 1 if interrupted else self.training.final_episodes
        evaluation = policy.evaluate(episodes, self.seed, number=FINAL)
        wall, compile_s = time.perf_counter() - self.began, self.loop.compile_s()
        rate, folder = self.stepping[0] / max(self.stepping[1], 1e-9), self.files.folder
        done = Trained(policy, evaluation, run.steps, self.best.step, wall, compile_s, rate, interrupted, folder)
        self.files.finish(done)
        return done
