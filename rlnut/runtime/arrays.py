"""Arrays in files, without pickle: a pytree, random keys too, as one safetensors file with a checksum.

Arrays are written from where they are, without a copy, and large ones only until their last row that is not zero: a
replay memory takes the room that is in use. Reading a file needs no JAX; pytrees do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlnut.errors import RlnutError
from rlnut.runtime.files import CHECKSUM, JsonObject, digest, reason_of, replacing_file

if TYPE_CHECKING:
    from rlnut.types import Array, Tree

LARGE = 2**20  # bytes from which rows of zeros at the end of an array are left out
ROWS = "rows_with_zeros"  # the key of how many rows such an array has
ZEROS = bytes(LARGE)
# safetensors' names of types, in the order in which it writes them
TYPES = {
    "uint64": "U64", "int64": "I64", "float64": "F64", "complex64": "C64", "float32": "F32", "uint32": "U32",
    "int32": "I32", "bfloat16": "BF16", "float16": "F16", "uint16": "U16", "int16": "I16", "int8": "I8",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class StoredArrays(NamedTuple):
    """What a file of arrays holds."""

    path: Path
    arrays: dict[str, np.ndarray]
    meta: JsonObject


def _is_key(leaf: object) -> bool:
    import jax

    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named(tree: Tree) -> list[tuple[str, Array]]:
    import jax

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
    import jax

    arrays = {
        name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C") for name, leaf in _named(tree)
    }
    meta, used = dict(meta or {}), {name: _used(array) for name, array in arrays.items()}
    if cut := {name: len(array) for name, array in arrays.items() if used[name].nbytes < array.nbytes}:
        meta[ROWS] = cut
    with replacing_file(Path(path), keep) as temporary:
        _write(temporary, used, {"meta": json.dumps(meta | {CHECKSUM: _checksum(used, meta)})})


def _used(array: np.ndarray) -> np.ndarray:
    """A large array without the rows of zeros at its end."""
    if array.nbytes < LARGE:
        return array
    flat = array.reshape(-1).view(np.uint8)
    for end in range(len(flat), 0, -LARGE):
        block = flat[max(0, end - LARGE) : end]
        if block.tobytes() != ZEROS[: len(block)]:
            last = end - len(block) + int(np.flatnonzero(block)[-1])
            return array[: last // (array.nbytes // len(array)) + 1]
    return array[:0]


def _write(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """What `safetensors.numpy.save_file` writes, byte for byte, without a copy of it in memory."""
    order = list(TYPES)
    names = sorted(arrays, key=lambda name: (order.index(str(arrays[name].dtype)), name))
    header: JsonObject = {"__metadata__": metadata}
    end = 0
    for name in names:
        array = arrays[name]
        begin, end = end, end + array.nbytes
        kind = TYPES[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            if arrays[name].size:
                file.write(arrays[name].reshape(-1).view(np.uint8).data)


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
    return StoredArrays(Path(path), _whole(path, arrays, meta.pop(ROWS, {})), meta)


def _whole(path: Path, arrays: dict[str, np.ndarray], rows: object) -> dict[str, np.ndarray]:
    """The same with the rows of zeros that were left out."""
    try:
        for name, count in dict(rows).items():  # type: ignore[call-overload]  # whatever the file says
            found = arrays[name]
            if not isinstance(count, int) or count < len(found):
                raise ValueError(f"{name} has {len(found)} rows of {count}")
            missing = np.zeros((count, *found.shape[1:]), found.dtype)
            missing[: len(found)] = found
            arrays[name] = missing
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
        raise RlnutError(f"{path} is damaged: the lengths of its arrays are not possible: {error}") from None
    return arrays


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
    import jax

    path, arrays, names = stored.path, stored.arrays, _named(like)
    if set(arrays) != {name for name, _ in names}:
        odd = sorted(set(arrays) ^ {name for name, _ in names})
        raise RlnutError(f"{path} does not fit this configuration: {len(odd)} arrays differ, first {odd[0]}")
    leaves = [_fitted(path, name, leaf, arrays[name]) for name, leaf in names]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _fitted(path: Path, name: str, leaf: Array, found: np.ndarray) -> Array:
    import jax

    from rlnut.runtime.keys import fast_key

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
    import jax

    floats = (leaf for leaf in jax.tree.leaves(tree) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating))
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in floats)


def owned(tree: Tree) -> Tree:
    """The arrays of a pytree as JAX's own copies: what is donated to a compiled program must not be anyone else's."""
    import jax

    return jax.tree.map(lambda leaf: jax.numpy.copy(jax.numpy.asarray(leaf)), tree)
