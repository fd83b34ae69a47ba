"""Test accuracy of the named models on the full MNIST: median over seeds, epochs, seconds.

    python benchmarks/mnist_accuracy.py [--data DIR] [--seeds 5] [MODEL ...]

Networks with their defaults; `logistic` is softmax regression to its minimum, mean cross-entropy + ½·1e-4 ‖W‖², and has
no seeds. Fails (exit status 1) if a median misses its bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from rlnut.data.catalogue import load_dataset
from rlnut.supervised.fit import fit

BARS = {  # the median must lie between these
    "logistic": (0.925, 0.927),
    "softmax": (0.920, 1),
    "mlp": (0.984, 1),
    "lenet": (0.987, 1),
    "cnn": (0.993, 1),
    "resnet": (0.995, 1),
    "lstm": (0.988, 1),
}
SETTINGS: dict[str, dict[str, Any]] = {"logistic": {"l2": 0.5e-4}}  # rlnut's penalty is λ‖W‖²


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(BARS), help=f"of {', '.join(BARS)}")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    digits, missed = load_dataset("mnist", args.data), False
    print("| model | test accuracy of each seed | median | threshold | epochs | seconds of a fit | of them compiling |")
    print("|---|---|---|---|---|---|---|")
    for model in args.models:
        low, high = BARS[model]
        settings, seeds = SETTINGS.get(model, {}), 1 if model in SETTINGS else args.seeds
        runs = [fit(model, digits, seed=seed, progress=False, **settings).result for seed in range(seeds)]
        reached = [run["test_accuracy"] for run in runs]
        median = statistics.median(reached)
        wall, compiling = (statistics.median(run.get(key, 0.0) for run in runs) for key in ("wall_s", "compile_s"))
        missed |= not low <= median <= high
        row = [model, " ".join(f"{a:.4f}" for a in reached), f"{median:.4f}"]
        row += [f"{low:.3f}" if high == 1 else f"{low:.3f} to {high:.3f}", str(runs[0]["epochs"])]
        print(f"| {' | '.join([*row, f'{wall:.1f}', f'{compiling:.1f}'])} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
