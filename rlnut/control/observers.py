"""The observers of a run, one job each: divergence, log, greedy evaluation, checkpoint, end.

An observer that measures something for the log has the names of its `columns`, stands before the log, and puts its
numbers into `look.columns`.

The order in which a session has them is the order in which they stand here; the user's callbacks come after the log
and before the checkpoint. None of them decides what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rlnut.control.best_policy import with_evaluated, with_exact
from rlnut.control.checkpoints import Best, Interval, Progressed, on_host
from rlnut.control.evaluate import OVERESTIMATION, Evaluation
from rlnut.control.exact import EXACT, ExactValue
from rlnut.control.host_loop import Run
from rlnut.control.run_files import RunFiles
from rlnut.control.run_loop import RunLook
from rlnut.control.settings import Schedule
from rlnut.control.visit import METRICS
from rlnut.envs.functional import FuncVector
from rlnut.envs.vector import HostVector, Mark
from rlnut.errors import RlnutError
from rlnut.learner.config import STILL
from rlnut.learner.explore import Schedule as Epsilon
from rlnut.runtime.devices import agreed
from rlnut.runtime.log import Progress
from rlnut.types import Params


class Divergence:
    """Ends a run whose δ is not finite, before anything is noted of the round. advice: what to change."""

    def __init__(self, advice: str) -> None:
        self.advice = advice
        self.updates: float | None = None  # done before the round

    def __call__(self, look: RunLook) -> None:
        for one in look.metrics:
            learned, self.updates = self.updates is not None and one["updates"] > self.updates, one["updates"]
            if math.isinf(one["delta"]) or (math.isnan(one["delta"]) and learned):
                raise RlnutError(f"the learner diverged before step {look.step:,}: δ is not finite; use {self.advice}")


class Newest:
    """The newest whole state, where its environments were, and what has been seen since the last row of the log."""

    def __init__(self, vector: HostVector | FuncVector | None) -> None:
        self.vector = vector
        self.run: Run | None = None
        self.mark: Mark | None = None
        self.interval = Interval([], [])

    def __call__(self, look: RunLook) -> None:
        for one in look.metrics:
            self.interval.episodes.extend(one["episodes"])
            self.interval.rounds.append({name: one[name] for name in METRICS})
        self.run = look.run
        if isinstance(self.vector, HostVector):
            self.mark = self.vector.mark()

    def envs(self) -> dict[str, np.ndarray]:
        """A snapshot of the environments of that state, where they are on the host."""
        return self.vector.snapshot(self.mark) if isinstance(self.vector, HostVector) else {}


class Speed:
    """Steps, and the seconds they took; the first round is left out where it compiles."""

    def __init__(self, compiles: bool) -> None:
        self.compiles = compiles
        self.steps, self.seconds = 0, 0.0
        self.before: int | None = None

    def __call__(self, look: RunLook) -> None:
        if self.before is not None and not self.compiles:
            self.steps += look.step - self.before
            self.seconds += look.seconds
        self.compiles = self.compiles and self.before is None
        self.before = look.step

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / max(self.seconds, 1e-9)


class Greedy:
    """Greedy episodes where they are due, what the policy is worth exactly where that is known, and the best policies.

    choose: is a policy chosen by playing? If not (offline agents), the present one is the best. exact: weights -> what
    they are worth; None: not known.
    """

    def __init__(
        self,
        play: Callable[[Params, int], Evaluation],
        choose: bool,
        due: Callable[[int], bool],
        exact: Callable[[Params], ExactValue] | None = None,
    ) -> None:
        self.play_episodes, self.choose, self.due, self.exact = play, choose, due, exact
        self.columns = OVERESTIMATION + (EXACT if exact else ())
        self.kept: tuple[Best, ...] = ()  # the best so far, and those that may be better
        self.looked = 0  # step of the last evaluation

    def __call__(self, look: RunLook) -> None:
        if self.due(look.step):
            self.play(look)

    def play(self, look: RunLook) -> None:
        """Play now, and keep the weights if they may be the best so far."""
        params, self.looked = look.run.agent.fit.params, look.step
        look.evaluation = evaluation = self.play_episodes(params, look.step)
        look.columns |= evaluation.columns
        if self.exact is not None:
            look.exact = self.exact(params)
            look.columns |= look.exact.columns
        if not self.choose:
            return
        new = Best(on_host(params), evaluation.mean, look.step, evaluation.std)
        if look.exact is None:
            self.kept = with_evaluated(self.kept, new, len(evaluation.returns))
        else:
            self.kept = with_exact(self.kept, new._replace(mean=look.exact.expected_return, std=None))

    def restore(self, saved: Progressed) -> None:
        """The policies of a checkpoint."""
        if not saved.evaluated:
            return
        self.kept = (saved.best, *saved.rivals)
        if self.exact is not None:  # perhaps of a version that did not know
            self.kept = (saved.best._replace(mean=self.exact(saved.best.params).expected_return, std=None),)

    @property
    def judged_by(self) -> str:
        """How policies are compared."""
        return ("evaluation" if self.exact is None else "exact_return") if self.choose else "end"

    def best_of(self, run: Run) -> Best:
        """The best policy so far; before any evaluation, the present one."""
        return self.kept[0] if self.kept else Best(on_host(run.agent.fit.params), float("-inf"), run.steps)


class Log:
    """Rows of metrics.csv where they are due, and the progress line. epsilon: ε at a step, where a run plays."""

    def __init__(self, newest: Newest, schedule: Schedule, epsilon: Epsilon | None) -> None:
        self.newest, self.schedule, self.epsilon = newest, schedule, epsilon
        self.files: RunFiles | None = None
        self.progress: Progress | None = None
        self.logged = 0  # step of the last row
        self.delta = float("nan")  # mean |δ| in it

    def __call__(self, look: RunLook) -> None:
        if look.evaluation is not None or self.schedule.row(self.logged, look.step):
            self.write(look)

    def write(self, look: RunLook) -> None:
        """One row, with the greedy evaluation of this look if there is one."""
        row, evaluation = self._means(look.run), look.evaluation
        self.delta = row.get("delta", self.delta)
        if evaluation is not None:
            std = float("nan") if evaluation.std is None else evaluation.std
            row |= {"eval_mean": evaluation.mean, "eval_std": std, "eval_length": float(np.mean(evaluation.lengths))}
        row |= look.columns
        if self.files is not None:
            self.files.write_row(row)
        self.newest.interval = Interval([], [])
        self.logged, look.row = look.step, row
        if self.progress is not None:
            self.progress.show(look.step, row, plain=evaluation is not None)

    def _means(self, run: Run) -> dict[str, float]:
        """Means over what has been seen since the last row."""
        step, changed = run.steps, run.agent.changes.epsilon
        episodes, rounds = self.newest.interval
        learned = [r for r in rounds if not np.isnan(r["delta"])]
        names = ("cost", "delta", "gradient", "value")
        row: dict[str, float] = {name: float(np.mean([r[name] for r in learned])) for name in names if learned}
        row |= {"step": step, "updates": rounds[-1]["updates"]}
        if self.epsilon is None:
            return row
        if episodes:
            row |= {"return": float(np.mean([e.ret for e in episodes]))}
            row |= {"length": float(np.mean([e.length for e in episodes]))}
        epsilon = self.epsilon(step) if changed is None else changed
        return row | {"episodes": len(episodes), "epsilon": float(epsilon)}


class Checkpoints:
    """All of the run, whole or as it was before, whenever there is time for it; the best policy at every evaluation."""

    def __init__(self, newest: Newest, greedy: Greedy, log: Log) -> None:
        self.newest, self.greedy, self.log = newest, greedy, log
        self.files = RunFiles(None, {"env": None})

    def __call__(self, look: RunLook) -> None:
        if self.files.folder is None:
            return
        saver, evaluated = self.files.saver, look.evaluation is not None
        if saver.step < 0 or saver.due(
            evaluated, look.step, look.total
        ):  # the first at once: whenever the process is killed, there is one
            self.save(look.run)
        elif evaluated:
            self.files.save_policy(self.greedy.best_of(look.run))

    def save(self, run: Run) -> None:
        """Write one of `run`, the newest state, if there is none of it yet."""
        logged, kept = self.log.logged, self.greedy.kept
        if self.files.folder is None or self.files.saver.has(run.steps, logged):
            return
        envs, chosen = self.newest.envs(), self.greedy.best_of(run)
        self.files.save(Progressed(run, chosen, bool(kept), logged, self.newest.interval, envs, kept[1:]))


def stop_at_return(until: float) -> Callable[[RunLook], None]:
    """An observer that ends a run when a greedy evaluation reaches this mean return."""

    def observe(look: RunLook) -> None:
        if look.evaluation is not None and look.evaluation.mean >= until:
            look.stop()

    return observe


def stop_together(look: RunLook) -> None:
    """Of several processes the first one decides whether a run ends."""
    look.stopping = bool(agreed(look.stopping))


def stop_when_settled(look: RunLook) -> None:
    """Ends an offline run whose weights do not change any more."""
    if float(look.run.carry) <= STILL:
        look.stop()
