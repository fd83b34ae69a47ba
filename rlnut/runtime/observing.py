"""The user's callbacks, and iterating over a run, which may be left at any time.

A look says where learning stands and can be asked to `stop()`. What happens at each of them (a row of the log, an
evaluation, a checkpoint) is done by observers, functions of a look; a callback is an observer of the user's own.
"""

from __future__ import annotations

import atexit
import contextlib
import traceback
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from rlnut.errors import RlnutError, UsageError

METHODS = ("on_start", "on_look", "on_end")
WANTED = f"a function of a look, or an object with {', '.join(METHODS[:-1])} or {METHODS[-1]}"


class Stoppable(Protocol):
    """A look: learning ends after it if it is asked to `stop`, as `stopping` tells."""

    stopping: bool

    def stop(self) -> None: ...


Callback = object  # a function of a look, or an object with some of METHODS
SomeLook = TypeVar("SomeLook", bound=Stoppable)
Result = TypeVar("Result")


def watched(looks: Iterable[SomeLook], observers: Sequence[Callable[[SomeLook], object]]) -> Iterator[SomeLook]:
    """Each look after all observers were called with it, in their order; none after one that was asked to stop."""
    for look in looks:
        for observe in observers:
            observe(look)
        yield look
        if look.stopping:
            return


class Callbacks(Generic[SomeLook]):
    """The user's callbacks, called in their order; what one of them raises becomes an RlnutError that names it.

    given: functions of a look, or objects with some of `on_start` (the first look), `on_look` (every look, the first
    one included) and `on_end` (the last look again, however learning ended).
    """

    def __init__(self, given: Iterable[Callback] = ()) -> None:
        if not isinstance(given, (list, tuple)):
            raise UsageError(f"callbacks must be a list, each {WANTED}; got {type(given).__name__}")
        self.given: list[tuple[str, Methods[SomeLook]]] = [(shown_name(one), _methods(one)) for one in given]
        self.last: SomeLook | None = None

    def __call__(self, look: SomeLook) -> None:
        """One more look."""
        first, self.last = self.last is None, look
        if first:
            self._call("on_start", look)
        self._call("on_look", look)

    def end(self) -> None:
        """There are no more looks; once only."""
        look, self.last, self.given, given = self.last, None, [], self.given
        if look is not None:
            for name, methods in given:
                _called(name, methods, "on_end", look)

    def _call(self, which: str, look: SomeLook) -> None:
        for name, methods in self.given:
            _called(name, methods, which, look)


Methods = dict[str, Callable[[SomeLook], object]]


def shown_name(callback: object) -> str:
    """The name of a callback or a logger in messages."""
    return str(getattr(callback, "__qualname__", "") or type(callback).__qualname__)


def _methods(callback: object) -> Methods[SomeLook]:
    """What of a callback is called, and when; UsageError if there is nothing to call."""
    if isinstance(callback, type):
        raise UsageError(f"the callback {shown_name(callback)} is a class: make one, {shown_name(callback)}()")
    found = {name: getattr(callback, name) for name in METHODS if callable(getattr(callback, name, None))}
    if not found and callable(callback):
        return {"on_look": callback}
    if not found:
        raise UsageError(f"callbacks must be a list, each {WANTED}; it holds {type(callback).__name__}")
    return found


def _called(name: str, methods: Methods[SomeLook], which: str, look: SomeLook) -> None:
    try:
        if which in methods:
            methods[which](look)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a callback may raise anything, SystemExit too
        raise RlnutError(f"the callback {name} raised {shown_error(error)}") from error


def shown_error(error: BaseException) -> str:
    """An exception of user code and where it was raised, in one line."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, RlnutError):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}{': ' if text else ''}{text} ({Path(frame.filename).name}:{frame.lineno})"


class Looks(Iterator[SomeLook], Generic[SomeLook, Result]):
    """Iterates over a run, prediction or fit: `for look in looks: ...`; then `result()`.

    A loop that is left early leaves all as Ctrl-C would, as soon as the iterator is forgotten or closed, and at the
    latest when Python ends. In a `with` block it ends with the block: with its result, or, after an exception, without.
    """

    def __init__(self, looks: Generator[SomeLook, None, Result]) -> None:
        self._looks = looks
        _OPEN.add(self)
        atexit.unregister(_close_all)  # the newest is called first, while all that a run needs is still there
        atexit.register(_close_all)
        self._look: SomeLook | None = None
        self._result: Result | None = None

    def __next__(self) -> SomeLook:
        try:
            self._look = next(self._looks)
        except StopIteration as end:
            if end.value is not None:
                self._result = end.value
            raise StopIteration(self._result) from None
        return self._look

    def result(self) -> Result:
        """The result: runs to the end if no look was taken yet, else that of the last look that was taken."""
        if self._result is None:
            if self._look is not None:
                self._look.stop()
            for _ in self:
                pass
        if self._result is None:
            raise RlnutError("it was closed, or failed, before its end: there is no result")
        return self._result

    def close(self) -> None:
        """End it here, without a result."""
        self._looks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._result is None:
            self.result()
        self.close()


_OPEN: weakref.WeakSet[Looks[Any, Any]] = weakref.WeakSet()


def _close_all() -> None:
    """What a run saves when it is left needs modules that are gone once Python forgets the iterator at its end."""
    for looks in list(_OPEN):
        with contextlib.suppress(RlnutError):  # nobody can be told any more, and what was saved before is there
            looks.close()
