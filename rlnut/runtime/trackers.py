"""Loggers for TensorBoard, Weights & Biases and MLflow, and how `--log` names them.

A resumed run writes into the log it had. A folder remembers which one that was at W&B and MLflow, in wandb.json
and mlflow.json; rows that are there already are not sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rlnut.errors import UsageError, unknown
from rlnut.runtime.event_files import EventFile
from rlnut.runtime.files import JsonObject, as_path, read_json, write_json
from rlnut.runtime.loggers import LoggedRun, Logger

EVENTS = "events.out.tfevents.*"
LONGEST = 500  # characters of a setting at MLflow
MOST = 100  # settings in one request to it


class TensorBoardLogger(Logger):
    """Event files for TensorBoard (`tensorboard --logdir FOLDER`), without it, torch or TensorFlow.

    folder: where they go; None: the folder `tensorboard` in that of the run.

    >>> import rlnut, tempfile
    >>> out = tempfile.mkdtemp() + "/run"
    >>> more = dict(steps=2000, out=out, loggers=[rlnut.TensorBoardLogger()])
    >>> _ = rlnut.predict("td0", "rlnut/RandomWalk5-v0", **more)
    >>> from pathlib import Path
    >>> len(list(Path(out, "tensorboard").glob("events.out.tfevents.*")))
    1
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else as_path(folder, "the folder of a TensorBoardLogger")
        self._file: EventFile | None = None

    def _folder(self, run: LoggedRun) -> Path:
        if self.folder is not None:
            return self.folder
        if run.folder is None:
            raise UsageError("TensorBoard needs a folder: give the logger one, or the run (--out, out=)")
        return run.folder / "tensorboard"

    def check(self, run: LoggedRun) -> None:
        """A folder that holds another run's events is refused: TensorBoard would mix the two."""
        folder = self._folder(run)
        if run.since is None and any(folder.glob(EVENTS)):
            raise UsageError(f"{folder} holds event files already: choose another folder for TensorBoard")

    def start(self, run: LoggedRun) -> None:
        """A new event file."""
        self._file = EventFile(self._folder(run), run.since)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row."""
        if self._file is not None:
            self._file.write(step, numbers)

    def close(self) -> None:
        """No more rows."""
        if self._file is not None:
            self._file.close()


class WandbLogger(Logger):
    """Weights & Biases; with WANDB_MODE=offline nothing leaves the machine.

    options: more arguments of `wandb.init`, such as entity, group, tags or mode.
    """

    def __init__(self, project: str = "rlnut", **options: Any) -> None:
        self.wandb, self.project, self.options = _package("wandb", "Weights & Biases", "wandb"), project, options
        self._run: Any = None
        self._next = 0

    def start(self, run: LoggedRun) -> None:
        """A new run there, or the one that this run had."""
        known = _remembered(run, "wandb").get("id")
        more = {"id": known, "resume": "allow"} if known else {}
        name = {"name": run.folder.name} if run.folder is not None else {}
        made = {"project": self.project, "config": dict(run.config)} | name | more | self.options
        self._run = self.wandb.init(**made)
        self._next = int(self._run.step) if known else 0
        _remember(run, "wandb", {"id": self._run.id})

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row, if it is not there already."""
        if step >= self._next:
            self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Send what is left."""
        if self._run is not None:
            self._run.finish()


class MLflowLogger(Logger):
    """MLflow: settings as parameters, columns as metrics.

    uri: of the tracking server or folder (None: MLflow's own default, MLFLOW_TRACKING_URI).
    """

    def __init__(self, uri: str | None = None, experiment: str = "rlnut") -> None:
        self.mlflow, self.uri, self.experiment = _package("mlflow", "MLflow", "mlflow"), uri, experiment
        self._client: Any = None
        self._run = ""
        self._last = -1

    def start(self, run: LoggedRun) -> None:
        """A new run there, or the one that this run had."""
        self._client = client = self.mlflow.MlflowClient(tracking_uri=self.uri)
        known = _remembered(run, "mlflow").get("id")
        if known:
            self._run = known
            metrics = client.get_run(known).data.metrics
            rows = (row.step for name in metrics for row in client.get_metric_history(known, name))
            self._last = max(rows, default=-1)
            client.update_run(known, status="RUNNING")
            return
        found = client.get_experiment_by_name(self.experiment)
        home = client.create_experiment(self.experiment) if found is None else found.experiment_id
        self._run = client.create_run(home, run_name=None if run.folder is None else run.folder.name).info.run_id
        settings = [self.mlflow.entities.Param(name, text[:LONGEST]) for name, text in _flat(run.config)]
        for k in range(0, len(settings), MOST):
            client.log_batch(self._run, params=settings[k : k + MOST])
        _remember(run, "mlflow", {"id": self._run})

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row, if it is not there already."""
        if step > self._last:
            from time import time

            now = int(time() * 1000)
            rows = [self.mlflow.entities.Metric(name, number, now, step) for name, number in numbers.items()]
            self._client.log_batch(self._run, metrics=rows)

    def close(self) -> None:
        """The run there is over."""
        if self._run:
            self._client.set_terminated(self._run)


def _package(name: str, shown: str, extra: str) -> Any:
    """The package, imported; UsageError if it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        why = "" if error.name == name else f" ({' '.join(str(error).split())[:200]})"
        raise UsageError(f"logging to {shown} needs the package {name}: pip install 'rlnut[{extra}]'{why}") from None


def _remembered(run: LoggedRun, name: str) -> JsonObject:
    """What this folder remembers of its run there; nothing of a new run."""
    path = None if run.folder is None or run.since is None else run.folder / f"{name}.json"
    return read_json(path) if path is not None and path.exists() else {}


def _remember(run: LoggedRun, name: str, content: JsonObject) -> None:
    if run.folder is not None:
        write_json(run.folder / f"{name}.json", content)


def _flat(settings: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Names with dots and texts of nested settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)


KINDS = ("tensorboard", "wandb", "mlflow")


def loggers_named(words: str, part: str = "") -> list[Logger]:
    """The loggers that `--log` names: tensorboard:DIR, wandb:PROJECT and mlflow:URI, with commas between them.

    part: a folder of its own inside DIR, for one of several runs.
    """
    found: list[Logger] = []
    for word in words.split(","):
        kind, _, value = word.strip().partition(":")
        if kind not in KINDS:
            raise unknown("logger", kind, KINDS)
        if kind == "tensorboard":
            found.append(TensorBoardLogger(Path(value) / part if value else None))
        elif kind == "wandb":
            found.append(WandbLogger(value) if value else WandbLogger())
        else:
            found.append(MLflowLogger(value or None))
    if len({type(one) for one in found}) < len(found):
        raise UsageError(f"--log names a logger twice: {words}")
    return found
