"""The dialects of .csv files: each way to write one table is read as that table, or refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tables import numbers, read_table

from rlnut import UsageError, fit
from rlnut.cli import main
from rlnut.data.csv_files import read_csv
from rlnut.data.raw_tables import RawTable, is_number
from rlnut.data.user_files import read_rows

PLAIN = "a,b,y\n0.5,1,2.25\n-1.5,3,4.5\n2.5e1,-2,0.75\n"
ROWS = [["0.5", "1", "2.25"], ["-1.5", "3", "4.5"], ["2.5e1", "-2", "0.75"]]


def read(folder: Path, text: str | bytes, *expected: str) -> RawTable:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(path, expected)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        (PLAIN, "3 columns separated by comma; named by the first row"),
        (PLAIN.replace(",", ";"), "semicolon"),
        (PLAIN.replace(",", "\t"), "tab"),
        (PLAIN.replace(",", "|"), "vertical bar"),
        (PLAIN.replace(",", ", "), "comma"),
        (PLAIN.replace("\n", "\r\n"), "comma"),
        (PLAIN.replace("\n", "\r"), "comma"),
        ("\ufeff" + PLAIN, "comma"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "semicolon"),
        ("\n\n" + PLAIN + "   \n\n", "comma"),
        (PLAIN + ",,\n", "comma"),
        (PLAIN.rstrip(), "comma"),
        ("# one\n" + PLAIN.replace("-1.5", "# two; with a 'quote\n-1.5"), "2 lines of comment left out"),
        ("# a,b,y\n" + PLAIN.partition("\n")[2], "named by the first row"),
        ('"a","b","y"\n"0.5","1","2.25"\n-1.5,3,4.5\n2.5e1,-2,0.75\n', "comma"),
        (",a,b,y\n0,0.5,1,2.25\n1,-1.5,3,4.5\n2,2.5e1,-2,0.75\n", "left out: the first column"),
        ("Unnamed: 0,a,b,y\n7,0.5,1,2.25\n9,-1.5,3,4.5\n9,2.5e1,-2,0.75\n", "left out: the first column"),
        ('"","a","b","y"\n"1",0.5,1,2.25\n"2",-1.5,3,4.5\n"3",2.5e1,-2,0.75\n', "left out: the first column"),
        ('"a","b","y"\n"1",0.5,1,2.25\n"2",-1.5,3,4.5\n"3",2.5e1,-2,0.75\n', "left out: the first column"),
        ("a,b,y,\n0.5,1,2.25,\n-1.5,3,4.5,\n2.5e1,-2,0.75,\n", "left out: column 3, which is empty"),
    ],
)
def test_one_table_in_many_dialects(tmp_path: Path, text: str, noted: str):
    found = read(tmp_path, text)
    assert found.named and found.names == ["a", "b", "y"] and noted in found.note
    assert np.array(found.columns).T.tolist() == ROWS


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("2019,2020,2021", "0.5,1.25,2.5\n-1.5,0.25,1.5\n"),  # years over decimals
        ("2019,2020,2021", "120,3,17\n80,12,9\n95,2000,3\n"),  # years over counts
        ("0,1,2", "5.5,0.5,3.25\n2.5,1.5,8.5\n"),  # the names that pandas gives
        ("0,1,2", "5,0,3\n2,1,8\n"),
        ("1,2,3", "5,0,3\n2,1,8\n"),
        ("10,20,30", "0.5,0.25,0.75\n0.25,0.125,0.875\n"),  # doses, wavelengths
        ("id,2019,2020", "7,0.5,0.25\n8,0.75,1.5\n"),
        ("name,2019,2020", "ann,0.5,0.25\nbob,0.75,1.5\n"),
        ("2019,x,y", "0.5,0.25,1\n0.75,1.5,2\n"),
    ],
)
def test_names_that_look_like_numbers(tmp_path: Path, header: str, rows: str):
    found = read(tmp_path, f"{header}\n{rows}")
    assert found.named and found.names == header.split(",") and len(found.columns[0]) == rows.count("\n")


@pytest.mark.parametrize(
    "rows",
    [
        "1,2\n3,5\n4,9\n",
        "0,1,2\n3,4,5\n6,7,8\n",  # numpy.arange
        "0,1,2\n0,2,1\n1,0,2\n",  # permutations
        "1950,2010\n1936,1999\n1911,1980\n",  # years that are data
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.9,virginica\n",
        "1,2.5\n2,4.5\n",
        "0.5,1.25\n1,2\n3,4\n",
        "0,095;1,25\n0,1;2,5\n",
        ",1.5\n2,3\n",
    ],
)
def test_a_first_row_of_data_stays_data(tmp_path: Path, rows: str):
    found = read(tmp_path, rows)
    assert not found.named and len(found.columns[0]) == rows.count("\n") and "without names" in found.note
    assert found.names == [str(i) for i in range(len(found.names))]


def test_a_name_that_is_asked_for_settles_it(tmp_path: Path):
    text = "7,8,9\n1,2,3\n4,5,6\n"
    assert not read(tmp_path, text).named and not read(tmp_path, text, "2").named
    assert read(tmp_path, text, "9").named
    assert read_table(tmp_path / "table.csv", "9").columns == ("7", "8")


@pytest.mark.parametrize("cell", ["1_02", "1_000.5", "0x10", "1e5_0", "１２", "1,5", "--1", "1e", ".", "²", "1 000"])
def test_text_that_only_looks_like_a_number_stays_text(cell: str):
    assert not is_number(cell)


@pytest.mark.parametrize("cell", ["1", "-1.", "+.5", "1e5", "1.5E-3", "inf", "-Infinity", "007"])
def test_decimal_numbers_are_numbers(cell: str):
    assert is_number(cell) and isinstance(float(cell), float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n", "has no rows, only a line of column names"),
        ("", "is empty"),
        ("# nothing\n\n", "is empty"),
        ("größe,y\n1,2\n".encode("latin-1"), r"not.*UTF-8|byte 0xf6 in line 1.*save it as CSV in UTF-8"),
        ("a,y\n1,2\n3,größe\n".encode("cp1252"), "byte 0xf6 in line 3"),
        ("a,y\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,y\n1,\x002\n", "no text at all"),
        ("a,b,y\n1,2,3\n1,2\n", r"row 2 has 2 cells, expected 3 \(line 3\)"),
        ("# c\na,b\n\n1,2,3\n1,2\n", r"row 1 has 3 cells, expected 2 \(line 4\)"),
        ("a,b\n0,5,1,5\n2,5,0,5\n", "decimal commas"),
        ('a,b\n1,"2\n3,4\n', "a quote that is not closed"),
        ("a,,y\n1,2,3\n4,5,6\n", "column 1 .counted from 0. has no name"),
        ("a,a\n1,2\n", "two columns named 'a'"),
    ],
)
def test_what_is_no_table_is_refused_with_the_place(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a;b;y\n0,5;1;2\n1,5;2;3\n",
            "column 'a' holds numbers with a comma such as '0,5', the first in row 1 .line 2.",
        ),
        ("a;b;y\n0.5;1;2,5\n1.5;2;3\n", "column 'y' holds numbers with a comma such as '2,5'"),
        ("id,x,y\n1_01,2,3\n102,3,4\n", "column 'id' holds text such as '1_01', the first in row 1 .line 2."),
        ("# c\na,b,y\n1,2,3\n\n4,NA,6\n7,,9\n", "column 'b' has 2 missing values, the first in row 2 .line 5."),
        ("a,b,y\n1,2,3\n4,yes,6\n", "column 'b' holds text such as 'yes', the first in row 2"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_place(tmp_path: Path, text: str, message: str):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_table(tmp_path / "t.csv", "y")


def test_booleans_are_1_and_0(tmp_path: Path):
    (tmp_path / "b.CSV").write_text("s,t,u,y\nTrue,yes,FALSE,1.5\nFalse,NO,TRUE,2.5\nTRUE,no,FALSE,3\n")
    found = read_table(tmp_path / "b.CSV", "y")
    assert found.x.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]] and "read as 1 and 0: s, t, u" in found.note


def test_quoted_cells_may_hold_separators_lines_and_hashes(tmp_path: Path):
    (tmp_path / "q.csv").write_text('x,"y, the\n# answer"\n1,"a, b"\n2,"c\n#d"\n', encoding="utf-8")
    found = read_table(tmp_path / "q.csv", "y, the\n# answer")
    assert found.x.tolist() == [[1], [2]] and found.y.tolist() == ["a, b", "c\n#d"]


def test_new_rows_are_read_in_every_dialect_too(tmp_path: Path):
    for text in (",2020,2021\n0,1,2\n1,3,4\n", "2021;2020\n2;1\n4;3\n", "# c\n2020\t2021\n1\t2\n3\t4\n\n"):
        (tmp_path / "n.csv").write_text(text)
        found = read_rows(tmp_path / "n.csv", numbers(("2020", "2021")), "2022")
        assert found.x.tolist() == [[1, 2], [3, 4]] and "named by the first row" in found.note


def line(folder: Path, rows: int = 16) -> str:
    x = np.arange(rows)
    text = "x,y\n" + "".join(f"{a},{3 * a + 2}\n" for a in x)
    (folder / "whole.csv").write_text(text)
    return str(folder / "whole.csv")


def test_the_task_is_read_before_whole_numbers_become_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As Longley's table: y holds as many different whole numbers as there are rows, at most 20."""
    path = line(tmp_path)
    assert main(["fit", "linear", path, "--target", "y"]) == 2
    assert "too few of each to hold out test rows" in capsys.readouterr().err
    settings: dict[str, Any]
    for model in ("linear", "ridge", "lasso"):
        settings = {} if model == "lasso" else {"task": "regression"}
        found = fit(model, path, target="y", progress=False, **settings)
        assert found.classes is None and found.test_mse == pytest.approx(0, abs=1e-2)


