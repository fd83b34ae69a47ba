"""Compiled programs are kept in the user's cache folder, so that the next run with the same settings need not compile.

It is JAX's persistent compilation cache with a place, a bound on its size and a rule for what is damaged. The command
line turns it on; a program that imports rlnut sets `jax_compilation_cache_dir` if it wants one. A cache that cannot
be used never ends a run: then everything is compiled anew. What is loaded from it is machine code, so it is used only
where nobody else can write.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

SWITCH = "RLNUT_CACHE"  # "off", or a folder in the place of the user's cache folder
FOLDER, LEAST_TIME = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
MOST_BYTES, MOST_FILES = 2**28, 4096
FAILED = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '([^']+)'")


def keep_programs() -> None:
    """From now on JAX finds and keeps compiled programs in a folder of the user's, unless JAX has one already."""
    if FOLDER.upper() in os.environ or os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, no right to write
        folder = programs_folder() / _processor()
        if not _ours_alone(folder):
            return
        prune(folder)
        _tell_jax({FOLDER: str(folder), LEAST_TIME: 0.0})
        _drop_what_fails(folder)


def programs_folder() -> Path:
    """Where compiled programs are kept, for processors of all kinds."""
    if named := os.environ.get(SWITCH):
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rlnut")) / "programs"


def _processor() -> str:
    """A name of this machine's kind of processor: programs use what instructions it has, and a home may be shared."""
    import hashlib
    import platform

    said = [platform.machine(), os.environ.get("PROCESSOR_IDENTIFIER", "")]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in iter(file.readline, ""):
            if line.lower().startswith(("model name", "flags", "features", "cpu part", "isa")):
                said.append(line)
            if line == "\n":  # the next core
                break
    return f"{said[0] or 'cpu'}-{hashlib.sha256(''.join(said).encode()).hexdigest()[:12]}"


def _ours_alone(folder: Path) -> bool:
    """Make the folder if it is not there; may this user write in it, and nobody else?"""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    if not hasattr(os, "geteuid"):  # Windows: a folder in the user's profile is the user's
        return True
    found = os.stat(folder)
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def prune(folder: Path, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> None:
    """Remove what was not used for the longest time, down to three quarters, once there is more than the bounds."""
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.stat()) for entry in entries if entry.is_file(follow_symlinks=False)]
    size, count = sum(s.st_size for _, s in found), len(found)
    if size <= most_bytes and count <= most_files:
        return
    for path, s in sorted(found, key=lambda pair: max(pair[1].st_atime, pair[1].st_mtime)):
        if size <= 0.75 * most_bytes and count <= 0.75 * most_files:
            break
        with contextlib.suppress(OSError):  # another process may be at the same
            os.unlink(path)
        size, count = size - s.st_size, count - 1


def _tell_jax(options: dict[str, str | float]) -> None:
    """By the environment, so that JAX need not be imported for it; what the user has set stays."""
    free = {name: value for name, value in options.items() if name.upper() not in os.environ}
    os.environ.update({name.upper(): str(value) for name, value in free.items()})
    if "jax" in sys.modules:  # by a module of the user's that has an agent in it
        import jax

        for name, value in free.items():
            jax.config.update(name, value)


def _drop_what_fails(folder: Path) -> None:
    """A program that cannot be read is removed, so that it is written anew; JAX's warning of it is not shown."""
    from glob import escape

    shown = warnings.showwarning

    def show(message: Any, *details: Any, **more: Any) -> None:
        failed = FAILED.match(str(message))
        if failed is None:
            shown(message, *details, **more)
            return
        with contextlib.suppress(OSError):
            for path in folder.glob(f"{escape(failed[1])}-*"):
                path.unlink(missing_ok=True)

    warnings.showwarning = show
