"""Runs that are killed at random moments and resumed, compared byte for byte with runs that were not.

    python benchmarks/kills.py [--kills 104] [--seed 0] [--folder DIR] [--json] [CELL ...]

A cell is an agent and where it plays (`dqn-host`, `dqn-native`, …); the signals take turns: SIGINT, SIGTERM, SIGHUP,
SIGKILL. A process is started, killed at a random time between its start and the time at which the uninterrupted run
ended, and resumed; the resumed one is killed, too, in half of the cases, three times at most. Every second time round
the kill waits for a file that is being written (a checkpoint at every look, on a slow disk). A run that ended before
its first signal is begun anew with less time. Compared are the bytes of policy.safetensors, checkpoint.safetensors,
metrics.csv, config.json without what it says of the checkout, and summary.json without clock times.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

EXACT = ("policy.safetensors", "checkpoint.safetensors", "metrics.csv")
CHECKOUT = ("git", "code", "sha256")  # in config.json: somebody may commit while this runs
CLOCKS = ("wall_s", "compile_s", "steps_per_s", "out", "profile")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
LIMIT = 300.0  # seconds after which a process hangs

SMALL = ["--hidden=16", "--batch=16", "--learning-starts=200", "--replay=2000"]
FEW = ["--batch=4", "--learning-starts=200", "--replay=2000"]
EPISODES = ["--eval-episodes=3", "--final-episodes=3"]
COURSE = ["--log-every=250", "--eval-every=1000", *EPISODES]
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


def words_of(cell: str) -> list[str]:
    """The command line; an offline agent has its own looks."""
    return ["train", *CELLS[cell], *(EPISODES if cell.startswith("fqi") else COURSE)]


class Kill(NamedTuple):
    """One run that was killed, perhaps several times, and what came of it."""

    cell: str
    signal: str
    aimed: bool  # at the writing of a file
    kills: int  # processes that the signal ended
    writing: tuple[str, ...]  # of them, while these files were being written
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


class End(NamedTuple):
    """How a process ended."""

    status: int
    said: str  # on standard error
    writing: tuple[str, ...] = ()  # files that were being written when it was sent the signal


def killed(words: Sequence[str], often: bool, name: str, after: float, folder: Path | None = None) -> End:
    """The end of a process that is sent a signal after some seconds; folder: and as soon as a file in it is written.

    It is a fork of this one, in which rlnut has been imported, but nothing of JAX has been started.
    """
    parts: tuple[str, ...] = ()
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = os.fork() or child(words, often, said.fileno())
        status = _ended(process, after)
        if status is None and folder is not None:
            status = _ended(process, LIMIT, lambda: bool(being_written(folder)))
        if status is None:
            parts = () if folder is None else being_written(folder)
            os.kill(process, getattr(signal, name))
            status = _ended(process, LIMIT)
        if status is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return End(124, f"it did not end within {LIMIT:.0f} s after {name}")
        said.seek(0)
        return End(status, said.read(), parts)


def being_written(folder: Path) -> tuple[str, ...]:
    """Names of the files of which there is a part beside them: they take its place when it is whole."""
    return tuple(sorted({path.name[1:].split(".")[0] for path in folder.glob(".*.part")}))


def _ended(process: int, seconds: float, enough: Callable[[], bool] = lambda: False) -> int | None:
    """The exit status of a child, −N after the signal N; None if it has not ended in time, or as soon as `enough`."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until or enough():
            return None
        time.sleep(0.002)


