"""Event files, held to the protocol-buffer and CRC-32C of another writer, and read by TensorBoard where it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlnut.runtime.event_files import EventFile, event, masked_crc, scalars, varint


def records(path: Path, crc: Any = masked_crc) -> Iterator[bytes]:
    """The events in a file; every checksum is compared."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        assert struct.unpack_from("<I", content, at + 8) == (crc(content[at : at + 8]),)
        data = content[at + 12 : at + 12 + size]
        assert len(data) == size and struct.unpack_from("<I", content, at + 12 + size) == (crc(data),)
        yield data
        at += 16 + size


def test_checksums_and_numbers_are_those_of_the_standards():
    """CRC-32C of "123456789" is E3069283 (RFC 3720's polynomial); 150 is 96 01 (protobuf.dev, Encoding)."""
    crc = 0xE3069283
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert varint(150) == b"\x96\x01" and varint(0) == b"\x00" and varint(2**35) == b"\x80\x80\x80\x80\x80\x01"


def test_an_event_byte_by_byte():
    """wall_time 1.0, step 150, and a summary with the tag "a" at 0.5."""
    expected = b"\x09" + struct.pack("<d", 1.0) + b"\x10\x96\x01"
    assert event(150, when=1.0) == expected
    value = b"\x0a\x01a\x15" + struct.pack("<f", 0.5)
    assert scalars(150, {"a": 0.5})[12:] == b"\x2a" + bytes([len(value) + 2]) + b"\x0a" + bytes([len(value)]) + value


def test_another_writers_messages_read_the_same(tmp_path: Path):
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    from tensorboardX.record_writer import masked_crc32c

    file = EventFile(tmp_path / "log", since=100)
    file.write(128, {"return": 1.5, "größe": 1e-3})
    file.write(2**40, {"return": 1e300, "q": -1e39, "delta": 3.4028235e38})
    file.close()
    (path,) = (tmp_path / "log").iterdir()
    found = [proto.Event.FromString(data) for data in records(path, masked_crc32c)]
    assert found[0].file_version == "brain.Event:2" and found[0].wall_time > 1e9
    assert found[1].step == 101 and found[1].session_log.status == 1  # START
    assert [(e.step, {v.tag: v.simple_value for v in e.summary.value}) for e in found[2:]] == [
        (128, {"return": 1.5, "größe": pytest.approx(1e-3, rel=1e-7)}),
        (2**40, {"return": float("inf"), "q": float("-inf"), "delta": pytest.approx(3.4028235e38)}),
    ]


def test_tensorboard_shows_every_row_once_after_a_run_goes_on(tmp_path: Path):
    """Rows after the checkpoint at step 20 come again."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for since, steps in ((None, (10, 20, 30, 40)), (20, (30, 40, 50))):
        file = EventFile(tmp_path, since)
        for step in steps:
            file.write(step, {"return": step / 8})
        file.close()
    found = module.EventAccumulator(str(tmp_path))
    found.Reload()
    rows = [(event.step, event.value) for event in found.Scalars("return")]
    assert rows == [(step, step / 8) for step in (10, 20, 30, 40, 50)]


def test_two_files_of_one_second_are_two(tmp_path: Path):
    one, other = EventFile(tmp_path), EventFile(tmp_path)
    one.close()
    other.close()
    assert len(list(tmp_path.iterdir())) == 2
