"""Ctrl-C is answered at once, also while C code holds the main thread."""

from __future__ import annotations

import hashlib
import os
import signal
import threading

import pytest

from rlnut.runtime.interrupts import interrupts


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
