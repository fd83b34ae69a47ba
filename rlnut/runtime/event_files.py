"""Event files of TensorBoard, written without it: one record for each row, flushed to the file at once.

A record is its length (uint64), a checksum of that, the event, and a checksum of that, all little-endian; a checksum is
CRC-32C, rotated by 15 bits and shifted by a constant (tensorflow/core/lib/io/record_writer.cc). An event is a protocol
buffer: 1 wall_time, 2 step, 3 file_version, 5 summary {1: {1 tag, 2 simple_value}}, 7 session_log {1 status}
(tensorflow/core/util/event.proto). Writers of other packages write from a thread of their own, and a run would wait for
it forever after a disk was full.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

VERSION, START = b"brain.Event:2", 1
POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), reflected


def _table() -> list[int]:
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (POLYNOMIAL if byte & 1 else 0)
        found.append(byte)
    return found


TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C of the bytes, masked as records want it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(event: bytes) -> bytes:
    """An event as it stands in a file."""
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked_crc(length)) + event + struct.pack("<I", masked_crc(event))


def varint(number: int) -> bytes:
    """A whole number >= 0, seven bits a byte."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def event(step: int, *fields: bytes, when: float | None = None) -> bytes:
    """An event of now (or of `when`) with these fields."""
    now = time.time() if when is None else when
    return b"\x09" + struct.pack("<d", now) + b"\x10" + varint(step) + b"".join(fields)


def scalars(step: int, numbers: Mapping[str, float]) -> bytes:
    """An event with these numbers, as float32."""
    values = (field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", _float32(x))) for tag, x in numbers.items())
    return event(step, field(5, b"".join(values)))


def _float32(number: float) -> float:
    """The number, or infinity where float32 has none so large."""
    largest = 3.4028235677973366e38
    return number if abs(number) < largest or number != number else float("inf") * (1 if number > 0 else -1)


class EventFile:
    """A new event file in `folder`; since: what earlier files there say of later steps is hidden by TensorBoard."""

    def __init__(self, folder: Path, since: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{attempt}"
            try:
                self._file = open(folder / name, "xb", buffering=0)  # noqa: SIM115  closed by `close`
                break
            except FileExistsError:
                continue
        self._write(event(0, field(3, VERSION)))
        if since is not None:
            self._write(event(since + 1, field(7, b"\x08" + varint(START))))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row."""
        self._write(scalars(step, numbers))

    def _write(self, content: bytes) -> None:
        self._file.write(framed(content))

    def close(self) -> None:
        """No more rows."""
        self._file.close()
