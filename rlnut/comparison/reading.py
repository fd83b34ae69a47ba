"""Run folders, found in any tree of folders and read as data: nothing that they name is imported, and no JAX loads."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.agents.catalogue import AGENTS
from rlnut.control.run_records import checked_log, read_summary
from rlnut.control.settings import RunSettings
from rlnut.envs.make import shown_environment
from rlnut.errors import RlnutError, UsageError, counted
from rlnut.runtime.files import JsonObject, as_path, is_folder, read_json

CONFIG, SUMMARY, METRICS = "config.json", "summary.json", "metrics.csv"
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
# settings of a run that decide neither what is learned nor how it is judged
NO_MATTER = ("log_every", "stacks")


class RecordedRun(NamedTuple):
    """What the folder of a run says of it."""

    folder: Path
    source: str  # the folder that the user named
    agent: str
    env: str  # its name, with its arguments
    settings: JsonObject  # of the agent and of the run
    seed: int
    returns: tuple[float, ...]  # of the final evaluation; none of a run that is not finished
    steps: np.ndarray  # [T] of the greedy evaluations on the way
    evaluations: np.ndarray  # [T] their mean returns
    unfinished: str  # why there is no final evaluation; empty: there is one

    @property
    def offline(self) -> bool:
        """Does it count iterations, in the place of steps?"""
        return "iterations" in self.settings


def find_runs(folders: Sequence[str | Path]) -> tuple[list[RecordedRun], list[str]]:
    """Every run in these folders or below them, and notes on those that cannot be read.

    UsageError for a folder without a run; RlnutError if none of the runs can be read.
    """
    if not folders:
        raise UsageError("give at least one run folder, or a folder of run folders")
    runs: dict[Path, RecordedRun] = {}
    seen: set[Path] = set()
    notes: list[str] = []
    for name in folders:
        found = run_folders(as_path(name, "a folder of runs"))
        if not found:
            raise UsageError(f"{name}: no run in it or below it (a run folder holds {CONFIG} and {METRICS})")
        for folder in found:
            place = folder.resolve()
            if place in seen:
                continue
            seen.add(place)
            try:
                runs[place] = read_run(folder, str(name))
            except RlnutError as error:
                notes.append(f"left out: {error}")
    if not runs:
        raise RlnutError(notes[0].removeprefix("left out: ") + (f" (and {len(notes) - 1} more)" if notes[1:] else ""))
    return list(runs.values()), notes


def run_folders(root: Path) -> list[Path]:
    """The run folders in a tree, in the order of their names; links are not followed, hidden folders left out."""
    if not is_folder(root):
        raise UsageError(f"{root} is not a folder")
    found = []
    for place, below, files in os.walk(root):
        if CONFIG in files and METRICS in files:
            found.append(Path(place))
            below.clear()
        below[:] = sorted((name for name in below if not name.startswith(".")), key=_natural)
    return found


def read_run(folder: Path, source: str = "") -> RecordedRun:
    """One run folder; RlnutError if its files are damaged."""
    path = folder / CONFIG
    config = read_json(path)
    try:
        agent, env, seed = str(config["agent"]), shown_environment(config["env"]), int(config["seed"])
        settings = _settings(agent, config)
    except DAMAGE as error:
        raise RlnutError(f"{path} is damaged: {type(error).__name__}: {str(error)[:100]}") from None
    rows = [row for row in checked_log(folder) if math.isfinite(row.get("eval_mean", math.nan))]
    counts = np.array([row["step"] for row in rows], float)
    if not np.all((counts >= 0) & (counts < 2**53)) or np.any(np.diff(counts) <= 0):
        raise RlnutError(f"{folder / METRICS} is damaged: its steps do not increase")
    returns, unfinished = _final(folder, config)
    evaluations = np.array([row["eval_mean"] for row in rows], float)
    steps = counts.astype(np.int64)
    return RecordedRun(folder, source, agent, env, settings, seed, returns, steps, evaluations, unfinished)


def _settings(agent: str, config: JsonObject) -> JsonObject:
    """All settings; those that the version of the run did not have are at their defaults."""
    training = asdict(RunSettings()) | config["training"]
    kind = AGENTS.own.get(agent)
    chosen = (asdict(kind()) if kind is not None else {}) | config["config"]
    own = {"network of the user's": True} if config["custom_network"] else {}
    return chosen | {name: value for name, value in training.items() if name not in NO_MATTER} | own


def _final(folder: Path, config: JsonObject) -> tuple[tuple[float, ...], str]:
    """The returns of the final evaluation, or why there are none."""
    path = folder / SUMMARY
    if not path.exists():
        return (), "it is not finished (still running, or stopped before its end)"
    summary = read_summary(folder)
    try:
        returns = tuple(float(value) for value in summary["eval"]["returns"])
        stopped, same = bool(summary["interrupted"]), summary["seed"] == config["seed"]
        step = int(summary.get("steps", 0))
    except DAMAGE as error:
        raise RlnutError(f"{path} is damaged: {type(error).__name__}: {str(error)[:100]}") from None
    if not same or not returns:
        raise RlnutError(f"{path} is damaged: it does not belong to {CONFIG}")
    if stopped:
        return (), f"it was interrupted at step {step:,}"
    if not all(map(math.isfinite, returns)):
        return (), f"its final evaluation has returns that are not finite ({counted(len(returns), 'episode')})"
    return returns, ""


def _natural(name: str) -> list[tuple[int, str]]:
    """seed2 before seed10."""
    digits = "".join(c if c.isascii() and c.isdigit() else " " for c in name).split()
    words = "".join(" " if c.isascii() and c.isdigit() else c for c in name).split()
    return [(0, word) for word in words] + [(int(number[:18]), "") for number in digits]
