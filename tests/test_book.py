"""Figures of the book meet their reference values; the short ones here, the sweeps marked slow."""

import json
from pathlib import Path

import numpy as np
import pytest

from rlnut.book import FIGURES, Curve, make_page
from rlnut.cli import main


def meets(curve: Curve, relative: float = 0.03, known_to: float = 0.0) -> None:
    """Every reference point within 3 standard errors (of ours and of the reference, `known_to`), or within 3 %."""
    assert curve.se is not None
    for x, expected in curve.reference.items():
        i = curve.at(x)
        near = 3 * np.hypot(curve.se[i], known_to)
        assert curve.y[i] == pytest.approx(expected, rel=relative, abs=near), (curve.label, x)


@pytest.mark.parametrize("name", ["11.2", "11.5", "11.6"])
def test_bairds_figures(name: str) -> None:
    for curve in make_page(name).panels[-1].curves:
        for x, expected in curve.reference.items():
            assert curve.y[int(x)] == pytest.approx(expected, rel=1e-3, abs=5e-5), (curve.label, x)


def test_five_state_walk() -> None:
    """Example 6.2: TD(0) and constant-α MC after 1, 10, 25, 50, 100 episodes; every record of the curve is written."""
    for curve in make_page("6.2", runs=400).panels[0].curves:
        meets(curve, known_to=0.0006)
        assert np.abs(np.diff(curve.y)).max() < 0.03, curve.label


@pytest.mark.slow
@pytest.mark.parametrize("name", ["7.2", "12.3", "12.6", "12.8"])
def test_sweeps(name: str) -> None:
    for curve in make_page(name, runs=150).panels[0].curves:
        meets(curve, known_to=0.002)


def test_every_page_is_listed_with_its_file() -> None:
    """The list names functions that are there, without importing JAX for it."""
    for figure in FIGURES.values():
        module, _, function = figure.source.partition(":")
        path = Path(__file__).parents[1] / (module.replace(".", "/") + ".py")
        assert f"def {function}(seed: int, runs: int) -> Page:" in path.read_text(encoding="utf-8")


def test_command(capsys, tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    assert main(["figure", "11.5", "--out", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["name"] == "11.5" and path.stat().st_size > 5000 and "reference" in err
    assert answer["panels"][-1]["curves"]["√VE"]["y"][1000] == pytest.approx(1.9355, abs=1e-4)
    wrong = {("9.9",): "unknown figure", ("7.2", "--runs", "0"): "--runs", ("7.2", "--out", "x.pdf"): ".png"}
    for words, message in wrong.items():
        assert main(["figure", *words]) == 2
        assert message in capsys.readouterr().err
