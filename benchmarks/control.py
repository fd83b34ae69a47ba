"""Control on real environments against published thresholds: `rlnut train` for each row of a table, over seeds.

    python benchmarks/control.py [--seeds 10] [--only c51 CartPole-v1] [--out DIR] [--jobs 1]

A row holds when the interquartile mean (IQM: the mean of the middle half) of the greedy return over seeds reaches the
threshold, and at least nine tenths of the seeds do; exit status 1 if a row does not hold. Each seed is a run of the
command itself, with its defaults or presets; a run that is already in DIR is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean

from rlnut.envs.blackjack_tables import blackjack
from rlnut.prediction.policies import as_table
from rlnut.truth.dynamic_programming import chain, values


class Row(NamedTuple):
    """One line of the table."""

    agent: str
    env: str
    bar: float
    steps: int
    options: tuple[str, ...] = ()


CARTPOLE = (
    *("dqn", "double-dqn", "dueling-dqn", "per-dqn", "n-step-dqn", "noisy-dqn", "two-hot-dqn", "hl-gauss-dqn"),
    *("c51", "qr-dqn", "iqn", "munchausen-dqn", "soft-q", "rainbow"),
)
NATIVE = ("--native",)  # trained on the twin, whole loop compiled; evaluated on the real environment as all are
# of DQN's training returns; gymnax's rules are easier: no sticky actions, limits of its own
MINATAR = {"Breakout": 10.3, "Asterix": 16.7, "Freeway": 50, "SpaceInvaders": 45}
ROWS = [
    *[Row(agent, "CartPole-v1", 475, 50_000, NATIVE) for agent in CARTPOLE],
    Row("pqn", "CartPole-v1", 475, 500_000, NATIVE),
    Row("dqn", "Acrobot-v1", -85, 100_000, NATIVE),
    Row("sarsa-lambda", "MountainCar-v0", -110, 50_000),
    Row("dqn", "MountainCar-v0", -110, 150_000, NATIVE),
    Row("dqn", "Pendulum-v1", -170, 50_000, NATIVE),
    Row("dqn", "Pendulum-v1", -170, 50_000, (*NATIVE, "--actions", "decoupled")),
    *[Row(agent, "FrozenLake-v1", 0.72, 400_000, NATIVE) for agent in ("q-learning", "expected-sarsa")],
    Row("double-q", "FrozenLake-v1", 0.72, 4_000_000, NATIVE),
    Row("q-learning", "CliffWalking-v1", -13, 50_000, NATIVE),
    Row("double-q", "CliffWalking-v1", -13, 200_000, NATIVE),
    *[Row(a, "Taxi-v4", 7.7, 400_000, NATIVE) for a in ("q-learning", "double-q", "sarsa", "expected-sarsa")],
    *[Row(agent, "Blackjack-v1", -0.043113 - 0.005, 2_000_000, NATIVE) for agent in ("q-learning", "double-q")],
    Row("dqn", "LunarLander-v3", 200, 300_000),  # needs the extra box2d
    *[Row("pqn", f"gymnax/{game}-MinAtar", bar, 2_000_000) for game, bar in MINATAR.items()],  # needs the extra gymnax
]


def play(row: Row, seed: int, out: Path) -> dict:
    """The JSON object of one seed; from its folder if it is there."""
    words = [row.agent, row.env.replace("/", "-"), *(o for o in row.options if o[0] != "-"), f"seed{seed}"]
    folder = out / "-".join(words)
    if not (folder / "summary.json").exists():
        words = ["train", row.agent, row.env, "--steps", str(row.steps), "--seed", str(seed), "--out", str(folder)]
        done = subprocess.run([sys.executable, "-m", "rlnut", *words, *row.options], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads((folder / "summary.json").read_text())
    if row.env == "Blackjack-v1":  # exactly: a game's result is as good as chance
        game = blackjack()
        v = values(chain(game.mdp, as_table(str(folder), game, 1)), 1)
        found["eval"]["mean"] = float(game.mdp.start @ np.nan_to_num(v))
    return found


def main() -> int:
    """Print the table; 1 if a row misses its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="rows of these agents and environments")
    parser.add_argument("--out", type=Path, default=Path("runs/control"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; the speed is only meaningful with 1")
    args = parser.parse_args()
    named = set(args.only or ())
    unknown = named - {word for row in ROWS for word in (row.agent, row.env)}
    if unknown:
        parser.error(f"no row has {', '.join(sorted(unknown))}")
    groups = [{row.agent for row in ROWS} & named, {row.env for row in ROWS} & named]
    rows = [r for r in ROWS if all(not g or word in g for g, word in zip(groups, (r.agent, r.env), strict=True))]
    missed = False
    print("| agent | environment | steps | threshold | IQM | seeds at the threshold | each seed | steps/s | holds |")
    print("|---|---|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor(args.jobs) as pool:
        for row in rows:
            runs = list(pool.map(lambda seed, row=row: play(row, seed, args.out), range(args.seeds)))
            means = [run["eval"]["mean"] for run in runs]
            iqm, reached = float(trim_mean(means, 0.25)), sum(mean >= row.bar for mean in means)
            holds = iqm >= row.bar and reached >= 0.9 * len(means)
            missed |= not holds
            speed = np.median([run["steps_per_s"] for run in runs])
            cells = [row.agent, row.env, f"{row.steps:,}", f"{row.bar:.4g}", f"{iqm:.4g}", f"{reached} of {len(means)}"]
            cells += [" ".join(f"{mean:.4g}" for mean in means), f"{speed:,.0f}", "yes" if holds else "NO"]
            print(f"| {' | '.join(cells)} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
