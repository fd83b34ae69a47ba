"""Loggers: what they are told, that one that fails is left out, and the trackers on stand-ins of their packages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rlnut import Logger, MLflowLogger, TensorBoardLogger, UsageError, WandbLogger
from rlnut.runtime.loggers import LoggedRun, Loggers, RowLog
from rlnut.runtime.trackers import loggers_named

NAN = float("nan")


class Noted(Logger):
    """A logger that keeps what it is told; fails: the call in which it does."""

    def __init__(self, fails: str = "", error: BaseException | None = None) -> None:
        self.calls: list[Any] = []
        self.fails, self.error = fails, error or RuntimeError("no\nnetwork")

    def _note(self, name: str, *what: object) -> None:
        self.calls.append((name, *what))
        if name == self.fails:
            raise self.error

    def start(self, run: LoggedRun) -> None:
        self._note("start", run.since)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._note("log", step, dict(numbers))

    def close(self) -> None:
        self._note("close")


def written(*loggers: object) -> None:
    """A run of two rows."""
    rows = RowLog(("step", "cost", "eval_mean"), Loggers(list(loggers)))
    rows.loggers.start(LoggedRun({}, None))
    rows.write({"step": 5, "cost": 0.25, "eval_mean": NAN})
    rows.write({"step": 9.0, "cost": None, "eval_mean": -1})
    rows.loggers.close()
    rows.loggers.close()
    assert rows.history().step.tolist() == [5, 9]


def test_a_logger_gets_the_numbers_that_a_row_has():
    one = Noted()
    written(one)
    rows = [("log", 5, {"cost": 0.25}), ("log", 9, {"eval_mean": -1.0})]
    assert one.calls == [("start", None), *rows, ("close",)]


@pytest.mark.parametrize("error", [None, SystemExit(3), StopIteration(), UsageError("a fault")])
@pytest.mark.parametrize("fails", ["start", "log", "close"])
def test_a_logger_that_fails_is_said_once_and_left_out(
    fails: str, error: BaseException | None, capsys: pytest.CaptureFixture[str]
):
    bad, good = Noted(fails, error), Noted()
    written(bad, good)
    assert len(good.calls) == 4
    assert [call[0] for call in bad.calls] == {
        "start": ["start", "close"], "log": ["start", "log", "close"], "close": ["start", "log", "log", "close"],
    }[fails]  # fmt: skip
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the logger Noted failed, and the run continues without it: ")


def test_ctrl_c_in_a_logger_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        written(Noted("log", KeyboardInterrupt()))


def test_an_object_with_log_alone_is_a_logger():
    found: list[int] = []
    written(SimpleNamespace(log=lambda step, numbers: found.append(step)))
    assert found == [5, 9]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (3, "loggers must be a list"),
        (Noted(), "loggers must be a list"),
        ([print], "print has none"),
        ([Noted], r"the logger Noted is a class: make one"),
    ],
)
def test_what_is_no_logger_is_refused(wrong: Any, reason: str):
    with pytest.raises(UsageError, match=reason):
        Loggers(wrong)


def test_a_folder_with_events_of_another_run_is_refused(tmp_path: Path):
    logger, new = TensorBoardLogger(tmp_path), LoggedRun({}, None)
    logger.check(new)
    logger.start(new)
    logger.close()
    with pytest.raises(UsageError, match="holds event files already"):
        TensorBoardLogger(tmp_path).check(new)
    TensorBoardLogger(tmp_path).check(new._replace(since=8))
    with pytest.raises(UsageError, match="TensorBoard needs a folder"):
        TensorBoardLogger().check(new)


class FakeWandb(ModuleType):
    """As much of wandb as is used: runs by id, rows by step, which only grow."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []

    def init(self, **options: Any) -> Any:
        self.asked.append(options)
        run = self.runs.setdefault(options.get("id", f"id{len(self.runs)}"), SimpleNamespace(rows={}, step=0))
        run.id = next(name for name, one in self.runs.items() if one is run)

        def log(numbers: dict[str, float], step: int) -> None:
            assert step >= run.step and step not in run.rows
            run.rows[step], run.step = numbers, step + 1

        run.log, run.finish = log, lambda: None
        return run


