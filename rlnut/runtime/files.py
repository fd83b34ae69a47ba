"""Files: atomic writes, arrays without pickle (safetensors), and folders that nothing overwrites."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlnut.errors import RlnutError, UsageError


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only if the body succeeds; flushed to the disk first."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "r+b") as written:  # Windows flushes what is open for writing only
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise RlnutError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: a reader or a crash never sees half of it."""
    with _replacing(Path(path)) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def new_folder(out: str | Path) -> Path:
    """Make the folder `out`; one that holds something already is refused, so that nothing is overwritten."""
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already: choose another --out, or remove it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    return folder


def new_file(name: str, suffix: str, option: str) -> Path:
    """The path of a file that does not exist yet; said before any work is done for it."""
    path = Path(name)
    if path.suffix.lower() != suffix:
        raise UsageError(f"{option} writes a {suffix} file, got {name!r}")
    if path.exists():
        raise UsageError(f"{path} exists already: choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; missing or damaged is one line."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RlnutError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise RlnutError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RlnutError(f"{path} is damaged: a JSON object was expected")
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
                return np.lib.format.read_array(file, allow_pickle=False)
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


def _plain(found: Any) -> np.ndarray:
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


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def save_arrays(path: Path, tree: Any, meta: dict[str, Any] | None = None) -> None:
    """Write a pytree of arrays (random keys too) and a JSON-able `meta` to one safetensors file, atomically."""
    from safetensors.numpy import save_file

    arrays = {
        name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C") for name, leaf in _named(tree)
    }
    with _replacing(Path(path)) as temporary:
        save_file(arrays, temporary, {"meta": json.dumps(meta or {})})


def load_meta(path: Path, keys: Iterable[str] = ()) -> dict[str, Any]:
    """The `meta` of a file that `save_arrays` wrote; RlnutError if it lacks one of `keys`."""
    meta = _read(path)[1]
    missing = [key for key in keys if key not in meta]
    if missing:
        raise RlnutError(f"{path} is damaged or of another kind: it has no {', '.join(missing)}")
    return meta


def load_arrays(path: Path, like: Any) -> Any:
    """The pytree that `save_arrays` wrote, in the structure of `like` (arrays or jax.ShapeDtypeStruct).

    Raises RlnutError if the file is missing, damaged, or holds other names, shapes or types than `like`.
    """
    arrays, _ = _read(path)
    names = _named(like)
    if set(arrays) != {name for name, _ in names}:
        odd = sorted(set(arrays) ^ {name for name, _ in names})
        raise RlnutError(f"{path} does not fit this configuration: {len(odd)} arrays differ, first {odd[0]}")
    leaves = [_fitted(path, name, leaf, arrays[name]) for name, leaf in names]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _fitted(path: Path, name: str, leaf: Any, found: np.ndarray) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
        return jax.random.wrap_key_data(jax.numpy.asarray(_fitted(path, name, leaf, found)))
    if found.shape != leaf.shape or found.dtype != leaf.dtype:
        was, now = f"{found.dtype}{list(found.shape)}", f"{leaf.dtype}{list(leaf.shape)}"
        raise RlnutError(f"{path} does not fit this configuration: {name} is {was}, expected {now}")
    return found


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            meta = dict(json.loads(file.metadata()["meta"]))
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except FileNotFoundError:
        raise RlnutError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise RlnutError(f"{path} is damaged: {error}") from None
