"""Seeds of one agent with the same settings are a group; labels name the settings in which an agent's groups differ."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlnut.comparison.reading import RecordedRun
from rlnut.errors import counted
from rlnut.runtime.files import JsonObject

MEASURED = ("low", "high", "ridge")  # found by playing with the run's own seed where the user has not chosen them
NAMED = 3  # settings in a label; more differences are counted


class Group(NamedTuple):
    """The seeds of one agent, with the same settings, on one environment."""

    label: str
    env: str
    runs: tuple[RecordedRun, ...]  # in the order of their seeds, each seed once

    @property
    def seeds(self) -> tuple[int, ...]:
        """Their seeds."""
        return tuple(run.seed for run in self.runs)


class _Key(NamedTuple):
    agent: str
    env: str
    settings: str
    source: str  # where the same seeds are there from several places; else empty


def grouped(runs: Sequence[RecordedRun]) -> tuple[list[Group], list[str]]:
    """Groups in the order in which their first runs came, with labels that are distinct; and notes.

    A label is the agent's name. Where one environment has several groups of an agent, it goes on with the settings in
    which these differ: `dqn lr=0.001, double=true`. Runs with the same settings and seeds from different folders
    that the user named are a group for each, and the label says which: two versions of a program may be compared.
    """
    notes: list[str] = []
    members = _members(runs)
    differing = _differences(members)
    groups = []
    for key, label in _labels(members, differing).items():
        one_each: dict[int, RecordedRun] = {}
        for run in members[key]:
            if run.seed in one_each:
                same = one_each[run.seed].folder
                notes.append(f"left out: {run.folder}: the same settings and seed as {same}")
            one_each.setdefault(run.seed, run)
        groups.append(Group(label, key.env, tuple(one_each[seed] for seed in sorted(one_each))))
    return groups, notes + _of_presets(groups)


def _members(runs: Sequence[RecordedRun]) -> dict[_Key, list[RecordedRun]]:
    """Runs by agent, environment and settings; and by the folder that the user named, where seeds are there twice."""
    alike: dict[_Key, list[RecordedRun]] = defaultdict(list)
    for run in runs:
        alike[_key(run, MEASURED)].append(run)
    members: dict[_Key, list[RecordedRun]] = defaultdict(list)
    for some in alike.values():
        found = tuple(name for name in MEASURED if not _chosen(name, some))
        for run in some:
            members[_key(run, found)].append(run)
    apart: dict[_Key, list[RecordedRun]] = {}
    for key, some in members.items():
        twice = max(Counter(run.seed for run in some).values()) > 1 and len({run.source for run in some}) > 1
        for run in some:
            apart.setdefault(key._replace(source=run.source if twice else ""), []).append(run)
    return apart


def _key(run: RecordedRun, without: Sequence[str]) -> _Key:
    settings = {name: value for name, value in run.settings.items() if name not in without}
    return _Key(run.agent, run.env, json.dumps(settings), "")


def _chosen(name: str, runs: Sequence[RecordedRun]) -> bool:
    """Was this setting chosen by the user? What a run has found with its seed is the same where its seed is."""
    values: dict[int, set[str]] = defaultdict(set)
    for run in runs:
        values[run.seed].add(shown_setting(run.settings.get(name)))
    return any(len(some) > 1 for some in values.values())


def _differences(members: dict[_Key, list[RecordedRun]]) -> dict[str, list[str]]:
    """For each agent the settings in which its groups differ on one environment, in the order of its settings."""
    first: dict[tuple[str, str], list[JsonObject]] = defaultdict(list)  # the settings of each group
    for key in members:
        first[key.agent, key.env].append(json.loads(key.settings))
    names: dict[str, list[str]] = defaultdict(list)
    for (agent, _), settings in first.items():
        for name in dict.fromkeys(name for one in settings for name in one):
            several = len({shown_setting(one.get(name, "-")) for one in settings}) > 1
            names[agent] += [name] if several and name not in names[agent] else []
    return names


def _labels(members: dict[_Key, list[RecordedRun]], differing: dict[str, list[str]]) -> dict[_Key, str]:
    """A label for each; the same one for the same choice on several environments."""
    labels: dict[_Key, str] = {}
    for key in members:
        chosen = json.loads(key.settings)
        settings = [f"{name}={shown_setting(chosen[name])}" for name in differing[key.agent] if name in chosen]
        more = f", and {counted(len(settings) - NAMED, 'more difference')}" if len(settings) > NAMED else ""
        label = " ".join([key.agent, *([", ".join(settings[:NAMED]) + more] if settings else [])])
        labels[key] = f"{label} [{key.source}]" if key.source else label
    taken: Counter[tuple[str, str]] = Counter()
    for key, label in labels.items():  # those that differ in what is counted only
        taken[key.env, label] += 1
        if (again := taken[key.env, label]) > 1:
            labels[key] = f"{label} #{again}"
    return labels


def shown_setting(value: object) -> str:
    """A value as the command line has it: 0.001, true, none, 64,64."""
    if isinstance(value, (list, tuple)):
        return ",".join(shown_setting(one) for one in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _of_presets(groups: Iterable[Group]) -> list[str]:
    """Which settings of a label are not the same on all environments (presets differ)."""
    settings: dict[str, list[RecordedRun]] = defaultdict(list)
    for group in groups:
        settings[group.label].append(group.runs[0])
    notes = []
    for label, runs in settings.items():
        kept = [name for name in runs[0].settings if name not in MEASURED]
        names = [name for name in kept if len({shown_setting(run.settings.get(name)) for run in runs}) > 1]
        if names:
            notes.append(f"{label}: {', '.join(names)} not the same on all environments")
    return notes
