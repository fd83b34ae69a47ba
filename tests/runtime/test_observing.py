"""Callbacks and the iterator of looks, on a look that only counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest

from rlnut import RlnutError, UsageError
from rlnut.runtime.observing import Callbacks, Looks


class Count:
    """A look."""

    def __init__(self, step: int) -> None:
        self.step, self.stopping = step, False

    def stop(self) -> None:
        self.stopping = True


class Written:
    """A callback that writes down how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def on_start(self, look: Count) -> None:
        self.calls.append(("start", look.step))

    def on_look(self, look: Count) -> None:
        self.calls.append(("look", look.step))

    def on_end(self, look: Count) -> None:
        self.calls.append(("end", look.step))


def counting(total: int, left: list[str], callbacks: Callbacks[Count]) -> Generator[Count, None, int]:
    look = Count(0)
    try:
        for step in range(total + 1):
            look = Count(step)
            callbacks(look)
            yield look
            if look.stopping:
                break
        callbacks.end()
    finally:
        left.append("closed")
    return look.step


def test_every_method_is_called_when_it_should_be():
    note, steps = Written(), []
    looks = Looks(counting(2, [], Callbacks([note, lambda look: steps.append(look.step)])))
    assert looks.result() == 2
    assert note.calls == [("start", 0), ("look", 0), ("look", 1), ("look", 2), ("end", 2)] and steps == [0, 1, 2]


def test_an_object_with_one_of_the_methods_is_enough():
    class End:
        def on_end(self, look: Count) -> None:
            ends.append(look.step)

    ends: list[int] = []
    assert Looks(counting(3, [], Callbacks((End(),)))).result() == 3 and ends == [3]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (3, "callbacks must be a list, each a function of a look, or an object with on_start, on_look or on_end"),
        (print, "callbacks must be a list"),
        ("text", "callbacks must be a list"),
        ([3], "it holds int"),
        ([Written], r"the callback Written is a class: make one, Written\(\)"),
    ],
)
def test_what_is_no_callback_is_refused(given: Any, reason: str):
    with pytest.raises(UsageError, match=reason):
        Callbacks(given)


@pytest.mark.parametrize("error", [ValueError("a\nfault"), SystemExit(3), StopIteration(), RlnutError("a fault")])
def test_what_a_callback_raises_is_said_in_one_line_with_its_name(error: BaseException):
    def careless(look: Count) -> None:
        if look.step == 1:
            raise error

    left: list[str] = []
    with pytest.raises(RlnutError, match=r"^the callback .*careless raised ") as caught:
        Looks(counting(3, left, Callbacks([careless]))).result()
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error and left == ["closed"]
    if isinstance(error, ValueError):
        assert "ValueError: a fault (test_observing.py:" in str(caught.value)


def test_a_loop_that_is_left_is_closed_at_once():
    left: list[str] = []
    for look in Looks(counting(9, left, Callbacks())):
        if look.step == 2:
            break
    assert left == ["closed"]


def test_the_result_after_a_break_is_that_of_the_looks_taken():
    left: list[str] = []
    looks = Looks(counting(9, left, Callbacks()))
    for look in looks:
        if look.step == 4:
            break
    assert left == [] and looks.result() == 4 and looks.result() == 4 and left == ["closed"]


def test_a_with_block_ends_with_a_result_or_after_an_exception_without():
    left: list[str] = []
    with Looks(counting(9, left, Callbacks())) as looks:
        next(looks)
    assert looks.result() == 0 and left == ["closed"]
    with pytest.raises(ValueError, match="mine"), Looks(counting(9, left, Callbacks())) as looks:
        next(looks)
        raise ValueError("mine")
    assert left == ["closed", "closed"]
    with pytest.raises(RlnutError, match="before its end"):
        looks.result()


def test_the_result_is_the_value_of_the_iteration():
    def outer() -> Generator[Count, None, int]:
        inner: Any = Looks(counting(2, [], Callbacks()))
        return (yield from inner)

    assert Looks(outer()).result() == 2


LEFT = """
import sys
from rlnut.errors import RlnutError
from rlnut.runtime.interrupts import interrupts, terminations
from rlnut.runtime.observing import Looks

class Look:
    stopping = False

def looks(name):
    with terminations(pass_on=True), interrupts():
        try:
            yield Look()
        finally:
            print("saved", name, file=sys.stdout)
            if name == "full":
                raise RlnutError("no room to save")

first, full, last, done = (Looks(looks(name)) for name in ("first", "full", "last", "done"))
for one in (first, full, last, done):
    next(one)
done.close()
{end}
"""


@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(3)", 3), ("raise SystemExit", 0)])
def test_what_is_left_open_is_closed_when_python_ends(end: str, status: int):
    """While modules are there that a run needs to save itself; nothing is printed."""
    words = [sys.executable, "-c", LEFT.format(end=end)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "" and done.returncode == status
    assert done.stdout.splitlines()[0] == "saved done"
    assert sorted(done.stdout.splitlines()[1:]) == ["saved first", "saved full", "saved last"]
