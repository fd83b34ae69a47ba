"""Films hold the frames that were written: a GIF each pixel (up to 256 colours), an MP4 their number and size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlnut.errors import RlnutError, UsageError
from rlnut.runtime import video_files
from rlnut.runtime.video_files import as_image, ffmpeg, film_writer


def pictures() -> list[np.ndarray]:
    """A square that moves, stands still, and leaves; few colours."""
    found = []
    for place in (0, 3, 3, 9, None):
        one = np.zeros((20, 30, 3), np.uint8)
        one[..., 1] = np.arange(30) // 3 * 20
        if place is not None:
            one[place : place + 5, 2 * place : 2 * place + 7] = (255, 10 * place, 40)
        found.append(one)
    return found


def test_a_gif_is_the_frames_that_were_written(tmp_path: Path) -> None:
    with film_writer(tmp_path / "a.gif", 20) as film:
        for one in pictures():
            film.write(as_image(one))
    with Image.open(tmp_path / "a.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 5 and gif.info["loop"] == 0
        for i, one in enumerate(pictures()):
            gif.seek(i)
            assert gif.info["duration"] == 50
            np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), one)


def test_an_mp4_has_their_number_and_size(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with film_writer(tmp_path / "a.mp4", 25) as film:
        for one in pictures():
            film.write(as_image(one))
    words = [ffmpeg(), "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(words, capture_output=True, check=True)
    frames = np.frombuffer(read.stdout, np.uint8).reshape(-1, 20, 30, 3)
    assert len(frames) == 5 and b"25 fps" in read.stderr and b"h264" in read.stderr
    assert np.abs(frames[3].astype(int) - pictures()[3]).mean() < 12  # it is compressed


def test_nothing_is_left_of_a_film_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), film_writer(tmp_path / "a.gif", 20) as film:
        film.write(as_image(pictures()[0]))
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_mp4_without_ffmpeg_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(video_files.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "rlnut\[video\]"'), film_writer(tmp_path / "a.mp4", 20):
        pass


@pytest.mark.parametrize("shape", [(4, 4, 2), (0, 4, 3), (4,)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RlnutError, match="render"):
        as_image(np.zeros(shape, np.uint8))
    with pytest.raises(RlnutError, match="render"):
        as_image(np.zeros((4, 4, 3)))


def test_grey_frames_are_images_too() -> None:
    assert as_image(np.full((3, 4, 1), 7, np.uint8)).getpixel((1, 1)) == (7, 7, 7)
