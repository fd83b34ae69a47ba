"""Worker processes at work: the pool that gives them their jobs and shows what they say, and the workers' own side.

It needs no JAX.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from rlnut.errors import RlnutError, UsageError, counted
from rlnut.runtime.interrupts import terminations
from rlnut.runtime.log import Progress, say
from rlnut.runtime.streams import on_terminal
from rlnut.runtime.workers import Event, Jobs, Message, Worker

if TYPE_CHECKING:
    from rlnut.control.run_loop import RunLook
    from rlnut.control.setup import Setup

PROCESS = 300 * 2**20  # bytes that a process takes beside what its run learns and remembers


class PoolJob(NamedTuple):
    """What a worker process does: one run, in a folder of its own inside that of all."""

    name: str  # for people: "seed 3"
    folder: str
    given: Message  # what the worker is told of it


def serve(prepare: Callable[[Jobs], tuple[Message, Callable[[Message], Message]]]) -> None:
    """Be a worker process: do the jobs that the parent gives, one by one, and answer each.

    prepare: gives the first answer, and what does a job and says its answer.
    """
    with terminations():
        jobs = Jobs()
        try:
            ready, do = prepare(jobs)
            jobs.answer(ready)
            for job in jobs:
                try:
                    jobs.answer(do(job))
                except RlnutError as error:
                    jobs.answer({"failed": str(error), "status": error.status})
        except RlnutError as error:
            jobs.answer({"failed": str(error), "status": error.status})
        except KeyboardInterrupt:
            jobs.answer({"stopped": True})


class Pool:
    """Workers, the jobs that wait for one, and what is shown of them.

    alike: the jobs are seeds of one run. Then what is invalid in the first is so in all, the bar counts steps, and all
    need the same memory.
    """

    def __init__(
        self, words: Sequence[str], jobs: Sequence[PoolJob], folder_of: Callable[[str], Path], alike: bool = True
    ) -> None:
        self.words, self.waiting, self.count, self.folder_of = words, list(jobs), len(jobs), folder_of
        self.alike, self.noun = alike, "seed" if alike else "job"
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []  # those that are ready
        self.folder: Path | None = None
        self.most = 0  # workers at a time; 0: not known before the first job has told its need of memory
        self.need = -1  # bytes: the largest of the jobs so far
        self.failed: dict[str, RlnutError] = {}  # by the names of jobs
        self.over = 0  # jobs done or failed
        self.total = 0  # steps of a seed
        self.steps: dict[str, int] = {}  # by job, so far
        self.progress: Progress | None = None
        self.heard: list[str] = []  # what workers said before their first job: all say the same
        self.stopping = False

    def tell(self) -> None:
        """Ctrl-C: from another thread, perhaps."""
        say(f"stopping all {self.noun}s after their round of steps (press again to stop at once, without saving)")
        self.events.put(Event(None))

    def run(self, jobs: int) -> None:
        """Until all jobs are over."""
        self.workers = [Worker(self.words, self.events) for _ in range(jobs)]
        while self.workers:
            event = self.events.get()
            if event.worker is None:
                self._stop()
            elif event.message is not None:
                self._message(event.worker, event.message)
            elif event.line is not None:
                self._line(event.worker, event.line)
            else:
                self._ended(event.worker)

    def close(self) -> None:
        """No worker outlives this; those that are at work when this fails are asked to end at once."""
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.kill()
        if self.progress is not None:
            self.progress.close()

    def _stop(self) -> None:
        self.stopping, self.waiting = True, []
        for worker in self.workers:
            worker.stop()

    def _message(self, worker: Worker, message: Message) -> None:
        if "step" in message:
            self._moved(worker, message["step"])
        elif "ready" in message:
            worker.ready = True
            self.idle.append(worker)
            if self.folder is None and not self.stopping:
                for line in [*self.heard, *message["lines"]]:
                    say(line)
                self.folder = self.folder_of(message["ready"])
        elif "need" in message:
            self._planned(message)
        elif "failed" in message:
            error = (UsageError if message["status"] == UsageError.status else RlnutError)(message["failed"])
            first = self.alike and self.most == 0
            if worker.job is None or (first and isinstance(error, UsageError)):  # not of this one alone
                raise error
            self._fail(worker, error)
        else:  # done, or stopped
            self._free(worker)
        self._give()

    def _planned(self, message: Message) -> None:
        """The first job has told its need of memory, so others may begin; or a later one needs more."""
        if message["need"] <= self.need:
            return
        others = max(0, sum(worker.job is not None for worker in self.workers) - 1)  # have what they need
        room = max(1, others + message["free"] // (message["need"] + PROCESS))
        before, self.need = self.most or len(self.workers), message["need"]
        self.most = min(before, room)
        if self.most < before:
            self._show(f"enough memory for {counted(self.most, self.noun)} at a time, not for {before}")
        if self.progress is None:
            self.total = message["total"] if self.alike else 0
            unit = f" {message['unit']}s" if self.alike else " jobs"
            self.progress = Progress(self.total * self.count or self.count, 0, not on_terminal(), unit=unit)

    def _give(self) -> None:
        """Jobs to those that are ready, as many as are known to fit; the others are not needed any more."""
        at_work = sum(worker.job is not None for worker in self.workers)
        while self.idle and self.waiting and self.folder is not None and at_work < max(self.most, 1):
            worker, job = self.idle.pop(0), self.waiting.pop(0)
            worker.job, at_work = job.name, at_work + 1
            first, shown = self.most == 0 and not self.steps, not on_terminal()
            self.steps[job.name] = 0
            worker.send(job.given | {"out": str(self.folder / job.folder), "plan": first, "progress": shown})
        if self.most or not self.waiting:
            while self.idle:
                self.idle.pop().dismiss()

    def _free(self, worker: Worker) -> None:
        self.over += 1
        self._moved(worker, self.total)  # it may have ended early
        worker.job = None
        self.idle.append(worker)

    def _fail(self, worker: Worker, error: RlnutError) -> None:
        assert worker.job is not None
        self.failed[worker.job] = error
        self._show(f"rlnut: {worker.job}: {error}")
        self._free(worker)

    def _ended(self, worker: Worker) -> None:
        """A worker is gone: because there was nothing more to do, or unasked."""
        self.workers.remove(worker)
        if worker.job is not None and not self.stopping:
            status = worker.process.returncode
            how = f"signal {-status}" if status < 0 else f"status {status}"
            self._fail(worker, RlnutError(f"its process ended with {how}"))
        self.idle = [other for other in self.idle if other is not worker]
        if worker.ready and self.waiting and len(self.workers) < max(self.most, 1):
            self.workers.append(Worker(self.words, self.events))
        if not worker.ready and not self.stopping and (self.folder is None or (self.waiting and not self.workers)):
            why = self.heard[-1].removeprefix("rlnut: ") if self.heard else f"status {worker.process.returncode}"
            raise RlnutError(f"a process for the {self.noun}s could not be started: {why}; --jobs 1 trains in this one")

    def _line(self, worker: Worker, line: str) -> None:
        if worker.job is not None:
            self._show(f"{worker.job}: {line}")
        elif line not in self.heard:
            self.heard.append(line)
            if self.folder is not None:
                self._show(line)

    def _show(self, line: str) -> None:
        """A line for people, above the progress bar if there is one."""
        if self.progress is not None and self.progress.bar is not None:
            self.progress.say(line)
        else:
            say(line)

    def _moved(self, worker: Worker, step: int) -> None:
        assert worker.job is not None
        self.steps[worker.job] = step
        if self.progress is not None:
            running = ", ".join(other.job for other in self.workers if other.job is not None)
            words = f"{self.over} of {self.count} {self.noun}s over, at work: {running}"
            self.progress.move(sum(self.steps.values()) if self.alike else self.over, words)


class Told:
    """Tells the parent process what a run needs, and how far it is."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.last = jobs, time.perf_counter()

    def planned(self, setup: Setup) -> None:
        """Before the first step."""
        from rlnut.control.plan import free_memory

        need = {"need": setup.need, "free": free_memory()}
        self.jobs.answer(need | {"total": setup.schedule.total, "unit": setup.unit})

    def begun(self) -> None:
        """Of a run that goes on: its need of memory is known when it runs."""
        from rlnut.control.plan import free_memory

        self.jobs.answer({"need": 0, "free": free_memory(), "total": 0, "unit": "step"})

    def on_look(self, look: RunLook) -> None:
        """A few times a second."""
        if (now := time.perf_counter()) - self.last > 0.2:
            self.last = now
            self.jobs.answer({"step": look.step})
