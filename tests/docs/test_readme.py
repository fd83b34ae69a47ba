"""README.md: its code runs, its commands are ones that there are, its links lead somewhere, its pictures are small."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import rlnut
from rlnut.cli import COMMANDS, parse

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="these tests run away from a checkout")
TEXT = README.read_text() if README.exists() else ""
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
SHELL = [line.partition("  #")[0] for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
COMMAND_LINES = [part for line in [*SHELL, *re.findall(r"`(rlnut \w[^`]*)`", TEXT)] for part in line.split(" && ")]
OURS = [line for line in COMMAND_LINES if line.startswith("rlnut ")]


@pytest.mark.slow
@pytest.mark.parametrize("text", PYTHON, ids=range(len(PYTHON)))
def test_python_runs_as_it_stands(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": "readme"}
    exec(compile(text, "README.md", "exec", dont_inherit=True), space)  # our own text


def test_python_compiles_and_uses_public_names():
    assert len(PYTHON) == 2
    for text in PYTHON:
        compile(text, "README.md", "exec")
        assert set(re.findall(r"\brlnut\.(\w+)", text)) <= {*rlnut.__all__, "regression"}  # a package, too


@pytest.mark.parametrize("line", OURS)
def test_commands_are_ones_that_the_command_line_takes(line: str):
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    if len(words) > 1 and "--help" not in words:
        parse(words)  # raises UsageError for what it does not know


def test_links_and_pictures_are_there_and_small():
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", TEXT) if "://" not in target]
    assert len(targets) > 20 and not [target for target in targets if not (ROOT / target).exists()]
    images = sorted((ROOT / "docs" / "images").glob("*.*"))
    assert {str(image.relative_to(ROOT)) for image in images} == {t for t in targets if t.startswith("docs/images/")}
    assert sum(image.stat().st_size for image in images) < 1_000_000
