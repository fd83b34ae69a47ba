"""A sweep: the bytes of runs made one by one, continued where it stopped, in one process or in several."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.commands import contents, run_main

import rlnut
from rlnut.control.recipe import CHECKPOINT
from rlnut.envs.make import EnvName
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.locks import locked
from rlnut.sweeps.spec import read_spec

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
    write_json(Path("runs/lr/sweep.json"), read_spec("lr.toml").record())  # as a sweep leaves it that was stopped …
    course: Any = {"steps": 200, "eval_every": 100, "eval_episodes": 1, "final_episodes": 1, "lr": 0.1, "quiet": True}
    run = rlnut.training("q-learning", EnvName("CliffWalking-v1", {"max_episode_steps": 20}), out=stopped, **course)
    for look in run:
        if look.step == 100:
            signal.raise_signal(signal.SIGINT)  # … by Ctrl-C in the middle of this run
    assert run.result().interrupted and read_json(stopped / "summary.json")["interrupted"]
    status, out, err = run_main(capsys, "sweep", "lr.toml", "--jobs=1", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["jobs"], found["finished_before"]) == (2, 0) and "failed" not in found
    assert set(found["comparison"]["iqm"]) == {"q-learning lr=0.5", "q-learning lr=0.1"}
    assert found["comparison"]["iqm"] == read_json(Path("runs/lr/comparison.json"))["iqm"]
    for name in ("comparison.png", "curves.png"):
        assert Path("runs/lr", name).read_bytes().startswith(b"\x89PNG")
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


def test_a_run_that_fails_does_not_lose_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Tables of actions do not exist for CartPole: that run is reported by its folder, the others are compared."""
    spec = SPEC.replace('"CliffWalking-v1"]\n[settings]', '"CliffWalking-v1", "CartPole-v1"]\n[settings]')
    spec = spec.replace("lr = [0.5, 0.1]", "lr = [0.5]") + '[agent.q-learning]\nfeatures = "one-hot"\n'
    (tmp_path / "a.toml").write_text(spec)
    status, out, err = run_main(capsys, "sweep", str(tmp_path / "a.toml"), "--json", f"--out={tmp_path / 'a'}")
    found = json.loads(out)
    assert status == 1 and list(found["failed"]) == ["q-learning-CartPole-v1/lr=0.5/seed0"], err
    assert found["comparison"]["envs"] == ["CliffWalking-v1(max_episode_steps=20)"]
    assert "1 run of 2 failed: the same command tries again" in err


PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "sweep.md"


@pytest.mark.skipif(not PAGE.exists(), reason="these tests run away from a checkout")
@pytest.mark.parametrize("fewer", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_file_of_the_documentation_runs(fewer: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """All that the page says of its 8 runs; in short only the last of them."""
    text = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    if fewer:
        text = text.replace('"q-learning", ', "").replace("seeds = 2", "seeds = [1]").replace("[0.5, 0.1]", "[0.5]")
    (tmp_path / "cliff.toml").write_text(text)
    status, out, err = run_main(capsys, "sweep", str(tmp_path / "cliff.toml"), "--json", f"--out={tmp_path / 'cliff'}")
    assert status == 0, err
    assert json.loads(out)["jobs"] == (1 if fewer else 8)
    assert read_json(tmp_path / "cliff" / "sarsa-CliffWalking-v1" / "lr=0.5" / "seed1" / "config.json")["seed"] == 1


LONG = SPEC.replace("steps = 200", "steps = 60000").replace("eval_every = 100", "eval_every = 2000")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_killed_processes_go_on_from_their_checkpoints(victim: str, tmp_path: Path):
    """Two runs side by side; one process is killed in the middle; the second call has the bytes of runs alone."""
    (tmp_path / "lr.toml").write_text(LONG)
    command = [sys.executable, "-m", "rlnut", "sweep", "lr.toml", "--jobs=2", "--out=a", "--json"]
    begun = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(list(tmp_path.glob(f"a/*/*/*/{CHECKPOINT}"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    workers = psutil.Process(begun.pid).children()
    assert len(workers) == 2
    (workers[0] if victim == "worker" else psutil.Process(begun.pid)).send_signal(signal.SIGKILL)
    out, _ = begun.communicate(timeout=300)
    psutil.wait_procs(workers, 60)
    if victim == "worker":
        assert begun.returncode == 1
        assert list(json.loads(out)["failed"].values()) == [f"its process ended with signal {signal.SIGKILL:d}"]
    else:
        assert not list(tmp_path.glob("a/comparison.json"))
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["finished_before"] == (1 if victim == "worker" else 0)
    for lr in ("0.5", "0.1"):
        alone = [
            sys.executable,
            "-m",
            "rlnut",
            *ALONE,
            f"--lr={lr}",
            f"--out={lr}",
            "--steps=60000",
            "--eval-every=2000",
        ]
        subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True)
        for name in SAME:
            swept = tmp_path / "a" / "q-learning-CliffWalking-v1" / f"lr={lr}" / "seed0" / name
            assert swept.read_bytes() == (tmp_path / lr / name).read_bytes(), (lr, name)
