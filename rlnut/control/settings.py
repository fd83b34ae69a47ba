"""The settings of a run, checked before it starts. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from rlnut.choices import ManyActions
from rlnut.settings import Settings, setting

LOOKS = 5  # stretches of an offline run, with a greedy evaluation between two of them


@dataclass(frozen=True)
class RunSettings(Settings):
    """How long to train, on how many environments, and how often to look."""

    steps: int = setting(50_000, "total number of environment steps", low=1)
    num_envs: int = setting(1, "number of parallel environments", low=1, high=10_000)
    eval_every: int = setting(2_500, "steps between greedy evaluations", low=1)
    eval_episodes: int = setting(20, "episodes of each greedy evaluation during training", low=1)
    final_episodes: int = setting(20, "episodes of the final evaluation, on new seeds", low=1)
    until: float | None = setting(None, "stop when the mean return of a greedy evaluation reaches this")
    overlap: bool = setting(False, "learn while the next round is being collected, with weights that are one round old")
    native: bool = setting(False, "train on the JAX version of the environment, with the whole loop compiled")
    devices: int = setting(
        1, "number of devices that environments and minibatches are split over, with --native (0 or all: all of them)",
        low=0, words={"all": 0},
    )  # fmt: skip
    vectorization_mode: Literal["async", "sync", "vector_entry_point"] | None = setting(
        None,
        "step the environments in worker processes (async), in turn (sync) or by their own vector version"
        " (vector_entry_point); episodes then start anew after resume (None: in turn, resumes exactly)",
        choices=("async", "sync", "vector_entry_point"),
    )
    actions: ManyActions | None = setting(
        None,
        "multi-dimensional actions: all combinations (grid), or each dimension on its own (decoupled, DecQN) "
        "(None: grid if there are few combinations)",
        choices=("grid", "decoupled"),
    )
    bins: int | None = setting(
        None, "number of bins into which each dimension of a Box action is discretised (None: 3)", low=2, high=10_000
    )
    normalise: bool = setting(False, "normalise observations with their running mean and variance")
    reward_scale: float = setting(1.0, "factor on the rewards used for learning", above=0)
    reward_clip: float | None = setting(None, "clip the scaled rewards to [−x, x] (None: no clipping)", above=0)
    stacks: Literal["once", "whole"] = setting(
        "once",
        "storage of stacked frames: every frame once where a frame-stack wrapper is found, or whole stacks",
        choices=("once", "whole"),
    )
    log_every: int = setting(500, "steps between rows of metrics.csv", low=1)


class Said(NamedTuple):
    """What a run says while it works, for people."""

    plan: bool = True
    progress: bool = True
    remarks: bool = True
    stopping: bool = True


SILENT = Said(False, False, False, False)


class Schedule(Protocol):
    """When a run looks at itself."""

    @property
    def total(self) -> int:
        """Steps (offline: iterations) in all."""
        ...

    @property
    def final(self) -> bool:
        """Is there a greedy evaluation at the end, if the last was before it?"""
        ...

    def row(self, logged: int, step: int) -> bool:
        """Is a row of the log due at `step`, the last being of step `logged`?"""
        ...

    def evaluation(self, logged: int, step: int) -> bool:
        """Is a greedy evaluation due with it?"""
        ...

    def stop(self, step: int) -> int:
        """The step after `step` at which something may be due."""
        ...


@dataclass(frozen=True)
class EverySteps:
    """Rows and evaluations whenever their number of steps has passed."""

    total: int
    training: RunSettings
    final: bool = True

    def row(self, logged: int, step: int) -> bool:
        """Has a multiple of `log_every` passed?"""
        return crossed(logged, step, self.training.log_every)

    def evaluation(self, logged: int, step: int) -> bool:
        """Has a multiple of `eval_every` passed?"""
        return crossed(logged, step, self.training.eval_every)

    def stop(self, step: int) -> int:
        """The next multiple of one of them."""
        return min((step // every + 1) * every for every in (self.training.log_every, self.training.eval_every))


@dataclass(frozen=True)
class EveryIteration:
    """A row for each iteration of an offline agent, and `LOOKS` greedy evaluations on the way, for the curve."""

    total: int
    final: bool = False

    def row(self, logged: int, step: int) -> bool:
        """Always."""
        return step > logged

    def evaluation(self, logged: int, step: int) -> bool:
        """At equal distances; the last iteration is judged by the final evaluation."""
        return step > logged and step in {round(self.total * (k + 1) / LOOKS) for k in range(LOOKS - 1)}

    def stop(self, step: int) -> int:
        """The next one."""
        return step + 1


def crossed(before: int, after: int, every: int) -> bool:
    """Did the count pass a multiple of `every`?"""
    return before // every != after // every
