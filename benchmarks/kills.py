"""Runs that are killed at random moments and resumed, compared byte for byte with runs that were not.

    python benchmarks/kills.py [--kills 52] [--seed 0] [--folder DIR] [--json] [CELL ...]

A cell is an agent and where it plays (`dqn-host`, `dqn-native`, …); the signals take turns: SIGINT, SIGTERM, SIGHUP,
SIGKILL. A process is started, killed at a random time between its start and the time at which the uninterrupted run
ended, and resumed; the resumed one is killed, too, in half of the cases, three times at most. In half of the runs a
checkpoint is written at every look, so that kills happen while one is written. Compared are the bytes of
policy.safetensors, checkpoint.safetensors, metrics.csv and config.json, and summary.json without clock times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

EXACT = ("policy.safetensors", "checkpoint.safetensors", "metrics.csv", "config.json")
CLOCKS = ("wall_s", "compile_s", "steps_per_s", "out", "profile")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
LIMIT = 300.0  # seconds after which a process hangs

SMALL = ["--hidden=16", "--batch=16", "--learning-starts=200", "--replay=2000"]
FEW = ["--batch=4", "--learning-starts=200", "--replay=2000"]
COURSE = ["--log-every=250", "--eval-every=1000", "--eval-episodes=3", "--final-episodes=3"]
CELLS = {
    "dqn-host": ["dqn", "CartPole-v1", *SMALL, "--steps=4000", "--normalise", "--no-preset"],
    "dqn-native": ["dqn", "CartPole-v1", *SMALL, "--steps=20000", "--normalise", "--no-preset", "--native"],
    "per-dqn-host": ["per-dqn", "CartPole-v1", *SMALL, "--steps=3000", "--no-preset"],
    "per-dqn-native": ["per-dqn", "CartPole-v1", *SMALL, "--steps=10000", "--no-preset", "--native"],
    "rainbow-host": ["rainbow", "CartPole-v1", *SMALL, "--steps=2000", "--normalise", "--no-preset"],
    "rainbow-native": ["rainbow", "CartPole-v1", *SMALL, "--steps=6000", "--no-preset", "--native"],
    "drqn-host": ["drqn", "CartPole-v1", *FEW, "--steps=1500"],
    "drqn-native": ["drqn", "CartPole-v1", *FEW, "--steps=3000", "--native"],
    "pqn-host": ["pqn", "CartPole-v1", "--num-envs=4", "--steps=12000", "--normalise", "--no-preset"],
    "pqn-native": ["pqn", "CartPole-v1", "--num-envs=4", "--steps=40000", "--no-preset", "--native"],
    "sarsa-lambda-host": ["sarsa-lambda", "MountainCar-v0", "--steps=6000", "--no-preset"],
    "sarsa-lambda-native": ["sarsa-lambda", "MountainCar-v0", "--steps=30000", "--no-preset", "--native"],
    "fqi-host": ["fqi", "CartPole-v1", "--steps=3000", "--iterations=60", "--no-preset"],
}  # fmt: skip


class Kill(NamedTuple):
    """One run that was killed, perhaps several times, and what came of it."""

    cell: str
    signal: str
    often: bool
    kills: int  # processes that the signal ended
    writing: int  # of them, while a checkpoint was being written
    fault: str  # empty: the same bytes


def child(words: Sequence[str], often: bool, said: int) -> NoReturn:
    """Become the process that runs `rlnut WORDS`; often: with a checkpoint at every look; said: its standard error."""
    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said, 2)
        for name in SIGNALS[:-1]:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from rlnut.cli import main
        from rlnut.control import checkpoints

        if often:
            checkpoints.SECONDS, checkpoints.SHARE, sync = 0.0, 1e9, os.fsync
            os.fsync = lambda handle: (time.sleep(0.02), sync(handle))[1]  # a slow disk: writing takes most of the time
        status = main(words)
    except BaseException:  # of a signal before `main` has begun, too
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def killed(words: Sequence[str], often: bool, name: str, after: float) -> tuple[int, str]:
    """(exit status, standard error) of a process that is sent a signal after some seconds.

    It is a fork of this one, in which rlnut has been imported, but nothing of JAX has been started.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = os.fork() or child(words, often, said.fileno())
        status = _ended(process, after)
        if status is None:
            os.kill(process, getattr(signal, name))
            status = _ended(process, LIMIT)
        if status is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return 124, f"it did not end within {LIMIT:.0f} s after {name}"
        said.seek(0)
        return status, said.read()


