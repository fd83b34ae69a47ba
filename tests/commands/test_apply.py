"""`rlnut predict DIR FILE`: what a fit says of new rows equals its equation; refusals in one line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlnut.cli import main


def run(capsys: Any, *words: Any) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> tuple[Path, Path]:
    """A file of y = 2a − b + 1 and of a class with a name, and folders fitted to them."""
    home = tmp_path_factory.mktemp("apply")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    lines = [f"{x},{z},{2 * x - z + 1},{'high' if x > 0 else 'low'}" for x, z in zip(a, b, strict=True)]
    (home / "values.csv").write_text("a,b,y\n" + "\n".join(line.rpartition(",")[0] for line in lines))
    (home / "classes.csv").write_text("a,b,_,kind\n" + "\n".join(lines))
    for words in (
        ["fit", "linear", "--data", home / "values.csv", "--target", "y", "--out", home / "line"],
        ["fit", "logistic", home / "classes.csv", "--target", "kind", "--out", home / "kinds"],
    ):
        assert main([*map(str, words)]) == 0
    return home / "line", home / "kinds"


def test_values_of_new_rows_are_those_of_the_line(capsys, places, tmp_path):
    rows = tmp_path / "new.csv"
    rows.write_text("b,a\n0,0\n3,1\n")
    found = run(capsys, "predict", places[0], rows, "--out", tmp_path / "p.csv")
    assert set(found) == {"model", "rows", "predictions", "out"} and found["rows"] == 2
    np.testing.assert_allclose(found["predictions"], [1, 0], atol=1e-5)
    table = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert table[0] == ["prediction"] and [float(cell) for (cell,) in table[1:]] == found["predictions"]
    assert main(["predict", str(places[0]), str(rows), "--out", str(tmp_path / "p.csv")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["predict", str(places[0]), str(rows)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "prediction"


def test_classes_come_with_probabilities_and_are_judged_where_the_truth_is_there(capsys, places, tmp_path):
    rows = tmp_path / "new.csv"
    rows.write_text("a,b,_,kind\n9,0,19,high\n-9,0,-17,low\n8,0,17,low\n")
    found = run(capsys, "predict", places[1], rows)
    assert found["predictions"] == ["high", "low", "high"] and found["classes"] == ["high", "low"]
    assert found["accuracy"] == pytest.approx(2 / 3)
    chance = np.array(found["probabilities"])
    np.testing.assert_allclose(chance.sum(1), 1, rtol=1e-5)
    assert (chance.argmax(1) == [0, 1, 0]).all()


def test_the_rows_of_a_dataset_are_its_test_rows(capsys, tmp_path):
    fitted = run(capsys, "fit", "ridge", "diabetes", "--out", tmp_path / "d")
    found = run(capsys, "predict", tmp_path / "d", "diabetes")
    assert found["mse"] == pytest.approx(fitted["test_mse"], rel=1e-5) and found["rows"] == fitted["test_size"]


def test_refusals(capsys, places, tmp_path):
    (tmp_path / "q.csv").write_text("a\n1\n")
    (tmp_path / "empty").mkdir()
    for words, status, text in (
        ([places[0], tmp_path / "q.csv"], 2, "lacks column 'b'"),
        ([places[0], tmp_path / "no.csv"], 2, "does not exist"),
        ([places[0], "irsi"], 2, "Did you mean iris"),
        ([places[0], "iris"], 2, "x must be numbers [rows, 2]"),
        ([places[0], tmp_path / "q.csv", "--out", "p.txt"], 2, "writes a .csv file"),
        ([places[0], tmp_path / "q.csv", "--data", "x"], 2, "no effect with a file"),
        ([tmp_path / "empty", tmp_path / "q.csv"], 1, "config.json is missing"),
        ([tmp_path / "nowhere", tmp_path / "q.csv"], 2, "unknown method"),
    ):
        assert main(["predict", *map(str, words)]) == status, words
        error = capsys.readouterr().err
        assert text in error and "Traceback" not in error and error.count("\n") == 1, error


def test_the_perceptron_s_scores_are_no_probabilities(capsys, tmp_path):
    run(capsys, "fit", "perceptron", "iris", "--out", tmp_path / "p")
    assert "probabilities" not in run(capsys, "predict", tmp_path / "p", "iris")
