"""Offline runs go on as if they had never stopped; what they learn from is found again, and its checksum compared."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.commands import run_main
from helpers.run_folders import differing_files
from safetensors.numpy import save_file

import rlnut
from rlnut import UsageError
from rlnut.agents.offline_settings import FQI, NFQ
from rlnut.control.offline_loop import largest_change
from rlnut.control.recipe import BEFORE, CHECKPOINT, CONFIG, POLICY, SUMMARY, identity
from rlnut.control.run_files import RunFiles
from rlnut.control.run_loop import RunLook
from rlnut.envs import transitions
from rlnut.envs.make import EnvName
from rlnut.envs.vector import EnvList
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.log import read_metrics

pytestmark = pytest.mark.usefixtures("shared_programs")
WALK = "rlnut/ChainWalk4-v0"
SHORT: dict[str, Any] = {"steps": 80, "eval_episodes": 1, "final_episodes": 2, "seed": 3}
SIX = FQI(gamma=0.9, iterations=6)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Six iterations in one go."""
    rlnut.train(SIX, WALK, out=tmp_path / "whole", quiet=True, **SHORT)
    return tmp_path / "whole"


def test_more_iterations_than_were_planned_are_those_of_a_longer_run(whole: Path, tmp_path: Path):
    """But for the greedy evaluations on the way, which stand at fifths of what was planned."""
    part = tmp_path / "part"
    rlnut.train(SIX.replace(iterations=2), WALK, out=part, quiet=True, **SHORT)
    done = rlnut.resume(part, iterations=6, quiet=True)
    assert (done.best_step, done.reached, done.unit, done.steps) == (6, 6, "iteration", 80)
    assert (part / POLICY).read_bytes() == (whole / POLICY).read_bytes()
    assert read_json(part / CONFIG) == read_json(whole / CONFIG)
    found, known = read_metrics(part / "metrics.csv"), read_metrics(whole / "metrics.csv")
    assert [(row["step"], row["delta"]) for row in found] == [(row["step"], row["delta"]) for row in known]
    with pytest.raises(UsageError, match="has 6 iterations already; --iterations is the total number: give more"):
        rlnut.resume(part, iterations=6, quiet=True)


