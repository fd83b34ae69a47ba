"""The pictures of README.md, made by the commands that it shows:  python docs/make_images.py

cartpole.gif: the start of a greedy episode after `rlnut train dqn CartPole-v1`, with q(s, ·) beside each frame;
curve.png: the learning curve of that run;
values.png: what `rlnut predict td-lambda rlnut/RandomWalk19-v0 --lam 0.8` learns, with the exact values beside it.
About a minute on two cores. `tests/docs/test_readme.py` checks that README.md shows them and that they are small.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageSequence

IMAGES = Path(__file__).parent / "images"
EVERY, FRAMES, COLOURS, WIDTH = 3, 75, 32, 640  # of the film: each third frame of the first 4.5 seconds
PICTURE = 900  # pixels: width of a figure


def rlnut(command: str, folder: Path) -> None:
    """Run one command line; its files go below `folder`."""
    subprocess.run([sys.executable, "-m", "rlnut", *command.split()], cwd=folder, check=True)


def short_film(film: Path, target: Path) -> None:
    """Each third frame of the beginning, smaller and in few colours: the whole episode would be ten times the size."""
    with Image.open(film) as image:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)][: EVERY * FRAMES : EVERY]
        pause = image.info["duration"] * EVERY
    size = (WIDTH, frames[0].height * WIDTH // frames[0].width)
    small = [frame.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS) for frame in frames]
    small[0].save(target, save_all=True, append_images=small[1:], duration=pause, loop=0, optimize=True)


def small_picture(picture: Path, target: Path) -> None:
    with Image.open(picture) as image:
        size = (PICTURE, image.height * PICTURE // image.width)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(128).save(target, optimize=True)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rlnut("train dqn CartPole-v1 --out cartpole", folder)
        rlnut("evaluate cartpole --video film.gif", folder)
        rlnut("predict td-lambda rlnut/RandomWalk19-v0 --lam 0.8 --out walk", folder)
        short_film(folder / "film.gif", IMAGES / "cartpole.gif")
        small_picture(folder / "cartpole" / "curve.png", IMAGES / "curve.png")
        small_picture(folder / "walk" / "values.png", IMAGES / "values.png")


if __name__ == "__main__":
    main()