def test_wandb_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for since, steps in ((None, (10, 20, 30)), (20, (30, 40))):
        logger = WandbLogger("mine", mode="offline")
        logger.start(LoggedRun({"seed": 3}, tmp_path, since))
        for step in steps:
            logger.log(step, {"return": float(step)})
        logger.close()
    assert {step: row["return"] for step, row in fake.runs["id0"].rows.items()} == {10: 10, 20: 20, 30: 30, 40: 40}
    first, second = fake.asked
    assert first == {"project": "mine", "config": {"seed": 3}, "name": tmp_path.name, "mode": "offline"}
    assert second["id"] == "id0" and second["resume"] == "allow" and list(fake.runs) == ["id0"]


class FakeMLflow(ModuleType):
    """As much of mlflow as is used."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.entities = SimpleNamespace(Param=lambda *a: a, Metric=lambda *a: SimpleNamespace(all=a, step=a[3]))
        self.params: dict[str, str] = {}
        self.metrics: dict[str, list[Any]] = {}
        self.status: list[str] = []
        self.made = 0

    def MlflowClient(self, tracking_uri: str | None) -> FakeMLflow:
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return None

    def create_experiment(self, name: str) -> str:
        return "7"

    def create_run(self, home: str, run_name: str) -> Any:
        self.made += 1
        return SimpleNamespace(info=SimpleNamespace(run_id="run"))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100
        self.params |= dict(params)
        for metric in metrics:
            self.metrics.setdefault(metric.all[0], []).append(metric)

    def get_run(self, run: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(metrics=dict.fromkeys(self.metrics, 0.0)))

    def get_metric_history(self, run: str, name: str) -> list[Any]:
        return self.metrics[name]

    def update_run(self, run: str, status: str) -> None:
        self.status.append(status)

    def set_terminated(self, run: str) -> None:
        self.status.append("FINISHED")


def test_mlflow_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    config = {"config": {"lr": 0.1} | {f"option{k}": k for k in range(150)}, "long": "x" * 900}
    for since, steps in ((None, (10, 20, 30)), (20, (30, 40))):
        logger = MLflowLogger("http://localhost:5000")
        logger.start(LoggedRun(config, tmp_path, since))
        for step in steps:
            logger.log(step, {"return": float(step)})
        logger.close()
    assert [(m.all[1], m.step) for m in fake.metrics["return"]] == [(10, 10), (20, 20), (30, 30), (40, 40)]
    assert fake.params["config.lr"] == "0.1" and len(fake.params["long"]) == 500 and len(fake.params) == 152
    assert fake.status == ["FINISHED", "RUNNING", "FINISHED"] and fake.made == 1


@pytest.mark.parametrize(("kind", "make"), [("wandb", WandbLogger), ("mlflow", MLflowLogger)])
def test_a_package_that_is_not_there_is_one_line(kind: str, make: type, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, kind, None)
    for ask in (make, lambda: loggers_named(f"tensorboard,{kind}:x")):
        with pytest.raises(UsageError, match=rf"needs the package {kind}: pip install 'rlnut\[{kind}\]'$"):
            ask()


def test_loggers_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb())
    monkeypatch.setitem(sys.modules, "mlflow", FakeMLflow())
    board, wandb, mlflow = loggers_named("tensorboard:here/there, wandb:mine,mlflow:http://host:5000", "seed3")
    assert isinstance(board, TensorBoardLogger) and board.folder == Path("here/there/seed3")
    assert isinstance(wandb, WandbLogger) and wandb.project == "mine"
    assert isinstance(mlflow, MLflowLogger) and mlflow.uri == "http://host:5000"
    (board,) = loggers_named("tensorboard")
    assert isinstance(board, TensorBoardLogger) and board.folder is None
    for wrong, reason in (
        ("tensorbord:x", r"unknown logger 'tensorbord'. Did you mean tensorboard\?"),
        ("", "unknown logger ''"),
        ("tensorboard:a,tensorboard:b", "names a logger twice"),
    ):
        with pytest.raises(UsageError, match=reason):
            loggers_named(wrong)
