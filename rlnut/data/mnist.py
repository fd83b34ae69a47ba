"""MNIST and Fashion-MNIST from their IDX files: found on this machine or downloaded, and always verified by SHA-256.

Looked for in the folder that was given, else in $RLNUT_DATA, else in the user's cache folder, else downloaded there.
Other sets in this format (KMNIST, EMNIST, …) are read by `load_idx`, unverified.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import os
import struct
import sys
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.errors import RlnutError, UsageError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}  # big-endian


def unzipped(content: bytes, name: str) -> bytes:
    """`content` without its gzip wrapping, if it has one."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise RlnutError(f"{name} is damaged: not a whole gzip file ({error})") from None


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """Uncompressed IDX bytes -> array [lengths...], read-only; `name` is for the error."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise RlnutError(f"{name} is not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}")
    kind, axes = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise RlnutError(f"{name} is damaged: it ends inside its list of {axes} lengths")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise RlnutError(f"{name} is damaged: {list(shape)} {kind.name} needs {expected} bytes, got {len(content)}")
    values = np.frombuffer(content, kind, offset=start).reshape(shape)
    return values.astype(kind.newbyteorder("="), copy=False)


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SECONDS = 30.0  # without an answer from a mirror


class Source(NamedTuple):
    """Where a dataset comes from and what its files must be."""

    name: str
    mirrors: tuple[str, ...]
    sha256: tuple[str, ...]  # of the files in NAMES
    compressed: bool = False  # the hashes are of the .gz files, not of the bytes inside


MNIST = Source(
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION = Source(
    "fashion-mnist",
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    (
        "08dc20ab1689590a0bcd66e874647b6ee8464e2d501b5a3f1f78831db19a3fdc",
        "b0197879cbda89f3dc7b894f9fd52b858e68ea4182b6947c9d8c2b67e5f18dcc",
        "78dcbbfb5a27efaf1b6c1d616caca68560be8766c5bffcb2791df9273a534229",
        "42bd18137a62d5998cdeae52bf3a0676ac6b706f5cf8439b47bb5b151ae3dccf",
    ),
    compressed=True,
)


def load_mnist(source: Source, data: str | Path | None = None) -> list[np.ndarray]:
    """x_train uint8 [60000, 28, 28], y_train uint8 [60000], x_test uint8 [10000, 28, 28], y_test uint8 [10000].

    `data` is a folder with the four files; without it they are looked for as the head of this file says.
    Raises RlnutError if a file is missing, damaged or not the published one, or cannot be downloaded.
    """
    found = _paths(source, data)
    return [parse_idx(_published(_read(found[name]), str(found[name]), source, name), name) for name in NAMES]


def load_idx(data: str | Path | None) -> list[np.ndarray]:
    """x_train, y_train, x_test, y_test from the IDX files of one data set in the folder `data`, in any spelling.

    Each name says train, or test or t10k, and images or labels ("emnist-letters-train-images-idx3-ubyte.gz"). Nothing
    is known of such files, so nothing but their format and their lengths is checked.
    """
    if data is None:
        raise UsageError("the dataset idx needs the folder of its four files: --data DIR")
    folder = Path(data)
    if not folder.is_dir():
        raise UsageError(f"--data {data} is not a folder")
    found = []
    for part, spellings in (("train", ("train",)), ("test", ("test", "t10k"))):
        pair = [_one_idx(folder, spellings, kind) for kind in ("images", "labels")]
        x, y = (parse_idx(unzipped(_read(path), str(path)), str(path)) for path in pair)
        if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
            raise RlnutError(
                f"{folder}: the {part} files hold {list(x.shape)} and {list(y.shape)}, not images and labels"
            )
        found += [x, y]
    return found


def _one_idx(folder: Path, parts: tuple[str, ...], kind: str) -> Path:
    """The file of a part ("train") and a kind ("labels"): there must be one set of files only."""
    names = [path for path in sorted(folder.iterdir()) if "idx" in path.name and kind in path.name]
    paths = [path for path in names if any(part in path.name for part in parts)]
    stems = {path.name.removesuffix(".gz"): path for path in paths}
    if len(stems) != 1:
        what = f"no IDX file of {parts[0]} {kind}" if not stems else f"several: {', '.join(sorted(stems)[:6])}"
        raise UsageError(
            f"{folder} must hold the four files of one data set (train and test, images and labels): {what}"
        )
    return next(iter(stems.values()))


def cache_folder(source: Source) -> Path:
    """Where downloads are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rlnut")) / source.name


