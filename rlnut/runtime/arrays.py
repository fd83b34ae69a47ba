"""Arrays in files, without pickle: a pytree, random keys too, as one safetensors file with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rlnut.errors import RlnutError
from rlnut.runtime.files import CHECKSUM, JsonObject, digest, reason_of, replacing_file
from rlnut.runtime.keys import fast_key
from rlnut.types import Array, Tree


class StoredArrays(NamedTuple):
    """What a file of arrays holds."""

    path: Path
    arrays: dict[str, np.ndarray]
    meta: JsonObject


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named(tree: Tree) -> list[tuple[str, Array]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _checksum(arrays: dict[str, np.ndarray], meta: JsonObject) -> str:
    """SHA-256 of names, types, shapes and bytes of all arrays, and of `meta`."""
    found = hashlib.sha256(digest(meta).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype} {array.shape};".encode())
        if array.size:
            found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def checksum(tree: Tree) -> str:
    """SHA-256 of the arrays of a pytree."""
    return _checksum({name: np.asarray(leaf, order="C") for name, leaf in _named(tree)}, {})


def save_arrays(path: Path, tree: Tree, meta: Mapping[str, object] | None = None, keep: Path | None = None) -> None:
    """Write a pytree of arrays (random keys too) and a JSON-able `meta` to one safetensors file, atomically.

    keep: where the file that was there before goes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {
        name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C") for name, leaf in _named(tree)
    }
    meta = dict(meta or {})
    with replacing_file(Path(path), keep) as temporary:
        try:
            save_file(arrays, temporary, {"meta": json.dumps(meta | {CHECKSUM: _checksum(arrays, meta)})})
        except SafetensorError as error:
            raise RlnutError(f"cannot write {path}: {error}") from None


def read_arrays(path: Path) -> StoredArrays:
    """All arrays of a file that `save_arrays` wrote, and its `meta`; RlnutError if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            (word, text), *more = file.metadata().items()
            meta = dict(json.loads(text))
            if word != "meta" or more:
                raise ValueError("its header is of another kind")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise RlnutError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RlnutError(f"{path} is damaged: {reason_of(error)}") from None
    stated = meta.pop(CHECKSUM, None)
    if stated is not None and stated != _checksum(arrays, meta):
        raise RlnutError(f"{path} is damaged: its content does not match its checksum")
    return StoredArrays(Path(path), arrays, meta)


def load_meta(path: Path, keys: Iterable[str] = ()) -> JsonObject:
    """The `meta` of a file that `save_arrays` wrote; RlnutError if it lacks one of `keys`."""
    return with_keys(read_arrays(path), keys).meta


def with_keys(stored: StoredArrays, keys: Iterable[str]) -> StoredArrays:
    """The same; RlnutError if its `meta` lacks one of `keys`."""
    missing = [key for key in keys if key not in stored.meta]
    if missing:
        raise RlnutError(f"{stored.path} is damaged or of another kind: it has no {', '.join(missing)}")
    return stored


def load_arrays(path: Path, like: Tree) -> Tree:
    """The pytree that `save_arrays` wrote, in the structure of `like` (arrays or jax.ShapeDtypeStruct).

    Raises RlnutError if the file is missing, damaged, or holds other names, shapes or types than `like`.
    """
    return in_structure(read_arrays(path), like)


def in_structure(stored: StoredArrays, like: Tree) -> Tree:
    """The arrays of a file in the structure of `like`; RlnutError for other names, shapes or types."""
    path, arrays, names = stored.path, stored.arrays, _named(like)
    if set(arrays) != {name for name, _ in names}:
        odd = sorted(set(arrays) ^ {name for name, _ in names})
        raise RlnutError(f"{path} does not fit this configuration: {len(odd)} arrays differ, first {odd[0]}")
    leaves = [_fitted(path, name, leaf, arrays[name]) for name, leaf in names]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _fitted(path: Path, name: str, leaf: Array, found: np.ndarray) -> Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(
            jax.numpy.asarray(_fitted(path, name, jax.eval_shape(jax.random.key_data, leaf), found))
        )
        return key if key.dtype == leaf.dtype else fast_key(key)
    if found.shape != leaf.shape or found.dtype != leaf.dtype:
        was, now = f"{found.dtype}{list(found.shape)}", f"{leaf.dtype}{list(leaf.shape)}"
        raise RlnutError(f"{path} does not fit this configuration: {name} is {was}, expected {now}")
    return found


def all_finite(tree: Tree) -> bool:
    """Are all floating-point numbers of a pytree numbers?"""
    floats = (leaf for leaf in jax.tree.leaves(tree) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating))
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in floats)


def owned(tree: Tree) -> Tree:
    """The arrays of a pytree as JAX's own copies: what is donated to a compiled program must not be anyone else's."""
    return jax.tree.map(lambda leaf: jax.numpy.copy(jax.numpy.asarray(leaf)), tree)
