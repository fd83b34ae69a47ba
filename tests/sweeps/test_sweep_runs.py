"""A sweep: the bytes of runs made one by one, continued where it stopped, in one process or in several."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import contents, run_main

import rlnut
from rlnut.control.recipe import CHECKPOINT
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.locks import locked

SAME = ("metrics.csv", "policy.safetensors", CHECKPOINT, "config.json")  # summary.json has clock times
SPEC = """
agents = ["q-learning"]
envs = ["CliffWalking-v1"]
[settings]
steps = 200
eval_every = 100
eval_episodes = 1
final_episodes = 1
[grid]
lr = [0.5, 0.1]
[env."CliffWalking-v1"]
max_episode_steps = 20
"""
ALONE = ["train", "q-learning", "CliffWalking-v1", "--steps=200", "--eval-every=100", "--eval-episodes=1"]
ALONE += ["--final-episodes=1", "--env-arg=max_episode_steps=20"]


def test_a_sweep_leaves_the_bytes_of_single_runs_and_continues_what_was_stopped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("lr.toml").write_text(SPEC)
    stopped = tmp_path / "runs" / "lr" / "q-learning-CliffWalking-v1" / "lr=0.1" / "seed0"
    Path("runs/lr").mkdir(parents=True)
    Path("runs/lr/sweep.json").touch()
    from rlnut.sweeps.spec import read_spec

    write_json(Path("runs/lr/sweep.json"), read_spec("lr.toml").record())  # as a sweep leaves it that was stopped …
    env = rlnut.envs.make_name("CliffWalking-v1") if False else None
    course = {"steps": 200, "eval_every": 100, "eval_episodes": 1, "final_episodes": 1, "lr": 0.1, "quiet": True}
    from rlnut.envs.make import EnvName

    env = EnvName("CliffWalking-v1", {"max_episode_steps": 20})
    for look in rlnut.training("q-learning", env, out=stopped, **course):
        if look.step >= 120:
            break  # … in the middle of this run
    assert read_json(stopped / "summary.json")["interrupted"]
    status, out, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["jobs"], found["finished_before"]) == (2, 0) and "failed" not in found
    assert set(found["comparison"]["iqm"]) == {"q-learning lr=0.5", "q-learning lr=0.1"}
    assert found["comparison"]["iqm"] == read_json(Path("runs/lr/comparison.json"))["iqm"]
    for name in ("comparison.png", "curves.png"):
        assert Path("runs/lr", name).stat().st_size > 10_000
    for lr in ("0.5", "0.1"):
        assert run_main(capsys, *ALONE, f"--lr={lr}", f"--out=alone{lr}")[0] == 0
        for name in SAME:
            alone = Path(f"alone{lr}", name).read_bytes()
            assert (stopped.parent.with_name(f"lr={lr}") / "seed0" / name).read_bytes() == alone, (lr, name)
    before = contents(stopped.parents[1])
    status, out, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1", "--json")
    assert status == 0 and json.loads(out)["finished_before"] == 2  # nothing is run again
    assert contents(stopped.parents[1]) == before
    Path("lr.toml").write_text(SPEC.replace("0.5", "0.25"))  # another sweep
    status, _, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1")
    assert status == 2 and "is the folder of another sweep (settings" in err
    with locked(Path("runs/lr")):
        status, _, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1")
    assert status == 2 and "runs/lr is in use by another run" in err
    status, _, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1", "--out=alone0.5")
    assert status == 2 and "exists already and is not the folder of a sweep" in err
