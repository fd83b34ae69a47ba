"""Ctrl-C, SIGTERM and SIGHUP as a flag that a loop asks for between two rounds, so that what it saves is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def interrupts(tell: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Gives `stopped()`, True after a first Ctrl-C; a second one raises KeyboardInterrupt at once.

    tell: called at the first one, since a round or a compilation may take a while to end. SIGHUP stays
    ignored where it was (nohup). Outside the main thread, where Python allows no handlers, Ctrl-C keeps
    its usual meaning.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: it came in the middle of another line
            tell()

    with _handled(SIGNALS, ask):
        yield asked.is_set


@contextlib.contextmanager
def terminations() -> Iterator[None]:
    """SIGTERM and SIGHUP as KeyboardInterrupt, as Ctrl-C is: while there is nothing to save yet."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(SIGNALS[1:], stop):
        yield


@contextlib.contextmanager
def _handled(signals: list[signal.Signals], handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in signals if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
