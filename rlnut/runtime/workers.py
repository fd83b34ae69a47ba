"""Worker processes: the same command line in other processes, which get their jobs one by one and report to this one.

A job is a line of JSON on a worker's standard input. What comes back is one stream in its order: lines for people, and
messages, which are JSON behind a mark. A worker whose parent is gone, or that is asked to stop, ends as SIGTERM would
end it: it saves and leaves.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

Message = dict[str, Any]
MARK = "\x1e"  # before a message; "record separator" of ASCII
PATIENCE = 10.0  # seconds that a worker has to end before it is killed
# a new Python that finds the same modules as this one, whatever started this one
START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from rlnut.cli import main; sys.exit(main())"


class Event(NamedTuple):
    """What happened to a worker: a message or a line came, or (neither) it ended. Without a worker: please stop."""

    worker: Worker | None
    message: Message | None = None
    line: str | None = None


class Worker:
    """One process, in a process group of its own: Ctrl-C reaches it through its parent only.

    ready: did it ask for a job? job: the name of the one that it has at present.
    """

    def __init__(self, words: Sequence[str], events: SimpleQueue[Event]) -> None:
        self.events, self.ready = events, False
        self.job: str | None = None
        own: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":
            own = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(sys.path), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **own,
        )  # fmt: skip
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None and self.process.stdin is not None
        for whole in self.process.stdout:
            line, mark, text = whole.rstrip("\n").partition(MARK)
            if line.strip() or not mark:
                self.events.put(Event(self, None, line))
            if mark:
                self.events.put(Event(self, json.loads(text)))
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.events.put(Event(self))

    def send(self, job: Message) -> None:
        """Give it a job; one that has ended does not take it, which its last event tells."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Ask it to save and end; a second time: to end at once."""
        self.send({"stop": True})

    def dismiss(self) -> None:
        """There are no more jobs for it: it ends when it has done what it has."""
        self.send({"end": True})

    def kill(self) -> None:
        """Wait until it has ended, but not for long."""
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        if not self.ready:  # nothing has been begun
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.listener.join(PATIENCE)


class Jobs(Iterator[Message]):
    """The jobs of this process, a worker: an iterator that waits for the next one, until there are no more.

    Being asked to stop, or the end of the parent, is SIGTERM to whoever handles it in the main thread; while the worker
    waits for a job it is the end of the iterator.
    """

    def __init__(self) -> None:
        self._source = os.fdopen(os.dup(0), encoding="utf-8")
        nowhere = os.open(os.devnull, os.O_RDONLY)  # what an environment may read is not ours
        os.dup2(nowhere, 0)
        os.close(nowhere)
        self._given: SimpleQueue[Message | None] = SimpleQueue()
        self._lock, self._busy, self._over = threading.Lock(), False, False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._source:
            job = json.loads(line)
            if "stop" in job:
                self._stop()
            else:
                self._given.put(None if "end" in job else job)
        self._stop()  # the parent is gone

    def _stop(self) -> None:
        with self._lock:
            self._over = True
            if self._busy:
                _thread.interrupt_main(signal.SIGTERM)
        self._given.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        with self._lock:
            self._busy = False
        job = self._given.get()
        with self._lock:
            if job is None or self._over:
                raise StopIteration
            self._busy = True
        return job

    def answer(self, message: Message) -> None:
        """Tell the parent; nothing happens if it is gone."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{MARK}{json.dumps(message)}\n")
            sys.stderr.flush()


def cores() -> int:
    """How many this process may use: of the machine, its affinity, and its container."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(1, count)
