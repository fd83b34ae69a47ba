"""What a command costs besides learning: imports, first step, compilation, more seeds, exact values; whole processes.

    python benchmarks/startup.py [import] [first] [compile] [seeds] [predict] [--quick]

import: `import jax` beside `import rlnut`, its command line and its agents. first: from the start of `rlnut train dqn`
to the first step of the environment without what JAX spends on tracing, lowering and compiling, beside `import jax`.
compile: seconds of compilation of `rlnut train dqn`, host and native, with an empty cache of programs (cold) and with
one in which the same run has been (warm). seeds: `--seeds 10` beside one seed, host and native, warm and cold.
predict: whole commands on the 1000-state walk and on Taxi.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import Row, checkouts, environment, options, pairs_of, report

IMPORTS = {"jax": "import jax", "rlnut": "import rlnut", "command line": "import rlnut.cli",
           "agents": "import rlnut.agents.catalogue, rlnut.control.training"}  # fmt: skip
PREDICT = {
    "td-lambda, 1000-state walk": ("td-lambda rlnut/RandomWalk1000-v0", 5.0),
    "td0 Taxi q": ("td0 Taxi-v4 --values q --steps 3000", 15.0),
}
FIRST = """
import os, sys, time
from jax import monitoring
spent = []  # (began, ended), none inside another: tracing a function traces those that it calls
def heard(event, seconds, **_):
    if event.startswith("/jax/core/compile"):
        ended = time.perf_counter()
        while spent and spent[-1][0] >= ended - seconds:
            spent.pop()
        spent.append((ended - seconds, ended))
monitoring.register_event_duration_secs_listener(heard)
from gymnasium.envs.classic_control import CartPoleEnv
def step(self, action):
    print(time.time(), sum(b - a for a, b in spent), flush=True)
    os._exit(0)
CartPoleEnv.step = step
from rlnut.cli import main
sys.exit(main(sys.argv[1:]))
"""


def timed(words: list[str], around: dict[str, str]) -> tuple[float, str]:
    """Seconds of a process, and the last line that it printed."""
    began = time.perf_counter()
    done = subprocess.run(words, env=around, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[2:])}\n{done.stderr}")
    return time.perf_counter() - began, (done.stdout.strip().splitlines() or [""])[-1]


def train(folder: Path, cache: Path | str, *more: str) -> tuple[float, dict[str, float]]:
    """A whole `rlnut train dqn CartPole-v1 --json`: its seconds, and what it reports."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "rlnut", "train", "dqn", "CartPole-v1", "--out", f"{out}/run", "--json", *more]
        seconds, said = timed(words, environment(folder) | {"RLNUT_CACHE": str(cache)})
    return seconds, json.loads(said)


def row(what: str, side: str, seconds: list[float], base: float | None = None, target: float | None = None) -> Row:
    """Median seconds; ratio to `base`; target: of the ratio, or of the seconds where there is no base."""
    middle = statistics.median(seconds)
    found = {"what": what, "side": side, "median_s": middle, "low": min(seconds), "high": max(seconds)}
    return found | ({} if base is None else {"ratio": middle / base}) | ({} if target is None else {"target": target})


