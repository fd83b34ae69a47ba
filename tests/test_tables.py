"""Tables: synthetic ones hold their truth, real ones are what they are known to be, files are read or refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import RlnutError, UsageError
from rlnut.lasso import lasso
from rlnut.least_squares import least_squares
from rlnut.logistic import logistic
from rlnut.tables import REAL, SYNTHETIC, Table, dataset, load_table, ohm, read_table, real, sparse, thermal


def test_models_find_the_truth_of_synthetic_tables():
    current = ohm(5000)
    assert least_squares(current.x, current.y).coef[0] == pytest.approx(current.truth["theta"][0], abs=0.03)
    many = sparse(2000)
    fit = lasso(many.x, many.y, 0.1)
    assert np.flatnonzero(fit.coef).tolist() == np.flatnonzero(many.truth["theta"]).tolist()
    states = thermal(100_000)
    found = logistic(states.x, states.y).solution
    assert found.coef[0] == pytest.approx(-1.0, abs=0.05) and found.intercept == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("name", ["spirals", "xor"])
def test_what_a_line_cannot_separate(name: str):
    table = SYNTHETIC[name](4000)
    fit = logistic(table.x, table.y)
    assert (fit.predict(table.x) == table.y).mean() < 0.7
    if name == "xor":
        product = (table.x[:, :1] * table.x[:, 1:]) * 10
        assert (logistic(product, table.y, 1e-6).predict(product) == table.y).mean() > 0.98


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("iris", (150, 4), 3), ("wine", (178, 13), 3), ("breast-cancer", (569, 30), 2), ("diabetes", (442, 10), None)],
)
def test_real_tables(name: str, shape: tuple, classes: int | None):
    table = real(name)
    assert table.x.shape == shape and len(table.columns) == shape[1]
    assert table.classify == (classes is not None)
    if classes:
        assert len(np.unique(table.y)) == classes


@pytest.mark.parametrize("name", [*SYNTHETIC, *REAL])
def test_train_and_test_rows_are_disjoint_seeded_and_stratified(name: str):
    table = load_table(name)
    found = dataset(table, name, 0.25, seed=3)
    again, other = dataset(table, name, 0.25, seed=3), dataset(table, name, 0.25, seed=4)
    rows = np.concatenate([found.x_train, found.x_test])
    key = np.sort([row.tobytes() for row in rows])
    assert (key == np.sort([row.tobytes() for row in table.x])).all()
    assert len(found.y_test) == pytest.approx(0.25 * len(table.y), abs=1)
    assert (found.x_test == again.x_test).all() and not np.array_equal(found.x_test, other.x_test)
    if table.classify:
        for label in np.unique(table.y):
            assert (found.y_test == label).mean() == pytest.approx((table.y == label).mean(), abs=0.02)


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
        ("a,b,y\n1,,1\n2,3,4\n", "y", "column 'b' has 1 missing values, the first in row 1"),
        ("a,b,y\n1,5,1\n2,NaN,4\n", "y", "column 'b' has 1 missing values, the first in row 2"),
        ("a,b,y\n1,5,1\n2,inf,4\n", "y", "column 'b' has 1 missing or infinite values, the first in row 2"),
        ("a,b,y\n1,red,1\n2,blue,4\n", "y", "column 'b' holds text such as 'red'"),
        ("a,b,y\n1,7,1\n2,7,4\n", "y", r"column 'b' is constant \(7\)"),
        ("a,y\n1,cat\n2,cat\n", "y", "column 'y' holds a single class, cat"),
        ("a,y\n1,3\n2,3\n", "y", "column 'y' holds a single class, 3"),
        ("a,y\n1,0.5\n2,0.5\n", "y", "column 'y' holds a single value, 0.5"),
        ("a,y\n1,\n2,3\n", "y", "column 'y' has 1 missing values"),
        ("a,y\n1,2\n2,3\n", "z", "unknown column 'z'.* Known: a, y"),
        ("a,y\n1,2\n2,3\n", None, "say which column of .* with target: a, y"),
        ("a,a\n1,2\n2,3\n", "a", "two columns named 'a'"),
        ("a,y\n1,2\n2\n", "y", "row 2 has 1 cells, expected 2"),
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
        (tmp_path / "no.csv", "y", "auto", "is not there"),
        (tmp_path / "x.txt", "y", "auto", "must be a .csv, .npy or .npz"),
        (path, "y", "both", "unknown task 'both'"),
        (path, "y", "regression", "it can only be classified"),
        (write(tmp_path, "a,y\n1,0.5\n2,1\n"), "y", "classification", "0.5: they are no classes"),
    ]
    for where, target, task, message in cases:
        with pytest.raises(UsageError, match=message):
            read_table(where, target, task)
    np.savez(tmp_path / "z.npz", x=np.eye(2))
    with pytest.raises(UsageError, match="must hold the arrays x and y, got x"):
        read_table(tmp_path / "z.npz")
    with pytest.raises(UsageError, match="takes no target"):
        read_table(tmp_path / "z.npz", "y")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "b.csv").write_bytes(b"a,y\n\xff,1\n")
    for name in ("o.npy", "b.csv"):
        with pytest.raises(RlnutError, match="cannot be read"):
            read_table(tmp_path / name, "y")
    with pytest.raises(UsageError, match="--data has no meaning"):
        load_table("ohm", "folder")
    with pytest.raises(UsageError, match="unknown table"):
        real("titanic")


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
