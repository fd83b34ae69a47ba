"""The file of a sweep, in TOML: agents, environments, seeds, settings and grids, read strictly and turned into jobs.

agents = ["dqn", "pqn"]
envs = ["CartPole-v1"]
seeds = 5                # 0, 1, 2, 3, 4; or a list: [3, 7]
preset = true            # are the tuned presets of environments used?

[settings]               # for all agents: options of agents and of runs, as those of `rlnut train`
steps = 10_000
[grid]                   # every combination of these
lr = [1e-3, 3e-4]
[agent.dqn]              # for one agent; [agent.dqn.grid] is a grid of its own
hidden = [64, 64]
[env."CartPole-v1"]      # constructor arguments of an environment
max_episode_steps = 200
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from rlnut.agents.catalogue import AGENTS
from rlnut.comparison.grouping import shown_setting
from rlnut.control.settings import RunSettings
from rlnut.errors import UsageError, unknown
from rlnut.other_names import own_option
from rlnut.runtime.files import JsonObject, as_path, digest, reason_of
from rlnut.settings import Options, whole_number

TOP = ("agents", "envs", "seeds", "preset", "settings", "grid", "agent", "env")
MOST_JOBS = 100_000
LONGEST = 100  # letters of a folder's name


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep."""

    agent: str
    env: str
    env_arguments: Options
    options: Options  # of the agent and of the run, by their names
    seed: int
    preset: bool
    folder: str  # its own, inside that of the sweep

    def record(self) -> JsonObject:
        """As JSON, for a worker process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class SweepSpec(NamedTuple):
    """A sweep as its file says it."""

    name: str  # of the file, for people
    agents: tuple[str, ...]
    envs: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: bool
    choices: dict[str, tuple[Options, ...]]  # of each agent: every combination of settings
    grid: dict[str, tuple[str, ...]]  # of each agent: the options in which its combinations differ
    env_arguments: dict[str, Options]

    def jobs(self) -> tuple[SweepJob, ...]:
        """All runs, in their order: the seeds of a setting one after the other."""
        return tuple(
            SweepJob(agent, env, self.env_arguments.get(env, {}), chosen, seed, self.preset, f"{folder}/seed{seed}")
            for agent, env in product(self.agents, self.envs)
            for chosen in self.choices[agent]
            for folder in [_folder(agent, env, {name: chosen[name] for name in self.grid[agent]})]
            for seed in self.seeds
        )

    def record(self) -> JsonObject:
        """What decides which runs there are, as JSON."""
        return {
            "agents": list(self.agents), "envs": list(self.envs), "seeds": list(self.seeds), "preset": self.preset,
            "settings": {agent: list(chosen) for agent, chosen in self.choices.items()}, "env": self.env_arguments,
        }  # fmt: skip


def read_spec(path: str | Path, first_seed: int = 0) -> SweepSpec:
    """The sweep in a file; UsageError, in one line, for what is unknown, invalid, or has no effect.

    first_seed: of `seeds = K`.
    """
    file = as_path(path, "the file of a sweep")
    try:
        with open(file, "rb") as stream:
            found = tomllib.load(stream)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise UsageError(f"{file} cannot be read as TOML: {reason_of(error)}") from None
    try:
        return _spec(str(file), found, first_seed)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


def _spec(name: str, found: Options, first_seed: int) -> SweepSpec:
    _known("key", found, TOP)
    agents, envs = _names(found, "agents"), _names(found, "envs")
    for agent in agents:
        AGENTS.find(agent, other=envs[0])
    preset = found.get("preset", True)
    if not isinstance(preset, bool):
        raise UsageError(f"preset must be true or false, got {preset!r}")
    seeds = _seeds(found.get("seeds", 1), first_seed)
    common, grid = _table(found, "settings"), _grid(_table(found, "grid"), "grid")
    own = {agent: _table(_of(found, "agent", agents), agent, "agent.") for agent in agents}
    grids = {agent: _grid(_table(own[agent], "grid", f"agent.{agent}."), f"agent.{agent}.grid") for agent in agents}
    own = {agent: {key: value for key, value in own[agent].items() if key != "grid"} for agent in agents}
    _check_effect(common, "settings", [own[agent] for agent in agents])
    choices, varied = {}, {}
    for agent in agents:
        settings = {**_ours(agent, common, "settings"), **_ours(agent, own[agent], f"agent.{agent}")}
        varying = _ours(agent, grid, "grid")
        more = _ours(agent, grids[agent], f"agent.{agent}.grid")
        for twice in [*(varying.keys() & more.keys()), *({**varying, **more}.keys() & settings.keys())]:
            raise UsageError(f"{twice} of {agent} is given twice: in a grid, and in another table")
        varying = {**varying, **more}
        choices[agent] = tuple(
            {**settings, **dict(zip(varying, values, strict=True))} for values in product(*varying.values())
        )
        varied[agent] = tuple(varying)
    arguments = {env: _table(_of(found, "env", envs), env, "env.") for env in envs}
    spec = SweepSpec(
        name, agents, envs, seeds, preset, choices, varied, {env: kwargs for env, kwargs in arguments.items() if kwargs}
    )
    _check_folders(spec)
    return spec


def _known(kind: str, given: Collection[str], allowed: Collection[str]) -> None:
    for name in given:
        if name not in allowed:
            raise unknown(kind, name, allowed)


def _names(found: Options, key: str) -> tuple[str, ...]:
    """A list of different names."""
    if key not in found:
        raise UsageError(f'{key} is missing: a list of names, as in {key} = ["…"]')
    names = found[key]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"{key} must be a list of names, got {_shown(names)}")
    _different(names, key)
    return tuple(names)


def _different(values: Sequence[object], what: str) -> None:
    words = Counter(json.dumps(float(v) if type(v) is int else v, default=str) for v in values)  # 1 is 1.0
    if again := next((word for word, count in words.items() if count > 1), None):
        raise UsageError(f"{what} has {again.removesuffix('.0')} twice")


def _seeds(found: object, first: int) -> tuple[int, ...]:
    """K, or the seeds themselves."""
    if not isinstance(found, list):
        count = whole_number("seeds", found, 1, MOST_JOBS + 1)
        return tuple(range(first, first + count))
    if first:
        raise UsageError("--seed has no effect where seeds is a list")
    if not found:
        raise UsageError("seeds is an empty list: give a number of seeds, or a list of seeds")
    seeds = tuple(whole_number("each of seeds", seed, 0, 2**32) for seed in found)
    _different(seeds, "seeds")
    return seeds


def _table(found: Options, key: str, place: str = "") -> Options:
    table = found.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{place}{key} must be a table, [{place}{key}], got {_shown(table)}")
    return table


def _of(found: Options, key: str, names: Sequence[str]) -> Options:
    """The tables [key.NAME]; each NAME is one of `names`."""
    tables = _table(found, key)
    for name in tables:
        if name not in names:
            raise UsageError(f"[{key}.{name}] has no effect: {key}s has no {name!r}, only {', '.join(names)}")
    return tables


def _grid(table: Options, place: str) -> dict[str, list[Any]]:
    """Each option with its values."""
    for name, values in table.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"{name} in [{place}] must be a list of the values to try, got {_shown(values)}")
        _different(values, f"{name} in [{place}]")
    return table


def _check_effect(common: Options, place: str, own: Sequence[Options]) -> None:
    """Refuse a setting for all agents that each of them replaces."""
    for name in common:
        if all(name in one for one in own):
            raise UsageError(f"{name} in [{place}] has no effect: each agent has its own in its table")


def _ours(agent: str, given: Options, place: str) -> Options:
    """Options by rlnut's names; UsageError for one that neither the agent nor a run has."""
    kind = AGENTS.find(agent)
    allowed = [f.name for config in (kind, RunSettings) for f in fields(config)]
    found: Options = {}
    for name, value in given.items():
        ours = own_option(name, allowed)
        if ours is None:
            table = "[agent.NAME.grid]" if place == "grid" else "[agent.NAME]"
            hint = "" if place.startswith("agent.") else f" (what only some agents have belongs in {table})"
            error = unknown(f"{agent} option", name, allowed, see=f"rlnut train {agent} --help")
            raise UsageError(f"[{place}]: {error}{hint}")
        if ours in found:
            raise UsageError(f"[{place}]: {name} is another name of {ours}: give one of them")
        found[ours] = value
    return found


