"""Defaults of prediction: the error of every incremental method over that of LSTD on the same stream.

    python benchmarks/prediction.py [--seeds 10] [--steps 50000] [--garnets 20] [--methods td0,mc,…] [--problems walk,…]

Prints, for each method and problem, the median over seeds 0, 1, … of RMS error / RMS error of LSTD(0) of the same seed,
`!` where a run diverged; and for each method the median over problems. Garnets are run on- and off-policy, with a table
and with 8 Gaussian features. For `mc` LSTD(1) is given too (`batch-mc`): no average of returns can be nearer than that.
Baird's star and w-to-2w are left to `rlnut figure`: there the expected update of semi-gradient methods diverges.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import rlnut
from rlnut.envs.garnet import garnet

METHODS = ("td0", "nstep", "td-lambda", "td-lambda-replacing", "td-lambda-dutch", "true-online-td", "offline-lambda",
           "mc", "v-trace", "gtd2", "tdc", "tdrc", "etd", "residual-gradient")  # fmt: skip
ON_POLICY = ("td-lambda-dutch", "true-online-td", "offline-lambda")
EPISODIC = ("mc",)
FINITE = ("RandomWalk5", "RandomWalk19", "BoyanChain", "ChainWalk4", "ChainWalk20", "AB", "Cliff", "WindyGridworld")
FOREIGN = ("FrozenLake-v1", "CliffWalking-v1", "MountainCar-v0", "CartPole-v1")
TILED = {"MountainCar-v0": {"features": "tiles:8,8"}, "CartPole-v1": {"features": "tiles:8,4,1024"}}


def problems(garnets: int) -> dict[str, tuple[object, dict[str, object], bool]]:
    """name -> (what predict takes, options, does another policy act?)"""
    found: dict[str, tuple[object, dict[str, object], bool]] = {
        name: (f"rlnut/{name}-v0", {}, False) for name in FINITE
    }
    found |= {name: (name, TILED.get(name, {}), False) for name in FOREIGN}
    for seed in range(garnets):
        for dim in (0, 8):
            tag = f"garnet {seed}, {dim or 'table'}"
            found[f"{tag}, on"] = (garnet(seed=seed, dim=dim), {"behaviour": "policy"}, False)
            found[f"{tag}, off"] = (garnet(seed=seed, dim=dim), {}, True)
    return found


def errors(method: str, env: Any, options: dict[str, object], seeds: int, steps: int) -> tuple[np.ndarray, int]:
    """RMS errors of each seed, and how many runs diverged."""
    given: dict[str, Any] = {"steps": steps, **options}
    runs = [rlnut.predict(method, env, seed=seed, **given) for seed in range(seeds)]
    return np.array([run.rmse for run in runs]), sum(bool(run.alarm) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--garnets", type=int, default=20)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--problems", default="", help="only those whose name begins with one of these words")
    args = parser.parse_args()
    methods, words = args.methods.split(","), tuple(args.problems.split(","))
    ratios: dict[str, list[float]] = {name: [] for name in methods}
    print(f"rlnut {rlnut.__version__}, {args.seeds} seeds, {args.steps:,} steps")
    for title, (env, options, off) in problems(args.garnets).items():
        if not title.startswith(words):
            continue
        best, _ = errors("lstd", env, options, args.seeds, args.steps)
        print(f"{title}: LSTD {np.median(best):.3g}", end="", flush=True)
        for name in methods:
            if (off and name in ON_POLICY) or (name in EPISODIC and title.startswith("garnet")):
                continue
            try:
                found, lost = errors(name, env, options, args.seeds, args.steps)
            except rlnut.UsageError:  # an endless problem, or one without tables
                continue
            ratios[name].append(float(np.median(found / best)))
            print(f", {name} {ratios[name][-1]:.2f}{'!' * bool(lost)}", end="", flush=True)
        print(flush=True)
    for name, each in ratios.items():
        if each:
            print(f"{name}: median {np.median(each):.2f}, largest {max(each):.2f}, {len(each)} problems")


if __name__ == "__main__":
    main()
