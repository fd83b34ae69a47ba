"""DQN with environments on the host, beside Stable-Baselines3, SBX and CleanRL: steps/s in training on CartPole-v1.

    python benchmarks/host_dqn.py [--every 10,4] [--envs 1,8,64] [--cleanrl FOLDER --peers-cleanrl PYTHON] [--quick]

Matched: lr 2.5e-4, batch 128, replay of 10,000, start at 1,000, target copied every 500 steps, ε 1 → .05 in 2,000, one
update for every 10 steps or every 4, hidden layers 64-64 (CleanRL's are 120-84 and cannot be set), torch on one thread.
A window is 15,000 steps after the first 5,000, without evaluations; CleanRL's scripts run from their start each time,
and count from their line of step 5,000. With N environments one update is still made for every 10 (or 4) steps.
How to get the peers: benchmarks/README.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from side_by_side import Worker, checkouts, compared, environment, in_turns, options, pairs_of, report, serve

FIRST = 5_000  # steps before the first window
TARGETS = {10: 5.0, 4: 3.0}  # × the best peer
LANES = {8: 3.0, 64: 8.0}  # × our own single environment
Built = tuple[Callable[[], int], dict[str, float]]


def ours(every: int, envs: int, window: int, overlap: bool = False) -> Built:
    """The loop of `rlnut train`, without its observers; overlap: it learns while it plays (`--overlap`)."""
    from rlnut.agents.dqn_settings import DQN
    from rlnut.control.settings import RunSettings
    from rlnut.control.setup import played

    config = DQN(
        lr=2.5e-4, batch=128, replay=10_000, learning_starts=1_000, train_every=every, gradient_steps=1,
        target_every=500 // every, hidden=(64, 64), double=False, n_step=1, epsilon_steps=2_000,
    )  # fmt: skip
    more_settings = {"overlap": True} if overlap else {}  # other versions have no such setting
    loop = played(config, "CartPole-v1", RunSettings(steps=10**8, num_envs=envs, **more_settings), 0, None).loop
    run = loop.start(0)

    def more(steps: int) -> int:
        nonlocal run
        began = run.steps
        while run.steps < began + steps:
            run, _ = loop.advance(run, began + steps)
        return run.steps - began

    more(FIRST)
    return lambda: more(window), {"compile": loop.compile_s()}


def baselines(every: int, envs: int, window: int, package: str) -> Built:
    """Stable-Baselines3 (torch) or SBX (JAX)."""
    if package == "stable_baselines3":
        import torch
        from stable_baselines3 import DQN

        torch.set_num_threads(1)
    else:
        from sbx import DQN
    model = DQN(
        "MlpPolicy", "CartPole-v1", learning_rate=2.5e-4, batch_size=128, buffer_size=10_000, learning_starts=1_000,
        train_freq=every, gradient_steps=1, target_update_interval=500, exploration_fraction=0.4,
        exploration_final_eps=0.05, policy_kwargs={"net_arch": [64, 64]}, seed=0, device="cpu",
    )  # fmt: skip
    model.learn(FIRST)

    def more() -> int:
        began = model.num_timesteps
        model.learn(window, reset_num_timesteps=False)
        return model.num_timesteps - began

    return more, {}


def cleanrl(python: str, script: Path, every: int, window: int) -> dict[str, float]:
    """A whole run of a script of CleanRL; it prints a line of speed every 100 steps from step 1,100 on."""
    words = {
        "total-timesteps": FIRST + window, "learning-starts": 1000, "train-frequency": every, "learning-rate": 2.5e-4,
        "exploration-fraction": 2000 / (FIRST + window), "buffer-size": 10_000, "batch-size": 128,
    }  # fmt: skip
    line = [python, "-u", str(script), *(f"--{name}={value}" for name, value in words.items())]
    with tempfile.TemporaryDirectory() as folder:
        around = environment(script.resolve().parents[1])
        process = subprocess.Popen(
            line, cwd=folder, env=around, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        step, marks = 1_000, {}
        for text in process.stdout:
            if text.startswith("SPS"):
                step += 100
                marks[step] = time.perf_counter(), cpu_of(process.pid)
        if process.wait() or FIRST not in marks:
            raise SystemExit(f"{script}: failed; run it alone to see why")
    last = max(marks)
    (wall, cpu), (end, cpu_end) = marks[FIRST], marks[last]
    return {"wall": end - wall, "cpu": cpu_end - cpu, "steps": last - FIRST}


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, where the system tells them (Linux)."""
    place = Path(f"/proc/{pid}/stat")
    if not place.exists():
        return float("nan")
    fields = place.read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = options(__doc__, "torch")
    parser.add_argument("--every", default="10,4", help="steps for each update")
    parser.add_argument("--envs", default="1,8,64", help="numbers of environments; above 1 only rlnut runs")
    parser.add_argument("--cleanrl", type=Path, metavar="FOLDER", help="a checkout of CleanRL")
    parser.add_argument("--peers-cleanrl", metavar="PYTHON", default=sys.executable, help="the Python that runs it")
    args = parser.parse_args()
    if args.serve:
        what, setting = args.serve[0], json.loads(args.serve[1])
        serve(ours if what == "rlnut" else baselines, setting | ({} if what == "rlnut" else {"package": what}))
        return
    window, rows = 5_000 if args.quick else 15_000, []
    envs = [int(n) for n in args.envs.split(",")]
    for every in map(int, args.every.split(",")):
        workers: dict[str, Worker] = {}

        def add(name: str, python: str, what: str, n: int, folder: Path | None = None, **more: Any) -> None:
            settings = {"every": every, "envs": n, "window": window} | more  # noqa: B023
            workers[name] = Worker(python, __file__, what, settings, folder)  # noqa: B023

        for n in envs:
            for side, folder in checkouts(args).items():
                add(side if n == 1 else f"{side} {n}", sys.executable, "rlnut", n, folder)
            add("rlnut overlap" if n == 1 else f"rlnut overlap {n}", sys.executable, "rlnut", n, overlap=True)
        for name, package in {"SB3": "stable_baselines3", "SBX": "sbx"}.items():
            add(name, args.peers_torch, package, 1)
        sides: dict[str, Any] = dict(workers)
        for script in ("dqn", "dqn_jax") if args.cleanrl else ():
            place = args.cleanrl.resolve() / "cleanrl" / f"{script}.py"
            sides[f"CleanRL {script}"] = lambda place=place, every=every: cleanrl(
                args.peers_cleanrl, place, every, window
            )
        found = in_turns(sides, pairs_of(args))
        for worker in workers.values():
            worker.close()
        peers = [name for name in found if not name.startswith(("rlnut", "before"))]
        one = {name: row for name, row in found.items() if name in ("rlnut", "rlnut overlap", "before", *peers)}
        rows += compared(f"one update per {every}", one, peers, TARGETS.get(every, 1.0))
        for side in (*checkouts(args), "rlnut overlap"):
            for n in envs:
                if n > 1 and side in found:
                    pair = {side: found[side], f"{side} {n}": found[f"{side} {n}"]}
                    rows += compared(f"{n} environments, per {every}", pair, [side], LANES.get(n, 1.0))[1:]
    report(args, rows, args.peers_torch)


if __name__ == "__main__":
    main()