def _folder(agent: str, env: str, chosen: Options) -> str:
    """dqn-CartPole-v1/lr=0.001,double=true: the options of the grid, if there are any."""
    parts = [f"{agent}-{env}", ",".join(f"{name}={shown_setting(value)}" for name, value in chosen.items())]
    return "/".join(_file_name(part) for part in parts if part)


def _file_name(text: str) -> str:
    """A name that every file system takes; a long one is cut, and stays distinct."""
    plain = "".join(c if c.isalnum() or c in "-_.,=+ " else "-" for c in text)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 9]}-{digest(text)[:8]}"


def _check_folders(spec: SweepSpec) -> None:
    count = sum(map(len, spec.choices.values())) * len(spec.envs) * len(spec.seeds)
    if count > MOST_JOBS:
        raise UsageError(f"it has {count:,} runs; at most {MOST_JOBS:,} are allowed")
    for folder, times in Counter(job.folder.lower() for job in spec.jobs()).items():
        if times > 1:
            raise UsageError(f"two runs would have the same folder, {folder}")


def differing(before: JsonObject, now: JsonObject) -> Iterator[str]:
    """What two records of sweeps do not have in common, for people."""
    for key in now:
        if before.get(key) != now[key]:
            yield f"{key} {_shown(before.get(key))} there, {_shown(now[key])} here"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