def _paths(source: Source, data: str | Path | None) -> dict[str, Path]:
    """Name -> file: all from `data` if it is given, and then from nowhere else."""
    if data is not None:
        if not Path(data).is_dir():
            raise UsageError(f"--data {data} is not a folder")
        return _complete(source, [Path(data) / source.name, Path(data)])
    if named := os.environ.get("RLNUT_DATA"):
        folders = [Path(named) / source.name, Path(named)]
        if any(_present(folder) for folder in folders):
            return _complete(source, folders)
    folder = cache_folder(source)
    found = _present(folder)
    return found | {name: _download(source, name, folder) for name in NAMES if name not in found}


def _present(folder: Path) -> dict[str, Path]:
    """Which of NAMES are in a folder, under either spelling, plain or gzip."""
    found: dict[str, Path] = {}
    for name in NAMES:
        spellings = (name, name.replace("-idx", ".idx"))
        paths = [folder / (spelling + end) for spelling in spellings for end in (".gz", "")]
        if path := next((path for path in paths if path.exists()), None):
            found[name] = path
    return found


def _complete(source: Source, folders: list[Path]) -> dict[str, Path]:
    """All four files from the first of `folders` that has any."""
    found = next(filter(None, map(_present, folders)), {})
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise RlnutError(f"{source.name}: {', '.join(missing)} (plain or .gz) not found in {folders[-1]}")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RlnutError(f"cannot read {path}: {error.strerror or error}") from None


def _published(stored: bytes, where: str, source: Source, name: str) -> bytes:
    """The uncompressed bytes, if they are the published ones."""
    content = unzipped(stored, where)
    got = hashlib.sha256(stored if source.compressed else content).hexdigest()
    expected = source.sha256[NAMES.index(name)]
    if got != expected:
        what = "the .gz file" if source.compressed else "the uncompressed bytes"
        raise RlnutError(
            f"{where} is not {source.name}'s {name}: SHA-256 of {what} is {got}, expected {expected} (files of another "
            "data set in this format: dataset idx with --data)"
        )
    return content


def _download(source: Source, name: str, folder: Path) -> Path:
    """Fetch one file into the cache: verified first, then written at once, so that no half file is ever there."""
    from rlnut.runtime.files import atomic_write

    path, problems = folder / f"{name}.gz", []
    for mirror in source.mirrors:
        try:
            stored = _fetch(f"{mirror}{name}.gz")
            _published(stored, f"{mirror}{name}.gz", source, name)
        except (OSError, http.client.HTTPException, RlnutError) as error:
            problems.append(str(error))
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RlnutError(f"cannot make the folder {folder}: {error.strerror or error}") from None
        atomic_write(path, stored)
        return path
    offline = ', or use the dataset mnist-5k, which needs no network: pip install "rlnut[offline]"'
    raise RlnutError(
        f"{source.name} is not on this machine and could not be downloaded ({problems[-1]}). Put its files "
        f"{', '.join(NAMES)} (plain or .gz) into {folder}, or name their folder with --data or $RLNUT_DATA"
        + (offline if source is MNIST else "")
    )


def _fetch(url: str) -> bytes:
    """The bytes behind a URL, with progress on standard error: a bar on a terminal, else one line."""
    from tqdm import tqdm

    from rlnut.runtime.streams import on_terminal, say

    if not on_terminal():
        say(f"downloading {url}")
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        parts = []
        name = url.rsplit("/", 1)[1]
        if not on_terminal():
            say(f"downloading {name}")
        look = {"unit": "B", "unit_scale": True, "desc": name, "disable": not on_terminal()}
        with tqdm(total=size or None, file=sys.stderr, **look) as bar:
            while part := answer.read(1 << 16):
                parts.append(part)
                bar.update(len(part))
    content = b"".join(parts)
    if size and len(content) != size:
        raise OSError(f"{url} ended after {len(content)} of {size} bytes")
    return content
