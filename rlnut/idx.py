"""The IDX format of MNIST: 0, 0, type, number of axes, the lengths (big-endian uint32), then the values in row order.

Plain or gzip: the first bytes decide, not the name. Whatever is wrong with a file is one line.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib

import numpy as np

from rlnut.errors import RlnutError

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
