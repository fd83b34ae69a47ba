"""metrics.csv and the progress line."""

from __future__ import annotations

import io
import math
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnut.errors import RlnutError
from rlnut.runtime import log
from rlnut.runtime.log import COLUMNS, MetricsFile, Progress, read_metrics, readable_number

ROWS = [{"step": 10.0, "return": 1.5}, {"step": 20.0, "delta": math.nan}, {"step": 30.0, "return": -0.1}]


def test_rows_come_back(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path, ("step", "return"))
    for row in ROWS:
        file.write(row)
    assert path.read_text() == "step,return\n10,1.5\n20,\n30,-0.1\n"
    found = read_metrics(path)
    assert [row["step"] for row in found] == [10, 20, 30] and math.isnan(found[1]["return"])


@given(st.floats(allow_nan=False), st.integers(-(2**60), 2**60))
def test_every_number_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, real: float, whole: int):
    path = tmp_path_factory.mktemp("log") / "metrics.csv"
    MetricsFile(path, ("step", "return")).write({"step": whole, "return": real})
    assert read_metrics(path) == [{"step": float(whole), "return": real}]


def test_going_on_drops_what_came_later_and_a_row_that_was_cut(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path, ("step", "return"))
    for row in ROWS:
        file.write(row)
    with open(path, "a") as cut:
        cut.write("1")  # of "15,...": the process was killed here
    MetricsFile(path, ("step", "return"), until=20)
    assert path.read_text() == "step,return\n10,1.5\n20,\n"


def test_what_a_power_cut_left_after_the_saved_rows_is_dropped(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path, ("step", "return"))
    file.write(ROWS[0])
    saved, whole = file.checksum, path.read_bytes()
    for tail in (b"20,\n", b"2", bytes(300), b"\xff\n\n", b"x,y,z\n", b"5,1\n"):
        path.write_bytes(whole + tail)
        assert MetricsFile(path, ("step", "return"), 10, saved).checksum == saved
        assert path.read_bytes() == whole


def test_damage_in_the_saved_rows_is_refused_and_a_missing_log_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path, ("step", "return"))
    file.write(ROWS[0])
    saved, whole = file.checksum, path.read_bytes()
    for content in (whole[:-1], whole[:5], b"", whole.replace(b"1.5", b"1.6"), b"\0" + whole):
        path.write_bytes(content)
        with pytest.raises(RlnutError, match=r"metrics\.csv is damaged or was edited.*delete the file"):
            MetricsFile(path, ("step", "return"), 10, saved)
        assert path.read_bytes() == content
    path.unlink()
    assert MetricsFile(path, ("step", "return"), 10, saved).checksum != saved
    assert capsys.readouterr().err == f"{path} is missing: a new one is begun, without the rows until step 10\n"


def test_rows_are_flushed_to_the_disk_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = MetricsFile(tmp_path / "metrics.csv", ("step", "return"))
    file.write(ROWS[0])
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_size))
    file.sync()
    assert flushed == [(tmp_path / "metrics.csv").stat().st_size]
    (tmp_path / "metrics.csv").unlink()
    file.sync()  # a folder that was deleted is made again, and its log, too


def test_a_new_file_starts_empty(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("step\n1\n")
    MetricsFile(tmp_path / "metrics.csv", COLUMNS)
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_metrics(tmp_path / "metrics.csv") == [] == read_metrics(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "content", [b"step,return\nabc,1\n", b"step\n1,2\n", b"other\n1\n", b"\xff\xfe\x00\n", b'step\n"1\n']
)
def test_damage_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(RlnutError, match=r"metrics\.csv is damaged"):
        read_metrics(tmp_path / "metrics.csv")


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.0, 50.0, 50.0, 50.0, 51.0])
    monkeypatch.setattr(log.time, "perf_counter", lambda: next(clock))
    progress = Progress(1000, 0)
    progress.show(500, {"return": 21.5, "epsilon": 0.25, "delta": math.nan, "value": None}, plain=True)
    progress.show(510, {})  # too soon: nothing
    progress.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.split() == ["step", "500/1,000", "10", "steps/s", "return", "21.5", "ε", "0.25", "0:50", "left"]


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]):
    progress = Progress(10, 0, quiet=True)
    progress.show(10, {"return": 1.0}, plain=True)
    progress.say("a line")
    progress.move(10, "cost=1", at_once=True)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_only_lines_are_printed_where_a_bar_would_move(capsys: pytest.CaptureFixture[str]):
    progress = Progress(10, 0)
    progress.say("epoch 1/2")
    progress.move(10, "cost=1", at_once=True)
    progress.close()
    assert capsys.readouterr() == ("", "epoch 1/2\n")


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_above_a_bar_that_stays(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(40, 0, unit="update")
    progress.move(20, "cost=0.1250", at_once=True)
    progress.say("epoch 1/2")
    progress.close()
    shown = [line.rpartition("\r")[2] for line in terminal.getvalue().split("\n")]
    assert shown[0] == "epoch 1/2"
    assert "20/40" in shown[1] and "update/s" in shown[1] and "cost=0.1250" in shown[1]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(1000, 0)
    progress.show(500, {"return": 21.5, "eval_mean": 30.0}, plain=True)
    progress.close()
    said = terminal.getvalue()
    assert "500/1000" in said and "return 21.5, greedy 30" in said


def test_a_bar_keeps_its_numbers_and_its_last_line(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(600, 0, start="compiling …")
    assert "compiling …" in terminal.getvalue()
    progress.show(500, {"return": 21.5, "eval_mean": -10_000.0}, plain=True)
    time.sleep(0.21)
    progress.show(606, {"return": 22.5})  # rounds of steps may pass the total
    progress.close()
    last = terminal.getvalue().rpartition("\r")[2]
    assert last.endswith("\n") and "100%|" in last and "600/600" in last
    assert "return 22.5, greedy -10,000" in last and "compiling" not in last and "-1:" not in last


def test_no_time_left_is_negative(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.0, 50.0, 50.0, 50.0])
    monkeypatch.setattr(log.time, "perf_counter", lambda: next(clock))
    Progress(600, 0).show(606, {}, plain=True)
    assert capsys.readouterr().err.split()[-2:] == ["0:00", "left"]


@pytest.mark.parametrize(
    "value, text",
    [(-10_000.0, "-10,000"), (1e5, "100,000"), (1234.56, "1,235"), (999.99, "1,000"), (0.25, "0.25"), (21.5, "21.5"),
     (1e9, "1e+09"), (0.0, "0"), (123.456, "123.5"), (1e-7, "1e-07")],
)  # fmt: skip
def test_numbers_for_people(value: float, text: str):
    assert readable_number(value) == text


def test_a_log_with_the_columns_of_another_version_goes_on_with_todays(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    old = MetricsFile(path, ("step", "return", "gone"))
    empty = old.checksum
    MetricsFile(path, ("step", "return", "new"), 0, empty)
    assert path.read_text() == "step,return,new\n"
    old = MetricsFile(path, ("step", "return", "gone"))
    old.write({"step": 1, "return": 2.5, "gone": 7})
    saved = old.checksum
    old.write({"step": 2, "return": 3})
    new = MetricsFile(path, ("step", "return", "new"), 1, saved)
    new.write({"step": 2, "return": 3, "new": 4})
    assert path.read_text() == "step,return,new\n1,2.5,\n2,3,4\n"
    with pytest.raises(RlnutError, match="damaged"):
        MetricsFile(path, ("step", "return"), 2, saved)
