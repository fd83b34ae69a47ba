"""Text, gaps and chosen columns of a user's table, against what is worked out by hand; DataFrames and Parquet alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers.tables import read_table

import rlnut
from rlnut import UsageError
from rlnut.cli import main
from rlnut.data import frames
from rlnut.data.catalogue import load_dataset
from rlnut.data.table_settings import TableSettings

HOMES = "rooms,city,price\n2,Ulm,9\n,Bonn,4.5\n4,,8\n6,Ulm,11\n8,Kiel,7\n"


def write(folder: Path, text: str, name: str = "homes.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_text_is_one_hot_encoded_in_the_order_of_its_levels(tmp_path: Path):
    text = "a,colour,y\n1,red,0.5\n2,blue,1\n3,red,2\n4,green,3\n"
    found = read_table(write(tmp_path, text), "y")
    assert found.columns == ("a", "colour=blue", "colour=green", "colour=red")
    assert found.x.tolist() == [[1, 0, 0, 1], [2, 1, 0, 0], [3, 0, 0, 1], [4, 0, 1, 0]]
    assert "one-hot encoded: colour (blue, green, red)" in found.note
    part = load_dataset(tmp_path / "homes.csv", None, "y", reference=True, test=0)
    assert part.columns == ("a", "colour=green", "colour=red") and "blue is the reference" in part.note
    assert part.x_train[:, 1:].tolist() == [[0, 1], [0, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("missing", "rooms", "ulm", "note"),
    [
        ("mean", [2, 5, 4, 6, 8], [1, 0, 1, 1, 0], "filled in: rooms 1 × 5, city 1 × 'Ulm'"),
        ("median", [2, 5, 4, 6, 8], [1, 0, 1, 1, 0], "filled in: rooms 1 × 5, city 1 × 'Ulm'"),
        ("drop", [2, 6, 8], [1, 1, 0], "dropped: 2 rows with missing values"),
    ],
)
def test_missing_values_are_filled_or_their_rows_dropped(tmp_path: Path, missing, rooms, ulm, note):
    found = read_table(write(tmp_path, HOMES), "price", "regression", missing=missing)
    assert found.columns[0] == "rooms" and found.columns[-1] == "city=Ulm" and note in found.note
    assert found.x[:, 0].tolist() == rooms and found.x[:, -1].tolist() == ulm


def test_the_mean_and_the_levels_are_those_of_the_training_rows():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=40)
    gone = np.arange(40) % 5 == 0
    frame = pd.DataFrame({"x": np.where(gone, np.nan, x), "y": x})
    found = load_dataset(frame, target="y", test=0.3, table=TableSettings(missing="mean"), seed=4)
    train = np.isin(x, found.y_train)
    assert len(found.y_test) == 12 and not np.isin(found.y_test, found.y_train).any()
    filled = np.where(gone, x[train & ~gone].mean(), x)
    np.testing.assert_allclose(found.x_train[:, 0], filled[train])
    np.testing.assert_allclose(found.x_test[:, 0], filled[~train])
    assert found.code is not None
    fill = found.code.columns[0].fill
    assert isinstance(fill, float) and abs(fill - x[~gone].mean()) > 1e-3
    again = load_dataset(frame, target="y", test=0.3, table=TableSettings(missing="mean"), seed=5)
    assert not np.array_equal(again.y_test, found.y_test)


@pytest.mark.parametrize(
    ("text", "chosen", "message"),
    [
        (
            HOMES,
            {},
            r"columns 'rooms' \(1\), 'city' \(1\) have 2 missing values, the first in row 2 .line 3.: set",
        ),
        (HOMES.replace("4.5", ""), {"drop": ("city",)}, r"'rooms' \(1\), 'price' \(1\) have 2 missing"),
        (HOMES, {"columns": ("rooms",), "drop": ("city",)}, "give one of them"),
        (HOMES, {"drop": ("cty",)}, "unknown column 'cty'. Did you mean city"),
        (HOMES, {"drop": ("price",)}, "'price' is the target"),
        (HOMES, {"drop": ("rooms", "city")}, "a column beside 'price'"),
        (HOMES, {"missing": "mode"}, "unknown missing 'mode'"),
        ("a,b,y\n" + "".join(f"n{i},{i},{i}.5\n" for i in range(12)), {}, "'a' holds 12 different texts in 12 rows"),
        ("a,b,y\n,1,2\n,2,3\n", {"missing": "mean"}, "column 'a' has no value"),
        ("a,b,y\nx,1,2\nx,2,3.5\n", {}, r"column 'a' is constant \(x\)"),
        ("a,b,y\n1,1,2\n,2,3.5\n,3,1\n", {"missing": "drop"}, "fewer than 2 of 3 rows are complete"),
        (
            "a,b,y\n1,1,2\n3+,2,3.5\n2,3,1\n",
            {},
            r"'a' holds text such as '3\+', the first in row 2 \(line 3\): correct",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line(tmp_path: Path, text: str, chosen: Any, message: str):
    with pytest.raises(UsageError, match=message) as caught:
        read_table(write(tmp_path, text), "price" if "price" in text else "y", **chosen)
    assert "\n" not in str(caught.value)


def test_columns_are_chosen_by_name_or_number_and_numbers_may_be_names(tmp_path: Path):
    path = write(tmp_path, "id,code,b,y\n1,10,5,1.5\n2,20,6,2.5\n3,10,8,3\n")
    assert read_table(path, "y", columns=("b", "1")).columns == ("code", "b")
    dropped = read_table(path, "y", drop=("0",), categorical=("code",))
    assert dropped.columns == ("code=10", "code=20", "b") and "left out: id" in dropped.note
    assert dropped.x.tolist() == [[1, 0, 5], [0, 1, 6], [1, 0, 8]]
    mixed = write(tmp_path, "a,y\n1,1\n3+,2.5\n1,3\n", "mixed.csv")
    assert read_table(mixed, "y", categorical=("a",)).columns == ("a=1", "a=3+")


def test_a_file_and_its_frames_are_the_same_table(tmp_path: Path):
    text = "n,flag,kind,gap,y\n1,true,a,1.5,0.5\n2,false,b,,1\n3,true,a,2,2\n4,true,b,3,3\n"
    csv = read_table(write(tmp_path, text), "y", missing="median")
    frame = pd.read_csv(tmp_path / "homes.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    options = TableSettings(missing="median")
    by = [load_dataset(one, target="y", test=0, table=options) for one in (frame, pl.read_csv(tmp_path / "homes.csv"))]
    by.append(load_dataset(tmp_path / "t.parquet", None, "y", test=0, table=options))
    for other in by:
        assert other.columns == csv.columns and other.x_train.tolist() == csv.x.tolist()
        assert other.y_train.tolist() == csv.y.tolist()
    text_and_gaps = pd.DataFrame({"i": pd.array([1, None, 3], "Int64"), "c": pd.Categorical(["x", "y", "x"])})
    found = load_dataset(text_and_gaps, y=pd.Series([0.5, 1.5, 2]), test=0, table=options)
    assert found.x_train.tolist() == [[1, 1, 0], [2, 0, 1], [3, 1, 0]]


def test_frames_of_other_things_and_damaged_files_are_refused(tmp_path: Path, monkeypatch: Any):
    y = [0.5, 1.5, 2.5]
    for column, message in (
        (pd.to_datetime(["2020-01-01", "2021-01-01", "2022-01-01"]), "holds dates or times"),
        ([[1], [2], [3]], "holds list, neither numbers nor text"),
        (["a", 1, 2], "text such as 'a' among numbers"),
    ):
        with pytest.raises(UsageError, match=f"column 'c' .*{message}"):
            load_dataset(pd.DataFrame({"c": column, "x": y}), y=y)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read_table(tmp_path / "bad.parquet", "y")
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(rlnut.RlnutError, match=r"rlnut\[tables\]"):
        read_table(tmp_path / "bad.parquet", "y")
    code = "import rlnut.data.catalogue, sys; assert not {'pandas', 'polars', 'pyarrow'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture(scope="module")
def homes() -> pd.DataFrame:
    """y = 2 rooms + 3 where the city is Ulm − 1 where it is Kiel, exactly; kind: a name for large y."""
    rng = np.random.default_rng(1)
    city = np.array(["Bonn", "Kiel", "Ulm"])[np.arange(60) % 3]
    rooms = rng.integers(1, 9, 60) + 0.5
    y = 2 * rooms + 3 * (city == "Ulm") - 1 * (city == "Kiel")
    return pd.DataFrame({"id": np.arange(60), "rooms": rooms, "city": city, "y": y})


def test_a_fit_of_text_finds_its_coefficients_and_applies_them(homes: pd.DataFrame, tmp_path: Path, capsys: Any):
    found = rlnut.fit("linear", homes, target="y", drop="id", out=tmp_path / "o", quiet=True)
    assert found.about["columns"] == ("rooms", "city=Kiel", "city=Ulm")
    np.testing.assert_allclose(found.result["coef"], [2, -1, 3], atol=1e-9)
    again = rlnut.load(tmp_path / "o")
    for model in (found, again):
        np.testing.assert_allclose(model.predict(homes[["city", "rooms"]]), homes["y"], atol=1e-6)
        np.testing.assert_allclose(model.predict(pl.from_pandas(homes)), homes["y"], atol=1e-6)
        assert model.score(homes, homes["y"]) == pytest.approx(1)
    homes.drop(columns="y").to_csv(tmp_path / "new.csv", index=False)
    assert main(["predict", str(tmp_path / "o"), str(tmp_path / "new.csv"), "--json"]) == 0
    said = capsys.readouterr()
    np.testing.assert_allclose(json.loads(said.out)["predictions"], homes["y"], atol=1e-6)
    assert "ignored, because" in said.err and "id" in said.err
    for text, message in (
        ("rooms,city\n2,Rom\n", "'city' holds text that is in no training row: 'Rom', the first in row 1 (line 2)"),
        ("rooms,city\n2,Ulm\n,Ulm\n", "column 'rooms' has 1 missing value, the first in row 2 (line 3)"),
        ("rooms,city\n2,Ulm\nmany,Ulm\n", "column 'rooms' holds text such as 'many'"),
        ("rooms\n2\n", "lacks column 'city'"),
    ):
        assert main(["predict", str(tmp_path / "o"), str(write(tmp_path, text, "bad.csv"))]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_gaps_and_unseen_text_of_new_rows_are_what_the_fit_says(homes: pd.DataFrame, tmp_path: Path):
    train = homes.astype({"city": object}).copy()
    train.loc[5, "rooms"], train.loc[6, "city"] = np.nan, None
    found = rlnut.fit("ridge", train, target="y", drop="id", missing="mean", unseen="zero", test=0, l2=0.01, quiet=True)
    mean = train["rooms"].mean()
    rows = pd.DataFrame({"rooms": [np.nan, 4.0], "city": ["Kiel", "Rom"]})
    theta, b = np.array(found.result["coef"]), found.result["intercept"]
    expected = [mean * theta[0] + theta[2] + b, 4 * theta[0] + b]
    np.testing.assert_allclose(found.predict(rows), expected)
    filled = rlnut.fit("ridge", train[["rooms"]].to_numpy(), homes["y"], missing="mean", l2=0.0, test=0, quiet=True)
    np.testing.assert_allclose(filled.predict([[np.nan]]), filled.predict([[mean]]))


def test_labels_of_text_come_back_as_text(homes: pd.DataFrame, tmp_path: Path, capsys: Any):
    data = homes.assign(kind=np.where(homes["y"] > 10, "large", "small")).drop(columns="y")
    found = rlnut.fit("logistic", data, target="kind", drop=["id"], quiet=True)
    assert found.classes == ("large", "small") and set(found.predict(data)) == {"large", "small"}
    assert found.score(data, data["kind"]) == np.mean(found.predict(data) == data["kind"])
    data.to_csv(tmp_path / "k.csv", index=False)
    words = ["fit", "logistic", str(tmp_path / "k.csv"), "--target", "kind", "--drop", "id"]
    assert main([*words, "--classes", "large,small", "--out", str(tmp_path / "o")]) == 0
    assert "one-hot encoded: city (Bonn, Kiel, Ulm)" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "o"), str(tmp_path / "k.csv"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["predictions"]) <= {"large", "small"}


def test_x_and_y_are_split_by_the_share_and_the_seed():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), np.repeat([0, 1], 25)
    by = [load_dataset(x, y=y, test=0.4, seed=seed) for seed in (0, 0, 1)]
    assert len(by[0].y_test) == 20 and by[0].y_test.sum() == 10  # each class in proportion
    np.testing.assert_array_equal(by[0].x_test, by[1].x_test)
    assert not np.array_equal(by[0].x_test, by[2].x_test)
    together = np.concatenate([by[0].x_train, by[0].x_test])
    np.testing.assert_array_equal(np.sort(together, 0), np.sort(x, 0))
    found = rlnut.fit("ridge", x, x @ [1.0, 2, 3], test=0.1, l2=0.0, quiet=True)
    assert found.result["test_size"] == 5 and found.test_mse == pytest.approx(0, abs=1e-20)
    both = rlnut.fit("mlp", (x, y), validation=0.25, epochs=2, quiet=True)
    assert (both.result["train_size"], both.result["validation_size"], both.result["test_size"]) == (30, 10, 10)
    assert len(both.history["validation_cost"]) == 2
    divided = rlnut.fit("linear", (pd.DataFrame(x), y, pd.DataFrame(x[:5]), y[:5]), quiet=True)
    assert divided.result["test_size"] == 5 and divided.about["columns"] == ("0", "1", "2")
    for arguments, message in (
        ((x, y[:9]), r"X has 50 rows but y has shape \[9\]"),
        (("iris", y), "y is given with X"),
        ((x[:, 0], y), "perhaps X"),
        ((pd.DataFrame(x),), "say which column of the table to learn with target: 0, 1, 2"),
    ):
        with pytest.raises(UsageError, match=message):
            rlnut.fit("linear", *arguments)
    wrongs: list[dict[str, Any]] = [{"drop": "a"}, {"missing": "mean"}]
    for wrong in wrongs:
        with pytest.raises(UsageError, match=f"{next(iter(wrong))} is for your own file"):
            rlnut.fit("linear", "iris", **wrong)
