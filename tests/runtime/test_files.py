"""Files: whole or not there, never pickle, nothing overwritten, and damage is one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tables import numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import rlnut
from rlnut.data.user_files import read_rows
from rlnut.envs.make import EnvName
from rlnut.envs.spaces import read_spaces
from rlnut.envs.transitions import load_transitions
from rlnut.errors import RlnutError, UsageError
from rlnut.prediction.policies import as_table
from rlnut.runtime.arrays import load_arrays, load_meta, owned, save_arrays
from rlnut.runtime.files import LOCK, atomic_write, new_file, new_folder, read_json, read_npy, read_npz, write_json
from rlnut.truth.finite import Finite, load_npz, make_mdp

TREE: dict[str, Any] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "key": jax.random.key(7),
    "deep": ({"n": np.int32(3)}, [np.zeros((0, 2), np.uint8), np.array([True, False])]),
}


def same(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)

    def plain(x: Any) -> np.ndarray:
        key = isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if key else x)

    return all(plain(x).dtype == plain(y).dtype and np.array_equal(plain(x), plain(y)) for x, y in pairs)


def test_arrays_come_back(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, TREE, {"steps": 5, "name": "π"})
    assert same(load_arrays(path, TREE), TREE)
    assert same(load_arrays(path, jax.eval_shape(lambda: jax.tree.map(jnp.asarray, TREE))), TREE)
    assert load_meta(path) == load_meta(path, ("steps",)) == {"steps": 5, "name": "π"}
    assert b"pickle" not in path.read_bytes() and len(load_file(path)) == 5  # the open format, for others to read
    assert sorted(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_an_array_that_is_not_contiguous_comes_back(tmp_path: Path):
    turned = {"w": np.arange(6.0).reshape(2, 3).T}
    save_arrays(tmp_path / "a", turned)
    assert same(load_arrays(tmp_path / "a", turned), turned)


@pytest.mark.parametrize(
    "like, words",
    [
        ({**TREE, "w": np.zeros((3, 2), np.float32)}, r"\['w'\] is float32\[2, 3\], expected float32\[3, 2\]"),
        ({**TREE, "w": np.zeros((2, 3), np.float64)}, r"\['w'\] is float32\[2, 3\], expected float64\[2, 3\]"),
        ({**TREE, "more": np.zeros(1)}, r"1 arrays differ, first \['more'\]"),
        ({k: v for k, v in TREE.items() if k != "w"}, r"1 arrays differ, first \['w'\]"),
        ({**TREE, "w": jax.random.key(0)}, r"\['w'\] is float32\[2, 3\], expected uint32\[2\]"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, like: Any, words: str):
    save_arrays(tmp_path / "a", TREE)
    with pytest.raises(RlnutError, match=f"does not fit this configuration: {words}"):
        load_arrays(tmp_path / "a", like)


def test_missing_and_lacking(tmp_path: Path):
    with pytest.raises(RlnutError, match=r"nothing\.here is missing"):
        load_meta(tmp_path / "nothing.here")
    save_arrays(tmp_path / "a", TREE, {"steps": 1})
    with pytest.raises(RlnutError, match="it has no best, env"):
        load_meta(tmp_path / "a", ("steps", "best", "env"))
    save_file({"w": np.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(RlnutError, match="foreign is damaged"):
        load_meta(tmp_path / "foreign")
    save_file({"w": np.zeros(2)}, tmp_path / "list", {"meta": "[1]"})
    with pytest.raises(RlnutError, match="list is damaged"):
        load_meta(tmp_path / "list")


@settings(max_examples=60)
@given(data=st.data())
def test_damage_is_found_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Cut anywhere: always said. One byte changed: said, or the same names, shapes and types come back."""
    path = tmp_path_factory.mktemp("damage") / "a"
    tree = {"w": np.ones((2, 3), np.float32)}
    save_arrays(path, tree, {"steps": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(RlnutError, match="is damaged"):
        load_arrays(path, tree)
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        found = load_arrays(path, tree)
    except RlnutError as error:
        assert "\n" not in str(error)
    else:
        assert found["w"].dtype == np.float32 and found["w"].tolist() == tree["w"].tolist()


@pytest.mark.parametrize("content", [{"a": 1, "b": [1.5, None, "π"]}, {}, {"x": {"y": (1, 2)}, "z": float("inf")}])
def test_json_has_a_checksum(content: dict[str, Any], tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, content)
    assert read_json(path) == json.loads(json.dumps(content))
    whole = path.read_text()
    path.write_text(json.dumps(dict(reversed(json.loads(whole).items()))))  # another order says the same
    assert read_json(path) == json.loads(json.dumps(content))
    path.write_text(whole.replace("{", '{"more": 1,', 1))
    with pytest.raises(RlnutError, match=r"a\.json is damaged or was edited"):
        read_json(path)


def test_json_that_is_nested_deeply(tmp_path: Path):
    depth = 200_000  # Python 3.12 and later read 2,000 levels
    (tmp_path / "c.json").write_text('{"a":' + "[" * depth + "]" * depth + "}")
    with pytest.raises(RlnutError, match=r"c\.json is damaged: maximum recursion depth"):
        read_json(tmp_path / "c.json")


def test_a_full_disk_under_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlnut.runtime.arrays._write", full)
    with pytest.raises(RlnutError, match=r"cannot write .*a: No space left on device"):
        save_arrays(tmp_path / "a", TREE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be flushed there")
def test_content_is_on_the_disk_before_its_name_and_names_before_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A power cut leaves the old file or the new one: its bytes are flushed, then it is renamed, then the folder."""
    order: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")
        sync(handle)

    def renamed(before: Any, after: Any) -> None:
        order.append(f"-> {Path(after).name}")
        replace(before, after)

    atomic_write(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    atomic_write(tmp_path / "a", "content")
    assert order == ["7 bytes", "-> a", "folder"]
    order.clear()
    save_arrays(tmp_path / "a", {"w": np.zeros(3)}, keep=tmp_path / "before")
    size = (tmp_path / "a").stat().st_size
    assert order == [f"{size} bytes", "-> before", "-> a", "folder"]
    assert (tmp_path / "before").read_text() == "content"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot make the folder") as caught:
        new_folder(tmp_path / name)
    assert len(str(caught.value)) < 250
    with pytest.raises(UsageError, match="--video"):
        new_file(str(tmp_path / f"{name}.gif"), ".gif", "--video")
    for use in (rlnut.load_policy, rlnut.resume):
        with pytest.raises(RlnutError, match="is not a run folder"):
            use(tmp_path / name)


def test_what_a_killed_process_left_does_not_fill_a_folder(tmp_path: Path):
    (tmp_path / LOCK).touch()
    (tmp_path / ".checkpoint.safetensors.abc.part").touch()
    assert new_folder(tmp_path) == tmp_path


def test_owned_arrays_are_copies():
    """What is donated to a compiled program must not be the memory of somebody else."""
    mine = np.arange(4096, dtype=np.float32)
    theirs = owned({"w": mine, "key": jax.random.key(1)})
    jax.jit(lambda tree: jax.tree.map(lambda a: a, tree["w"] * 0), donate_argnums=0)(theirs)
    assert np.array_equal(mine, np.arange(4096)) and not np.shares_memory(np.asarray(owned(mine)), mine)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    atomic_write(path, "old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RlnutError, match=r"cannot write .*a\.json: No space left on device"):
        atomic_write(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(RlnutError, match="cannot write"):
        atomic_write(tmp_path / "not" / "there", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot make the folder"):
        new_folder(tmp_path / "file" / "below")


def test_permissions_are_the_users(tmp_path: Path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_new_folder_overwrites_nothing(tmp_path: Path):
    made = new_folder(tmp_path / "a" / "b")
    assert made.is_dir() and new_folder(made) == made  # an empty one is free
    (made / "x").write_text("mine")
    with pytest.raises(UsageError, match="exists already: choose another --out"):
        new_folder(made)
    with pytest.raises(UsageError, match="exists already"):
        new_folder(made / "x")
    assert (made / "x").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff\xfe", b'{"a": 1'])
def test_json_that_is_damaged(tmp_path: Path, content: bytes):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(RlnutError, match=r"c\.json is damaged"):
        read_json(tmp_path / "c.json")


def test_json(tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps({"a": [1, None]}))
    assert read_json(tmp_path / "c.json") == {"a": [1, None]}
    with pytest.raises(RlnutError, match="is missing"):
        read_json(tmp_path / "d.json")
    with pytest.raises(RlnutError, match="is damaged"):
        read_json(tmp_path)


def test_files_are_flushed_through_a_handle_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Windows refuses to flush what was opened for reading only; folders are not flushed there."""
    fcntl = pytest.importorskip("fcntl")
    flushed = []

    def fsync(handle: int) -> None:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            assert fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            flushed.append(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "text", "x")
    save_arrays(tmp_path / "arrays", {"a": np.ones(1)})
    assert len(flushed) == 2


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def header(text: bytes) -> bytes:
    """An .npy of version 1 whose header is `text`."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


GOOD = archive({"P.npy": npy(np.arange(1000.0)), "x.npy": npy(np.arange(1000.0))})
TORN = bytearray(GOOD)
TORN[60:80] = bytes(20)  # inside the compressed bytes of the first member
LOCKED = bytearray(GOOD)
for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" of both members
    for k in (0, 1):
        at = GOOD.find(mark) if k == 0 else GOOD.find(mark, GOOD.find(mark) + 1)
        LOCKED[at + place] |= 1
FAR = bytearray(GOOD)
FAR[GOOD.find(b"PK\x01\x02") + 10] = 99  # a compression that does not exist
DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "text": b"no arrays",
    "torn": bytes(TORN),
    "cut": GOOD[: len(GOOD) // 2],
    "encrypted": bytes(LOCKED),
    "compression": bytes(FAR),
    "a member is text": archive({"P.npy": b"hello", "x.npy": b"hello"}),
    "a member is no array": archive({"P.txt": b"hello", "x.txt": b"hello"}),
    "header: syntax": header(b"{'descr': '<f8', 'shape': (3,"),
    "header: token": header(b'{\'descr\': """<f8'),
    "header: text": header(b"\xff\xfe\x80"),
    "header: type": header(b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (3,)}\n"),
    "header: shape": header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}\n"),
    "cut array": npy(np.arange(1000.0))[:300],
    "pickled": npy(np.array([{}], dtype=object)),
    "a pickle": pickle.dumps({"P": 1}),
    "pickled inside": archive({"P.npy": npy(np.array([{}], dtype=object)), "x.npy": npy(np.array([{}], dtype=object))}),
}
FINITE: Any = Finite(make_mdp(np.array([[[0.0, 1], [1, 0]], [[0, 1], [0, 1]]]), np.ones((2, 2))))
SPEC: Any = read_spaces(EnvName("rlnut/ChainWalk4-v0").make())
READERS: dict[str, Callable[[Path], Any]] = {
    "npz": read_npz,
    "npy": read_npy,
    "finite problem": load_npz,
    "policy": lambda path: as_table(str(path.rename(path.with_suffix(".npy"))), FINITE, 0.9),
    "table": lambda path: read_rows(path, numbers(()), None),
    "column": lambda path: read_rows(path.rename(path.with_suffix(".npy")), numbers(("a",)), None),
    "transitions": lambda path: load_transitions(str(path), SPEC, 0.9),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_numpy_files_are_one_line(reader: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(UsageError, match=r"^cannot read \S*file\.np[yz]: it is not an \.np[yz] of .*") as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)


def test_good_numpy_files_and_those_of_the_other_kind(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(GOOD)
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz")["P"], np.arange(1000.0))
    (tmp_path / "a.npy").write_bytes(npy(np.eye(3)))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), np.eye(3))
    with pytest.raises(UsageError, match="it is an archive"):
        read_npy(tmp_path / "a.npz")
    with pytest.raises(UsageError, match="it holds one array"):
        read_npz(tmp_path / "a.npy")
    with pytest.raises(UsageError, match="no such file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(UsageError, match="cannot read"):
        read_npz(tmp_path)


def test_an_archive_that_fills_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros shrink a thousandfold in a file: what they need is read before anything is unpacked."""
    (tmp_path / "zeros.npz").write_bytes(archive({"P.npy": npy(np.zeros(100_000))}))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=700_000))
    with pytest.raises(UsageError, match=r"cannot read .* more than the free memory"):
        read_npz(tmp_path / "zeros.npz")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=900_000))
    assert read_npz(tmp_path / "zeros.npz")["P"].shape == (100_000,)
