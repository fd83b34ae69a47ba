"""Checkpoints of a run: all that it needs to continue bit for bit. The newest two are kept, each with its checksum.

`Saver.due` says when the next is written. When a process is killed, at most a minute of its work or a hundredth of the
whole run is lost, whichever is more, and what was under way: a round, an evaluation, an iteration.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rlnut.control.host_loop import Episode, Run
from rlnut.control.recipe import BEFORE, CHECKPOINT
from rlnut.control.visit import METRICS
from rlnut.errors import RlnutError
from rlnut.learner import prioritised_replay
from rlnut.learner.changes import Changes
from rlnut.runtime.arrays import StoredArrays, all_finite, in_structure, owned, read_arrays, save_arrays, with_keys
from rlnut.runtime.files import JsonObject
from rlnut.runtime.log import say
from rlnut.types import Params, Tree

KEYS = ("steps", "best", "logged")
SECONDS = 60.0  # of work that may be lost when a process is killed
PART = 0.01  # of the steps of a run, the same where writing takes long
SHARE = 0.02  # of the time since the start that may go into writing; more only for the two above


class Best(NamedTuple):
    """A greedy policy with the mean return of its evaluation, or its exact return where that is known."""

    params: Params
    mean: float
    step: int
    std: float | None = None  # of the returns over episodes; None: of one episode, or not known


class Interval(NamedTuple):
    """What has been seen since the last row of the log."""

    episodes: list[Episode]
    rounds: list[dict[str, float]]  # METRICS of each


class Progressed(NamedTuple):
    """A run and what its log and its evaluations have come to."""

    run: Run
    best: Best
    evaluated: bool  # has there been an evaluation, so that `best` has a mean?
    logged: int  # step of the last row of the log
    interval: Interval
    envs: dict[str, np.ndarray]  # snapshot of environments on the host
    rivals: tuple[Best, ...] = ()  # of `best`: those that may be better


class Saver:
    """When to write a checkpoint: at every evaluation and once a minute, within `SHARE` of the time.

    Where that is not enough for it, after `SECONDS` or `PART` of the run, whichever is later.
    """

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.spent = self.cost = 0.0
        self.step = self.logged = -1  # of the newest checkpoint

    def due(self, evaluated: bool, step: int, total: int) -> bool:
        """Is it time, at `step` of `total`?"""
        now = time.perf_counter()
        waited = now - self.last >= SECONDS
        if self.spent + self.cost <= SHARE * (now - self.began):
            return evaluated or waited
        return waited and step - self.step >= PART * total

    def has(self, step: int, logged: int) -> bool:
        """Is the newest one of this state?"""
        return (self.step, self.logged) == (step, logged)

    def write(self, folder: Path, state: Progressed, meta: JsonObject) -> None:
        """Write a checkpoint: whole, or all stays as it was before."""
        began = time.perf_counter()
        save_arrays(folder / CHECKPOINT, *_packed(state, meta), keep=folder / BEFORE)
        self.last = time.perf_counter()
        self.cost = self.last - began
        self.spent += self.cost
        self.step, self.logged = state.run.steps, state.logged


def saved_part(run: Run) -> dict[str, Tree]:
    """What a checkpoint holds of a run; the rest follows from it."""
    names = ("agent", "look", "carry", "returns", "lengths", "envs", "seen")
    return {name: getattr(run, name) for name in names} | {"agent": prioritised_replay.without_nodes(run.agent)}


def on_host(params: Params) -> Params:
    """A copy on the host: the arrays of a run are given away at its next step."""
    return jax.tree.map(np.array, params)


def can_be_saved(run: Run) -> bool:
    """Are all arrays still there (a call that failed half-way may have given them away), and the weights finite?"""
    return not given_away(run) and all_finite(run.agent.fit.params)


def given_away(tree: Tree) -> bool:
    """Are some of these arrays the property of a compiled call by now?"""
    return any(leaf.is_deleted() for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))


def _packed(state: Progressed, meta: JsonObject) -> tuple[dict[str, Tree], JsonObject]:
    """(arrays, meta) of a checkpoint. What has no fixed length is an array too, its shape in the meta."""
    episodes, rounds = state.interval
    extra = {f"env_{name}": np.asarray(array) for name, array in state.envs.items()}
    extra["episode_returns"] = np.array([e.ret for e in episodes], np.float64)
    extra["episode_lengths"] = np.array([e.length for e in episodes], np.int64)
    extra["rounds"] = np.array([[row[name] for name in METRICS] for row in rounds], np.float64)
    arrays = saved_part(state.run) | {"best": state.best.params, "extra": extra}
    arrays["rivals"] = [rival.params for rival in state.rivals]
    meta = meta | {"steps": state.run.steps, "logged": state.logged, "best_std": state.best.std}
    meta["best"] = [state.best.mean if state.evaluated else None, state.best.step]
    meta["rivals"] = [[rival.mean, rival.step, rival.std] for rival in state.rivals]
    meta["extra"] = {name: [array.dtype.str, *array.shape] for name, array in extra.items()}
    if changed := [name for name, number in state.run.agent.changes._asdict().items() if number is not None]:
        meta["changes"] = changed
    return arrays, meta


def read_checkpoint(folder: Path) -> StoredArrays:
    """The newest checkpoint that can be read; RlnutError if none can."""
    try:
        return _read(folder / CHECKPOINT)
    except RlnutError as error:
        try:
            found = _read(folder / BEFORE)
        except RlnutError:
            raise error from None
        say(f"{error}; continuing from the previous checkpoint, of step {found.meta['steps']:,}")
        return found


def _read(path: Path) -> StoredArrays:
    found = with_keys(read_arrays(path), KEYS)
    meta = found.meta
    best = meta["best"]
    good = all(isinstance(meta[key], int) and meta[key] >= 0 for key in ("steps", "logged"))
    good = good and isinstance(best, list) and len(best) == 2 and isinstance(best[1], int) and best[1] >= 0
    good = good and (best[0] is None or isinstance(best[0], (int, float)))
    if not good or meta["logged"] > meta["steps"]:
        raise RlnutError(f"{path} is damaged: its counts are not possible")
    return found


def unpacked(stored: StoredArrays, shapes: Run) -> Progressed:
    """A run as `_packed` left it, `shapes` long; RlnutError for what does not fit. Its arrays are JAX's own."""
    meta = stored.meta
    try:
        like = saved_part(_with_changes(shapes, meta))
        like["best"] = like["agent"].fit.params
        lengths = {name: (np.dtype(kind), tuple(shape)) for name, (kind, *shape) in meta.get("extra", {}).items()}
        like["extra"] = {name: jax.ShapeDtypeStruct(shape, kind) for name, (kind, shape) in lengths.items()}
        places = [(float(mean), int(step), _std(std)) for mean, step, std in meta.get("rivals", [])]
        like["rivals"] = [like["best"]] * len(places)
        found = in_structure(stored, like)
        best_std = _std(meta.get("best_std"))
        interval = _interval(found["extra"]) if lengths else _old_interval(meta)
        envs = saved_envs(stored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RlnutError(f"{stored.path} is damaged: {type(error).__name__}: {error}") from None
    agent = prioritised_replay.with_all_nodes(owned(found["agent"]))
    waiting = 0 if found["seen"] == () else int(np.sum(found["seen"].valid))  # steps that are not learned yet
    weights = (agent.fit.params, found["best"], found["rivals"])
    if int(agent.steps) + waiting != meta["steps"] or not all_finite(weights):
        raise RlnutError(f"{stored.path} is damaged: its weights are not finite, or its counts do not agree")
    names = ("look", "carry", "returns", "lengths", "envs", "seen")
    run = Run(agent, meta["steps"], **{name: found[name] for name in names})
    mean, step = meta["best"]
    best = Best(found["best"], float("-inf") if mean is None else float(mean), step, best_std)
    rivals = tuple(Best(params, *place) for params, place in zip(found["rivals"], places, strict=True))
    return Progressed(run, best, mean is not None, meta["logged"], interval, envs, rivals)


def _std(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]


def _with_changes(shapes: Run, meta: JsonObject) -> Run:
    """The shapes of a run that was changed while it went on."""
    wanted = meta.get("changes", [])
    if not isinstance(wanted, list) or not set(map(str, wanted)) <= set(Changes._fields):
        raise ValueError(f"{str(wanted)[:60]} cannot have been changed")
    numbers = {name: np.zeros((), np.int32 if name == "target_every" else np.float32) for name in wanted}
    return shapes._replace(agent=shapes.agent._replace(changes=Changes(**numbers)))


def saved_envs(stored: StoredArrays) -> dict[str, np.ndarray]:
    """The snapshot of environments on the host that a checkpoint holds; empty if there was none."""
    if "extra" not in stored.meta:  # of an earlier version, in its meta
        try:
            return {str(name): np.array(values, np.int64) for name, values in stored.meta["env"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RlnutError(f"{stored.path} is damaged: {type(error).__name__}: {error}") from None
    start = "['extra']['env_"
    return {name[len(start) : -2]: array for name, array in stored.arrays.items() if name.startswith(start)}


def _interval(extra: dict[str, np.ndarray]) -> Interval:
    ends = zip(extra["episode_returns"].tolist(), extra["episode_lengths"].tolist(), strict=True)
    rounds = [dict(zip(METRICS, row.tolist(), strict=True)) for row in extra["rounds"]]
    return Interval([Episode(*end) for end in ends], rounds)


def _old_interval(meta: JsonObject) -> Interval:
    """The same from the meta of a checkpoint of an earlier version."""
    episodes, rounds = meta["interval"]
    return Interval(
        [Episode(float(ret), int(length)) for ret, length in episodes],
        [{name: float(row[name]) for name in METRICS} for row in rounds],
    )
