"""The user's own file: read as a table, or refused with the column's name; new rows in the columns of a fit."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tables import numbers, read_table
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import RlnutError, UsageError
from rlnut.data.small_tables import Table
from rlnut.data.user_files import read_rows


def write(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_and_without_names(tmp_path: Path):
    table = read_table(write(tmp_path, "I, V ,kind\n1,2.5,a\n2,4.5,b\n3,6.5,a\n"), "kind")
    assert table.columns == ("I", "V") and table.y.tolist() == ["a", "b", "a"] and table.classify
    assert table.x.tolist() == [[1, 2.5], [2, 4.5], [3, 6.5]]
    bare = read_table(write(tmp_path, "1,2.5\n2,4.5\n"), "1")
    assert bare.columns == ("0",) and bare.y.tolist() == [2.5, 4.5] and not bare.classify
    quoted = read_table(write(tmp_path, '\ufeff"a, b",y\r\n1,0\r\n\r\n2,1\r\n'), "y")
    assert quoted.columns == ("a, b",) and quoted.y.tolist() == [0, 1] and quoted.classify


def test_npy_and_npz_are_the_same_table(tmp_path: Path):
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    np.save(tmp_path / "a.npy", np.column_stack([x, y]))
    np.savez(tmp_path / "a.npz", x=x, y=y)
    for table in (read_table(tmp_path / "a.npy", "2"), read_table(tmp_path / "a.npz")):
        assert table.x.tolist() == x.tolist() and table.y.tolist() == y.tolist() and table.classify


@pytest.mark.parametrize(
    ("values", "task", "classify"),
    [
        (range(20), "auto", True),
        (range(21), "auto", False),
        (range(21), "classification", True),
        (range(20), "regression", False),
        ([0.5, 1, 2], "auto", False),
    ],
)
def test_classes_or_values_are_inferred(tmp_path: Path, values, task: str, classify: bool):
    lines = "".join(f"{i * i},{v}\n" for i, v in enumerate(values))
    assert read_table(write(tmp_path, "x,y\n" + lines), "y", task).classify is classify


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b,y\n1,,1\n2,3,4\n", "y", "column 'b' has 1 missing value, the first in row 1"),
        ("a,b,y\n1,5,1\n2,NaN,4\n", "y", "column 'b' has 1 missing value, the first in row 2"),
        ("a,b,y\n1,5,1\n2,inf,4\n", "y", "column 'b' has 1 infinite value, the first in row 2"),
        ("a,b,y\n1,red,1\n2,3,4\n", "y", "column 'b' holds text such as 'red', the first in row 1 .line 2.: correct"),
        ("a,b,y\n1,7,1\n2,7,4\n", "y", r"column 'b' is constant \(7\)"),
        ("a,y\n1,cat\n2,cat\n", "y", "column 'y' holds a single class, cat"),
        ("a,y\n1,3\n2,3\n", "y", "column 'y' holds a single class, 3"),
        ("a,y\n1,0.5\n2,0.5\n", "y", "column 'y' holds a single value, 0.5"),
        ("a,y\n1,\n2,3\n", "y", "column 'y' has 1 missing value"),
        ("a,y\n1,2\n2,3\n", "z", "unknown column 'z'.* Known: a, y"),
        ("a,y\n1,2\n2,3\n", None, "say which column of .* with target: a, y"),
        ("a,a\n1,2\n2,3\n", "a", "two columns named 'a'"),
        ("a,y\n1,2\n2\n", "y", "row 2 has 1 cell, expected 2"),
        ("y\n1\n2\n", "y", "a column beside 'y'"),
        ("a,y\n1,2\n", "y", "at least 2 rows"),
        ("", "y", "is empty"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(tmp_path: Path, text: str, target: str | None, message: str):
    with pytest.raises(UsageError, match=message):
        read_table(write(tmp_path, text), target)


def test_wrong_files_and_tasks(tmp_path: Path):
    path = write(tmp_path, "a,y\n1,0.5\n2,cat\n").rename(tmp_path / "words.csv")
    cases = [
        (tmp_path / "no.csv", "y", "auto", "does not exist"),
        (tmp_path / "x.txt", "y", "auto", "must be a .csv, .npy, .npz or .parquet"),
        (path, "y", "both", "unknown task 'both'"),
        (path, "y", "regression", "it can only be classified"),
        (write(tmp_path, "a,y\n1,0.5\n2,1\n"), "y", "classification", "0.5: they are no classes"),
    ]
    for where, target, task, message in cases:
        with pytest.raises(UsageError, match=message):
            read_table(where, target, task)
    np.savez(tmp_path / "z.npz", x=np.eye(2))
    with pytest.raises(UsageError, match=r"z.npz: x must be .* and y \[n\], got no y"):
        read_table(tmp_path / "z.npz")
    with pytest.raises(UsageError, match="takes no target"):
        read_table(tmp_path / "z.npz", "y")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "b.csv").write_bytes(b"a,y\n\xff,1\n")
    for name in ("o.npy", "b.csv"):
        with pytest.raises(RlnutError, match=r"cannot (be )?read"):
            read_table(tmp_path / name, "y")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), min_size=2, max_size=20))
def test_numbers_survive_the_csv(tmp_path_factory, values: list):
    folder = tmp_path_factory.mktemp("csv")
    array = np.array(values)
    text = "a,b,y\n" + "".join(",".join(map(repr, row)) + "\n" for row in values)
    try:
        table: Table = read_table(write(folder, text), "y", "regression")
    except UsageError as error:
        assert "constant" in str(error) or "single value" in str(error)
        assert any((column == column[0]).all() for column in array.T)
    else:
        assert (table.x == array[:, :2]).all() and (table.y == array[:, 2]).all()


def test_windows_and_images_of_an_npz(tmp_path: Path):
    x = np.arange(24.0).reshape(4, 3, 2)
    np.savez(tmp_path / "w.npz", x=x, y=[0, 1, 0, 1], lengths=[3, 1, 2, 3])
    table = read_table(tmp_path / "w.npz")
    assert np.isnan(table.x[1, 1:]).all() and np.isnan(table.x[2, 2:]).all() and table.classify
    assert np.isnan(table.x).sum() == 2 * (0 + 2 + 1 + 0)
    np.savez(tmp_path / "i.npz", x=x.astype(np.uint8), y=[0.5, 1, 0, 1])
    assert read_table(tmp_path / "i.npz").x.dtype == np.uint8 and not read_table(tmp_path / "i.npz").classify
    for lengths, text in (([3, 0, 2, 3], "between 1 and the 3 steps"), ([1, 2], "lengths must be whole numbers")):
        np.savez(tmp_path / "l.npz", x=x, y=[0, 1, 0, 1], lengths=lengths)
        with pytest.raises(UsageError, match=text):
            read_table(tmp_path / "l.npz")


def test_new_rows_are_found_by_name_or_by_order(tmp_path: Path):
    names = numbers(("I", "T"))
    rows = read_rows(write(tmp_path, "V,T,day,I\n5,1,9,2\n7,3,9,4\n"), names, "V")
    assert rows.x.tolist() == [[2, 1], [4, 3]] and rows.y is not None and rows.y.tolist() == [5, 7]
    assert rows.ignored == ("day",)
    alone = read_rows(write(tmp_path, "T,I\n1,2\n"), names, "V")
    assert alone.x.tolist() == [[2, 1]] and alone.y is None
    bare = read_rows(write(tmp_path, "2,1\n4,3\n"), names, "V")
    assert bare.x.tolist() == [[2, 1], [4, 3]] and bare.y is None
    # fitted to a file without names, target the middle column
    whole = read_rows(write(tmp_path, "2,5,1\n4,7,3\n"), numbers(("0", "2")), "1")
    assert whole.x.tolist() == [[2, 1], [4, 3]] and whole.y is not None and whole.y.tolist() == [5, 7]
    np.savez(tmp_path / "a.npz", x=np.eye(2), y=[1, 0])
    assert read_rows(tmp_path / "a.npz", names, "y").x.tolist() == [[1, 0], [0, 1]]
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    assert read_rows(tmp_path / "a.npy", numbers(()), None).x.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I,V\n1,2\n", "lacks column 'T'"),
        ("1,2,3,4\n", "has 4 columns, but the model was fitted to 2 and 'V'"),
        ("I,T\n", "has no rows"),
        ("I,T\n1,\n", "column 'T' has 1 missing value"),
        ("I,T\n1,warm\n", "column 'T' holds text such as 'warm'"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        read_rows(write(tmp_path, text), numbers(("I", "T")), "V")
