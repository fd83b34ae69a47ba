"""Where the time of a run went: parts that add up to the whole, measured only if somebody asks.

A part is timed by wrapping the functions that do its work. At every moment exactly one part is running: what a wrapped
function calls counts for the part of the inner function alone, and what no part claims is "other".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import ParamSpec, Protocol, TypeVar

import jax
from jax import monitoring

P = ParamSpec("P")
T = TypeVar("T")
OTHER, COMPILE = "other", "compile"


class Timed(Protocol):
    """(part, function) -> the function, perhaps with a clock around it; wait: until its arrays have been computed."""

    def __call__(self, part: str, function: Callable[P, T], /, wait: bool = False) -> Callable[P, T]: ...


def untimed(part: str, function: Callable[P, T], /, wait: bool = False) -> Callable[P, T]:
    """The function as it is: no clock, no cost."""
    return function


class Profile:
    """Seconds by part, from when it was made to its `end`. Compilation counts for itself, whichever part caused it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, start_up: float | None = None) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = {OTHER: 0.0}
        if start_up is not None:  # seconds of the process before now: Python, imports, reading the command line
            self.seconds["start-up"] = start_up
        self._running = OTHER
        self._since = clock()
        self._compiled: list[tuple[float, float]] = []  # (began, ended), none inside another
        _listen()
        _OPEN.append(self)

    def end(self) -> dict[str, float]:
        """Seconds by part, the most first; they add up to the time since it was made (and `start_up`)."""
        self._turn(OTHER)
        self.close()
        return dict(sorted(self.seconds.items(), key=lambda item: -item[1]))

    def close(self) -> None:
        """Do not listen to JAX any more; may be called again."""
        if self in _OPEN:
            _OPEN.remove(self)

    def __call__(self, part: str, function: Callable[P, T], /, wait: bool = False) -> Callable[P, T]:
        """The function with a clock around it: its time, without that of wrapped functions inside, is `part`'s."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            before = self._turn(part)
            try:
                found = function(*args, **kwargs)
                return jax.block_until_ready(found) if wait else found
            finally:
                self._turn(before)

        return timed

    def _turn(self, part: str) -> str:
        """From now on `part` is running; gives what was running until now."""
        now, before = self.clock(), self._running
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._running, self._since = part, now
        return before

    def compiled(self, seconds: float) -> None:
        """A compilation of so many seconds has just ended; one inside another is counted once."""
        ended = self.clock()
        began = max(ended - seconds, self._since)  # the running part cannot give more than it has
        inside = [span for span in self._compiled if span[0] >= began]
        self._compiled = [span for span in self._compiled if span[0] < began] + [(began, ended)]
        more = ended - began - sum(end - start for start, end in inside)
        self.seconds[COMPILE] = self.seconds.get(COMPILE, 0.0) + more
        self.seconds[self._running] = self.seconds.get(self._running, 0.0) - more


_OPEN: list[Profile] = []  # those that want to hear of compilations


@cache
def _listen() -> None:
    """Have JAX tell of every compilation, from now on and once only: not all versions can take a listener back."""

    def heard(event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            for profile in _OPEN:
                profile.compiled(duration_secs)

    monitoring.register_event_duration_secs_listener(heard)


def profile_table(seconds: dict[str, float], steps: int, unit: str = "step") -> list[str]:
    """For people: seconds, their share, and microseconds of a step."""
    whole = max(sum(seconds.values()), 1e-9)
    rows = {**seconds, "in all": whole}
    lines = [f"{'part':14} {'seconds':>9} {'share':>6} {'µs a ' + unit:>12}"]
    return lines + [f"{k:14} {s:9.2f} {s / whole:6.1%} {s / max(steps, 1) * 1e6:12,.1f}" for k, s in rows.items()]
