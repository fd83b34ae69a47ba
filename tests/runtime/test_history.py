"""The log as arrays: from rows, from a folder, as a DataFrame."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import rlnut
from rlnut import RlnutError, UsageError
from rlnut.runtime.history import History, RowRecorder
from rlnut.runtime.log import MetricsFile

ROWS: list[dict[str, float | None]] = [
    {"step": 10, "cost": 0.1, "eval_mean": None},
    {"step": 2**40, "cost": float("nan"), "eval_mean": -2.5},
]


def test_rows_become_columns():
    found = RowRecorder(("step", "cost", "eval_mean"), ROWS).history()
    assert found.step.dtype == np.int64 and found.step.tolist() == [10, 2**40]
    assert found["cost"][0] == 0.1 and np.isnan(found["cost"][1])
    assert np.isnan(found["eval_mean"][0]) and found["eval_mean"][1] == -2.5
    assert list(found) == ["step", "cost", "eval_mean"] and len(found) == 3
    assert "cost" in found and "loss" not in found and found.get("loss") is None
    assert "2 rows" in repr(found)


def test_a_wrong_column_is_answered_with_the_near_one():
    with pytest.raises(UsageError, match=r"unknown column 'evalmean'. Did you mean eval_mean\? Known: "):
        History(("step", "eval_mean"), [])["evalmean"]


def test_what_is_changed_in_a_column_is_not_changed_in_the_history():
    found = History(("step",), [[1.0], [2.0]])
    found["step"][0] = 7.0
    assert found.step.tolist() == [1, 2] and found == History(("step",), [[1.0], [2.0]])
    assert found != History(("step",), [[1.0]]) and found != 3


def test_a_folder_is_read_whoever_wrote_it(tmp_path: Path):
    """Counted in steps or in epochs, without a row, with empty cells, with a last row that was cut short."""
    kinds: list[tuple[str, tuple[str, ...], list[dict[str, float | None]]]] = [
        ("run", ("step", "cost", "eval_mean"), ROWS),
        ("fit", ("epoch", "cost"), [{"epoch": 1, "cost": 1e-300}]),
        ("none", ("step", "cost"), []),
    ]
    for name, columns, rows in kinds:
        (tmp_path / name).mkdir()
        file = MetricsFile(tmp_path / name / "metrics.csv", columns)
        for row in rows:
            file.write(row)
        assert rlnut.history(tmp_path / name) == RowRecorder(columns, rows).history()
    with open(tmp_path / "run" / "metrics.csv", "a") as file_:
        file_.write("12,3.")
    assert rlnut.history(str(tmp_path / "run")).step.tolist() == [10, 2**40]


def test_a_folder_without_a_log_is_an_error_of_one_line(tmp_path: Path):
    for k in range(2):
        (tmp_path / "runs" / f"seed{k}").mkdir(parents=True)
        (tmp_path / "runs" / f"seed{k}" / "metrics.csv").write_text("step\n")
    with pytest.raises(UsageError, match="holds 2 runs: choose one of "):
        rlnut.history(tmp_path / "runs")
    with pytest.raises(RlnutError, match=r"metrics\.csv is missing$"):
        (tmp_path / "empty").mkdir()
        rlnut.history(tmp_path / "empty")
    with pytest.raises(RlnutError, match=r"is not the folder of a run$"):
        rlnut.history(tmp_path / "nowhere")
    (tmp_path / "empty" / "metrics.csv").write_text("time,cost\n1,2\n")
    with pytest.raises(RlnutError, match="is damaged: no column step or epoch"):
        rlnut.history(tmp_path / "empty")
    with pytest.raises(UsageError, match="must be a path"):
        rlnut.history(3)  # type: ignore[arg-type]


def test_a_frame_of_pandas():
    pytest.importorskip("pandas")
    frame = RowRecorder(("epoch", "cost"), [{"epoch": 1, "cost": 0.5}, {"epoch": 2, "cost": None}]).history().to_frame()
    assert frame["epoch"].tolist() == [1, 2] and frame["epoch"].dtype == np.int64
    assert frame["cost"].isna().tolist() == [False, True] and list(frame) == ["epoch", "cost"]


def test_without_pandas_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"to_frame needs pandas: pip install 'rlnut\[pandas\]'"):
        History(("step",), []).to_frame()
