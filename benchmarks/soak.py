"""A long run, looked at ten times: memory of the process, steps/s and files must stay as they are.

    python benchmarks/soak.py [--native 10000000] [--host 2000000] [--agent dqn] [--json]

Each part is a process of its own: `rlnut.training` on CartPole-v1 with the settings of the command line and a folder,
so rows of the log, greedy evaluations and checkpoints are in it. CPU time is counted, so that other work on the machine
changes less: steps/s of CPU time over each tenth. metrics.csv has one row for each `log_every` steps, which is all that
may grow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, float]
LOOKS = 10
PARTS = {"native": {"native": True, "num_envs": 8}, "host": {}}


def soak(part: str, agent: str, steps: int) -> list[Row]:
    """Ten rows of one long run in this process."""
    import psutil

    import rlnut

    process, rows = psutil.Process(), list[Row]()
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        folder = Path(home) / "run"
        course = {
            "steps": steps,
            "eval_every": max(steps // 100, 1),
            "eval_episodes": 3,
            "log_every": max(steps // 2000, 1),
        }
        run = rlnut.training(agent, "CartPole-v1", out=folder, quiet=True, **course, **PARTS[part])  # type: ignore[arg-type]
        began, used, before = time.perf_counter(), _seconds(process), 0
        for look in run:
            if look.step - before < steps // LOOKS:
                continue
            now, cpu = time.perf_counter(), _seconds(process)
            sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            rows.append(
                {
                    "steps": look.step,
                    "rss_mib": process.memory_info().rss / 2**20,
                    "steps_per_s": (look.step - before) / (now - began),
                    "steps_per_cpu_s": (look.step - before) / (cpu - used),
                    "files": len(sizes),
                    "log_kib": sizes.pop("metrics.csv") / 2**10,
                    "other_files_kib": sum(sizes.values()) / 2**10,
                    "open_files": process.num_fds(),
                    "threads": process.num_threads(),
                }
            )
            began, used, before = now, cpu, look.step
            print("  ".join(f"{name} {value:,.0f}" for name, value in rows[-1].items()), file=sys.stderr, flush=True)
    return rows


def _seconds(process: object) -> float:
    times = process.cpu_times()  # type: ignore[attr-defined]
    return float(times.user + times.system)


def table(part: str, rows: Sequence[Row]) -> str:
    """A row of the table for each tenth."""
    names = list(rows[0])
    lines = [f"{part}:", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return "\n".join(lines + ["| " + " | ".join(f"{row[name]:,.0f}" for name in names) + " |" for row in rows])


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--native", type=int, default=10**7, help="steps (default: 10,000,000; 0: leave it out)")
    parser.add_argument("--host", type=int, default=2 * 10**6, help="steps (default: 2,000,000; 0: leave it out)")
    parser.add_argument("--agent", default="dqn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.part:
        print(json.dumps(soak(args.part, args.agent, getattr(args, args.part))))
        return 0
    for part in PARTS:
        if steps := getattr(args, part):
            command = [sys.executable, __file__, f"--part={part}", f"--{part}={steps}", f"--agent={args.agent}"]
            rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
            print(table(part, rows), flush=True)
            if args.json:
                print(json.dumps({part: rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
