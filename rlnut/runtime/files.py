"""Files: atomic writes, checksums, what users give, and folders that nothing overwrites.

Every JSON object, and every file of arrays (`rlnut.runtime.arrays`), carries the SHA-256 of its content; a file whose
content does not have it is refused. Files of earlier versions have none, and are read without this check.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rlnut.errors import RlnutError, UsageError

CHECKSUM = "sha256"  # the key of a file's checksum, in its JSON object
PART = ".part"  # ending of a file that is being written; what a killed process leaves of it is no content
LOCK = ".rlnut.lock"
JsonObject = dict[str, Any]  # what one of our files of JSON holds


@contextlib.contextmanager
def replacing_file(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only if the body succeeds; flushed to the disk first.

    keep: where the file that was there before goes.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "r+b") as written:  # Windows flushes what is open for writing only
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RlnutError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can do that: a new file is there after a power cut."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: a reader or a crash never sees half of it."""
    with replacing_file(Path(path)) as temporary:
        temporary.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def is_leftover(path: Path) -> bool:
    """A lock, or what a killed process left of a file it was writing?"""
    return path.name == LOCK or (path.name.startswith(".") and path.name.endswith(PART))


def new_folder(out: str | Path) -> Path:
    """Make the folder `out`; one that holds something already is refused, so that nothing is overwritten."""
    folder = as_path(out, "the output folder")
    try:
        if folder.exists() and (not folder.is_dir() or any(not is_leftover(path) for path in folder.iterdir())):
            raise UsageError(f"{folder} exists already: choose another --out, or remove it first")
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"cannot make the folder {_short(folder)}: {reason_of(error)}") from None
    return made_folder(folder)


def made_folder(folder: Path) -> Path:
    """The folder, made with its parents if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot make the folder {_short(folder)}: {reason_of(error)}") from None
    return folder


def new_file(name: str, suffix: str | tuple[str, ...], option: str) -> Path:
    """The path of a file that does not exist yet, checked before any work is done for it; suffix: one, or several."""
    path, endings = Path(name), (suffix,) if isinstance(suffix, str) else suffix
    if path.suffix.lower() not in endings:
        raise UsageError(f"{option} writes a {' or '.join(endings)} file, got {_short(name)!r}")
    try:
        if "\0" in name:
            raise ValueError("a zero byte in its name")
        if path.exists():
            raise UsageError(f"{path} exists already: choose another name")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent} is not a folder")
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{option}: cannot write {_short(name)}: {reason_of(error)}") from None
    return path


def as_path(name: str | Path, what: str) -> Path:
    """A path from what the user gave; UsageError for anything else."""
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"{what} must be a path, got {type(name).__name__} {_short(name)}")
    return Path(name)


def is_folder(path: Path) -> bool:
    """Is it a folder that can be read? A name that no file can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _short(text: object) -> str:
    whole = str(text)
    return whole if len(whole) <= 80 else f"{whole[:40]}…{whole[-20:]} ({len(whole)} characters)"


def reason_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def digest(content: object) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checksum_of(path: Path) -> str:
    """SHA-256 of a file; RlnutError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RlnutError(f"{path} cannot be read: {reason_of(error)}") from None


def write_json(path: Path, content: JsonObject) -> None:
    """A JSON object for people and programs, with its checksum."""
    whole = content | {CHECKSUM: digest(content)}
    atomic_write(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> JsonObject:
    """A JSON object from a file, without its checksum; missing, damaged or edited is one line."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RlnutError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RlnutError(f"{path} is damaged: {reason_of(error)}") from None
    if not isinstance(found, dict):
        raise RlnutError(f"{path} is damaged: a JSON object was expected")
    stated = found.pop(CHECKSUM, None)
    if stated is not None and stated != digest(found):
        raise RlnutError(f"{path} is damaged or was edited: its content does not match its checksum")
    return found


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a user's `.npz`, without pickle; UsageError in one line for whatever cannot be read."""
    found = _numpy_file(path, "an .npz of plain arrays")
    if isinstance(found, np.ndarray):
        raise UsageError(f"cannot read {path}: it is not an .npz of plain arrays: it holds one array, an .npy")
    return found


def read_npy(path: str | Path) -> np.ndarray:
    """The one array of a user's `.npy`, without pickle; UsageError in one line for whatever cannot be read."""
    found = _numpy_file(path, "an .npy of one plain array")
    if not isinstance(found, np.ndarray):
        raise UsageError(f"cannot read {path}: it is not an .npy of one plain array: it is an archive, an .npz")
    return found


def _numpy_file(path: str | Path, kind: str) -> np.ndarray | dict[str, np.ndarray]:
    """The only place that calls `numpy.load`."""
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK":
                file.seek(0)
                return _one_array(file)
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            return {name: _plain(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # damage comes as zlib.error, BadZipFile, SyntaxError, TokenError, RuntimeError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"cannot read {path}: it is not {kind}: {reason}") from None


def _one_array(file: BinaryIO) -> np.ndarray:
    """The array of an `.npy`; a negative length, which older NumPy reads as 0, is damage."""
    version = np.lib.format.read_magic(file)
    if version in ((1, 0), (2, 0)):
        old = version == (1, 0)
        shape = (np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0)(file)[0]
        if min(shape, default=0) < 0:
            raise ValueError(f"its header says that it has the shape {shape}")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _plain(found: object) -> np.ndarray:
    """What NumPy gives back as bytes is a file in the archive that is no array."""
    if not isinstance(found, np.ndarray):
        raise ValueError("it holds a file that is no array")
    return found


def _check_size(path: str | Path) -> None:
    """Refuse an archive that says of itself that it does not fit into memory."""
    import zipfile

    import psutil

    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > psutil.virtual_memory().available:
        raise ValueError(f"its arrays need {size / 2**30:.1f} GiB, more than the free memory")
