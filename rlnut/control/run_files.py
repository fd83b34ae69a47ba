"""The files of a run while it works: its description, the log, the checkpoints, the policy, and what it leaves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from rlnut.control.checkpoints import Best, Progressed, Saver
from rlnut.control.forward import save_forward, spaces_record
from rlnut.control.recipe import BEFORE, CHECKPOINT, CONFIG, POLICY, SUMMARY, identity
from rlnut.control.result import Trained, summary_json
from rlnut.envs.make import shown_environment
from rlnut.errors import RlnutError
from rlnut.learner.agent import Agent
from rlnut.learner.spec import Spec
from rlnut.runtime.arrays import StoredArrays, save_arrays
from rlnut.runtime.files import JsonObject, write_json
from rlnut.runtime.log import COLUMNS
from rlnut.runtime.loggers import LoggedRun, Loggers, RowLog
from rlnut.types import Params


class RunFiles:
    """What a run writes into `folder` (None: nothing), and to loggers. description: what config.json says."""

    def __init__(
        self, folder: Path | None, description: JsonObject, loggers: Loggers | None = None, goes_on: bool = False
    ) -> None:
        self.folder, self.description, self.goes_on = folder, description, goes_on
        self.columns: tuple[str, ...] = COLUMNS  # of the log
        self.loggers = loggers or Loggers()
        self.rows = RowLog(self.columns, self.loggers)
        self.saver = Saver()
        self.meta: JsonObject = {}  # more that a checkpoint says
        self.write_forward: Callable[[Path], None] = lambda folder: None

    @property
    def env(self) -> str:
        """The environment's name, for people."""
        return shown_environment(self.description["env"])

    def open(self, stored: StoredArrays | None = None) -> None:
        """Open the log, continued from the checkpoint `stored` if there is one."""
        since = None if stored is None else stored.meta["logged"]
        if self.folder is not None and stored is None:
            write_json(self.folder / CONFIG, self.description)  # with it alone a run that is killed can be resumed
        self.rows = RowLog(self.columns, self.loggers, self.folder, since, stored and stored.meta.get("metrics"))
        if self.folder is not None:
            if stored is not None:
                write_json(self.folder / CONFIG, self.description)
            if stored is not None and stored.path.name == BEFORE:  # the next must not put the damaged one in its place
                os.replace(self.folder / BEFORE, self.folder / CHECKPOINT)
            (self.folder / SUMMARY).unlink(missing_ok=True)  # of the run so far
            self.write_forward(self.folder)
        again = 0 if self.goes_on and since is None else since
        self.loggers.start(LoggedRun(self.description, self.folder, again))

    def describe_policy(self, agent: Agent, spec: Spec, params: Params) -> None:
        """What `load_policy` needs where the environment, or JAX, is missing; params: shapes and types of θ."""
        self.description |= {"spaces": spaces_record(spec)}
        self.write_forward = lambda folder: save_forward(folder, agent, spec, params, identity(self.description))

    def write_row(self, row: dict[str, float]) -> None:
        """One row of the log."""
        self.rows.write(row)

    def save(self, state: Progressed) -> None:
        """Write a checkpoint and the policy."""
        if self.folder is not None:
            content = None
            if self.rows.file is not None:
                content = self.rows.file.checksum
                self.rows.file.sync()  # a checkpoint that is on the disk after a power cut has its rows there, too
            self.saver.write(self.folder, state, self.meta | {"run": identity(self.description), "metrics": content})
            self.save_policy(state.best)

    def save_policy(self, best: Best) -> None:
        """Write the weights of the best policy."""
        if self.folder is not None:
            save_arrays(self.folder / POLICY, best.params, {"step": best.step, "run": identity(self.description)})

    def rescue(self, save: Callable[[], None]) -> None:
        """Save, if that can be done: in a folder that was deleted, on a disk that is full."""
        if self.folder is None:
            return
        with contextlib.suppress(RlnutError, OSError):
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                write_json(self.folder / CONFIG, self.description)
                self.saver.step = -1
            try:
                save()
            except RlnutError:
                (self.folder / BEFORE).unlink(missing_ok=True)  # the older checkpoint makes room
                save()

    def way_on(self, unit: str = "step") -> str:
        """How to continue a run that failed; empty: it cannot be."""
        if self.folder is None or self.saver.step < 0 or not (self.folder / CHECKPOINT).exists():
            return ""
        return f"; rlnut resume {self.folder} continues from {unit} {self.saver.step:,}"

    def draw(self) -> None:
        """Draw the learning curve."""
        if self.folder is not None:
            from rlnut.control.plots import learning_curve

            learning_curve(self.folder)

    def finish(self, done: Trained) -> None:
        """Write the summary, with what shows that it and the log belong to this run."""
        if self.folder is not None:
            belongs = {"run": identity(self.description), "metrics": self.rows.file and self.rows.file.checksum}
            write_json(self.folder / SUMMARY, summary_json(done, self.description) | belongs)
