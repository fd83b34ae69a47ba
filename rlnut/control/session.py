"""One run at work: it owns the environments, the loop, the evaluator and the files, and has the loop observed.

What happens at each look is in `observers`; what is learned is decided by (agent, environment, seed) alone, so the same
seed leaves the same bytes. Whatever ends a run, an exception included, leaves the newest whole state in a checkpoint if
one can be written.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Mapping

import numpy as np

from rlnut.control.best_policy import CONTEST, ChosenBy, contest
from rlnut.control.checkpoints import can_be_saved, saved_envs, unpacked
from rlnut.control.evaluate import Evaluation
from rlnut.control.exact import ExactValue, exact_evaluator
from rlnut.control.health import Health, Remarks
from rlnut.control.host_loop import Run, cut_short
from rlnut.control.observers import (
    Checkpoints,
    Divergence,
    Greedy,
    Log,
    Newest,
    Speed,
    stop_at_return,
    stop_together,
    stop_when_settled,
)
from rlnut.control.offline_loop import offline
from rlnut.control.policy import Policy, PolicyOrigin, evaluator_of
from rlnut.control.profile import Profile, Timed, untimed
from rlnut.control.result import FINAL, Trained
from rlnut.control.run_files import RunFiles
from rlnut.control.run_loop import LookTools, Observer, RunLook, looks
from rlnut.control.settings import SILENT, RunSettings, Said
from rlnut.control.setup import Shared, played
from rlnut.envs.functional import FuncVector
from rlnut.envs.make import EnvLike
from rlnut.envs.vector import HostVector
from rlnut.errors import RlnutError
from rlnut.learner.changes import with_changes
from rlnut.learner.config import AgentConfig, OfflineConfig
from rlnut.learner.remarks import way_out_of_divergence
from rlnut.runtime.arrays import StoredArrays
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import COLUMNS, COMPILING, Progress, say
from rlnut.runtime.observing import Callbacks, shown_error, watched
from rlnut.types import Look, Network, Params

STOPPING = {
    "step": "stopping after this round of steps (press again to stop at once, without saving)",
    "iteration": "stopping after this iteration (press again to stop at once, without saving)",
}


class Session:
    """One run at work: the environments, the loop, the evaluator and the files.

    shared: what runs before it, of other seeds, have compiled; profile: to find out where the time goes.
    """

    def __init__(
        self,
        config: AgentConfig,
        env: EnvLike,
        training: RunSettings,
        seed: int,
        network: Network | None = None,
        eval_env: EnvLike | None = None,
        said: Said = SILENT,
        callbacks: Callbacks[RunLook] | None = None,
        shared: Shared | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.seed, self.said, self.network = seed, said, network
        self.env, self.profile, self.asked = env, profile, (config, training)
        self.timed: Timed = profile or untimed
        self.eval_env = env if eval_env is None else eval_env
        self.callbacks: Callbacks[RunLook] = Callbacks() if callbacks is None else callbacks
        self.began = time.perf_counter()
        if isinstance(config, OfflineConfig):
            self.setup = offline(config, env, training, seed, network, shared, self.timed)
        else:
            self.setup = played(config, env, training, seed, network, shared, self.timed)
        self.config, self.training = self.setup.config, self.setup.training
        self.loop, self.spec = self.setup.loop, self.setup.spec
        self.origin = PolicyOrigin(self.config, self.training, self.network)
        self.evaluator = evaluator_of(self.eval_env, self.spec, self.training.eval_episodes, self.origin.learned)
        self.exact = exact_evaluator(self.evaluator, self.setup.agent)
        self.files = RunFiles(None, {"env": None})
        plays, schedule, vector, timed = not self.setup.rows, self.setup.schedule, self.setup.vector, self.timed
        self.newest = Newest(vector)
        self.log = Log(self.newest, schedule, self.setup.agent.rate if plays else None)
        self.greedy = Greedy(
            timed("evaluate", self._play),
            plays,
            lambda step: schedule.evaluation(self.log.logged, step),
            None if self.exact is None else timed("exact values", self._judge),
        )
        self.checkpoints = Checkpoints(self.newest, self.greedy, self.log)
        self.speed = Speed(isinstance(vector, HostVector))
        self.save = timed("checkpoint", self.checkpoints.save)
        self.health = Health(self.setup.agent, self.loop.shapes().agent, self.newest)
        scale, dead = self.training.reward_scale, lambda: self.health.dead_layer
        self.remarks = Remarks(self.config, self.setup.facts, scale, dead, self._note)
        self.observers: list[Observer] = [Divergence(way_out_of_divergence(self.config))] if plays else []
        self.observers += [self.newest, self.speed, self.greedy, self.health, timed("log", self.log), self.remarks]
        self.observers += [timed("callbacks", self.callbacks), timed("checkpoint", self.checkpoints)]
        if self.training.until is not None:
            self.observers.append(stop_at_return(self.training.until))
        self.observers += [stop_together] if plays else [stop_when_settled, stop_together]

    def close(self) -> None:
        """Release the environments."""
        if self.profile is not None:
            self.profile.close()
        for part in (self.evaluator, self.setup.vector):
            if part is not None and not isinstance(part, FuncVector):
                with contextlib.suppress(Exception):  # a user's close() that fails must not hide the result
                    part.close()

    def go(self, files: RunFiles, stored: StoredArrays | None = None) -> Generator[RunLook, None, Trained]:
        """All looks of the run, from its start or a checkpoint, until its steps are done, a look or Ctrl-C ends it.

        What else ends it is raised as an RlnutError that says where, after the newest state has been saved.
        """
        self.files = self.log.files = self.checkpoints.files = files
        files.meta = {"seen": self.remarks.seen} | ({"data": self.setup.data} if self.setup.data else {})
        if self.said.plan:
            where = f" -> {files.folder}" if files.folder else ""
            title = f"{files.description['agent']} on {files.env}, seed {self.seed}{where}"
            for line in (title, *(f"  {line}" for line in self.setup.lines)):
                say(line)
            if self.exact is not None:
                say(f"  exact      values of the greedy policy at each evaluation, of {self.exact.states:,} states")
        run = None if stored is None else self._restore(stored)
        files.columns = (*COLUMNS, *(name for one in self.observers for name in getattr(one, "columns", ())))
        files.describe_policy(self.setup.agent, self.spec, self.loop.shapes().agent.fit.params)
        files.open(stored)
        try:
            with interrupts(self._tell) as asked:
                last = yield from self._learn(self.loop.start(self.seed) if run is None else run, asked)
                interrupted = asked()
            return self._finish(last, interrupted)
        except KeyboardInterrupt:
            raise
        except GeneratorExit:  # the loop of the user's own was left
            saver, run = files.saver, self.newest.run
            if run is not None and not saver.has(run.steps, self.log.logged):
                self._rescue()
            raise
        except BaseException as error:  # an environment may raise anything, SystemExit too
            raise self._failure(error) from (error.__cause__ or error)
        finally:
            files.loggers.close()

    def _tell(self) -> None:
        if self.said.stopping:
            say(STOPPING[self.setup.unit])

    def _learn(self, run: Run, asked: Callable[[], bool]) -> Generator[RunLook, None, Run]:
        """The loop, and a last look with a greedy evaluation if there is none of the last state yet."""
        schedule, greedy, log = self.setup.schedule, self.greedy, self.log
        tools = LookTools(
            self._policy, greedy.best_of, self._evaluate, self.save, self._change, self.files.rows.history,
            schedule.total,
        )  # fmt: skip
        log.progress = Progress(schedule.total, run.steps, not self.said.progress, start=COMPILING)
        look = RunLook(run, tools)
        try:
            for look in watched(looks(self.loop, run, schedule, tools, asked), self.observers):
                yield look
            self.save(look.run)  # before the last look, which a longer run would not take here
            if schedule.final and not asked() and look.step > greedy.looked:
                look.over, look = True, RunLook(look.run, tools)
                self._evaluate(look)
                self.callbacks(look)
                yield look
            self.callbacks.end()
        finally:
            log.progress.close()
            with contextlib.suppress(RlnutError):  # after an error, which is the one to report
                self.callbacks.end()
            look.over = True
        return look.run

    def _evaluate(self, look: RunLook) -> None:
        """Greedy episodes, and a row of the log if it has none of this step."""
        self.greedy.play(look)
        if look.step > self.log.logged:
            self.health(look)
            self.log.write(look)
            self.remarks(look)

    def _change(self, run: Run, wanted: Mapping[str, float]) -> Run:
        """The run with these numbers changed; the newest checkpoint is not of it."""
        changes = with_changes(run.agent.changes, self.setup.agent.changeable, wanted)
        run = run._replace(agent=run.agent._replace(changes=changes))
        self.newest.run = run = self.loop.redraw(run) if "epsilon" in wanted else run
        self.files.saver.logged = -1
        return run

    def _play(self, params: Params, step: int, first: int = 0) -> Evaluation:
        return self.evaluator(self._policy(params).player, self.seed, step, first)

    def _judge(self, params: Params) -> ExactValue:
        assert self.exact is not None
        return self.exact(self._policy(params))

    def _policy(self, params: Params) -> Policy:
        """The greedy policy of these weights, which are nobody else's."""
        return Policy(self.setup.agent, self.spec, params, self.eval_env, self.origin)

    def _finish(self, run: Run, interrupted: bool) -> Trained:
        kept, play = self.greedy.kept or (self.greedy.best_of(run),), self.timed("evaluate", self._play)
        best, episodes = contest(
            kept,
            lambda one, first: play(one.params, CONTEST, first).returns,
            self.training.eval_episodes,
            0 if interrupted else run.steps // self.training.eval_every,
        )
        choice = ChosenBy(self.greedy.judged_by, len(kept), episodes)
        self.timed("checkpoint", self.files.save_policy)(best)
        change = float(run.carry) if self.setup.rows else math.nan
        remarks = self.remarks.end(run.steps, interrupted, self.log.delta, change)
        policy = self._policy(best.params)
        evaluate = self.timed("evaluate", policy.evaluate)
        evaluation = evaluate(1 if interrupted else self.training.final_episodes, self.seed, number=FINAL)
        wall, rows = time.perf_counter() - self.began, self.setup.rows
        steps, rate = rows or run.steps, self.speed.rate * (rows or 1)
        how = (wall, self.loop.compile_s(), rate, interrupted, self.files.folder, self.setup.unit, run.steps)
        exact = None if self.exact is None else self._judge(best.params)
        done = Trained(policy, evaluation, steps, best.step, *how, exact=exact, choice=choice, remarks=remarks)
        done = done._replace(history=self.files.rows.history())
        self.timed("curve", self.files.draw)()
        if self.profile is not None:
            done = done._replace(profile=self.profile.end())
        self.files.finish(done)
        return done

    def _note(self, text: str) -> None:
        """One line, above the bar where there is one."""
        if self.said.remarks:
            progress = self.log.progress
            (say if progress is None or progress.bar is None else progress.say)(text)

    def _rescue(self) -> None:
        """Save the newest whole state, if that can be done."""
        run = self.newest.run
        if run is not None and can_be_saved(run):
            self.files.rescue(lambda: self.checkpoints.save(run))

    def _failure(self, error: BaseException) -> RlnutError:
        """What ended the run, where, and how to continue, in one line; the newest whole state is saved first."""
        text, unit, run = shown_error(error), self.setup.unit, self.newest.run
        if not isinstance(error, RlnutError):
            where = f"before the first {unit}" if run is None else f"after {unit} {run.steps:,}"
            text = f"{self.files.env}, {where}: {text}"
        self._rescue()
        failure = (type(error) if isinstance(error, RlnutError) else RlnutError)(text + self.files.way_on(unit))
        if run is not None and can_be_saved(run):
            failure.learned = self._policy(self.greedy.best_of(run).params)
        return failure

    def _restore(self, stored: StoredArrays) -> Run:
        """The run in a checkpoint."""
        again = self._play_again(stored)
        saved = unpacked(stored, self.loop.shapes())
        run = saved.run
        self.greedy.restore(saved)
        self.log.logged, self.newest.interval = saved.logged, saved.interval
        self.files.saver.step, self.files.saver.logged = run.steps, saved.logged
        self.remarks.restore(stored.meta.get("seen"))
        if self.setup.data and stored.meta.get("data") != self.setup.data:
            source = getattr(self.config, "data", None)
            what = f"{source} has changed since" if source else "the environment gives other transitions than before"
            say(f"not exact: {what}; the run continues with the present transitions")
            run = run._replace(carry=np.float64(np.inf))  # of other transitions it is not known whether it rests
        if isinstance(again, np.ndarray) and not np.array_equal(again, run.look.obs):
            again = RlnutError("the running episodes, played again from their seeds, come out differently")
        if isinstance(again, RlnutError):
            vector = self.setup.vector
            assert isinstance(vector, HostVector)
            say(f"not exact: {again}; the run continues with new episodes")
            n = vector.num_envs
            look = Look(vector.reset(self.seed + 1), np.ones(n, bool), vector.mask)
            agent = self.setup.agent.cut(run.agent) if run.seen == () else run.agent  # then `seen` is the end of it
            returns, lengths = np.zeros(n), np.zeros(n, np.int64)
            run = run._replace(agent=agent, look=look, returns=returns, lengths=lengths, seen=cut_short(run.seen))
        return self.loop.restore(run)

    def _play_again(self, stored: StoredArrays) -> np.ndarray | RlnutError | None:
        """Bring environments on the host to where they were: what they show, or why that cannot be done."""
        vector = self.setup.vector
        if not isinstance(vector, HostVector):
            return None
        envs = saved_envs(stored)
        try:
            return vector.restore(self.seed, {k: np.asarray(v, np.int64) for k, v in envs.items()})
        except RlnutError as error:
            reason = error
        except Exception as error:  # an environment of the user's, or actions that it does not take
            reason = RlnutError(f"the running episodes cannot be played again: {type(error).__name__}: {error}")
        vector.reset(self.seed)
        return reason