def differences(whole: Path, folder: Path) -> list[str]:
    """What is not the same in two run folders."""
    names = [name for name in EXACT if _bytes(whole / name) != _bytes(folder / name)]
    for file, leave in (("config.json", CHECKOUT), ("summary.json", (*CLOCKS, "sha256"))):
        a, b = (_without(path / file, leave) for path in (whole, folder))
        names += [f"{file}: {key}" for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
    return names


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _without(path: Path, leave: Sequence[str] = ()) -> dict[str, object]:
    found = json.loads(path.read_text()) if path.exists() else {}
    return {key: value for key, value in found.items() if key not in leave}


def is_done(folder: Path) -> bool:
    """Is there a summary of a run that came to its end?"""
    return _without(folder / "summary.json").get("interrupted") is False


def one_kill(cell: str, whole: Path, lasted: float, folder: Path, name: str, aimed: bool, draw: random.Random) -> Kill:
    """Start, kill, resume until it is done, compare."""
    kills, writing = 0, list[str]()
    train = [*words_of(cell), f"--out={folder}"]
    most, often, share = draw.choice((1, 1, 2, 3)), aimed or draw.random() < 0.5, 1.0
    place = folder if aimed else None

    def result(fault: str) -> Kill:
        return Kill(cell, name, aimed, kills, tuple(writing), fault)

    while not is_done(folder):
        begun = (folder / "config.json").exists()
        words = ["resume", str(folder)] if begun else train
        after = draw.uniform(0.1, 0.8 if aimed else 1.0) * share * lasted * (1.0 if kills == 0 else 0.8)
        end = killed(words, often, name, after, place) if kills < most else killed(words, False, name, LIMIT)
        begun = (folder / "config.json").exists()  # before that there is nothing to lose
        if begun and (end.status not in (0, 130, -getattr(signal, name)) or (end.status and "Traceback" in end.said)):
            return result(f"{words[0]}: status {end.status}: {end.said[-500:]}")
        kills += end.status != 0
        writing += end.writing if end.status != 0 else ()
        if end.status == 0 and kills == 0 and share > 0.02:  # it was faster than its signal
            shutil.rmtree(folder)
            share /= 2
        if kills > 20:
            return result("it does not come to its end")
    return result(", ".join(differences(whole, folder)))


def uninterrupted(cell: str, folder: Path) -> float:
    """The run as it should be; seconds of one that finds its programs in the cache."""
    words = words_of(cell)
    lasted = 0.0
    for out in (folder, folder.with_name(f"{folder.name}-again")):
        began = time.perf_counter()
        end = killed([*words, f"--out={out}"], False, "SIGKILL", LIMIT)
        lasted = time.perf_counter() - began
        if end.status != 0:
            raise SystemExit(f"{cell}: {end.said}")
    if names := differences(folder, out):
        raise SystemExit(f"{cell}: two runs that nothing interrupted differ in {', '.join(names)}")
    return lasted


def table(found: Sequence[Kill]) -> str:
    """Runs that came out the same, of those that were killed, and all kills, by cell and signal."""
    lines = [f"| {'same, of runs: kills':20} | " + " | ".join(SIGNALS) + " |", "|---" * 5 + "|"]
    for cell in CELLS:
        shown = []
        for name in SIGNALS:
            here = [kill for kill in found if (kill.cell, kill.signal) == (cell, name) and (kill.kills or kill.fault)]
            count = f"{sum(not kill.fault for kill in here)} of {len(here)}: {sum(kill.kills for kill in here)}"
            shown.append(count if here else "")
        if any(shown):
            lines.append(f"| {cell:20} | " + " | ".join(shown) + " |")
    writing = Counter((kill.signal, name) for kill in found for name in kill.writing)
    lines.append(f"{len(found)} runs, {sum(kill.kills for kill in found)} kills; while these were being written:")
    lines += [f"{count} {name} of {file}" for (name, file), count in sorted(writing.items())]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)} (default: all)")
    parser.add_argument(
        "--kills", type=int, default=104, help="runs that are killed (default: 104, each signal in each cell twice)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--aimed", action="store_true", help="every kill waits for a file that is being written")
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
        aimed = args.aimed or k // (4 * len(cells)) % 2 == 1
        kill = one_kill(cell, whole, lasted[cell], folder, name, aimed, draw)
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
