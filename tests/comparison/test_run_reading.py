"""Runs found in folders, put into groups with labels that name their difference; what cannot be used is reported."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.recorded_runs import recorded, seeds_of

from rlnut.comparison.grouping import grouped
from rlnut.comparison.reading import find_runs
from rlnut.comparison.scores import common_steps, finished
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.files import read_json, write_json


def labels(*folders: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    groups, _ = grouped(find_runs(folders)[0])
    return {(group.label, group.env): group.seeds for group in groups}


def test_a_run_a_folder_of_seeds_and_any_tree_are_found(tmp_path: Path):
    recorded(tmp_path / "alone", 7)
    seeds_of(tmp_path / "deep" / "er" / "dqn", range(11))
    recorded(tmp_path / ".hidden" / "run", 30)
    write_json(tmp_path / "deep" / "config.json", {"model": "mlp"})  # a fit: no metrics.csv
    assert labels(tmp_path / "alone") == {("dqn", "CartPole-v1"): (7,)}
    assert labels(tmp_path / "deep") == {("dqn", "CartPole-v1"): tuple(range(11))}
    everything, notes = find_runs([tmp_path, tmp_path / "alone", tmp_path / "deep" / ".." / "alone"])
    assert len(everything) == 12 and notes == []


def test_what_a_run_folder_says(tmp_path: Path):
    run = find_runs([recorded(tmp_path / "a", 3, (1.0, 4.0), curve={10: 1.5, 25: 2.5}, lr=0.5)])[0][0]
    assert (run.agent, run.env, run.seed, run.returns, run.unfinished) == ("dqn", "CartPole-v1", 3, (1.0, 4.0), "")
    assert run.steps.tolist() == [10, 25] and run.evaluations.tolist() == [1.5, 2.5]
    assert run.settings["lr"] == 0.5 and run.settings["eval_every"] == 2500 and not run.offline


def test_labels_name_the_settings_that_differ_and_only_those(tmp_path: Path):
    seeds_of(tmp_path / "a", [1, 2], lr=0.1)
    assert labels(tmp_path) == {("dqn", "CartPole-v1"): (0, 1)}
    seeds_of(tmp_path / "b", [1, 2, 3], lr=0.01, double=False)
    seeds_of(tmp_path / "c", [1], agent="rainbow", lr=0.7)
    assert labels(tmp_path) == {
        ("dqn lr=0.1, double=true", "CartPole-v1"): (0, 1),
        ("dqn lr=0.01, double=false", "CartPole-v1"): (0, 1, 2),
        ("rainbow", "CartPole-v1"): (0,),
    }


def test_many_differences_are_counted_and_labels_stay_distinct(tmp_path: Path):
    for k in range(3):
        more = {"gamma": 0.5, "lr": 0.1, "hidden": (9, 8), "batch": 7, "n_step": 9 + k} if k else {}
        recorded(tmp_path / str(k), **more)  # type: ignore[arg-type]
    found = [label for label, _ in labels(tmp_path)]
    assert len(set(found)) == 3 and all(label.endswith("and 2 more differences") for label in found[:2])
    assert found[1].startswith("dqn gamma=0.5, lr=0.1, hidden=9,8, and ") and found[2] == f"{found[1]} #2"


def test_presets_of_environments_do_not_split_an_agent(tmp_path: Path):
    """The default of each environment is one agent, and the note names the setting; a difference within one is two."""
    seeds_of(tmp_path / "cart", [1], lr=0.1)
    seeds_of(tmp_path / "hill", [1], lr=0.2, env="MountainCar-v0")
    groups, notes = grouped(find_runs([tmp_path])[0])
    assert [group.label for group in groups] == ["dqn", "dqn"]
    assert notes == ["dqn: lr not the same on all environments"]
    seeds_of(tmp_path / "other", [1], lr=0.2)
    assert set(labels(tmp_path)) == {
        ("dqn lr=0.1", "CartPole-v1"), ("dqn lr=0.2", "CartPole-v1"), ("dqn lr=0.2", "MountainCar-v0"),
    }  # fmt: skip


def test_what_decides_nothing_is_no_difference(tmp_path: Path):
    recorded(tmp_path / "a", 0, training={"log_every": 500})
    recorded(tmp_path / "b", 1, training={"log_every": 100})
    path = recorded(tmp_path / "c", 2) / "config.json"
    config = read_json(path)
    del config["config"]["double"], config["training"]["bins"]  # as a version wrote it that had no such settings
    write_json(path, config)
    assert labels(tmp_path) == {("dqn", "CartPole-v1"): (0, 1, 2)}
    recorded(tmp_path / "d", 3, training={"steps": 100})
    assert ("dqn steps=100", "CartPole-v1") in labels(tmp_path)


def test_bounds_that_a_run_has_measured_do_not_split_its_seeds(tmp_path: Path):
    """`low` of an unbounded space is found by playing with the run's seed; a user's choice is there for every seed."""
    for seed in range(3):
        recorded(tmp_path / "a" / str(seed), seed, agent="sarsa", low=(-seed, 0.0), ridge=1.0)
    assert labels(tmp_path) == {("sarsa", "CartPole-v1"): (0, 1, 2)}
    for seed in range(3):
        recorded(tmp_path / "b" / str(seed), seed, agent="sarsa", low=(-seed, 0.0), ridge=2.0)
    assert labels(tmp_path) == {
        ("sarsa ridge=1.0", "CartPole-v1"): (0, 1, 2), ("sarsa ridge=2.0", "CartPole-v1"): (0, 1, 2),
    }  # fmt: skip


def test_a_seed_that_is_there_twice_counts_once(tmp_path: Path):
    seeds_of(tmp_path / "all" / "a", [1, 2])
    recorded(tmp_path / "all" / "b", 1)
    groups, notes = grouped(find_runs([tmp_path / "all"])[0])
    assert [group.seeds for group in groups] == [(0, 1)]
    (note,) = notes
    assert note.startswith(f"left out: {tmp_path / 'all' / 'b'}") and "same settings and seed" in note


def test_the_same_seeds_in_two_folders_that_were_named_are_two_sides(tmp_path: Path):
    """Two versions of a program: nothing but the folder tells them apart."""
    old, new = seeds_of(tmp_path / "old", [1, 2]), seeds_of(tmp_path / "new", [3, 4])
    assert labels(old, new) == {(f"dqn [{old}]", "CartPole-v1"): (0, 1), (f"dqn [{new}]", "CartPole-v1"): (0, 1)}


@pytest.mark.parametrize(
    "run, said",
    [
        ({"returns": None}, "not finished"),
        ({"interrupted": True}, "interrupted at step 200"),
        ({"returns": (1.0, float("inf"))}, "not finite"),
    ],
)
def test_runs_that_are_not_finished_are_left_out_with_the_reason(run: dict[str, object], said: str, tmp_path: Path):
    recorded(tmp_path / "a", 0)
    recorded(tmp_path / "b", 1, **run)  # type: ignore[arg-type]
    (group,), _ = grouped(find_runs([tmp_path])[0])
    done, notes = finished(group)
    assert done is not None and done.seeds == (0,)
    assert len(notes) == 1 and said in notes[0] and str(tmp_path / "b") in notes[0]


def test_common_steps_are_those_that_all_have(tmp_path: Path):
    for k, steps in enumerate([(100, 200, 300), (100, 300, 400), (50, 100, 300)]):
        recorded(tmp_path / str(k), k, curve=dict.fromkeys(steps, 1.0))
    assert common_steps(find_runs([tmp_path])[0]).tolist() == [100, 300]


def test_folders_without_runs_are_named(tmp_path: Path):
    recorded(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    for wrong, said in ((tmp_path / "empty", "no run in it"), (tmp_path / "nowhere", "is not a folder")):
        with pytest.raises(UsageError, match=f"{re.escape(str(wrong))}.*{said}"):
            find_runs([tmp_path / "run", wrong])
    with pytest.raises(UsageError, match="at least one"):
        find_runs([])


def test_damaged_runs_are_left_out_and_reported(tmp_path: Path):
    seeds_of(tmp_path, [1, 2, 3, 4, 5])
    (tmp_path / "seed0" / "config.json").write_text("{")
    write_json(tmp_path / "seed1" / "config.json", {"agent": "dqn", "seed": 1})
    (tmp_path / "seed2" / "metrics.csv").write_text("step,eval_mean\n2,1\n1,1\n")
    write_json(tmp_path / "seed3" / "summary.json", {"eval": {"returns": 3}, "interrupted": False})
    runs, notes = find_runs([tmp_path])
    assert [run.seed for run in runs] == [4] and len(notes) == 4
    for k, note in enumerate(notes):
        assert str(tmp_path / f"seed{k}") in note and "is damaged" in note
    with pytest.raises(RlnutError, match=r"is damaged.*\(and 3 more\)"):
        find_runs([tmp_path / f"seed{k}" for k in range(4)])


def test_offline_agents_count_iterations(tmp_path: Path):
    assert find_runs([recorded(tmp_path / "a", agent="fqi", iterations=5)])[0][0].offline
    assert np.array_equal(find_runs([tmp_path])[0][0].steps, [100, 200])
