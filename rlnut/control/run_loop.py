"""The one loop of all runs: it advances a `Loop` and hands out every state as a look, to be observed.

    for look in watched(looks(loop, run, schedule, tools, asked), observers):   # what is learned `loop` decides alone
        ...

Environments on the host, environments compiled with the learner and fixed sets of transitions differ in their `Loop`
(`host_loop`, `native_loop`, `offline_loop`) and in their `Schedule`; observers are in `observers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rlnut.control.checkpoints import Best, given_away, on_host
from rlnut.control.evaluate import Evaluation
from rlnut.control.exact import ExactValue
from rlnut.control.host_loop import Loop, Run
from rlnut.control.policy import Policy
from rlnut.control.settings import Schedule
from rlnut.errors import UsageError
from rlnut.runtime.devices import agreed
from rlnut.runtime.history import History
from rlnut.types import Metrics, Params


class LookTools(NamedTuple):
    """The functions behind the methods of a look."""

    policy: Callable[[Params], Policy]
    best: Callable[[Run], Best]
    evaluate: Callable[[RunLook], None]
    save: Callable[[Run], None]
    change: Callable[[Run, Mapping[str, float]], Run]
    history: Callable[[], History]
    total: int  # steps (offline: iterations) of the whole run


class RunLook:
    """The state of a run between two rounds: before its first step, and after each round until its end.

    Nothing is copied or computed unless it is used. A look is valid until the next one is taken; a policy taken from it
    stays valid. Three callbacks: early stopping, a checkpoint with every row of the log, a step size that falls.
    What they decide by is in the log, so that a resumed run decides as if it had never stopped.

    >>> import numpy as np, rlnut
    >>> def no_better(look):
    ...     means = look.history["eval_mean"]
    ...     means = means[~np.isnan(means)]
    ...     if look.evaluation is not None and len(means) > 2 and means[-2:].max() <= means[:-2].max():
    ...         look.stop()
    >>> def save(look):
    ...     if look.row is not None:
    ...         look.save()
    >>> def halve(look):
    ...     look.change(lr=0.1 * 0.5 ** (look.step // 100))
    >>> short = dict(steps=400, eval_every=50, eval_episodes=2, final_episodes=1, quiet=True)
    >>> agent, env = rlnut.SARSALambda(), "rlnut/RandomWalk5-v0"
    >>> run = rlnut.train(agent, env, callbacks=[no_better, save, halve], **short)
    >>> run.reached < 400, run.history["eval_mean"].shape == run.history.step.shape
    (True, True)
    """

    __slots__ = (
        "_tools", "columns", "evaluation", "exact", "metrics", "over", "remarks", "row", "run", "seconds", "stopping",
    )  # fmt: skip

    def __init__(self, run: Run, tools: LookTools, metrics: Sequence[Metrics] = (), seconds: float = 0.0) -> None:
        self.run = run  # all of it, in arrays of the device
        self.metrics = metrics  # of each round since the look before
        self.seconds = seconds  # that these rounds took
        self.columns: dict[str, float] = {}  # what observers before the log have measured for its row
        self.row: dict[str, float] | None = None  # of the log, if one was due
        self.evaluation: Evaluation | None = None  # greedy, if one was due or asked for
        self.exact: ExactValue | None = None  # with it: what the greedy policy is worth, where there are tables
        self.remarks: tuple[str, ...] = ()  # what a user should know of the run, so far
        self.stopping = self.over = False
        self._tools = tools

    @property
    def step(self) -> int:
        """Steps of the environments so far; of an offline agent, its iterations."""
        return self.run.steps

    @property
    def total(self) -> int:
        """Steps (iterations) of the whole run."""
        return self._tools.total

    @property
    def policy(self) -> Policy:
        """The current greedy policy: a copy of the weights."""
        if given_away(self.run.agent.fit.params):
            raise UsageError("this look is over: ask it for its policy before the next look is taken")
        return self._tools.policy(on_host(self.run.agent.fit.params))

    @property
    def best(self) -> Policy:
        """The best greedy policy so far, by its exact return where that is known, else by periodic evaluation.

        Before any, and of an offline agent, the present one.
        """
        return self._tools.policy(self._tools.best(self._now()).params)

    @property
    def best_step(self) -> int:
        """The step at which `best` was learned."""
        return self._tools.best(self._now()).step

    @property
    def history(self) -> History:
        """The log so far, also from before an interruption: `history["eval_mean"]`."""
        return self._tools.history()

    def evaluate(self) -> Evaluation:
        """Greedy episodes now, in the log and for the choice of the best policy, as if they had been due."""
        self._now()
        if self.evaluation is None:
            self._tools.evaluate(self)
        assert self.evaluation is not None
        return self.evaluation

    def save(self) -> None:
        """Write a checkpoint now."""
        self._tools.save(self._now())

    def change(self, *, lr: float | None = None, epsilon: float | None = None, target_every: int | None = None) -> None:
        """Continue with another step size (times the optimiser's schedule), another constant ε, another interval.

        The run's checkpoints hold what was changed. The first change of each compiles the learner once more. Raises
        UsageError where the agent has no such number, or for one out of its range.
        """
        given = {"lr": lr, "epsilon": epsilon, "target_every": target_every}
        wanted = {name: number for name, number in given.items() if number is not None}
        self.run = self._tools.change(self._now(), wanted) if wanted else self.run

    def stop(self) -> None:
        """End the run after this look, as if its steps were done."""
        self.stopping = True

    def _now(self) -> Run:
        if self.over:
            raise UsageError("this look is over: ask before the next look is taken, and before the run ends")
        return self.run


Observer = Callable[[RunLook], None]


def looks(loop: Loop, run: Run, schedule: Schedule, tools: LookTools, asked: Callable[[], bool]) -> Iterator[RunLook]:
    """The run as it stands from `run` on, until `schedule.total` is reached or `asked()` between two rounds."""
    look = RunLook(run, tools)
    while True:
        yield look
        run = look.run  # it may have been changed
        if run.steps >= schedule.total or agreed(asked()):
            return
        look.over, began = True, time.perf_counter()
        run, metrics = loop.advance(run, min(schedule.total, schedule.stop(run.steps)))
        look = RunLook(run, tools, metrics, time.perf_counter() - began)
