"""Figures of the book meet their reference values; the short ones here, the sweeps marked slow."""

import json
from pathlib import Path

import numpy as np
import pytest

from rlnut.book import FIGURES
from rlnut.cli import main


@pytest.mark.parametrize("name", ["11.2", "11.5", "11.6"])
def test_bairds_figures(name: str) -> None:
    for curve in FIGURES[name](0, 1).curves:
        for x, expected in curve.reference.items():
            assert curve.y[int(x)] == pytest.approx(expected, rel=1e-3, abs=5e-5), (curve.label, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["7.2", "12.3", "12.6", "12.8"])
def test_sweeps(name: str) -> None:
    """150 runs: within 3 % of the reference, or of .015 (three standard errors)."""
    for curve in FIGURES[name](0, 150).curves:
        for x, expected in curve.reference.items():
            found = curve.y[np.argmin(np.abs(curve.x - x))]
            assert found == pytest.approx(expected, rel=0.03, abs=0.015), (curve.label, x)


def test_command(capsys, tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    assert main(["figure", "11.5", "--out", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["name"] == "11.5" and path.stat().st_size > 5000 and "reference" in err
    assert answer["curves"]["√VE"]["y"][1000] == pytest.approx(1.9355, abs=1e-4)
    wrong = {("9.9",): "unknown figure", ("7.2", "--runs", "0"): "--runs", ("7.2", "--out", "x.pdf"): ".png"}
    for words, message in wrong.items():
        assert main(["figure", *words]) == 2
        assert message in capsys.readouterr().err