def test_without_test_rows_all_rows_are_fitted_and_no_test_figure_is_reported(tmp_path: Path, capsys):
    path = line(tmp_path)
    words = ["fit", "linear", path, "--target", "y", "--task", "regression", "--test", "0"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "fitted to all 16 rows; no test rows, so no test figure" in said.err and "whole.csv: 2 columns" in said.err
    found = fit("linear", path, target="y", task="regression", test=0, progress=False)
    assert found.result["coef"] == pytest.approx([3]) and found.result["intercept"] == pytest.approx(2)
    assert found.result["train_size"] == 16 and found.result["test_size"] == 0
    assert found.test_mse is None and "test_mse" not in found.result
    network = fit("mlp", path, target="y", task="regression", test=0, hidden=(4,), epochs=1, progress=False)
    assert network.result["train_size"] == 16 and network.test_mse is None
    half = fit("linear", path, target="y", task="regression", test=0.5, progress=False)
    assert half.result["test_size"] == 8


@pytest.mark.parametrize(
    ("dataset", "test", "message"),
    [("iris", 1, ">= 0 and < 1"), ("iris", "x", ">= 0 and < 1"), ("mnist-5k", 0.1, "test rows of its own")],
)
def test_wrong_shares_of_test_rows(dataset: str, test: float, message: str):
    with pytest.raises(UsageError, match=message):
        fit("linear", dataset, test=test)
