"""What a run that goes on needs beside its folder: how far it goes, its checkpoint, and what is not as it was."""

from __future__ import annotations

from rlnut.control.checkpoints import read_checkpoint
from rlnut.control.differences import differences, shown_change
from rlnut.control.provenance import provenance
from rlnut.control.recipe import BEFORE, CHECKPOINT, POLICY, SUMMARY, Recipe
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike
from rlnut.errors import UsageError
from rlnut.learner.config import AgentConfig, OfflineConfig
from rlnut.runtime.arrays import StoredArrays
from rlnut.runtime.log import say


def evaluated_on(recipe: Recipe, given: EnvLike | None) -> EnvLike | None:
    """Where greedy episodes are played: as recorded, or as given; None: on the run's own environment.

    One that no file holds is not known any more, and that is reported.
    """
    try:
        return recipe.evaluation_environment(given)
    except UsageError as error:
        say(f"not exact: {error}; without it greedy episodes are played on {recipe.shown_env} from now on")
        return None


def difference_line(recipe: Recipe, config: AgentConfig, env: EnvLike) -> str:
    """Versions, code and machine where they are not those of config.json, in one line; empty: all are the same."""
    found = differences(recipe.found, provenance(config, env))
    if not found:
        return ""
    changed = ", ".join(f"{name} {shown_change(change)}" for name, change in found.items())
    return f"not as when the run began, so what follows may differ in the last digits: {changed}"


def longer(recipe: Recipe, steps: int | None, iterations: int | None) -> tuple[AgentConfig, RunSettings]:
    """Config and settings of a resumed run, perhaps with more steps than planned."""
    config, course = recipe.config, recipe.training
    if isinstance(config, OfflineConfig):
        if steps is not None:
            raise UsageError(f"{recipe.folder} learns from {course.steps:,} steps that are there; give --iterations")
        return config if iterations is None else config.replace(iterations=iterations), course
    if iterations is not None:
        raise UsageError(f"{recipe.folder} is not a run of an offline agent and has no iterations: give --steps")
    return config, course if steps is None else course.replace(steps=steps)


def stored_state(recipe: Recipe, config: AgentConfig, course: RunSettings, given: bool) -> StoredArrays | None:
    """The checkpoint of a run that is not done yet; None: it was killed before there was one."""
    names = {path.name for path in recipe.folder.iterdir()}
    if not names & {CHECKPOINT, BEFORE, POLICY, SUMMARY}:
        return None
    total, unit = course.steps, "steps"
    if isinstance(config, OfflineConfig):
        total, unit = config.iterations, "iterations"
        if not names & {CHECKPOINT, BEFORE}:
            raise UsageError(f"{recipe.folder} has no checkpoint (older offline runs have none): train it again")
    stored = recipe.check(read_checkpoint(recipe.folder))
    done = stored.meta["steps"]
    if total <= done and (SUMMARY in names or given):  # else it was killed at the end
        raise UsageError(f"{recipe.folder} has {done:,} {unit} already; --{unit} is the total number: give more")
    return stored
