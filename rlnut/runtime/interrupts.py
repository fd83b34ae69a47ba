"""Ctrl-C, SIGTERM and SIGHUP as a flag that a loop asks for between two rounds, so that what it saves is whole."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_OPEN: dict[signal.Signals, list[Any]] = defaultdict(list)  # handlers of ours, the newest last
_WOKEN: list[int] = []  # the same of file descriptors that a signal is written to
_BEFORE: dict[Any, Any] = {}  # what there was before the first of them
_ENDED: set[signal.Signals] = set()  # SIGTERM and SIGHUP that were handled and not passed on yet
_RAISED: set[signal.Signals] = set()  # signals that `terminations` raised as KeyboardInterrupt, if it goes on after all
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def interrupts(tell: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Gives `stopped()`, True after a first Ctrl-C; a second one raises KeyboardInterrupt at once.

    tell: called at the first one and at once, from a thread of its own where a step or a compilation holds the main
    one. SIGHUP stays ignored where it was (nohup). Outside the main thread, where Python allows no handlers, Ctrl-C
    keeps its usual meaning. One that `terminations` raised, and Python lost, counts as the first one here.
    """
    asked, told = threading.Event(), threading.Lock()

    def tell_once() -> None:
        if told.acquire(blocking=False):
            with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: it came in the middle of another line
                tell()

    def ask(number: int, frame: FrameType | None) -> None:
        _note(number)
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        tell_once()

    with _handled(SIGNALS, ask) as heard, _noticed(heard, tell_once):
        if heard and _RAISED:
            _RAISED.clear()
            asked.set()
            tell_once()
        yield asked.is_set


@contextlib.contextmanager
def terminations(pass_on: bool = False) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP as KeyboardInterrupt, while there is nothing to save yet.

    Python ignores an exception in a callback of its garbage collector (JAX has one) or in a finaliser, so a
    KeyboardInterrupt may be lost there; `interrupts` that follow then end at once. pass_on: SIGTERM and SIGHUP that
    were handled here or in `interrupts` inside are sent again at the end, to whoever handled them before: they ask for
    the end of the process, which would otherwise go on with its next run.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        _note(number)
        _RAISED.add(signal.Signals(number))
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler or _OPEN[signal.SIGINT]
    try:
        with _handled(SIGNALS if usual else SIGNALS[1:], stop):
            yield
    finally:
        _RAISED.clear()
        over = {number for number in _ENDED if not _OPEN[number]}
        _ENDED.difference_update(over)
        for number in over if pass_on else ():
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # closed, or none at all
                    stream.flush()
            signal.raise_signal(number)


def _note(number: int) -> None:
    if number != signal.SIGINT:
        _ENDED.add(signal.Signals(number))


@contextlib.contextmanager
def _noticed(signals: list[signal.Signals], tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` as soon as one of the signals comes, while Python's own handler waits for C code to return."""
    if not signals:
        yield
        return
    reader, writer = socket.socketpair()

    def listen() -> None:
        while number := reader.recv(1):
            if number[0] in signals:
                tell()

    writer.setblocking(False)
    _WOKEN.append(writer.fileno())
    if len(_WOKEN) == 1:
        _BEFORE["wakeup"] = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    else:
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        _WOKEN.remove(writer.fileno())
        with contextlib.suppress(ValueError):  # a generator that is forgotten may end in another thread
            signal.set_wakeup_fd(_WOKEN[-1] if _WOKEN else _BEFORE.pop("wakeup"))
        writer.close()
        listener.join()
        reader.close()


@contextlib.contextmanager
def _handled(
    signals: list[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> Iterator[list[signal.Signals]]:
    """Handle the signals; gives those that are handled: none outside the main thread.

    Several may be open at a time, and they need not end in the order in which they began (runs that are gone through
    side by side): the newest that is open handles a signal, and after the last everything is as it was.
    """
    heard: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in signals if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        former = signal.signal(number, handler)
        if not _OPEN[number]:
            _BEFORE[number] = former
        _OPEN[number].append(handler)
    try:
        yield heard
    finally:
        for number in heard:
            _OPEN[number].remove(handler)
            with contextlib.suppress(ValueError):  # as above
                signal.signal(number, _OPEN[number][-1] if _OPEN[number] else _BEFORE.pop(number))
