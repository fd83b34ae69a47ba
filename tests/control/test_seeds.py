"""Several seeds: the same bytes as alone, in one process or in several, whatever happens to one of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from helpers.commands import SHORT, contents, run_main

from rlnut.control import seeds as module
from rlnut.control.recipe import CHECKPOINT
from rlnut.control.seeds import in_processes, one_after_another
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime import workers
from rlnut.runtime.files import read_json

# what a worker does in the place of training: it needs no JAX, and obeys the words of its command line
FAKE = """
import json, os, sys, time
sys.path[:] = json.loads(sys.argv.pop(1))
from pathlib import Path
from rlnut.runtime.interrupts import interrupts, terminations
from rlnut.runtime.workers import Jobs
words = dict(word.split("=") for word in sys.argv[1:])
if words.get("start") == "bad":
    sys.exit("no such agent")
with terminations():
    jobs = Jobs()
    if words.get("config") == "bad":
        jobs.answer({"failed": "lr must be > 0", "status": 2})
    else:
        jobs.answer({"ready": "Some-v0", "lines": []})
    for job in jobs:
        seed, out = job["seed"], Path(job["out"])
        if str(seed) in words.get("invalid", ""):
            jobs.answer({"failed": "no updates", "status": 2})
            continue
        jobs.answer({"need": int(words.get("need", 1)), "free": 2**30, "total": 100, "unit": "step"})
        if str(seed) in words.get("crash", ""):
            os.abort()
        if str(seed) in words.get("fail", ""):
            jobs.answer({"failed": "the learner diverged", "status": 1})
            continue
        jobs.answer({"step": 50})
        print("half", seed, file=sys.stderr, flush=True)
        out.mkdir()
        if "forever" in words:
            with interrupts() as asked:
                (out / "pid").write_text(str(os.getpid()))
                while not asked():
                    time.sleep(0.01)
            (out / "saved").touch()
            jobs.answer({"stopped": seed})
            break
        (out / "pid").write_text(str(os.getpid()))
        jobs.answer({"done": seed})
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "START", FAKE)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def run(folder: Path, count: int, jobs: int, *words: str) -> module.Failed:
    return in_processes(words, range(count), jobs, lambda env: made(folder / env))


# --- real runs


def test_seeds_in_processes_leave_the_bytes_of_seeds_in_one_and_of_one_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    words = ["train", "dqn", "CartPole-v1", *SHORT, "--seed=4", "--json"]
    command = [sys.executable, "-m", "rlnut", *words, "--seeds=2", "--jobs=2", f"--out={tmp_path / 'several'}"]
    several = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert several.returncode == 0, several.stderr
    found = json.loads(several.stdout)
    assert found["seeds"] == [4, 5] and found["out"] == str(tmp_path / "several") and "failed" not in found
    assert "seed 5: greedy return" in several.stderr and "Traceback" not in several.stderr
    assert run_main(capsys, *words, "--seeds=2", f"--out={tmp_path / 'one'}")[0] == 0
    assert run_main(capsys, *words[:-2], "--seed=5", f"--out={tmp_path / 'alone'}")[0] == 0
    for name in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv", "config.json"):
        alone = (tmp_path / "alone" / name).read_bytes()
        assert (tmp_path / "several" / "seed5" / name).read_bytes() == alone, name
        assert (tmp_path / "one" / "seed5" / name).read_bytes() == alone, name


