"""What the speed benchmarks share: processes that are timed in turns, ratios of medians, a table, a line of JSON.

Each side is a process of its own Python (`Worker`), so peers need not be installed beside us, and another checkout of
rlnut can be a side, too. It builds and compiles once; then a line on its stdin runs one window, and it answers with the
window's wall time, CPU time of all its threads, and steps. Options of every script:

    --quick            shorter windows, fewer of them: about a minute
    --pairs N          windows of each side, one after the other in turns (default 5)
    --before FOLDER    another checkout of rlnut as a further side, "before"
    --json             one JSON object at the end
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
PEERS = {"jax": "/tmp/peers-jax/bin/python", "torch": "/tmp/peers-torch/bin/python"}
VERSIONS = ("jax", "torch", "gymnasium", "numpy", "stable_baselines3", "sbx-rl", "gymnax", "rejax", "flax")


def environment(folder: Path | None = None) -> dict[str, str]:
    """For a process: rlnut from `folder`, one thread for torch, and no cache of compiled programs from outside."""
    words = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    words |= {"OMP_NUM_THREADS": "1", "RLNUT_CACHE": "off", "PYTHONPATH": str(folder) if folder else ""}
    return words


class Worker:
    """A process that has one thing to time: `worker()` runs a window of it."""

    def __init__(
        self, python: str, script: str, what: str, setting: dict[str, Any], folder: Path | None = None
    ) -> None:
        words = [python, script, "--serve", what, json.dumps(setting)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, env=environment(folder), **pipes)
        self.ready = self._answer()  # of the warm-up: seconds of compilation, or {}

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{' '.join(map(str, self.process.args))}: ended without an answer")  # type: ignore[arg-type]

    def __call__(self) -> dict[str, float]:
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self.process.communicate()


def serve(build: Callable[..., tuple[Callable[[], int], dict[str, float]]], setting: dict[str, Any]) -> None:
    """In a worker's process: build (a function that runs a window; what to say first), then run one for each line."""
    run, first = build(**setting)
    print(json.dumps(first), flush=True)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        steps = run()
        answer = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu, "steps": steps}
        print(json.dumps(answer), flush=True)


Row = dict[str, Any]


def in_turns(sides: dict[str, Callable[[], dict[str, float]]], pairs: int, settle: int = 1) -> dict[str, Row]:
    """Median steps per second, by wall and by CPU time, of each side; the first `settle` windows do not count."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for i in range(pairs + settle):
        for name, run in sides.items():
            answer = run()
            if i >= settle:
                found[name].append(answer)

    def middle(name: str, clock: str) -> float:
        return statistics.median(one["steps"] / one[clock] for one in found[name])

    rates = {name: [one["steps"] / one["wall"] for one in found[name]] for name in sides}
    return {
        name: {"steps_s": middle(name, "wall"), "cpu_steps_s": middle(name, "cpu"), "low": min(r), "high": max(r)}
        for name, r in rates.items()
    }


def compared(what: str, rows: dict[str, Row], against: list[str], target: float) -> list[Row]:
    """The rows of the table for one setting: each side, and of rlnut's sides the ratio to the best of `against`."""
    peers = [name for name in against if name in rows]
    best = {
        clock: max((rows[name][clock] for name in peers), default=float("nan")) for clock in ("steps_s", "cpu_steps_s")
    }
    return [
        {"what": what, "side": name, **row}
        | (
            {}
            if name in peers
            else {
                "ratio": row["steps_s"] / best["steps_s"],
                "cpu_ratio": row["cpu_steps_s"] / best["cpu_steps_s"],
                "target": target,
            }
        )
        for name, row in rows.items()
    ]


def options(doc: str | None, *peers: str) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short windows, two of each")
    parser.add_argument("--pairs", type=int, help="windows of each side (default: 5)")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="another checkout of rlnut, timed beside this one"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--serve", nargs=2, metavar=("WHAT", "JSON"), help=argparse.SUPPRESS)
    for name in peers:
        text = f"Python of the {name} peers (default: {PEERS[name]})"
        default = os.environ.get(f"RLNUT_PEERS_{name.upper()}", PEERS[name])
        parser.add_argument(f"--peers-{name}", default=default, metavar="PYTHON", help=text)
    return parser


def pairs_of(args: argparse.Namespace) -> int:
    """How many windows of each side count."""
    return args.pairs or (2 if args.quick else 5)


def checkouts(args: argparse.Namespace) -> dict[str, Path]:
    """Sides of rlnut: this checkout, and the one of --before."""
    return {"rlnut": HERE} | ({"before": args.before.resolve()} if args.before else {})


FIND = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def said(*words: str) -> str:
    """What a command prints; nothing where it fails."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def machine(*pythons: str) -> str:
    """One line: processor, cores, load, commit; versions in our Python, then in each of the peers'."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    commit = said("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
    parts = [f"{platform.machine()}, {cores} cores, {load}; rlnut {commit}, Python {platform.python_version()}"]
    for python in (sys.executable, *pythons):
        found = json.loads(said(python, "-c", FIND, *VERSIONS) or "{}")
        parts.append(", ".join(f"{name} {version}" for name, version in found.items()))
    return "; ".join(parts)


def report(args: argparse.Namespace, rows: list[Row], *pythons: str) -> None:
    """Print the machine, and the rows as a table, then as JSON where asked."""
    print(machine(*pythons))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    words = [columns] + [[shown(row.get(name)) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*words, strict=True)]
    for line in words:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    if args.json:
        print(json.dumps({"machine": machine(*pythons), "rows": rows}))


def shown(value: object) -> str:
    """A cell of the table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value)
