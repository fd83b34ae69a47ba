"""Files of arrays: what safetensors itself would write, and large arrays without the zeros at their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlnut.errors import RlnutError
from rlnut.runtime.arrays import LARGE, read_arrays, save_arrays
from rlnut.runtime.arrays import ROWS as ROWS_KEY

ROW = 1000  # bytes
ROWS = 3 * LARGE // ROW


def test_the_bytes_are_those_of_safetensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ml_dtypes.bfloat16]
    tree = {f"é{i}": rng.integers(0, 2, (3, i)).astype(kind) for i, kind in enumerate(kinds)}
    tree["scalar"] = np.array(2.5)
    save_arrays(tmp_path / "ours", tree, {"a": "ü"})
    stored = read_arrays(tmp_path / "ours")
    with open(tmp_path / "ours", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    save_file(stored.arrays, tmp_path / "theirs", header["__metadata__"])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("used", [0, 1, LARGE // ROW, LARGE // ROW + 1, 2000, ROWS - 1, ROWS])
def test_zeros_at_the_end_of_a_large_array_take_no_room(used: int, tmp_path: Path) -> None:
    array = np.zeros((ROWS, 2, ROW // 2), np.uint8)
    array[:used, 0, 1], array[1:used:2] = 7, 0  # zeros between stay
    array[max(used - 1, 0) : used, 1, -1] = 1
    save_arrays(tmp_path / "file", {"a": array, "b": np.zeros(5)}, {"n": 1})
    assert (tmp_path / "file").stat().st_size < used * ROW + 500
    stored = read_arrays(tmp_path / "file")
    (name,) = (name for name in stored.arrays if "a" in name)
    assert stored.arrays[name].tobytes() == array.tobytes() and stored.arrays[name].shape == array.shape
    assert stored.meta == {"n": 1}


def test_a_negative_zero_is_kept(tmp_path: Path) -> None:
    array = np.zeros(LARGE)
    array[9] = -0.0
    save_arrays(tmp_path / "file", array)
    assert next(iter(read_arrays(tmp_path / "file").arrays.values())).tobytes() == array.tobytes()


@pytest.mark.parametrize("rows", [3, {"x": 9}, {"": -1}, {"": 2}, {"": "x"}, {"": 10**18}, {"": None}])
def test_lengths_that_are_not_possible(rows: Any, tmp_path: Path) -> None:
    save_arrays(tmp_path / "file", np.ones((5, 2)))
    found = load_file(tmp_path / "file")
    save_file(found, tmp_path / "file", {"meta": json.dumps({ROWS_KEY: rows})})
    with pytest.raises(RlnutError, match="is damaged: the lengths of its arrays are not possible"):
        read_arrays(tmp_path / "file")