@pytest.mark.usefixtures("broken")
def test_a_seed_that_fails_does_not_lose_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """The first has its results, the second fails, the third is trained, and the answer has two of them."""
    from rlnut.control import training

    whole = training.train_seed

    def fails(*args: object, **kwargs: object) -> object:
        if args[3] == 1:
            raise RlnutError("the learner diverged")
        return whole(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train_seed", fails)
        status, out, err = run_main(
            capsys, "train", "dqn", "CartPole-v1", *SHORT, "--seeds=3", "--json", f"--out={tmp_path / 'a'}"
        )
    found = json.loads(out)
    assert status == 1 and found["seeds"] == [0, 2] and found["failed"] == {"1": "the learner diverged"}
    assert err.count("rlnut: seed 1: the learner diverged") == 1
    assert (tmp_path / "a" / "seed2" / CHECKPOINT).exists()
    assert read_json(tmp_path / "a" / "summary.json") == found  # of the seeds that ended


def test_one_after_another_ends_where_the_first_cannot_begin():
    def invalid(seed: int) -> None:
        raise UsageError("no updates")

    with pytest.raises(UsageError, match="no updates"):
        one_after_another(invalid, range(3))
    done: list[int] = []

    def second(seed: int) -> None:
        done.append(seed)
        if seed == 1:
            raise UsageError("bounds that were found are empty")

    assert list(one_after_another(second, range(3))) == [1] and done == [0, 1, 2]


# --- what happens between processes


@pytest.mark.usefixtures("fake")
def test_each_seed_is_trained_once_by_processes_of_their_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert run(tmp_path, 6, 3) == {}
    assert sorted(path.name for path in (tmp_path / "Some-v0").iterdir()) == [f"seed{k}" for k in range(6)]
    pids = {int(path.read_text()) for path in tmp_path.rglob("pid")}
    assert os.getpid() not in pids and not any(psutil.pid_exists(pid) for pid in pids)
    err = capfd.readouterr().err
    assert sorted(err.splitlines()) == [f"seed {k}: half {k}" for k in range(6)]


@pytest.mark.usefixtures("fake")
def test_failures_and_crashes_are_those_of_their_seed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    failed = run(tmp_path, 5, 2, "fail=1", "crash=3")
    assert {seed: str(error) for seed, error in failed.items()} == {
        1: "the learner diverged",
        3: f"its process ended with signal {signal.SIGABRT:d}",
    }
    assert {path.name for path in (tmp_path / "Some-v0").iterdir()} == {"seed0", "seed2", "seed4"}
    assert "rlnut: seed 1: the learner diverged\n" in capfd.readouterr().err


@pytest.mark.usefixtures("fake")
def test_every_process_may_crash(tmp_path: Path):
    assert list(run(tmp_path, 3, 2, "crash=012")) == [0, 1, 2]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    "words, kind, message",
    [
        ("config=bad", UsageError, "lr must be > 0"),
        ("invalid=0", UsageError, "no updates"),
        ("start=bad", RlnutError, "could not be started: no such agent; --jobs 1"),
    ],
)
def test_what_is_invalid_for_all_is_reported_once_and_leaves_nothing(
    words: str, kind: type[RlnutError], message: str, tmp_path: Path
):
    with pytest.raises(kind, match=message):
        run(tmp_path, 4, 2, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake")
def test_no_more_seeds_at_a_time_than_memory_allows(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """1 GiB is free, 300 MiB are for a process: with 400 MiB for its run there is room for one, not for three."""
    assert run(tmp_path, 4, 3, f"need={400 * 2**20}") == {}
    assert len({path.read_text() for path in tmp_path.rglob("pid")}) == 1
    assert "memory for 1 seed at a time, not for 3" in capfd.readouterr().err


PARENT = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from rlnut.control.seeds import in_processes
from rlnut.runtime import workers
from rlnut.runtime.files import read_json
workers.START = {fake!r}
try:
    in_processes(["forever=1"], range(5), 2, lambda env: Path({folder!r}))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_stop_with_their_parent_and_save(number: signal.Signals, tmp_path: Path):
    """Two of five seeds are at work; however the parent ends, both save, no other begins, no process is left."""
    text = textwrap.dedent(PARENT).format(path=sys.path, fake=FAKE, folder=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)

    def until(pattern: str, count: int) -> list[Path]:
        for _ in range(3000):
            if len(found := list(tmp_path.glob(f"*/{pattern}"))) == count and all(p.stat().st_size for p in found):
                return found
            time.sleep(0.01)
        raise AssertionError(f"{pattern}: {found}")

    pids = [int(path.read_text()) for path in until("pid", 2)]
    parent.send_signal(number)
    parent.communicate(timeout=30)
    assert parent.returncode == (130 if number != signal.SIGKILL else -number)
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(30)
    assert len(list(tmp_path.glob("*/saved"))) == 2 and len(contents(tmp_path)) == 4


def test_the_default_is_a_process_for_each_core(monkeypatch: pytest.MonkeyPatch):
    """On a CPU, and not more than seeds; an accelerator is not shared."""
    import jax

    monkeypatch.setattr(module, "cores", lambda: 4)
    assert [module.usual_jobs(n) for n in (1, 3, 10)] == [1, 3, 4]
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    assert module.usual_jobs(10) == 4
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert module.usual_jobs(10) == 1
