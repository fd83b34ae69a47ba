"""One frame of a video: what the environment draws, and beside it q(s, ·) as bars, the step, reward and return."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlnut.runtime.plotting import BLACK, BLUE, GREY, ORANGE, UNREACHABLE

HEIGHT, TALLEST = 400, 720  # pixels: smaller frames are enlarged by whole factors, larger ones made smaller
PANEL = 340  # pixels of width
EDGE, LINE, BAR = 16, 22, 20  # pixels: margin, line of text, row of a bar
NAMES, NUMBERS = 112, 64  # pixels of width for names and values of actions
SCALE = 1e-9  # range of values that counts as none


class Scene(NamedTuple):
    """One state of an episode as it is shown."""

    frame: Image.Image
    episode: int  # counted from 0
    step: int
    reward: float | None  # of the step that led here; None: of none
    total: float  # return so far
    values: np.ndarray | None = None  # [D, K] q(s, ·); None: the episode is over
    action: np.ndarray | None = None  # [D] what is done next
    allowed: np.ndarray | None = None  # bool [D, K]; None: all
    ending: str = ""  # how it ended


class ValuePanel:
    """Draws moments; the scale of the bars holds all values that were seen so far, so that bars can be compared."""

    def __init__(self, names: list[list[str]], episodes: int, title: str) -> None:
        self.names, self.episodes, self.title = names, episodes, title
        self.low, self.high = np.inf, -np.inf
        self.small, self.large = _font(13), _font(15)

    def compose(self, moment: Scene) -> Image.Image:
        """The frame with the panel beside it: sides are even, as MP4 wants them."""
        shown = fitted(moment.frame)
        width, height = shown.width + PANEL, max(shown.height, HEIGHT)
        canvas = Image.new("RGB", (width + width % 2, height + height % 2), "white")
        canvas.paste(shown, (0, (canvas.height - shown.height) // 2))
        draw, x = ImageDraw.Draw(canvas), shown.width + EDGE
        y = self._text(draw, x, moment)
        if moment.values is not None:
            self._range(moment)
            self._bars(draw, x, y, canvas.height - EDGE, moment)
        return canvas

    def _text(self, draw: ImageDraw.ImageDraw, x: int, moment: Scene) -> int:
        """Words above the bars; returns where the bars begin."""
        count = f"episode {moment.episode + 1} of {self.episodes}, " if self.episodes > 1 else ""
        reward = "\N{EN DASH}" if moment.reward is None else _number(moment.reward)
        lines = [self.title, f"{count}step {moment.step:,}", f"reward {reward}", f"return {_number(moment.total)}"]
        y = EDGE - 4
        for i, line in enumerate(lines):
            draw.text((x, y), line, BLACK if i else GREY, self.large if i else self.small)
            y += LINE
        draw.text((x, y), moment.ending or "q(s, \N{DOT OPERATOR})", ORANGE if moment.ending else GREY, self.small)
        return y + LINE

    def _range(self, moment: Scene) -> None:
        assert moment.values is not None
        seen = moment.values[np.isfinite(moment.values)]
        if len(seen):
            room = 0.05 * max(float(np.abs(seen).max()), SCALE) if not np.isfinite(self.low) else 0.0
            self.low = min(self.low, float(seen.min()) - room)
            self.high = max(self.high, float(seen.max()) + room)

    def _bars(self, draw: ImageDraw.ImageDraw, x: int, y: int, bottom: int, moment: Scene) -> None:
        """A row for each action, in groups; where they do not fit with names, thin rows without."""
        assert moment.values is not None
        count = sum(map(len, self.names))
        room = (bottom - y - LINE - 6 * (len(self.names) - 1)) / count
        row, named = min(BAR, room), room >= 14
        start = x + (NAMES if named else 0)
        end = x + PANEL - 2 * EDGE - (NUMBERS if named else 0)
        low, high = self._axis()
        place = (end - start) / (high - low)
        base = start - low * place if low <= 0 <= high else start  # without 0: from the lowest value seen
        top = float(y)
        for d, names in enumerate(self.names):
            for k, name in enumerate(names):
                may = moment.allowed is None or bool(moment.allowed[d, k])
                chosen = moment.action is not None and int(moment.action[d]) == k
                colour = ORANGE if chosen else BLUE if may else UNREACHABLE
                value = float(moment.values[d, k])
                if np.isfinite(value):
                    tip = start + (value - low) * place
                    left, right = sorted((base, tip))
                    draw.rectangle((left, top + 1, max(right, left + 1), top + max(row - 2, 1)), fill=colour)
                if named:
                    middle = top + row / 2
                    ink = BLACK if may else GREY
                    draw.text((x, middle), _cut(name, self.small, NAMES - 8), ink, self.small, anchor="lm")
                    draw.text((end + NUMBERS, middle), _number(value), ink, self.small, anchor="rm")
                top += row
            top += 6
        draw.line((base, y, base, top - 6), fill=GREY)
        for at, number, anchor in ((start, low, "la"), (end, high, "ra")):
            draw.text((at, top - 2), _number(number), GREY, self.small, anchor=anchor)

    def _axis(self) -> tuple[float, float]:
        """What the bars span: all values, and 0 where it is not far from them."""
        low, high = self.low, self.high
        if not np.isfinite(low) or not np.isfinite(high):
            return 0.0, 1.0
        near = 0.5 * (high - low)
        low, high = (0.0 if 0 < low <= near else low), (0.0 if -near <= high < 0 else high)
        return (low, high) if high - low > SCALE else (low - 0.5, high + 0.5)


def fitted(frame: Image.Image) -> Image.Image:
    """A small image enlarged by a whole factor, each pixel a square; one that is too tall made smaller."""
    factor = HEIGHT // max(frame.width, frame.height)
    if factor > 1:
        return frame.resize((frame.width * factor, frame.height * factor), Image.Resampling.NEAREST)
    if (largest := max(frame.width, frame.height)) > TALLEST:
        size = (max(1, frame.width * TALLEST // largest), max(1, frame.height * TALLEST // largest))
        return frame.resize(size, Image.Resampling.BILINEAR)
    return frame


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


@cache
def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened until it is no wider."""
    whole = text
    while text and font.getlength(text if text == whole else text + "…") > width:
        text = text[:-1]
    return text if text == whole else text + "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has arrows and Greek letters."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
