"""What a run will do, said and checked before it starts. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass

from rlnut.settings import Settings, setting


@dataclass(frozen=True)
class RunSettings(Settings):
    """How long to train, on how many environments, and how often to look."""

    steps: int = setting(50_000, "environment steps in all", low=1)
    num_envs: int = setting(1, "environments side by side", low=1, high=10_000)
    eval_every: int = setting(2_500, "steps between greedy evaluations", low=1)
    eval_episodes: int = setting(20, "episodes of each evaluation while training", low=1)
    final_episodes: int = setting(20, "fresh episodes of the final evaluation", low=1)
    until: float | None = setting(None, "stop when a greedy evaluation reaches this mean return")
    native: bool = setting(False, "train on the environment's functional twin, the whole loop compiled")
    actions: str | None = setting(
        None, "actions of several numbers: every combination, or a choice for each (DecQN); None: by their number",
        choices=("grid", "decoupled"),
    )  # fmt: skip
    bins: int | None = setting(None, "values of each number of a Box action (None: 3)", low=2, high=10_000)
    normalise: bool = setting(False, "show the network observations with running mean 0 and variance 1")
    reward_scale: float = setting(1.0, "factor of every reward that is learned from", above=0)
    reward_clip: float | None = setting(None, "largest size of a scaled reward that is learned from", above=0)
    log_every: int = setting(500, "steps between rows of metrics.csv", low=1)


def next_look(step: int, training: RunSettings) -> int:
    """The step after `step` at which something is logged or evaluated."""
    return min((step // every + 1) * every for every in (training.log_every, training.eval_every))


def crossed(before: int, after: int, every: int) -> bool:
    """Did the count pass a multiple of `every`?"""
    return before // every != after // every
