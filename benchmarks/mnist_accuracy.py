"""Test accuracy of the named networks on the full MNIST with their defaults: median over seeds, epochs, seconds.

    python benchmarks/mnist_accuracy.py [--data DIR] [--seeds 3] [MODEL ...]

Fails (exit status 1) if a median misses its bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from rlnut.data import load_dataset
from rlnut.supervised import fit

BARS = {"softmax": 0.920, "mlp": 0.980, "cnn": 0.990, "lstm": 0.988}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(BARS), help=f"of {', '.join(BARS)}")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    digits, missed = load_dataset("mnist", args.data), False
    print("| model | test accuracy of each seed | median | bar | epochs | s/epoch | compile s |")
    print("|---|---|---|---|---|---|---|")
    for model in args.models:
        runs = [fit(model, digits, seed=seed, progress=False).result for seed in range(args.seeds)]
        reached = [run["test_accuracy"] for run in runs]
        middle = {key: statistics.median(run[key] for run in runs) for key in ("seconds_per_epoch", "compile_s")}
        missed |= statistics.median(reached) < BARS[model]
        row = [model, " ".join(f"{a:.4f}" for a in reached), f"{statistics.median(reached):.4f}", f"{BARS[model]:.3f}"]
        row += [str(runs[0]["epochs"]), f"{middle['seconds_per_epoch']:.2f}", f"{middle['compile_s']:.1f}"]
        print(f"| {' | '.join(row)} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
