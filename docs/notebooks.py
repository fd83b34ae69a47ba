"""The chapters of the lecture as Jupyter notebooks, made from their pages: lecture/NAME.md becomes lecture/NAME.ipynb.

A block of Python is a cell; where a page shows the picture of a chapter a cell draws it; all else is text. Nothing has
been run, so no notebook has outputs. MkDocs calls `on_files` (mkdocs.yml names this file); without the site:

    python docs/notebooks.py FOLDER
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGES = Path(__file__).resolve().parent / "lecture"
PIECE = re.compile(r"^```(python|text)\n(.*?)^```\n|^<!-- chapter: (\w+) -->\n", re.M | re.S)
LINK = re.compile(r"\[((?:`[^`]*`|[^\[\]`])*)\](?:\([^()\s]+\)|\[[\w.]+\])")
DRAWN = """from IPython.display import Image

!rlnut demo {name} --out {name}.png
Image("{name}.png")"""
INSTALL = 'This notebook needs `pip install "rlnut[offline,sklearn]"`.'


def plain(markdown: str) -> str:
    """Text without links, whose targets are pages of the site."""
    return LINK.sub(r"\1", markdown)


def cells(page: str) -> list[tuple[str, str]]:
    """(markdown or code, text) of every cell of a page; what its code printed is left out."""
    found: list[tuple[str, str]] = []
    at = 0
    for piece in PIECE.finditer(page):
        found.append(("markdown", plain(page[at : piece.start()])))
        kind, text, chapter = piece.groups()
        if chapter:
            found.append(("code", DRAWN.format(name=chapter)))
        elif kind == "python":
            found.append(("code", text))
        at = piece.end()
    found.append(("markdown", plain(page[at:])))
    found = [(kind, text.strip()) for kind, text in found if text.strip()]
    return [found[0], ("markdown", INSTALL), *found[1:]]


def notebook(page: str) -> str:
    """A page as the text of a notebook, format 4.5 (https://nbformat.readthedocs.io/en/latest/format_description.html)."""
    made: list[dict[str, Any]] = []
    for i, (kind, text) in enumerate(cells(page)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text.splitlines(True)}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def notebooks() -> dict[str, str]:
    """Name and text of every notebook."""
    pages = sorted(path for path in PAGES.glob("*.md") if path.name != "index.md")
    return {f"{path.stem}.ipynb": notebook(path.read_text(encoding="utf-8")) for path in pages}


def on_files(files: Any, config: Any) -> Any:
    """Called by MkDocs: the notebooks are files of the site, written nowhere else."""
    from mkdocs.structure.files import File

    for name, text in notebooks().items():
        files.append(File.generated(config, f"lecture/{name}", content=text))
    return files


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python docs/notebooks.py FOLDER (the notebooks are written there)")
    for name, text in notebooks().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
        print(Path(sys.argv[1]) / name)