def imports(args: dict[str, Path], repeats: int) -> list[Row]:
    """Each import in a process of its own, in turns."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats + 1):  # the first one reads the files
        for side, folder in args.items():
            for name, code in IMPORTS.items():
                taken = timed([sys.executable, "-c", code], environment(folder))[0]
                seconds.setdefault((side, name), []).append(taken)
    rows = []
    for side in args:
        jax = statistics.median(seconds[side, "jax"][1:])
        rows += [row(f"import {name}", side, seconds[side, name][1:], jax) for name in IMPORTS]
    return rows


def first_step(args: dict[str, Path], repeats: int) -> list[Row]:
    """Process start to the first step of the environment, without compilation."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as out:
        for i in range(repeats + 1):
            for side, folder in args.items():
                around = environment(folder) | {"RLNUT_CACHE": f"{out}/{side}"}
                taken = timed([sys.executable, "-c", "import jax"], around)[0]
                found.setdefault(f"{side} jax", []).append(taken)
                line = ["train", "dqn", "CartPole-v1", "--out", f"{out}/{side}-{i}"]
                began = time.time()
                said = timed([sys.executable, "-c", FIRST, *line], around)[1].split()
                found.setdefault(f"{side} whole", []).append(float(said[0]) - began)
                found.setdefault(side, []).append(float(said[0]) - began - float(said[1]))
    rows = []
    for side in args:
        jax = statistics.median(found[f"{side} jax"][1:])
        rows.append(row("first step, all but compilation", side, found[side][1:], jax, 1.3))
        rows.append(row("first step, warm cache, whole", side, found[f"{side} whole"][1:], jax))
    return rows


def compilation(args: dict[str, Path], repeats: int) -> list[Row]:
    """`compile_s` of short runs, each cold run followed by the same one warm."""
    rows = []
    for loop, more in {"host": [], "native": ["--native"]}.items():
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(repeats):
            for side, folder in args.items():
                with tempfile.TemporaryDirectory() as cache:
                    for state in ("cold", "warm"):
                        said = train(folder, cache, "--steps", "3000", *more)[1]
                        found.setdefault((side, state), []).append(said["compile_s"])
        for (side, state), seconds in found.items():
            rows.append(row(f"compile, {loop}, {state}", side, seconds, None, 3.0 if state == "cold" else 0.5))
    return rows


def seeds(args: dict[str, Path], repeats: int, steps: int) -> list[Row]:
    """Ten seeds beside one."""
    rows = []
    for loop, more in {"host": [], "native": ["--native"]}.items():
        found: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as place:
            for i in range(repeats):
                for side, folder in args.items():
                    for count in ("1", "10"):
                        cache = Path(place) / f"{side}-{i}-{count}"
                        taken = train(folder, cache, "--seeds", count, "--steps", str(steps), *more)[0]
                        found.setdefault(f"{side} {count}", []).append(taken)
        for side in args:
            one = statistics.median(found[f"{side} 1"])
            rows.append(row(f"one seed, {loop}, cold", side, found[f"{side} 1"]))
            rows.append(row(f"ten seeds, {loop}, cold", side, found[f"{side} 10"], one, 3.0))
    return rows


def predict(args: dict[str, Path], repeats: int) -> list[Row]:
    """Whole commands; the checkout of --before takes minutes for each and is left out."""
    rows = []
    for name, (line, target) in PREDICT.items():
        seconds = []
        with tempfile.TemporaryDirectory() as place:
            around = environment(args["rlnut"]) | {"RLNUT_CACHE": f"{place}/cache"}
            for i in range(repeats):
                words = [sys.executable, "-m", "rlnut", "predict", *line.split(), "--out", f"{place}/{i}"]
                seconds.append(timed(words, around)[0])
        rows.append(row(f"predict {name}", "rlnut", seconds, None, target))
    return rows


def main() -> None:
    parser = options(__doc__)
    known = ("import", "first", "compile", "seeds", "predict")
    parser.add_argument("what", nargs="*", default=list(known), help=f"of {', '.join(known)}")
    args = parser.parse_args()
    sides, repeats = checkouts(args), pairs_of(args)
    rows: list[Row] = []
    if "import" in args.what:
        rows += imports(sides, repeats)
    if "first" in args.what:
        rows += first_step(sides, repeats)
    if "compile" in args.what:
        rows += compilation(sides, min(repeats, 1 if args.quick else 3))
    if "seeds" in args.what:
        rows += seeds(sides, 1 if args.quick else 3, 5_000 if args.quick else 50_000)
    if "predict" in args.what:
        rows += predict(sides, 1 if args.quick else 3)
    report(args, rows)


if __name__ == "__main__":
    main()
