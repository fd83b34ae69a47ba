"""The log of a run in memory and at loggers: what metrics.csv has, each row once; loggers change no byte of the run."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlnut
from rlnut import Logger, TensorBoardLogger, UsageError
from rlnut.control.run_folder import CHECKPOINT, CONFIG, POLICY
from rlnut.runtime.log import COLUMNS, read_metrics
from rlnut.runtime.loggers import LoggedRun

pytestmark = pytest.mark.usefixtures("shared_programs")
WALK = "rlnut/RandomWalk5-v0"
SMALL = rlnut.SARSALambda()
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 64, "eval_episodes": 2, "final_episodes": 2, "log_every": 32}
SHORT |= {"quiet": True, "num_envs": 2, "seed": 5, "native": True}


class Kept(Logger):
    """A logger in memory."""

    def __init__(self) -> None:
        self.runs: list[LoggedRun] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.closed = 0

    def start(self, run: LoggedRun) -> None:
        self.runs.append(run)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.rows.append((step, dict(numbers)))

    def close(self) -> None:
        self.closed += 1


class Broken(Logger):
    """A logger whose server is gone."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        raise ConnectionError("gone")


def in_file(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The rows of metrics.csv as a logger is told them."""
    rows = read_metrics(folder / "metrics.csv")
    return [(int(row.pop("step")), {name: x for name, x in row.items() if not np.isnan(x)}) for row in rows]


def events(folder: Path) -> list[tuple[int, bool]]:
    """(step, does a session begin there?) of each event in the files of a folder, in their order."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            data, step, k, shift = content[at + 12 : at + 12 + size], 0, 10, 0
            while True:  # a varint
                step |= (data[k] & 127) << shift
                k, shift = k + 1, shift + 7
                if data[k - 1] < 128:
                    break
            if data[k] != 0x1A:  # the version of the file
                found.append((step, data[k] == 0x3A))
            at += 16 + size
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    rlnut.train(SMALL, WALK, out=folder, **SHORT)
    return folder


def test_history_is_the_log(plain: Path):
    done = rlnut.train(SMALL, WALK, **SHORT)  # without a folder
    assert done.history == rlnut.history(plain) and tuple(done.history)[: len(COLUMNS)] == COLUMNS
    assert done.history.step.tolist() == [row["step"] for row in read_metrics(plain / "metrics.csv")]


def test_history_so_far_and_after_the_end():
    looks = rlnut.training(SMALL, WALK, **SHORT)
    assert looks.history.step.tolist() == []
    for look in looks:
        assert looks.history.step.tolist() == [step for step in (32, 64, 96, 128, 160) if step <= look.step]
        assert look.history == looks.history
    assert looks.history == looks.result().history


def test_loggers_get_every_row_and_change_no_byte(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kept, folder = Kept(), tmp_path / "run"
    rlnut.train(SMALL, WALK, out=folder, loggers=[Broken(), kept, TensorBoardLogger()], **SHORT)
    for name in (POLICY, CHECKPOINT, "metrics.csv", CONFIG):
        assert (plain / name).read_bytes() == (folder / name).read_bytes(), name
    assert kept.rows == in_file(folder) and kept.closed == 1
    (told,) = kept.runs
    assert told.folder == folder and told.since is None and told.config["agent"] == "sarsa-lambda"
    assert capsys.readouterr().err.count("the logger Broken failed") == 1
    assert events(folder / "tensorboard") == [(step, False) for step, _ in kept.rows]


@pytest.mark.parametrize("leave", [40, 100])
def test_a_run_that_goes_on_logs_no_row_twice(leave: int, plain: Path, tmp_path: Path):
    folder, first, second = tmp_path / "run", Kept(), Kept()
    for look in rlnut.training(SMALL, WALK, out=folder, loggers=[first, TensorBoardLogger()], **SHORT):
        if look.step >= leave:
            break
    done = rlnut.resume(folder, quiet=True, loggers=[second, TensorBoardLogger()])
    assert first.closed == second.closed == 1
    assert first.rows + second.rows == in_file(plain)
    assert second.runs[0].since == first.rows[-1][0]
    assert done.history == rlnut.history(folder) == rlnut.history(plain)
    rows = [step for step, begins in events(folder / "tensorboard") if not begins]
    assert rows == [step for step, _ in in_file(plain)]
    assert [step for step, begins in events(folder / "tensorboard") if begins] == [first.rows[-1][0] + 1]


def test_rows_that_come_again_after_a_kill_are_purged_where_the_run_goes_on(plain: Path, tmp_path: Path):
    """Rows up to 96 were logged, the newest checkpoint is of step 0: TensorBoard is told to forget the others."""
    folder = tmp_path / "run"
    looks = rlnut.training(SMALL, WALK, out=folder, loggers=[TensorBoardLogger()], **SHORT)
    for look in looks:
        if look.step == 0:
            early = (folder / CHECKPOINT).read_bytes()
        if look.step >= 100:
            break
    looks.close()
    for path in folder.glob("checkpoint*"):
        path.unlink()
    (folder / CHECKPOINT).write_bytes(early)
    second = Kept()
    rlnut.resume(folder, quiet=True, loggers=[second, TensorBoardLogger()])
    assert second.rows == in_file(plain) and second.runs[0].since == 0
    found = events(folder / "tensorboard")
    assert (1, True) in found and [step for step, _ in found[found.index((1, True)) + 1 :]] == [32, 64, 96, 128, 160]


def test_what_cannot_be_logged_is_said_before_anything_is_made(tmp_path: Path):
    other = TensorBoardLogger(tmp_path / "events")
    other.start(LoggedRun({}, None))
    other.close()
    wrong: Any
    for wrong in ([TensorBoardLogger(tmp_path / "events")], [3], 3):
        with pytest.raises(UsageError):
            rlnut.train(SMALL, WALK, out=tmp_path / "run", loggers=wrong, **SHORT)
    assert not (tmp_path / "run").exists()


def test_a_prediction_logs_its_curve(tmp_path: Path):
    kept = Kept()
    more: dict[str, Any] = {"steps": 500, "seed": 1}
    found = rlnut.predict("td0", WALK, out=tmp_path / "run", loggers=[kept, TensorBoardLogger()], **more)
    alone = rlnut.predict("td0", WALK, out=tmp_path / "alone", **more)
    for path in (tmp_path / "alone").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / path.name).read_bytes(), path.name
    assert kept.rows == in_file(tmp_path / "run") and kept.closed == 1 and kept.runs[0].config["method"] == "td0"
    assert found.history == alone.history == rlnut.history(tmp_path / "run")
    np.testing.assert_array_equal(found.history["rmse"], found.curve)
