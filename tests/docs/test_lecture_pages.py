"""The pages of the lecture: each chapter has one, whose code runs and prints what it shows; and its notebook."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlnut.demos import CHAPTERS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "index.md").exists(), reason="these tests run away from a checkout")
PAGES = {path.stem: path.read_text() for path in sorted((DOCS / "lecture").glob("*.md")) if path.stem != "index"}
CODE = re.compile(r"^```python\n(.*?)^```\n```text\n(.*?)^```\n", re.M | re.S)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
SLOW = ("softmax", "hand_made", "universal", "convolution", "recurrent", "residual", "bridge", "jax", "backprop")
NEEDS = {"softmax": "mlxtend"}
NEAR = {"residual": 15.0, "recurrent": 5.0, "softmax": 0.5, "universal": 0.03, "hand_made": 0.02}  # learned: how near


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks", DOCS / "notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_chapter_has_a_page_in_the_order_of_the_chapters():
    nav = re.findall(r"lecture/(\w+)\.md", (ROOT / "mkdocs.yml").read_text())
    assert nav == ["index", *CHAPTERS] and set(PAGES) == set(CHAPTERS)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_has_formula_code_picture_exercises_and_links(name: str):
    page = PAGES[name]
    assert page.startswith("# ") and page.count("```python\n") == 1
    parts = [
        "$$ ",
        "```python\n",
        "```text\n",
        f"<!-- chapter: {name} -->\n",
        "## What to try\n",
        "## In the library\n",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    code = CODE.findall(page)[0][0]
    assert len(code.splitlines()) <= 22 and max(map(len, code.splitlines())) <= 120
    assert page.partition("## What to try")[2].count("\n- ") >= 2


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CHAPTERS])
def test_the_code_prints_what_the_page_shows(name: str):
    """Words alike, numbers within 2 % (or NEAR): other machines round differently, which training magnifies."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    ((code, shown),) = CODE.findall(PAGES[name])
    space: dict[str, Any] = {"__name__": "page"}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, name, "exec", dont_inherit=True), space)  # a page of the documentation is our own text
    found = out.getvalue()
    assert NUMBER.sub("#", found).split() == NUMBER.sub("#", shown).split()
    ours, theirs = (np.array(NUMBER.findall(text), float) for text in (found, shown))
    np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=NEAR.get(name, 0.005))


def test_links_to_the_library_lead_to_what_is_in_the_reference():
    reference = "\n".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    modules = {path for path in re.findall(r"^::: (rlnut[\w.]*)$", reference, re.M)}
    public = importlib.import_module("rlnut")
    homes = {f"{getattr(getattr(public, name, None), '__module__', '')}.{name}" for name in public.__all__}
    found = [path for page in PAGES.values() for path in re.findall(r"\]\[(rlnut[\w.]+)\]", page)]
    assert len(found) > 40
    for path in found:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
        assert path in modules or module in modules or path in homes, f"{path} is not in the reference"


def test_notebooks_have_the_code_of_the_pages_and_no_outputs(notebooks: ModuleType):
    made = notebooks.notebooks()
    assert {name.removesuffix(".ipynb") for name in made} == set(CHAPTERS)
    for name, text in made.items():
        book = json.loads(text)
        assert (book["nbformat"], book["nbformat_minor"]) == (4, 5) and set(book) == {
            "cells", "metadata", "nbformat", "nbformat_minor",
        }  # fmt: skip
        chapter = name.removesuffix(".ipynb")
        code = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
        assert code[0] == CODE.findall(PAGES[chapter])[0][0].strip() and f"!rlnut demo {chapter} " in code[1]
        assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
        for cell in book["cells"]:
            keys = {"cell_type", "id", "metadata", "source"}
            if cell["cell_type"] == "code":
                assert cell["outputs"] == [] and cell["execution_count"] is None
                keys |= {"outputs", "execution_count"}
            else:
                words = "".join(cell["source"])
                assert "<!--" not in words and "](" not in words and "][" not in words
            assert set(cell) == keys
        assert "$$" in "".join(book["cells"][0]["source"])


def test_notebooks_are_written_into_a_folder(notebooks: ModuleType, tmp_path: Path):
    import subprocess
    import sys

    command = [sys.executable, str(DOCS / "notebooks.py")]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == set(notebooks.notebooks())
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_formulas_become_mathml():
    convert = pytest.importorskip("latex2mathml.converter").convert
    for name, page in PAGES.items():
        for formula in re.findall(r"\$\$(.+?)\$\$", page, re.S):
            made = convert(formula.strip())
            assert made.startswith("<math") and not re.search(r"<m[tio]+>\\[a-zA-Z]+", made), f"{name}: {formula}"
