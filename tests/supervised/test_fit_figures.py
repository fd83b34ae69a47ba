"""The numbers behind the figures of a fit, and which figures a folder gets."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlnut
from rlnut.cli import main
from rlnut.linear_models.lasso import lasso_path
from rlnut.runtime.plotting import save_figure
from rlnut.supervised.coefficient_plots import coefficient_figure, largest, lasso_figure, template_figure
from rlnut.supervised.plots import confusion_figure, is_image, misread_figure, residual_figure
from rlnut.supervised.predicted_rows import PredictedRows, confusion_matrix, mistakes

pytestmark = pytest.mark.figures
TRUE, PREDICTED = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 1, 1, 1, 0, 2, 2])


def test_confusion_matrix_counts_true_classes_in_rows() -> None:
    assert confusion_matrix(TRUE, PREDICTED, 4).tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    peer = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true, guess = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    assert confusion_matrix(true, guess, 5).tolist() == peer.confusion_matrix(true, guess).tolist()


def test_confusion_figure_has_the_percent_of_each_true_class() -> None:
    figure: Any = confusion_figure(confusion_matrix(TRUE, PREDICTED, 3), ["a", "b", "c"], "t")
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array()[2], [100 / 3, 0, 200 / 3])
    assert image.get_clim() == (0, 100)
    words = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert words[0, 2] == "1\n33.3 %" and words[2, 2] == "2\n66.7 %" and (1, 2) not in words


def test_the_surest_mistakes_come_first() -> None:
    rows = PredictedRows(TRUE, PREDICTED, np.array([0.9, 0.6, 0.9, 0.9, 0.95, 0.9, 0.9]), (7, 8, 9))
    assert mistakes(rows).tolist() == [4, 1]
    figure = misread_figure(np.zeros((7, 4, 4), np.uint8), rows, "t")
    assert figure is not None
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["9 → 7\np = 0.95", "7 → 8\np = 0.60"]
    right = rows._replace(predicted=TRUE)
    assert misread_figure(np.zeros((7, 4, 4), np.uint8), right, "t") is None


@pytest.mark.parametrize(
    ("shape", "kind", "image"),
    [((5, 8, 8), np.uint8, True), ((5, 8, 8), float, False), ((5, 8, 8, 3), float, True), ((5, 8), np.uint8, False)],
)
def test_what_counts_as_an_image(shape: tuple[int, ...], kind: type, image: bool) -> None:
    assert is_image(np.zeros(shape, kind)) == image


def test_residuals_and_their_band() -> None:
    rows = PredictedRows(np.array([1.0, 2, 3]), np.array([1.0, 1, 5]), None, None)
    figure: Any = residual_figure(rows, "t", "kg")
    both, left = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0, 1, -2])
    assert both.get_xlabel() == "true kg" and f"{np.sqrt(5 / 3):.3g}" in left.get_title(loc="left")


def test_columns_are_ordered_by_their_effect_and_keep_their_names() -> None:
    coef, deviation = np.array([1.0, -5, 0.1]), np.array([1.0, 0.1, 100])
    assert largest(coef, deviation).tolist() == [2, 0, 1]
    figure: Any = coefficient_figure(coef, deviation, ["a", "b", "c"], "t", errors=np.array([0.5, 1, 0.02]))
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "c   θ = 0.1 ± 0.02", "a   θ = 1 ± 0.5", "b   θ = -5 ± 1",
    ]  # fmt: skip
    assert "standard error" in axis.get_xlabel()
    many = coefficient_figure(np.arange(100.0), np.ones(100), [str(i) for i in range(100)], "t")
    assert "The 30 largest of 100" in many.get_supxlabel()


def test_figures_of_every_kind_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    path = lasso_path(x, x @ [3.0, 0.0, -1.0])
    save_figure(lasso_figure(path, 0.1, x.std(0), ["a", "b", "c"], "t"), tmp_path / "path.pdf")
    save_figure(template_figure(rng.normal(size=(16, 3)), (4, 4), "xyz", "t"), tmp_path / "templates.png")
    save_figure(coefficient_figure(rng.normal(size=(5, 9)), np.ones(5), "abcde", "t"), tmp_path / "several.svg")
    assert all(path.stat().st_size > 3000 for path in tmp_path.iterdir())


def test_a_regression_leaves_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["fit", "lasso", "diabetes", "--l1", "1", "--out", str(out), "--format", "svg", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {p.name for p in out.iterdir() if p.suffix == ".svg"} == {"residuals.svg", "coefficients.svg", "path.svg"}
    rows = list(csv.DictReader(StringIO((out / "test.csv").read_text(encoding="utf-8"))))
    wrong = np.array([float(row["true"]) - float(row["predicted"]) for row in rows])
    assert len(rows) == answer["test_size"] and np.mean(wrong**2) == pytest.approx(answer["test_mse"], rel=1e-6)
    assert rlnut.load(out).test_mse == answer["test_mse"]


def test_a_classification_reports_its_confusion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["fit", "logistic", "iris", "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    matrix = np.array(answer["confusion"])
    assert matrix.sum() == answer["test_size"] and np.trace(matrix) / matrix.sum() == answer["test_accuracy"]
    rows = list(csv.DictReader(StringIO((out / "test.csv").read_text(encoding="utf-8"))))
    names = sorted({row["true"] for row in rows})
    peer = pytest.importorskip("sklearn.metrics")
    pairs = [[row[word] for row in rows] for word in ("true", "predicted")]
    assert peer.confusion_matrix(*pairs, labels=names).tolist() == matrix.tolist()
    assert all(0 < float(row["probability"]) <= 1 for row in rows)
    assert {p.name for p in out.glob("*.png")} == {"confusion.png", "coefficients.png"}


def test_least_squares_says_how_sure_its_coefficients_are() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    found = rlnut.fit("linear", (x, x @ [1.0, 2.0] + rng.normal(size=60), x[:1], np.ones(1)), progress=False)
    assert len(found.result["coef_se"]) == 2 and min(found.result["coef_se"]) > 0.05


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "linear", "ohm", "--format", "svg"], "--format has no effect without --out"),
        (["fit", "linear", "ohm", "--format", "gif", "--out", "x"], "unknown format 'gif'"),
        (["predict", "td0", "rlnut/RandomWalk5-v0", "--format", "svg"], "--format has no effect without --out"),
        (["figure", "11.6", "--format", "svg", "--out", "x.png"], "name two formats"),
    ],
)
def test_formats_that_cannot_be(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
