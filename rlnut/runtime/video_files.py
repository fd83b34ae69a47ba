"""Writing a video frame by frame, as an animated GIF or as an MP4 (H.264): memory for one frame, whatever its length.

GIF needs Pillow only, which comes with matplotlib. MP4 needs the program ffmpeg: of the package imageio-ffmpeg
(`pip install "rlnut[video]"`), or an installed one.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import numpy as np
from PIL import Image, ImageChops

from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.files import replacing_file

FILM_ENDINGS = (".mp4", ".gif")
SHORTEST = 0.02  # seconds: players of GIFs show shorter frames for longer
LONGEST = 655.35  # seconds: what a GIF's field for it holds


class FilmWriter(Protocol):
    """Takes frames [H, W, 3] uint8 of one size."""

    def write(self, frame: Image.Image) -> None: ...


@contextlib.contextmanager
def film_writer(path: Path, rate: float) -> Iterator[FilmWriter]:
    """Write a film of `rate` frames per second to `path`, by its ending; nothing is left of one that fails."""
    program = film_program(path)
    with replacing_file(path) as temporary:
        if program:
            with Mp4Writer(temporary, rate, program) as mp4:
                yield mp4
        else:
            with open(temporary, "wb") as file:
                gif = GifWriter(file, rate)
                yield gif
                gif.end()


def film_program(path: Path) -> str:
    """The program that a film of this ending needs, or ""; UsageError for other endings and where it is missing."""
    if path.suffix.lower() not in FILM_ENDINGS:
        raise UsageError(f"a film is a {' or '.join(FILM_ENDINGS)} file, got {str(path)!r}")
    return ffmpeg() if path.suffix.lower() == ".mp4" else ""


def ffmpeg() -> str:
    """The path of ffmpeg; UsageError that says how to install it."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        if (found := shutil.which("ffmpeg")) is not None:
            return found
        raise UsageError('MP4 needs ffmpeg: pip install "rlnut[video]" (a .gif needs nothing more)') from None
    try:
        program: str = get_ffmpeg_exe()
    except RuntimeError as error:
        raise UsageError(f"MP4 needs ffmpeg, and imageio-ffmpeg has none for this machine: {error}") from None
    return program


class Mp4Writer:
    """Frames through a pipe to ffmpeg: H.264, which browsers and slides play. Their sides must be even."""

    def __init__(self, path: Path, rate: float, program: str) -> None:
        self.path, self.rate, self.program = path, rate, program
        self.process: subprocess.Popen[bytes] | None = None
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)

    def write(self, frame: Image.Image) -> None:
        """One more frame."""
        if self.process is None:
            self.process = self._start(frame.width, frame.height)
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(frame.tobytes())
        except OSError:
            self.process.wait()
            raise RlnutError(f"ffmpeg failed: {self._why()}") from None

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self.rate:g}", "-i", "-"]
        made = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
        words = [self.program, "-y", "-loglevel", "error", *given, *made, "-movflags", "+faststart", "-f", "mp4"]
        # a session of its own: Ctrl-C is ours to answer
        return subprocess.Popen(
            [*words, str(self.path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.said,
            start_new_session=True,
        )  # fmt: skip

    def _why(self) -> str:
        self.said.seek(0)
        return " ".join(self.said.read().decode(errors="replace").split())[-300:] or "it ended early"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.said:
            if self.process is None:
                return
            if kind is not None:
                self.process.kill()
            assert self.process.stdin is not None
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            if self.process.wait() and kind is None:
                raise RlnutError(f"ffmpeg failed: {self._why()}")


class GifWriter:
    """GIF89a by hand, so that no more than two frames are held: each is the part that changed, in its own colours."""

    def __init__(self, file: IO[bytes], rate: float) -> None:
        self.file = file
        self.delay = round(100 * min(max(1 / rate, SHORTEST), LONGEST))  # in hundredths of a second
        self.before: Image.Image | None = None

    def write(self, frame: Image.Image) -> None:
        """One more frame."""
        if self.before is None:
            self.file.write(b"GIF89a" + struct.pack("<HHBBB", frame.width, frame.height, 0x70, 0, 0))
            self.file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # for ever
            box: tuple[int, int, int, int] | None = (0, 0, frame.width, frame.height)
        else:
            box = ImageChops.difference(frame, self.before).getbbox()
        left, top, right, bottom = box or (0, 0, 1, 1)  # the same again: one pixel of it
        part = frame.crop((left, top, right, bottom)).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        self.file.write(b"\x21\xf9\x04" + struct.pack("<BHBB", 0x04, self.delay, 0, 0))  # what is there stays
        self.file.write(_image_block(part, left, top))
        self.before = frame.copy()

    def end(self) -> None:
        """No more frames."""
        self.file.write(b"\x3b")


def _image_block(part: Image.Image, left: int, top: int) -> bytes:
    """The image of a GIF file of its own, moved to a place and with its colours: descriptor, table, data."""
    buffer = io.BytesIO()
    part.save(buffer, "GIF", optimize=False)
    data = buffer.getvalue()
    bits = data[10] & 7
    start = 13 + 3 * (2 << bits)
    colours, at = data[13:start], start
    while data[at] == 0x21:  # extensions
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    width, height, flags = struct.unpack("<HHB", data[at + 5 : at + 10])
    pixels = at + 10 + (3 * (2 << (flags & 7)) if flags & 0x80 else 0)
    if flags & 0x80:
        colours, bits = data[at + 10 : pixels], flags & 7
    placed = struct.pack("<BHHHHB", 0x2C, left, top, width, height, 0x80 | (flags & 0x40) | bits)
    return placed + colours + data[pixels:-1]


def as_image(frame: np.ndarray) -> Image.Image:
    """A frame [H, W, 3] uint8, or [H, W] or [H, W, 1] in grey, as an image; RlnutError for other arrays."""
    array = np.asarray(frame)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or 0 in array.shape or not (array.ndim == 2 or array.shape[2:] in ((3,), (4,))):
        raise RlnutError(f"render() must give an image [H, W, 3] of uint8, got {array.dtype}{list(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
