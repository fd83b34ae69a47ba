"""Every chapter of the lecture makes its point: its claims are the test. And a chapter that misses one says which."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from rlnut.cli import main
from rlnut.commands.options import plain
from rlnut.data.small_tables import Table, ohm, sparse
from rlnut.demos import CHAPTERS, DIGITS, overfitting
from rlnut.demos import ohm as ohm_chapter
from rlnut.demos.frame import Ask
from rlnut.demos.overfitting import wave

pytestmark = pytest.mark.figures
SHORT: dict[str, dict] = {  # smaller sizes with the same claims
    "descent": {"steps": 1000},
    "penalties": {"problems": 5},
    "boltzmann": {"steps": 60},
    "perceptron": {"rows": 150, "epochs": 8},
    "logistic": {"replicas": 40},
    "softmax": {"rows": 400},
    "universal": {"widths": (1, 16), "steps": 700},
}


# too slow for every day, or they learn at full length only
LONG = ("recurrent", "convolution", "residual", "bridge", "forecast", "hand_made", "jax", "neurons")


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in LONG])
def test_short_form_makes_its_point(name: str):
    found = import_module(f"rlnut.demos.{name}").chapter(Ask(seed=1), **SHORT.get(name, {}))
    assert found.points and [point for point, holds in found.points.items() if not holds] == []
    assert json.loads(json.dumps(plain(found.numbers))) and all(key.isascii() for key in found.numbers)
    for axis in found.figure.axes:
        if axis.get_label() == "<colorbar>":
            continue
        assert axis.get_xlabel() or not axis.axison or not len(axis.get_xticks())
        assert axis.get_title(loc="left")[:1].isupper() or not axis.axison or not axis.get_title(loc="left")


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_command_makes_its_point(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", name, "--out", str(tmp_path), "--seed", "2", "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["name"] == name and Path(answer["figure"]) == tmp_path / f"demo-{name}.png"
    assert "MISSED" not in said.err and Path(answer["figure"]).stat().st_size > 20_000


def test_overfitting_chooses_without_a_look_at_the_test_rows(monkeypatch: pytest.MonkeyPatch):
    """Test rows (2,000 of them) that are pure noise change what is reported of them, and no choice."""
    honest = overfitting.chapter(Ask(seed=1)).numbers

    def noisy_wave(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = wave(rows, rng)
        return x, np.random.default_rng(0).normal(size=rows) if rows == 2000 else y

    def noisy_sparse(rows: int, seed: int) -> Table:
        table = sparse(rows, seed)
        return table._replace(y=np.random.default_rng(0).normal(size=rows)) if rows == 2000 else table

    monkeypatch.setattr(overfitting, "wave", noisy_wave)
    monkeypatch.setattr(overfitting, "sparse", noisy_sparse)
    blind = overfitting.chapter(Ask(seed=1)).numbers
    for name in ("chosen_degree", "ridge_lambda", "lasso_lambda", "lasso_zeros"):
        assert blind[name] == honest[name]
    for name in ("chosen_degree_test_mse", "ridge_test_mse", "lasso_test_mse"):
        assert blind[name] != honest[name]


def test_a_missed_point_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Someone says the resistance is 7 Ω; the data say 5."""
    monkeypatch.setattr(ohm_chapter, "ohm", lambda *size: ohm(*size)._replace(truth={"theta": [7.0], "noise": 0.5}))
    assert main(["demo", "ohm", "--out", str(tmp_path)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rlnut: demo ohm missed its point: least squares finds 7 Ω: 4.979 ± 0.041")
    assert "gradient descent" not in last


def test_command_and_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """By default here; the same seed draws the same bytes over an older picture of its own, and over nothing else."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "ohm", "--json"]) == 0
    said = capsys.readouterr()
    answer, picture = json.loads(said.out), Path("demo-ohm.png")
    assert answer["figure"] == "demo-ohm.png" and "figure: demo-ohm.png" in said.err
    assert answer["resistance_ohm"] == pytest.approx(5, abs=4 * answer["standard_error_ohm"])
    before = picture.read_bytes()
    assert main(["demo", "ohm", "--out", "demo-ohm.png"]) == 0 and picture.read_bytes() == before
    assert main(["demo", "kl", "--out", "demo-ohm.png"]) == 2 and picture.read_bytes() == before
    (tmp_path / "mine.png").write_text("precious")
    assert main(["demo", "ohm", "--out", "mine.png"]) == 2 and (tmp_path / "mine.png").read_text() == "precious"
    assert "choose another --out" in capsys.readouterr().err
    for name in ("a", "b"):
        assert main(["demo", "ohm", "--out", f"{name}.svg"]) == 0
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    assert main(["demo", "ohm", "--format", "pdf"]) == 0 and Path("demo-ohm.pdf").read_bytes().startswith(b"%PDF")
    assert main(["demo", "kl", "--out", "demo-ohm.pdf"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["omh"], "unknown demo 'omh'. Did you mean ohm?"),
        (["ohm", "--full"], "ohm makes its own data"),
        (["ohm", "--data", "."], "ohm makes its own data"),
        (["ohm", "--out", "x.jpg"], "--out must be a folder, or a .png, .svg or .pdf file"),
        (["ohm", "--out", "nowhere/x.png"], "--out must be a folder, or a .png, .svg or .pdf file"),
        (["ohm", "--format", "gif"], "unknown format 'gif'"),
        (["ohm", "--out", "x.png", "--format", "pdf"], "--format pdf and --out x.png name two formats"),
        ([], "NAME"),
    ],
)
def test_wrong_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", *words]) == 2
    assert message in capsys.readouterr().err


def test_help_and_list_name_every_chapter(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and line in said for name, line in CHAPTERS.items())
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["demos"] == list(CHAPTERS)
    folder = Path(import_module("rlnut.demos").__file__ or "").parent
    assert {path.stem for path in folder.glob("*.py")} == {*CHAPTERS, "__init__", "frame", "graphs"}
    assert set(DIGITS) <= set(CHAPTERS)
