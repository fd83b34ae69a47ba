"""Run folders that are missing or damaged, runs that fail, Ctrl-C: one line, a status, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import SHORT, contents, run_main
from safetensors.numpy import save_file

from rlnut.cli import main
from rlnut.control.recipe import BEFORE, CHECKPOINT, CONFIG, POLICY
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.log import read_metrics

pytestmark = [pytest.mark.usefixtures("broken"), pytest.mark.usefixtures("shared_programs")]


# --- a run folder that is missing, damaged or another's: status 1


def test_an_observation_that_its_space_does_not_hold(capsys: pytest.CaptureFixture[str]):
    status, out, err = run_main(capsys, "train", "dqn", "Broken-v0", "--env-arg", "observation=Dict")
    assert (status, out) == (1, "") and "Broken-v0: reset() of episode 1 returned the observation array" in err
    assert "it must be a dict with 'a'" in err


def test_no_run_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for command in ("evaluate", "resume"):
        for name, said in (("none", "no such folder"), ("file", "it is a file"), ("empty", "config.json is missing")):
            status, out, err = run_main(capsys, command, str(tmp_path / name), "--json")
            assert (status, out) == (1, "") and said in err and err.count("\n") == 1


def test_a_folder_of_runs_says_to_choose_one(capsys: pytest.CaptureFixture[str], copy: Path):
    status, _, err = run_main(capsys, "evaluate", str(copy.parent))
    assert status == 2 and str(copy) in err


@pytest.mark.parametrize("name", [POLICY, CHECKPOINT, CONFIG])
def test_every_file_missing_cut_empty_or_garbage(name: str, capsys: pytest.CaptureFixture[str], copy: Path):
    command = "resume" if name == CHECKPOINT else "evaluate"
    path = copy / name
    whole = path.read_bytes()
    (copy / BEFORE).unlink()
    for content in (None, b"", whole[:10], whole[: len(whole) // 2], whole[:-1], b"garbage\x00\xff" * 100, b"[]"):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        if content == whole[:-1] and name == CONFIG:
            continue  # only the last line feed is gone
        before = contents(copy)
        status, out, err = run_main(capsys, command, str(copy), "--json")
        assert (status, out) == (1, "") and name in err and err.count("\n") == 1, content
        assert contents(copy) == before


@pytest.mark.parametrize(
    "key, value",
    [
        ("agent", "dqm"), ("agent", 3), ("config", {"lr": "x"}), ("config", {"lrr": 1}), ("config", 3), ("env", []),
        ("env", "CartPole-v1"), ("env", {"id": 3, "kwargs": {}}), ("env", {"id": "CartPole-v1", "kwargs": None}),
        ("env", {"id": "CartPole-v1"}), ("training", None), ("training", {"steps": 0}), ("seed", "x"), ("seed", None),
    ],
)  # fmt: skip
def test_a_config_of_wrong_types(key: str, value: Any, capsys: pytest.CaptureFixture[str], copy: Path):
    config = json.loads((copy / CONFIG).read_text())
    (copy / CONFIG).write_text(json.dumps(config | {key: value}))
    for command in ("evaluate", "resume"):
        status, _, err = run_main(capsys, command, str(copy))
        assert status in (1, 2) and err.count("\n") == 1, err
    del config[key]
    (copy / CONFIG).write_text(json.dumps(config))
    status, _, err = run_main(capsys, "evaluate", str(copy))
    assert status == 1 and "config.json is damaged" in err


def without_checksums(path: Path) -> None:
    """A file of arrays as an earlier version wrote it."""
    stored = read_arrays(path)
    meta = {key: value for key, value in stored.meta.items() if key not in ("run", "metrics")}
    save_file(stored.arrays, path, {"meta": json.dumps(meta)})


def test_weights_of_another_configuration(capsys: pytest.CaptureFixture[str], copy: Path):
    config = json.loads((copy / CONFIG).read_text())
    config["config"]["hidden"] = [9]
    del config["sha256"]  # as a folder of an earlier version
    (copy / CONFIG).write_text(json.dumps(config))
    for name in (POLICY, CHECKPOINT):
        without_checksums(copy / name)
    for command, words in (("evaluate", []), ("resume", ["--steps=160"])):
        status, _, err = run_main(capsys, command, str(copy), *words)
        assert status == 1 and "does not fit this configuration" in err.splitlines()[-1]


def test_a_policy_is_no_checkpoint(capsys: pytest.CaptureFixture[str], copy: Path):
    shutil.copy(copy / POLICY, copy / CHECKPOINT)
    (copy / BEFORE).unlink()
    status, _, err = run_main(capsys, "resume", str(copy), "--steps=160")
    assert status == 1 and "checkpoint.safetensors is damaged or of another kind" in err and err.count("\n") == 1


def test_damaged_metrics_stop_a_resume_before_it_starts(capsys: pytest.CaptureFixture[str], copy: Path):
    (copy / "metrics.csv").write_text("step,return\nx,y\n")
    before = contents(copy)
    status, _, err = run_main(capsys, "resume", str(copy), "--steps=160")
    assert status == 1 and "metrics.csv is damaged" in err.splitlines()[-1]
    assert contents(copy) == before


@pytest.mark.parametrize("env", ["Acrobot-v1", "FrozenLake-v1"])
def test_evaluate_on_other_spaces(env: str, capsys: pytest.CaptureFixture[str], trained: Path):
    status, _, err = run_main(capsys, "evaluate", str(trained), f"--env={env}")
    assert status == 2 and "the policy was trained on [float32[4]" in err


# --- a run that fails: status 1


@pytest.mark.parametrize("fault", ["reward", "observation"])
def test_an_environment_that_gives_nan(fault: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["train", "dqn", "Broken-v0", *SHORT, "--env-arg", f"fault={fault}", "--env-arg", "at=45"]
    status, out, err = run_main(capsys, *words, f"--out={tmp_path / 'a'}", "--json")
    assert (status, out) == (1, "")
    said = err.splitlines()[-1]
    assert "Broken-v0: step() number 45 (step 5 of episode 5) returned" in said and fault in said and "finite" in said


def test_an_environment_that_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["train", "dqn", "Broken-v0", *SHORT, "--env-arg", "fault=raise", "--env-arg", "at=45"]
    assert main([*words, f"--out={tmp_path / 'a'}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    where = "Broken-v0: step() number 45 (step 5 of episode 5)"
    what = f"{where} raised ZeroDivisionError: a fault of the environment"
    assert last == f"rlnut: {what}; rlnut resume {tmp_path / 'a'} continues from step 40"


def test_a_learner_that_diverges_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["train", "dqn", "CartPole-v1", *SHORT, "--lr=1e30", "--loss=squared", f"--out={tmp_path / 'a'}"]
    status, _, err = run_main(capsys, *words)
    assert status == 1 and "diverged" in err.splitlines()[-1]


# --- Ctrl-C


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_leaves_a_run_to_evaluate_and_resume(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "run"
    words = ["train", "dqn", "CartPole-v1", *SHORT, "--steps=1000000", "--eval-every=1000000", "--json"]
    words.append(f"--out={folder}")
    process = subprocess.Popen(
        [sys.executable, "-m", "rlnut", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 300
        while not (folder / "metrics.csv").exists() or len(read_metrics(folder / "metrics.csv")) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and out == ""
    assert "checkpoint saved" in err and f"rlnut resume {folder}" in err and "Traceback" not in err
    status, out, _ = run_main(capsys, "evaluate", str(folder), "--episodes=2", "--json")
    assert status == 0 and len(json.loads(out)["returns"]) == 2
    done = int(read_metrics(folder / "metrics.csv")[-1]["step"])
    status, out, err = run_main(capsys, "resume", str(folder), f"--steps={done + 80}", "--json")
    assert status == 0 and json.loads(out)["steps"] >= done + 80 and "not exact" not in err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_may_not_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    tmp_path.chmod(0o500)
    status, _, err = run_main(capsys, "train", "dqn", "CartPole-v1", *SHORT, f"--out={tmp_path / 'a'}")
    assert status == 2 and "cannot make the folder" in err.splitlines()[-1]
