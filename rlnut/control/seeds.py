"""Several seeds of one run: one after the other in this process, or side by side in worker processes. It needs no JAX.

Seed k leaves the same bytes as it does alone. A seed that fails is reported, and the others continue.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from rlnut.errors import RlnutError, UsageError, counted
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import Progress, say
from rlnut.runtime.streams import on_terminal
from rlnut.runtime.workers import Event, Jobs, Message, Worker, cores

if TYPE_CHECKING:
    from rlnut.control.run_loop import RunLook
    from rlnut.control.setup import Setup

PROCESS = 300 * 2**20  # bytes that a process takes beside what its run learns and remembers
Failed = dict[int, RlnutError]  # by seed


def usual_jobs(seeds: int) -> int:
    """As many processes as there are cores for them; 1 on an accelerator, which is not shared by processes."""
    most = min(seeds, cores())
    if most > 1 and (find_spec("jax_plugins") is not None or find_spec("libtpu") is not None):
        import jax

        return most if jax.default_backend() == "cpu" else 1
    return most


def one_after_another(train: Callable[[int], object], seeds: Iterable[int]) -> Failed:
    """Train each seed in this process; what failed. An error of the user's in the first one ends all."""
    failed: Failed = {}
    for k, seed in enumerate(seeds):
        try:
            train(seed)
        except RlnutError as error:
            if k == 0 and isinstance(error, UsageError):
                raise
            failed[seed] = error
            say(f"rlnut: seed {seed}: {error}")
    return failed


def in_processes(words: Sequence[str], seeds: Sequence[int], jobs: int, folder_of: Callable[[str], Path]) -> Failed:
    """Train the seeds in `jobs` processes, each started with the command line `words`; what failed.

    folder_of: environment's name -> the folder in which each seed gets one of its own; it is made when the settings
    have turned out to be valid.
    """
    pool = Pool(words, seeds, folder_of)
    with interrupts(pool.tell) as asked:
        try:
            pool.run(jobs)
        except UsageError:
            if pool.folder is not None:
                with contextlib.suppress(OSError):  # it is not empty
                    pool.folder.rmdir()
            raise
        finally:
            pool.close()
        if asked():
            raise KeyboardInterrupt
    return pool.failed


class Pool:
    """Workers, the seeds that wait for one, and what is shown of them."""

    def __init__(self, words: Sequence[str], seeds: Sequence[int], folder_of: Callable[[str], Path]) -> None:
        self.words, self.waiting, self.count, self.folder_of = words, list(seeds), len(seeds), folder_of
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []  # those that are ready
        self.folder: Path | None = None
        self.most = 0  # workers at a time; 0: not known before the first seed has told its need of memory
        self.failed: Failed = {}
        self.over = 0  # seeds done or failed
        self.total = 0  # steps of a seed
        self.steps: dict[int, int] = {}  # by seed, so far
        self.progress: Progress | None = None
        self.heard: list[str] = []  # what workers said before their first seed: all say the same
        self.stopping = False

    def tell(self) -> None:
        """Ctrl-C: from another thread, perhaps."""
        say("stopping all seeds after their round of steps (press again to stop at once, without saving)")
        self.events.put(Event(None))

    def run(self, jobs: int) -> None:
        """Until all seeds are over."""
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
            if worker.seed is None or (self.most == 0 and isinstance(error, UsageError)):  # not of this seed alone
                raise error
            self._fail(worker, error)
        else:  # done, or stopped
            self._free(worker)
        self._give()

    def _planned(self, message: Message) -> None:
        """The first seed has told its need of memory: the others may begin."""
        if self.most == 0:
            self.most = max(1, min(len(self.workers), message["free"] // (message["need"] + PROCESS)))
            if self.most < len(self.workers):
                say(f"enough memory for {counted(self.most, 'seed')} at a time, not for {len(self.workers)}")
            self.total = message["total"]
            self.progress = Progress(self.total * self.count, 0, not on_terminal(), unit=f" {message['unit']}s")

    def _give(self) -> None:
        """Seeds to those that are ready, as many as are known to fit; the others are not needed any more."""
        at_work = sum(worker.seed is not None for worker in self.workers)
        while self.idle and self.waiting and self.folder is not None and at_work < max(self.most, 1):
            worker, seed = self.idle.pop(0), self.waiting.pop(0)
            worker.seed, at_work = seed, at_work + 1
            first, shown = self.most == 0 and not self.steps, not on_terminal()
            self.steps[seed] = 0
            worker.send({"seed": seed, "out": str(self.folder / f"seed{seed}"), "plan": first, "progress": shown})
        if self.most or not self.waiting:
            while self.idle:
                self.idle.pop().dismiss()

    def _free(self, worker: Worker) -> None:
        self._moved(worker, self.total)  # it may have ended early
        self.over, worker.seed = self.over + 1, None
        self.idle.append(worker)

    def _fail(self, worker: Worker, error: RlnutError) -> None:
        assert worker.seed is not None
        self.failed[worker.seed] = error
        self._show(f"rlnut: seed {worker.seed}: {error}")
        self._free(worker)

    def _ended(self, worker: Worker) -> None:
        """A worker is gone: because there was nothing more to do, or unasked."""
        self.workers.remove(worker)
        if worker.seed is not None and not self.stopping:
            status = worker.process.returncode
            how = f"signal {-status}" if status < 0 else f"status {status}"
            self._fail(worker, RlnutError(f"its process ended with {how}"))
        self.idle = [other for other in self.idle if other is not worker]
        if worker.ready and self.waiting and len(self.workers) < max(self.most, 1):
            self.workers.append(Worker(self.words, self.events))
        if not worker.ready and not self.stopping and (self.folder is None or (self.waiting and not self.workers)):
            why = self.heard[-1].removeprefix("rlnut: ") if self.heard else f"status {worker.process.returncode}"
            raise RlnutError(f"a process for the seeds could not be started: {why}; --jobs 1 trains in this one")

    def _line(self, worker: Worker, line: str) -> None:
        if worker.seed is not None:
            self._show(f"seed {worker.seed}: {line}")
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
        assert worker.seed is not None
        self.steps[worker.seed] = step
        if self.progress is not None:
            running = " ".join(str(other.seed) for other in self.workers if other.seed is not None)
            words = f"{self.over} of {self.count} seeds over, at work: {running}"
            self.progress.move(sum(self.steps.values()), words)


class Told:
    """Tells the parent process what a run needs, and how far it is."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.last = jobs, time.perf_counter()

    def planned(self, setup: Setup) -> None:
        """Before the first step."""
        from rlnut.control.plan import free_memory

        need = {"need": setup.need, "free": free_memory()}
        self.jobs.answer(need | {"total": setup.schedule.total, "unit": setup.unit})

    def on_look(self, look: RunLook) -> None:
        """A few times a second."""
        if (now := time.perf_counter()) - self.last > 0.2:
            self.last = now
            self.jobs.answer({"step": look.step})
