"""Ctrl-C is answered at once, also while C code holds the main thread; a process that is asked to end does end."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from rlnut.runtime.interrupts import interrupts, terminations


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="os.kill sends no Ctrl-C on Windows")
def test_the_first_is_told_at_once_and_the_second_raises() -> None:
    """A long call in C, as a compilation is: another thread tells it, once; the call itself runs to its end."""
    heard: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    with interrupts(lambda: heard.append(threading.current_thread() is threading.main_thread())) as stopped:
        assert not stopped()
        timer = threading.Timer(0.1, interrupt)
        timer.start()
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 1_500_000)  # about half a second without a bytecode
        timer.join()
        assert heard == [False] and stopped()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
            pytest.fail("the second did not raise")
    assert heard == [False] and signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="os.kill sends no Ctrl-C on Windows")
def test_the_next_time_starts_anew() -> None:
    for _ in range(2):
        heard: list[int] = []
        with interrupts(lambda heard=heard: heard.append(1)) as stopped:  # type: ignore[misc]
            interrupt()
            while not heard:
                pass
            assert stopped() and heard == [1]


def test_outside_the_main_thread_nothing_is_touched() -> None:
    found: list[bool] = []

    def work() -> None:
        with interrupts() as stopped:
            found.append(stopped())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


@pytest.mark.skipif(os.name == "nt", reason="os.kill sends no Ctrl-C on Windows")
def test_two_that_overlap_may_end_in_any_order() -> None:
    """As runs do that are gone through side by side: the newest that is open is asked; nothing is left behind."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers], signal.set_wakeup_fd(-1)
    first, second = interrupts(), interrupts()
    asked = first.__enter__()
    later = second.__enter__()
    first.__exit__(None, None, None)
    interrupt()
    assert later() and not asked()
    second.__exit__(None, None, None)
    assert ([signal.getsignal(number) for number in numbers], signal.set_wakeup_fd(-1)) == before
    first, second = interrupts(), interrupts()
    asked = first.__enter__()
    later = second.__enter__()
    second.__exit__(None, None, None)
    interrupt()
    assert asked() and not later()
    first.__exit__(None, None, None)
    assert ([signal.getsignal(number) for number in numbers], signal.set_wakeup_fd(-1)) == before


# --- signals that end the process

SCRIPT = """
import os, signal
from rlnut.runtime.interrupts import interrupts, terminations
for seed in range(3):
    with terminations(pass_on=True):
        with interrupts() as stopped:
            os.kill(os.getpid(), signal.{name})
            while not stopped():
                pass
        print("saved", seed)
"""


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process on Windows")
@pytest.mark.parametrize(("name", "runs"), [("SIGTERM", 1), ("SIGHUP", 1), ("SIGINT", 3)])
def test_a_script_ends_once_its_run_is_saved(name: str, runs: int) -> None:
    """A loop over seeds, as `timeout` or a scheduler ends it; Ctrl-C ends one run, and its result says so."""
    words = [sys.executable, "-c", SCRIPT.format(name=name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [f"saved {seed}" for seed in range(runs)] and done.stderr == ""
    assert done.returncode == (-getattr(signal, name) if runs == 1 else 0)


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process on Windows")
@pytest.mark.parametrize("inside", [True, False])
def test_a_handler_of_ones_own_is_called_after_the_run(inside: bool) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with terminations(pass_on=True):
            with terminations(pass_on=True):  # as of a run inside another one's callback: the outermost passes it on
                if inside:
                    with interrupts():
                        signal.raise_signal(signal.SIGTERM)
                else:
                    with pytest.raises(KeyboardInterrupt):
                        signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        with terminations(pass_on=True):
            pass
        with terminations(), interrupts():  # a command reports it by its exit status
            signal.raise_signal(signal.SIGTERM)
        with terminations(pass_on=True):
            pass
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_that_python_lost_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a callback of the garbage collector is shown and ignored: JAX has such a callback."""
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    heard: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker of xdist may have another one

    def collecting(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and collecting in gc.callbacks:
            gc.callbacks.remove(collecting)  # once, also where another collection begins meanwhile
            signal.raise_signal(getattr(signal, name))

    with terminations():
        gc.callbacks.append(collecting)
        gc.collect()
        assert [one.exc_type for one in lost] == [KeyboardInterrupt]
        with interrupts(lambda: heard.append("told")) as stopped:
            assert stopped() and heard == ["told"]
        with interrupts() as stopped:
            assert not stopped()
    with terminations(), interrupts() as stopped:
        assert not stopped()
    signal.signal(signal.SIGINT, before)
