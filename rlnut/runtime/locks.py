"""One process at a time in a folder: a lock that the operating system drops when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rlnut.errors import UsageError
from rlnut.runtime.files import LOCK, is_leftover

TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder is ours while the body runs; UsageError if another run has it.

    What a killed process left half written is removed. Where the file system knows no locks, or nothing can be
    written, there is none.
    """
    path = folder / LOCK
    handle = _taken(path)
    try:
        for left in folder.glob(".*"):
            if left != path and is_leftover(left):
                left.unlink(missing_ok=True)
        yield
    finally:
        if handle is not None:
            if sys.platform != "win32":  # while it is ours, so that nobody else holds what is removed
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            os.close(handle)
            if sys.platform == "win32":
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _taken(path: Path) -> int | None:
    """A handle that holds the lock; None where there are no locks."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            _lock(handle)
            if sys.platform == "win32" or _same(handle, path):
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in TAKEN:
                raise UsageError(
                    f"{path.parent} is in use by another run: wait for it, or choose another folder"
                ) from None
            return None
        os.close(handle)  # it was removed by the run that had it, after we had opened it: again


def _same(handle: int, path: Path) -> bool:
    """Is the locked file still the one of that name?"""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
