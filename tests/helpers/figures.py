"""Figures that runs and fits leave beside what a test is about: made as ever, but not drawn, which takes half a second.

Files whose tests are about figures, or draw text that only drawing reads, say `pytestmark = pytest.mark.figures`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin


def blank(form: str, described: Mapping[str, object]) -> bytes:
    """A file of that format with nothing in it but its description."""
    about = str(described.get("Description", described.get("Subject", "")))
    if form != "png":
        return (f"<?xml version='1.0'?><svg><desc>{about}</desc></svg>" if form == "svg" else f"%PDF {about}").encode()
    text, file = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text("Description", about)
    Image.new("L", (1, 1)).save(file, "png", pnginfo=text)
    return file.getvalue()


def leave_blank(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone; what a test itself draws, by `figure.savefig(file)`, is drawn."""
    draw = Figure.savefig

    def savefig(self: Figure, file: Any, **words: Any) -> None:
        if isinstance(file, io.BytesIO) and words.keys() == {"format", "metadata"}:  # `rlnut.runtime.plotting`
            file.write(blank(words["format"], words["metadata"]))
        else:
            draw(self, file, **words)

    patch.setattr(Figure, "savefig", savefig)