@pytest.mark.parametrize("agent", [SIX, NFQ(gamma=0.9, iterations=6, hidden=(4,), batch=16)])
def test_ctrl_c_leaves_a_checkpoint(agent: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def press(look: RunLook) -> None:
        if look.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    rlnut.train(agent, WALK, out=tmp_path / "whole", quiet=True, **SHORT)
    done = rlnut.train(agent, WALK, out=tmp_path / "run", callbacks=[press], **SHORT)
    assert done.interrupted and done.reached == 3
    assert "stopping after this iteration (press again to stop at once, without saving)" in capsys.readouterr().err
    rlnut.resume(tmp_path / "run", quiet=True)
    assert differing_files(tmp_path / "whole", tmp_path / "run") == [CONFIG]
    before, after = (read_json(tmp_path / name / CONFIG) for name in ("whole", "run"))
    assert after == before | {"callbacks": after["callbacks"]}


def test_a_run_that_came_to_rest_rests_when_it_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed after the last checkpoint: that nothing changes any more is known from the state alone."""

    def die(self: RunFiles, done: object) -> None:
        raise KeyboardInterrupt

    agent, folder = SIX.replace(iterations=300), tmp_path / "run"
    rlnut.train(agent, WALK, out=tmp_path / "whole", quiet=True, **SHORT)
    monkeypatch.setattr(RunFiles, "finish", die)
    with pytest.raises(KeyboardInterrupt):
        rlnut.train(agent, WALK, out=folder, quiet=True, **SHORT)
    monkeypatch.undo()
    done = rlnut.resume(folder, quiet=True)
    assert differing_files(tmp_path / "whole", folder) == [] and 6 < done.reached < 300
    assert rlnut.resume(folder, iterations=400, quiet=True).reached == done.reached


def test_the_largest_change_is_relative_to_the_largest_weight():
    before, after = {"a": np.array([1.0, -4.0]), "b": np.zeros(2)}, {"a": np.array([1.5, -4.0]), "b": np.ones(2)}
    assert largest_change(before, after) == 0.25


def data_file(path: Path, seed: int) -> str:
    transitions.save_transitions(path, transitions.collect(EnvList(EnvName(WALK).make, 1), 60, seed))
    return str(path)


def test_transitions_of_a_file_are_read_again_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    agent = SIX.replace(data=data_file(tmp_path / "walk.npz", 1))
    rlnut.train(agent, WALK, out=tmp_path / "whole", quiet=True, **SHORT)
    for name in ("same", "changed"):
        for look in rlnut.training(agent, WALK, out=tmp_path / name, quiet=True, **SHORT):
            if look.step == 2:
                break
    rlnut.resume(tmp_path / "same", quiet=True)
    assert differing_files(tmp_path / "whole", tmp_path / "same") == [] and capsys.readouterr().err == ""
    (tmp_path / "walk.npz").unlink()
    with pytest.raises(UsageError, match=r"walk\.npz.*no such file"):
        rlnut.resume(tmp_path / "changed", quiet=True)
    data_file(tmp_path / "walk.npz", 2)
    rlnut.resume(tmp_path / "changed", quiet=True)
    said = capsys.readouterr().err
    assert said.startswith(f"not exact: {tmp_path / 'walk.npz'} has changed since") and said.count("\n") == 1


class Forgetful(gym.Env):
    """Its rewards do not follow from its seed."""

    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)
    resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        Forgetful.resets += 1
        return 0, {}

    def step(self, action: Any) -> Any:
        return 1, float(Forgetful.resets), True, False, {}


def test_an_environment_that_does_not_repeat_itself_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for look in rlnut.training(SIX, Forgetful, out=tmp_path / "run", quiet=True, **SHORT):
        if look.step == 2:
            break
    done = rlnut.resume(tmp_path / "run", env=Forgetful, quiet=True)
    assert done.reached > 2 and "not exact: the environment gives other transitions" in capsys.readouterr().err


def test_what_has_no_meaning_is_refused(whole: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="learns from 80 steps that are there; give --iterations"):
        rlnut.resume(whole, steps=100)
    with pytest.raises(UsageError, match="iterations must be >= 1"):
        rlnut.resume(whole, iterations=0)
    few: dict[str, Any] = {"steps": 64, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
    rlnut.train(rlnut.QLearning(), WALK, out=tmp_path / "online", **few)
    with pytest.raises(UsageError, match="is not a run of an offline agent and has no iterations: give --steps"):
        rlnut.resume(tmp_path / "online", iterations=9)


def test_the_command_line_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    folder = str(tmp_path / "run")
    words = ["--steps=80", "--eval-episodes=1", "--final-episodes=2", f"--out={folder}", "--json"]
    status, out, err = run_main(capsys, "train", "lspi", WALK, "--gamma=0.9", "--iterations=1", *words)
    assert status == 0 and "policy of iteration 1" in err and json.loads(out)["best_step"] == 1
    status, out, err = run_main(capsys, "resume", folder, "--iterations=2", "--json")
    assert status == 0 and "policy of iteration 2" in err and json.loads(out)["best_step"] == 2
    status, _, err = run_main(capsys, "resume", folder, "--steps=90")
    assert status == 2 and "give --iterations" in err


def test_a_folder_of_an_earlier_version_can_be_evaluated_and_says_that_it_ends_here(whole: Path):
    """It had no checkpoint, and its iterations were in the checksum of its weights."""
    for name in (CHECKPOINT, BEFORE, SUMMARY):
        (whole / name).unlink()
    description = read_json(whole / CONFIG)
    stored = read_arrays(whole / POLICY)
    meta = stored.meta | {"run": identity(description, earlier=True)}
    assert meta != stored.meta
    save_file(stored.arrays, whole / POLICY, {"meta": json.dumps(meta)})
    assert len(rlnut.load_policy(whole).evaluate(2).returns) == 2
    with pytest.raises(UsageError, match="older offline runs have none"):
        rlnut.resume(whole, iterations=9)
    write_json(whole / CONFIG, description | {"config": description["config"] | {"gamma": 0.5}})
    with pytest.raises(rlnut.RlnutError, match=r"is not the one that policy\.safetensors was learned with"):
        rlnut.load_policy(whole)
