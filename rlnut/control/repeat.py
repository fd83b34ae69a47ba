"""Repeating a run from its config.json, exactly or with some settings changed; differences are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from rlnut.agents.catalogue import AgentConfig
from rlnut.control.differences import Change, differences, shown_change, shown_value
from rlnut.control.provenance import provenance
from rlnut.control.recipe import CONFIG, POLICY, Recipe
from rlnut.control.result import Trained
from rlnut.control.settings import RunSettings
from rlnut.control.training import checked_seed, train
from rlnut.envs.make import EnvLike, env_name, shown_environment
from rlnut.errors import unknown
from rlnut.runtime.files import JsonObject, read_json
from rlnut.runtime.log import say
from rlnut.runtime.observing import Callback
from rlnut.settings import Options
from rlnut.types import Network

Changes = dict[str, Change]
OLD = "an earlier version of rlnut wrote this file and recorded no checksums of code: whether that changed is not known"


class Repetition(NamedTuple):
    """A run that is to be repeated."""

    recipe: Recipe
    config: AgentConfig
    env: EnvLike
    eval_env: EnvLike | None
    training: RunSettings
    seed: int
    changed: Changes  # by the user: what was recorded, and what is taken instead
    differs: Changes  # of the place: versions, code, device
    seeds: int = 1

    @property
    def exact(self) -> bool:
        """Are all settings and the place as they were recorded?"""
        return not self.changed and not self.differs and self.seeds == 1

    def lines(self) -> list[str]:
        """For people."""
        title = f"repeating {self.recipe.path}"
        title += f" with {self.seeds} seeds from {self.seed} on" if self.seeds > 1 else ""
        if self.exact and "code" in self.recipe.found:
            return [f"{title}: settings, versions and code are as recorded, so weights and log will be, too"]
        rows = [("changed", name, change) for name, change in self.changed.items()]
        rows += [("not as recorded", name, change) for name, change in self.differs.items()]
        notes = [] if "code" in self.recipe.found else [f"  {OLD}"]
        return [title, *(f"  {kind}: {name} {shown_change(change)}" for kind, name, change in rows), *notes]

    def record(self) -> JsonObject:
        """For JSON."""
        each = {"changed": self.changed, "differs": self.differs}
        return {"config": str(self.recipe.path)} | {k: {n: [*c] for n, c in v.items()} for k, v in each.items()}


def repetition(
    recipe: Recipe,
    options: Options,
    course: Options,
    seed: int | None = None,
    env: EnvLike | None = None,
    eval_env: EnvLike | None = None,
    seeds: int = 1,
) -> Repetition:
    """What is to be done: the recorded settings, but for options of the agent and of `RunSettings` that are given.

    Settings that followed from others (bounds that are found by playing, the length of a schedule) follow anew. seeds:
    how many runs there will be, from `seed` on.
    """
    chosen = recipe.environment(env)
    chosen_eval = recipe.evaluation_environment(eval_env)
    seed = recipe.seed if seed is None else checked_seed(seed)
    config, training, changed = _settings(recipe, options, course)
    if seed != recipe.seed:
        changed["seed"] = Change(recipe.seed, seed)
    for name, one in (("env", env), ("eval_env", eval_env)):
        before, now = recipe.found.get(name), None if one is None else recorded_env(one)
        if one is not None and (before or None) != (now or None):
            changed[name] = Change(_named(before), _named(now))
    differs = differences(recipe.found, provenance(config, chosen))
    return Repetition(recipe, config, chosen, chosen_eval, training, seed, changed, differs, seeds)


def _settings(recipe: Recipe, options: Options, course: Options) -> tuple[AgentConfig, RunSettings, Changes]:
    """Settings as they were asked for, with what is given now; what is neither as it was nor as it was asked for."""
    kind, own = type(recipe.asked), _own_settings(recipe.asked)
    kept = kind.kept(own, options)
    config, training = kind().replace(**kept | options), recipe.asked_training.replace(**course)
    found: Changes = {}
    both = ((config, recipe.asked, recipe.config), (training, recipe.asked_training, recipe.training))
    named = {*options, *course, *own}  # of `own` some may have no meaning beside what is given: defaults again
    for new, asked, settled in both:
        for name in (f.name for f in fields(new) if f.name in named):
            before, now = getattr(asked, name), getattr(new, name)
            if now not in (before, getattr(settled, name)):
                found[name] = Change(before, now)
    return config, training, found


def _own_settings(config: AgentConfig) -> Options:
    """The settings that are not defaults."""
    usual = vars(type(config)())
    return {name: value for name, value in vars(config).items() if name in usual and value != usual[name]}


def recorded_env(env: EnvLike) -> JsonObject:
    """As config.json has it; {}: an environment without a name."""
    name = env_name(env)
    return {} if name is None else dict(name.record())


def _named(record: Any) -> str:
    try:
        return shown_environment(record or None)
    except (KeyError, TypeError, AttributeError):
        return str(record)


class RepeatCheck(NamedTuple):
    """A repeated run beside the one that it repeats."""

    same: bool | None  # None: there is nothing to compare with
    line: str


def same_as_before(one: Repetition, out: Path) -> RepeatCheck:
    """Are the log and the weights in `out` those of the folder where the config.json lies, byte for byte?"""
    before, title = one.recipe.folder, "the same bytes as in"
    if one.changed or not (before / POLICY).is_file() or not (before / "metrics.csv").is_file():
        return RepeatCheck(None, "")
    if (found := one.recipe.found.get("data")) is not None and found != read_json(out / CONFIG).get("data"):
        source = getattr(one.config, "data", None)
        what = f"{source} has changed since" if source else "the environment gave other transitions than then"
        return RepeatCheck(False, f"not the same as in {before}: {what}")
    logs = [(folder / "metrics.csv").read_bytes().splitlines() for folder in (before, out)]
    if logs[0] != logs[1]:
        row = next((i for i, (a, b) in enumerate(zip(*logs, strict=False)) if a != b), min(map(len, logs)))
        if row == 0:
            return RepeatCheck(None, f"metrics.csv has other columns than in {before}: they cannot be compared")
        rows = logs[0] if row < len(logs[0]) else logs[1]
        step = ascii(rows[row].partition(b",")[0].decode("utf-8", "replace")[:20])[1:-1]
        ends = "" if row < min(map(len, logs)) else ", where one of the two ends"
        return RepeatCheck(False, f"not the same as in {before}: metrics.csv differs from the row of {step} on{ends}")
    if (before / POLICY).read_bytes() != (out / POLICY).read_bytes():
        return RepeatCheck(False, f"not the same as in {before}: metrics.csv is, {POLICY} is not")
    return RepeatCheck(True, f"{title} {before}: metrics.csv and {POLICY}")


def repeat(
    config: str | Path,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    env: EnvLike | None = None,
    network: Network | None = None,
    eval_env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
    **changes: Any,
) -> Trained:
    """Train again as a config.json (or its run folder) says: the same weights and log, byte for byte, on one machine.

    out: a new folder. seed, env and changes (options of the agent and of `RunSettings`) take the place of what is
    recorded. env, network, eval_env, agent: also what the run was given in Python, which is not stored. trust: see
    `load_policy`. What is changed, and what is not as it was (versions, code), is said; if both folders are there, the
    results are compared.
    """
    recipe = Recipe(config, network, agent, trust, file=True)
    options, course = split_changes(recipe, changes)
    one = repetition(recipe, options, course, seed, env, eval_env)
    if not quiet:
        for line in one.lines():
            say(line)
        if (names := recipe.found.get("callbacks")) and not callbacks:
            say(f"  the run had callbacks, which are not stored: {shown_value(names)}; pass them with callbacks=")
    done = train(
        one.config, one.env, seed=one.seed, out=out, network=network, eval_env=one.eval_env, quiet=quiet,
        settings=one.training, callbacks=callbacks,
    )  # fmt: skip
    if (
        done.folder is not None
        and not quiet
        and not done.interrupted
        and (line := same_as_before(one, done.folder).line)
    ):
        say(line)
    return done


def split_changes(recipe: Recipe, changes: Options) -> tuple[Options, Options]:
    """Options of the agent, and of `RunSettings`; UsageError for a name that is neither."""
    both = [{f.name for f in fields(settings)} for settings in (recipe.config, recipe.training)]
    for name in changes:
        if name not in both[0] | both[1]:
            raise unknown(f"option of {recipe.found['agent']}", name, both[0] | both[1])
    return {k: v for k, v in changes.items() if k in both[0]}, {k: v for k, v in changes.items() if k in both[1]}
