"""Ways to damage a file, at random: DAMAGES, each a function (path, the same file of another run, draw)."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np


def bits(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 1, 8, 64))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path, other: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    size = len(content)
    path.write_bytes(content[: draw.choice((1, 2, 7, 8, 9, size // 2, size - 8, size - 1, draw.randrange(size)))])


def zeros(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start, length = draw.randrange(len(content)), draw.choice((1, 16, 512, 4096))
    content[start : start + length] = bytes(min(length, len(content) - start))
    path.write_bytes(content)


def blocks(path: Path, other: Path, draw: random.Random) -> None:
    """Two blocks exchanged."""
    content = bytearray(path.read_bytes())
    size = draw.choice((1, 16, 64, 512))
    a, b = (draw.randrange(max(1, len(content) - size)) for _ in range(2))
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    path.write_bytes(content)


def more(path: Path, other: Path, draw: random.Random) -> None:
    """Bytes at the end."""
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.choice((1, 8, 300))))


def delete(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()


def empty(path: Path, other: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def exchange(path: Path, other: Path, draw: random.Random) -> None:
    """By the file of that name of another run, or by another file of the same run."""
    rest = [one for one in path.parent.iterdir() if one != path and one.suffix == path.suffix]
    shutil.copyfile(other if other.exists() and (draw.random() < 0.7 or not rest) else draw.choice(rest), path)


def edit(path: Path, other: Path, draw: random.Random) -> None:
    """A value in JSON, or a number of a table, that stays valid; the checksum stays as it was."""
    _edited(path, draw, False)


def forge(path: Path, other: Path, draw: random.Random) -> None:
    """The same with a new checksum: whoever does that knows what he does, but it may not end in a fault."""
    _edited(path, draw, True)


def _edited(path: Path, draw: random.Random, again: bool) -> None:
    from safetensors.numpy import save_file

    from rlnut.runtime.arrays import read_arrays, save_arrays
    from rlnut.runtime.files import CHECKSUM, write_json

    if path.suffix == ".json":
        found = json.loads(path.read_text())
        _change(found, draw, {CHECKSUM})
        if again:
            found.pop(CHECKSUM, None)
            write_json(path, found)
        else:
            path.write_text(json.dumps(found))
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            meta = json.loads(file.metadata()["meta"])
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if draw.random() < 0.5 and arrays:
            name = draw.choice(sorted(arrays))
            arrays[name] = np.array(_changed(arrays[name], draw), order="C")
        else:
            _change(meta, draw, {CHECKSUM})
        if again:
            meta.pop(CHECKSUM, None)
        save_file(arrays, path, {"meta": json.dumps(meta)})
        if again and draw.random() < 0.5:
            with contextlib.suppress(Exception):
                stored = read_arrays(path)
                save_arrays(path, stored.arrays, stored.meta)  # names change: the arrays are of another kind
    elif path.suffix == ".csv":
        lines = path.read_text().split("\n")
        k = draw.randrange(len(lines) - 1)
        cells = lines[k].split(",")
        cells[draw.randrange(len(cells))] = draw.choice(("", "7", "nan", "1e400", "x", "-1", "٣", '"'))
        lines[k] = ",".join(cells)
        path.write_text("\n".join(lines))
    else:
        bits(path, path, draw)


def _changed(array: np.ndarray, draw: random.Random) -> np.ndarray:
    """Other values, another shape or another type."""
    how = draw.randrange(4)
    if how == 0:
        return array[..., None]
    if how == 1:
        return array.astype(np.float32 if array.dtype != np.float32 else np.float64)
    if how == 2 and array.dtype.kind == "f":
        return array + np.array(1, array.dtype)
    return array[:0] if array.ndim else array + np.array(1, array.dtype) if array.dtype != bool else ~array


def _change(found: Any, draw: random.Random, leave: set[str]) -> None:
    """One value, somewhere inside, in place."""
    while True:
        keys = [key for key in (found if isinstance(found, dict) else range(len(found))) if key not in leave]
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(found[key], (dict, list)) and found[key] and draw.random() < 0.9:
            found = found[key]
            continue
        values = (None, True, 0, -1, 3, 10**12, 0.5, float("nan"), "x", "", [], {}, [1, 2], 1e308, 2**64)
        if isinstance(found, dict) and draw.random() < 0.15:
            del found[key]
        else:
            found[key] = draw.choice(values)
        return


DAMAGES = (bits, bits, cut, zeros, blocks, more, delete, empty, exchange, edit, forge)