def _ended(process: int, seconds: float) -> int | None:
    """The exit status of a child, −N after the signal N; None if it has not ended in time."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def differences(whole: Path, folder: Path) -> list[str]:
    """What is not the same in two run folders."""
    names = [name for name in EXACT if _bytes(whole / name) != _bytes(folder / name)]
    a, b = (_summary(path) for path in (whole, folder))
    return names + [f"summary.json: {key}" for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _summary(folder: Path) -> dict[str, object]:
    path = folder / "summary.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    return {key: value for key, value in found.items() if key not in (*CLOCKS, "sha256")}


def is_done(folder: Path) -> bool:
    """Is there a summary of a run that came to its end?"""
    return _summary(folder).get("interrupted") is False


def one_kill(cell: str, whole: Path, lasted: float, folder: Path, name: str, often: bool, draw: random.Random) -> Kill:
    """Start, kill, resume until it is done, compare."""
    kills = writing = 0
    train = ["train", *CELLS[cell], *COURSE, f"--out={folder}"]
    most = draw.choice((1, 1, 2, 3))
    while not is_done(folder):
        begun = (folder / "config.json").exists()
        words = ["resume", str(folder)] if begun else train
        if kills < most:
            after = draw.uniform(0.1, 1.0) * lasted * (1.0 if kills == 0 else 0.8)
            status, said = killed(words, often, name, after)
        else:
            status, said = killed(words, often, name, LIMIT)
        begun = (folder / "config.json").exists()  # before that there is nothing to lose
        if begun and (status not in (0, 130, -getattr(signal, name)) or (status and "Traceback" in said)):
            return Kill(cell, name, often, kills, writing, f"{words[0]}: status {status}: {said[-500:]}")
        if status != 0 or kills < most:
            kills += status != 0
            writing += any(path.name.startswith(".checkpoint") for path in folder.glob(".*.part"))
        if kills > 20:
            return Kill(cell, name, often, kills, writing, "it does not come to its end")
    return Kill(cell, name, often, kills, writing, ", ".join(differences(whole, folder)))


def uninterrupted(cell: str, folder: Path) -> float:
    """The run as it should be; seconds of one that finds its programs in the cache."""
    words = ["train", *CELLS[cell], *COURSE]
    lasted = 0.0
    for out in (folder, folder.with_name(f"{folder.name}-again")):
        began = time.perf_counter()
        status, said = killed([*words, f"--out={out}"], False, "SIGKILL", LIMIT)
        lasted = time.perf_counter() - began
        if status != 0:
            raise SystemExit(f"{cell}: {said}")
    if names := differences(folder, out):
        raise SystemExit(f"{cell}: two runs that nothing interrupted differ in {', '.join(names)}")
    return lasted


def table(found: Sequence[Kill]) -> str:
    """Runs that came out the same, by cell and signal."""
    good, tried = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for kill in found:
        tried[kill.cell, kill.signal] += 1
        good[kill.cell, kill.signal] += not kill.fault
    lines = [f"| {'runs that came out the same':27} | " + " | ".join(SIGNALS) + " |", "|---" * 5 + "|"]
    for cell in CELLS:
        shown = [f"{good[cell, name]} of {tried[cell, name]}" if tried[cell, name] else "" for name in SIGNALS]
        if any(shown):
            lines.append(f"| {cell:27} | " + " | ".join(shown) + " |")
    kills, writing = sum(kill.kills for kill in found), sum(kill.writing for kill in found)
    lines.append(f"{len(found)} runs, {kills} kills, {writing} of them while a checkpoint was being written")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)} (default: all)")
    parser.add_argument(
        "--kills", type=int, default=52, help="runs that are killed (default: 52, each signal in each cell)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs go, and stay")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    if unknown := set(args.cells) - set(CELLS):
        parser.error(f"no such cell: {', '.join(unknown)}")
    home = args.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "programs"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    import rlnut.control.plots
    import rlnut.control.training  # noqa: F401  once, for all processes

    cells, found = args.cells or list(CELLS), list[Kill]()
    lasted: dict[str, float] = {}
    for k in range(args.kills):
        cell, name = cells[k % len(cells)], SIGNALS[(k // len(cells) + k % len(cells)) % 4]
        whole, folder = home / cell / "whole", home / cell / f"kill{k}"
        if cell not in lasted:
            lasted[cell] = uninterrupted(cell, whole)
            print(f"{cell}: {lasted[cell]:.1f} s", file=sys.stderr, flush=True)
        draw = random.Random(f"{args.seed} {k}")
        kill = one_kill(cell, whole, lasted[cell], folder, name, draw.random() < 0.5, draw)
        found.append(kill)
        print(f"{k}: {kill}", file=sys.stderr, flush=True)
        if not kill.fault:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(found))
    if args.folder is None:
        shutil.rmtree(home, ignore_errors=True)
    if args.json:
        print(json.dumps([kill._asdict() for kill in found]))
    return int(any(kill.fault for kill in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
