"""Output wherever the program runs: encodings without Greek letters, streams that are closed, missing or full."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rlnut.agents
import rlnut.envs
from rlnut.cli import main
from rlnut.runtime.streams import make_usable, on_terminal, readable, say

PACKAGES = [Path(str(package.__file__)).parent for package in (rlnut, rlnut.agents, rlnut.envs)]


@pytest.mark.parametrize(
    "symbol, plain",
    {
        "π": "pi", "δ": "delta", "γ": "gamma", "λ": "lambda", "θ": "theta", "Σ": "Sigma", "ε": "epsilon", "μ": "mu",
        "±": "+/-", "×": "x", "…": "...", "–": "-", "−": "-", "²": "^2", "⁻": "^-", "₀": "_0", "ᵀ": "^T", "½": "1/2",
        "ᵢ": "_i", "∞": "inf", "ŷ": "y", "\u0304": "", "é": "\\xe9",
        "日": "\\u65e5", "\udcff": "\\udcff", "€": "\\u20ac",
    }.items(),
)  # fmt: skip
def test_readable(symbol: str, plain: str):
    assert readable(symbol) == plain and plain.isascii()


def test_every_symbol_that_the_package_writes_has_a_readable_name():
    symbols = {
        symbol
        for package in PACKAGES
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for symbol in node.value
        if not symbol.isascii()
    }
    assert {"θ", "γ", "²", "…"} <= symbols
    assert not [symbol for symbol in symbols if "\\" in readable(symbol)]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "cp932", "utf-8"])
def test_what_an_encoding_lacks_is_written_in_ascii(encoding: str, monkeypatch: pytest.MonkeyPatch):
    outs = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in outs.items():
        monkeypatch.setattr(sys, name, stream)
    make_usable()
    print("v_π(s) ± ½·‖w‖² \udcff")
    say("⊗ and é")
    texts = {}
    for name, stream in outs.items():
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        texts[name] = stream.buffer.getvalue().decode(encoding).strip()
    if encoding == "ascii":
        assert texts == {"stdout": "v_pi(s) +/- 1/2*||w||^2 \\udcff", "stderr": "(x) and \\xe9"}
    elif encoding == "utf-8":
        assert texts == {"stdout": "v_π(s) ± ½·‖w‖² \\udcff", "stderr": "⊗ and é"}
    elif encoding == "cp1252":
        assert texts == {"stdout": "v_pi(s) ± ½·||w||² \\udcff", "stderr": "(x) and é"}


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "dqn", "--help"], ["check-env", "CartPole-v1"], ["train", "dqm"]]
)
def test_every_output_fits_an_encoding_without_greek(words: list[str], monkeypatch: pytest.MonkeyPatch):
    outs = {name: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for name in ("stdout", "stderr")}
    for name, stream in outs.items():
        monkeypatch.setattr(sys, name, stream)
    status = main(words)
    said = {name: stream.buffer.getvalue() for name, stream in outs.items() if isinstance(stream.buffer, io.BytesIO)}
    assert (status, bool(said["stdout"]), bool(said["stderr"])) == (
        (0, True, False) if words[1:] != ["dqm"] else (2, False, True)
    )


class Closed(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.close()


@pytest.mark.parametrize("stream", [None, Closed()], ids=["None", "closed"])
def test_streams_that_are_missing_or_closed(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch):
    """In a service, under pythonw: in Python nothing is raised, and the command line keeps its exit status."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    say("nobody reads this")
    assert not on_terminal()
    assert [main(words) for words in (["list", "--json"], ["--help"], ["nonsense"], [])] == [0, 0, 2, 2]
    sys.stdout.close()
    sys.stderr.close()


@pytest.mark.skipif(os.name == "nt", reason="the shell's redirections")
@pytest.mark.parametrize(
    "line, status, said",
    [
        ("list >&-", 0, ""),
        ("list <&- >&- 2>&-", 0, ""),
        ("nonsense 2>&-", 2, ""),
        ("nonsense 2>/dev/full", 2, ""),
        ("--help >/dev/full", 1, "rlnut: cannot write to standard output: No space left on device\n"),
    ],
)
def test_redirections(line: str, status: int, said: str):
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    words = ["sh", "-c", f'"{sys.executable}" -m rlnut {line}']
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean)
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.skipif(os.name == "nt", reason="file numbers")
def test_a_closed_output_does_not_hand_its_number_to_a_file():
    """What libraries print to number 1 or 2 must not land in a file of ours."""
    program = "import os\nfrom rlnut.cli import main\nmain(['--help'])\nassert os.open(os.devnull, os.O_RDONLY) > 2"
    words = ["sh", "-c", f'"{sys.executable}" -c "{program}" <&- >&-']
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
