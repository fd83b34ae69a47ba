"""What is compiled is compiled once: nothing after the first update and evaluation, nothing for a second seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jax import monitoring

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.control.settings import SILENT, RunSettings
from rlnut.control.setup import Shared
from rlnut.control.training import train_seed
from rlnut.envs.make import EnvName
from rlnut.learner.config import AgentConfig, OfflineConfig

SMALL: dict[str, Any] = {"hidden": (8,), "batch": 8, "replay": 200, "learning_starts": 16, "train_every": 4}
SMALL |= {"target_every": 20, "atoms": 8, "quantiles": 4, "cosines": 4, "recurrent": 4, "sequence": 4, "burn_in": 1}
SMALL |= {"rollout": 8, "minibatches": 2, "epochs": 1, "iterations": 4}
COURSE: dict[str, Any] = {"steps": 120, "log_every": 10, "eval_every": 30, "eval_episodes": 2, "final_episodes": 2}
OFFLINE = [name for name, kind in AGENTS.own.items() if issubclass(kind, OfflineConfig)]
PLAYING = [name for name in AGENTS.own if name not in OFFLINE]
# one of each loop and memory; the others are variants of them, whose compiled visit is one program by its type
FEW = ("dqn", "per-dqn", "pqn", "drqn", "sarsa-lambda")
# the same on the host, where the visit is compiled too; rainbow is most of the others in one
FEW_ON_HOST = ("dqn", "pqn", "drqn", "sarsa-lambda", "double-q")


def mostly_slow(few: tuple[str, ...]) -> list[Any]:
    """All agents that play, those that are not among the few as slow tests."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in PLAYING]


@pytest.fixture(scope="module")
def heard() -> list[str]:
    events: list[str] = []

    def hear(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    monitoring.register_event_duration_secs_listener(hear)
    return events


@pytest.fixture(autouse=True)
def health_from_the_first_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of value health belongs to what is compiled with the first evaluation."""
    monkeypatch.setattr("rlnut.control.health.FIRST", 1)


@pytest.fixture
def compiled(heard: list[str]) -> Iterator[list[str]]:
    """One entry for each program that goes to the compiler, or is found in its cache on the disk."""
    heard.clear()
    yield heard
    heard.clear()


def small(name: str, **more: Any) -> AgentConfig:
    """The agent with all of the small settings that mean something for it."""
    kind = AGENTS[name]
    names = {field.name for field in fields(kind)}
    return kind(**kind.kept({k: v for k, v in (SMALL | more).items() if k in names}, {}))


def course_of(name: str, native: bool = False) -> RunSettings:
    """Two environments for agents that learn from rollouts, one for the others."""
    return RunSettings(**COURSE, native=native, num_envs=2 if "pqn" in name else 1)


def check(name: str, native: bool, out: Path, compiled: list[str]) -> None:
    """No program is compiled after the first update and the first evaluation, by learning, looking or saving."""
    looks = rlnut.training(small(name), "CartPole-v1", out=out, quiet=True, settings=course_of(name, native))
    counts, learned, evaluated, measured = [], False, False, 0
    for look in looks:
        learned = learned or any(one["updates"] > 0 for one in look.metrics)
        evaluated = evaluated or (learned and look.evaluation is not None)
        measured += look.row is not None and "weight_norm" in look.row
        look.save()
        if learned and (evaluated or name in OFFLINE):
            counts.append(len(compiled))
    looks.result()
    assert len(counts) > 2 and counts[0] > 0, "the run was too short, or nothing was heard"
    assert measured > 1 or name in OFFLINE, "value health was not measured again"
    assert [*counts, len(compiled)] == [counts[0]] * (len(counts) + 1)


@pytest.mark.parametrize("name", [*mostly_slow(FEW_ON_HOST), *OFFLINE])
def test_nothing_is_compiled_after_the_first_update(name: str, tmp_path: Path, compiled: list[str]):
    check(name, False, tmp_path / "run", compiled)


@pytest.mark.parametrize("name", mostly_slow(FEW))
def test_nothing_is_compiled_after_the_first_update_of_a_compiled_run(name: str, tmp_path: Path, compiled: list[str]):
    check(name, True, tmp_path / "run", compiled)


@pytest.mark.parametrize(
    "name, native",
    [("dqn", False), ("dqn", True), ("iqn", False), ("pqn", True), ("drqn", False), ("sarsa-lambda", True)]
    + [(name, False) for name in OFFLINE],
)
def test_nothing_is_compiled_for_a_second_seed(name: str, native: bool, tmp_path: Path, compiled: list[str]):
    """Bounds of features, and a ridge, are given: what is found by playing depends on the seed."""
    box = {"low": (-2.4, -4.0, -0.2, -4.0), "high": (2.4, 4.0, 0.2, 4.0), "ridge": 0.1}
    shared, env, counts = Shared(), EnvName("CartPole-v1", {}), []
    for seed in (0, 1):
        course = course_of(name, native)
        train_seed(small(name, **box), env, course, seed, tmp_path / str(seed), shared, said=SILENT)
        counts.append(len(compiled))
    assert counts[0] > 0 and counts[1] == counts[0]


def test_seeds_whose_bounds_differ_have_programs_of_their_own(tmp_path: Path):
    """CartPole's velocities have no bounds: what a uniform policy finds depends on the seed, and so do the features."""
    shared, env = Shared(), EnvName("CartPole-v1", {})
    for seed in (0, 1):
        course = course_of("sarsa")
        train_seed(small("sarsa"), env, course, seed, tmp_path / str(seed), shared, said=SILENT)
        alone = tmp_path / f"alone{seed}"
        rlnut.train(small("sarsa"), "CartPole-v1", seed=seed, out=alone, quiet=True, settings=course)
        weights = (tmp_path / str(seed) / "policy.safetensors").read_bytes()
        assert weights == (alone / "policy.safetensors").read_bytes()
    assert len(shared.kept) == 2 and shared.kept[0].agent is not shared.kept[1].agent
