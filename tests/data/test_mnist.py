"""The IDX format, where MNIST is looked for, and the digits that come with a package."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlnut.cli import main
from rlnut.data import catalogue, mnist
from rlnut.data.catalogue import load_dataset, mnist_5k
from rlnut.data.mnist import TYPES, parse_idx, unzipped
from rlnut.errors import RlnutError, UsageError

CODES = {np.dtype(kind).newbyteorder("="): code for code, kind in TYPES.items()}


def written(values: np.ndarray) -> bytes:
    """An IDX file as the format's description has it."""
    header = bytes([0, 0, CODES[values.dtype], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


idx_arrays = st.sampled_from(sorted(CODES, key=str)).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
)


@given(idx_arrays, st.booleans())
def test_idx_round_trip_plain_and_gzip(values, zipped):
    content = written(values)
    found = parse_idx(unzipped(gzip.compress(content) if zipped else content, "f"), "f")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@given(idx_arrays, st.data())
def test_a_file_that_ends_early_or_late_is_refused_by_name(values, data):
    content = written(values)
    for wrong in (content[: data.draw(st.integers(0, len(content) - 1))], content + b"x"):
        with pytest.raises(RlnutError, match=r"^some/file is (damaged|not an IDX file)[^\n]*$"):
            parse_idx(wrong, "some/file")


@given(st.binary(max_size=40))
def test_any_bytes_give_an_array_or_one_line(content):
    try:
        parse_idx(unzipped(content, "f"), "f")
    except RlnutError as error:
        assert "\n" not in str(error)


@given(idx_arrays, st.data())
def test_damaged_gzip_is_refused_or_harmless(values, data):
    content = bytearray(gzip.compress(written(values)))
    place = data.draw(st.integers(2, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unzipped(bytes(content), "f")
    except RlnutError as error:
        assert "f is damaged" in str(error)
        assert "\n" not in str(error)
    else:
        assert found == written(values)  # what was hit is the file's name or date: the checksum says so
    with pytest.raises(RlnutError, match="damaged"):
        unzipped(bytes(content[:place]), "f")


# A tiny dataset in MNIST's shape, with its own hashes, so that no test needs the real one or the network.
CONTENT = {
    name: written(values)
    for name, values in zip(
        mnist.NAMES,
        (
            np.arange(24, dtype=np.uint8).reshape(6, 2, 2),
            np.arange(6, dtype=np.uint8),
            np.arange(100, 108, dtype=np.uint8).reshape(2, 2, 2),
            np.array([1, 0], np.uint8),
        ),
        strict=True,
    )
}
TINY = mnist.Source("tiny", (), tuple(hashlib.sha256(CONTENT[name]).hexdigest() for name in mnist.NAMES))


def place(folder: Path, names=mnist.NAMES, dotted=False, zipped=True, lying=False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        stem = name.replace("-idx", ".idx") if dotted else name
        path = folder / (stem + (".gz" if zipped != lying else ""))
        path.write_bytes(gzip.compress(CONTENT[name]) if zipped else CONTENT[name])
    return folder


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No test sees this machine's files."""
    monkeypatch.delenv("RLNUT_DATA", raising=False)
    monkeypatch.setattr(mnist, "cache_folder", lambda source: tmp_path / "cache" / source.name)


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("lying", [False, True])
def test_all_spellings_are_read_and_the_first_bytes_say_whether_it_is_gzip(tmp_path, dotted, zipped, lying):
    x, y, x_test, y_test = mnist.load_mnist(TINY, place(tmp_path / "d", dotted=dotted, zipped=zipped, lying=lying))
    assert x.shape == (6, 2, 2)
    assert y.tolist() == [0, 1, 2, 3, 4, 5]
    assert x_test[1].tolist() == [[104, 105], [106, 107]]
    assert y_test.tolist() == [1, 0]


def test_order_of_places(tmp_path, monkeypatch):
    with pytest.raises(RlnutError, match="could not be downloaded"):
        mnist.load_mnist(TINY._replace(mirrors=("http://127.0.0.1:9/",)))
    place(tmp_path / "cache" / "tiny")
    assert len(mnist.load_mnist(TINY)) == 4
    damaged = place(tmp_path / "named")
    (damaged / f"{mnist.NAMES[1]}.gz").write_bytes(CONTENT[mnist.NAMES[0]])
    monkeypatch.setenv("RLNUT_DATA", str(damaged))
    with pytest.raises(RlnutError, match="named"):  # comes before the cache, and is not silently replaced by it
        mnist.load_mnist(TINY)
    place(damaged / "tiny")  # a folder of its own comes before the common one
    assert len(mnist.load_mnist(TINY)) == 4
    with pytest.raises(RlnutError, match="empty"):  # --data: from nowhere else
        mnist.load_mnist(TINY, place(tmp_path / "empty", names=()))
    with pytest.raises(UsageError, match="is not a folder"):
        mnist.load_mnist(TINY, tmp_path / "none")


def test_a_wrong_or_damaged_file_is_named_with_what_was_expected_and_left_alone(tmp_path):
    folder = place(tmp_path / "d")
    path = folder / f"{mnist.NAMES[2]}.gz"
    wrong = gzip.compress(CONTENT[mnist.NAMES[2]][:-1] + b"\0")
    for content, text in ((wrong, TINY.sha256[2]), (path.read_bytes()[:-9], "damaged")):
        path.write_bytes(content)
        with pytest.raises(RlnutError, match=text) as caught:
            mnist.load_mnist(TINY, folder)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(RlnutError, match=mnist.NAMES[2]):
        mnist.load_mnist(TINY, folder)
    path.mkdir()
    with pytest.raises(RlnutError, match="cannot read"):
        mnist.load_mnist(TINY, folder)


def test_hashes_of_the_gz_files_themselves(tmp_path):
    folder = place(tmp_path / "d")
    whole = tuple(hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in mnist.NAMES)
    source = TINY._replace(sha256=whole, compressed=True)
    assert len(mnist.load_mnist(source, folder)) == 4
    with pytest.raises(RlnutError, match=r"the \.gz file"):
        mnist.load_mnist(source, place(tmp_path / "plain", zipped=False))


@pytest.fixture
def mirror(tmp_path):
    """A web server on this machine: (its address, the folder that it serves)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()
        thread.join()


def test_download_into_the_cache_verified_and_only_what_is_missing(tmp_path, mirror, capsys):
    address, served = mirror
    source = TINY._replace(mirrors=(f"{address}not-there/", address))
    place(served, names=mnist.NAMES[1:])
    cache = place(tmp_path / "cache" / "tiny", names=mnist.NAMES[:1], zipped=False)
    x, *_ = mnist.load_mnist(source)
    assert x.shape == (6, 2, 2)
    assert sorted(p.name for p in cache.iterdir()) == sorted([mnist.NAMES[0], *(f"{n}.gz" for n in mnist.NAMES[1:])])
    assert mnist.NAMES[3] in capsys.readouterr().err
    for path in served.iterdir():
        path.unlink()
    assert len(mnist.load_mnist(source)) == 4  # nothing is fetched again


def test_a_mirror_with_wrong_files_is_not_believed(tmp_path, mirror):
    address, served = mirror
    (place(served) / f"{mnist.NAMES[0]}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(RlnutError, match=r"SHA-256.*--data.*RLNUT_DATA"):
        mnist.load_mnist(TINY._replace(mirrors=(address,)))
    assert not list(tmp_path.glob("cache/**/*.gz"))


def test_without_network_the_line_names_the_folder_and_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "_fetch", lambda url: (_ for _ in ()).throw(OSError("no route to host")))
    with pytest.raises(RlnutError) as caught:
        load_dataset("mnist")
    text = str(caught.value)
    assert str(tmp_path / "cache" / "mnist") in text
    assert "mnist-5k" in text and 'pip install "rlnut[offline]"' in text
    assert "no route to host" in text and "\n" not in text


def test_mnist_5k_is_real_digits_in_a_fixed_stratified_split():
    found = mnist_5k()
    assert found.x_train.shape == (4000, 28, 28) and found.x_train.dtype == np.uint8
    assert np.bincount(found.y_train).tolist() == [400] * 10
    assert np.bincount(found.y_test).tolist() == [100] * 10
    assert not {x.tobytes() for x in found.x_train} & {x.tobytes() for x in found.x_test}
    np.testing.assert_array_equal(found.x_test, mnist_5k().x_test)
    # truth: a digit looks more like the mean of its own class than of another one, as a rule
    means = np.stack([found.x_train[found.y_train == c].mean(0).ravel() for c in range(10)])
    nearest = ((found.x_test.reshape(1000, 1, -1) - means) ** 2).sum(-1).argmin(1)
    assert np.mean(nearest == found.y_test) > 0.75
    with pytest.raises(UsageError, match="mnist-5k comes with"):
        mnist_5k("somewhere")


def test_mnist_5k_without_its_package(monkeypatch):
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    with pytest.raises(RlnutError, match=r'pip install "rlnut\[offline\]"'):
        mnist_5k()


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz",
         "emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz"),
    ],
)  # fmt: skip
def test_idx_files_of_others_are_read_unverified(names, tmp_path, capsys):
    """KMNIST in MNIST's names, EMNIST's letters in their own; classes come from the labels, here 1 … 5."""
    rng = np.random.default_rng(0)
    arrays = [values for n in (60, 20) for values in (
        rng.integers(0, 256, (n, 8, 8)).astype(np.uint8), (np.arange(n) % 5 + 1).astype(np.uint8))]  # fmt: skip
    for name, values in zip(names, arrays, strict=True):
        content = written(values)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = load_dataset("idx", tmp_path)
    assert found.classes == (1, 2, 3, 4, 5) and "unverified" in found.note
    for part, values in zip(found[:4], arrays, strict=True):
        np.testing.assert_array_equal(part, values)
    assert main(["fit", "logistic", "idx", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "unverified" in said and "5 labels from 1 to 5" in said
    with pytest.raises(RlnutError, match="dataset idx with --data" if names[0] == mnist.NAMES[0] else "not found"):
        load_dataset("mnist", tmp_path)


def test_idx_folders_that_are_not_one_data_set_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--data DIR"):
        load_dataset("idx")
    with pytest.raises(UsageError, match="no IDX file of train images"):
        load_dataset("idx", tmp_path)
    images = written(np.zeros((3, 2, 2), np.uint8))
    for name in ("a-train-images-idx3-ubyte", "b-train-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(images)
    with pytest.raises(UsageError, match="several: a-train-images-idx3-ubyte, b-train"):
        load_dataset("idx", tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / "a-train-labels-idx1-ubyte").write_bytes(written(np.zeros(2, np.uint8)))
    with pytest.raises(RlnutError, match=r"train files hold \[3, 2, 2\] and \[2\], not images and labels"):
        load_dataset("idx", tmp_path)
