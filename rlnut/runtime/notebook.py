"""A progress bar in a notebook: one line of output that is drawn again, without a package beside IPython's own."""

from __future__ import annotations

import html
import math
import sys
import time
from collections.abc import Iterable
from typing import Any

from rlnut.runtime.digits import readable_number

EVERY = 0.1  # seconds between two drawings


def in_notebook() -> bool:
    """Does a kernel of Jupyter's (or of Colab, VS Code, …) run this, which can show an output again?"""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and getattr(shell, "kernel", None) is not None


def line_picture(steps: Iterable[float], values: Iterable[float], name: str) -> str:
    """Values over steps as a small SVG for a notebook; empty where fewer than two are numbers."""
    rows = [(x, y) for x, y in zip(steps, values, strict=True) if math.isfinite(y)]
    if len(rows) < 2:
        return ""
    (left, right), (low, high) = ((min(one), max(one)) for one in zip(*rows, strict=True))
    wide, tall = max(right - left, 1e-9), max(high - low, 1e-9)
    points = " ".join(f"{290 * (x - left) / wide + 5:.1f},{75 - 70 * (y - low) / tall:.1f}" for x, y in rows)
    words = f"{name} from {readable_number(low)} to {readable_number(high)}, step {left:,.0f} to {right:,.0f}"
    line = f'<polyline points="{points}" fill="none" stroke="currentColor"/>'
    return f'<svg width="300" height="80" role="img"><title>{words}</title>{line}</svg><div>{words}</div>'


class NotebookBar:
    """The part of tqdm's bar that `Progress` uses, as one output of a cell."""

    def __init__(self, total: int, initial: int, unit: str, bar_format: str, postfix: str | None) -> None:
        from IPython.display import display

        self.n, self.total, self.first = initial, total, initial
        self.unit, self.format, self.postfix = unit, bar_format, postfix
        self.began = self.drawn = time.perf_counter()
        self.handle = display(self._content(), raw=True, display_id=True)

    def write(self, line: str, file: object = None) -> None:
        """A line of text beside the bar."""
        print(line, file=sys.stderr, flush=True)

    def set_postfix_str(self, text: str, refresh: bool = False) -> None:
        """The numbers beside the bar."""
        self.postfix = text

    def update(self, steps: int) -> None:
        """So many steps more; drawn if the last drawing is some time ago."""
        self.n += steps
        if time.perf_counter() - self.drawn > EVERY:
            self.refresh()

    def refresh(self) -> None:
        """Draw it again."""
        self.drawn = time.perf_counter()
        self.handle.update(self._content(), raw=True)

    def close(self) -> None:
        """Draw its last state, which stays."""
        self.refresh()

    def _content(self) -> dict[str, str]:
        from tqdm import tqdm

        text = tqdm.format_meter(
            self.n, self.total, time.perf_counter() - self.began, initial=self.first, unit=self.unit,
            bar_format=self.format, postfix=self.postfix,
        )  # fmt: skip
        return {"text/plain": text, "text/html": f'<pre style="margin:0">{html.escape(text)}</pre>'}
