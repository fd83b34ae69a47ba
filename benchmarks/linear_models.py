"""Ridge and a 100-point lasso path side by side with scikit-learn, alternately in one process: ratios of medians.

python benchmarks/linear_models.py [--repeats N] [--scale S]: S shrinks the number of rows. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.linear_model import lasso_path as their_path

from rlnut.lasso import lasso_path
from rlnut.least_squares import least_squares


def data(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns with one common factor of weight 0.5; 20 of them matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) + 0.5 * rng.normal(size=(rows, 1))
    theta = np.zeros(columns)
    theta[:20] = rng.normal(size=20)
    return x, x @ theta + rng.normal(size=rows)


def alternate(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median seconds of both, run in turns, after one run of each that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for run, kept in zip((ours, theirs), seconds, strict=True):
            began = time.perf_counter()
            run()
            if turn:
                kept.append(time.perf_counter() - began)
    mine, other = map(statistics.median, seconds)
    return {"rlnut_s": mine, "scikit_learn_s": other, "ratio": mine / other}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    found = {}
    x, y = data(int(200_000 * args.scale), 200, 0)
    found["ridge 200k x 200"] = alternate(
        lambda: least_squares(x, y, 1 / len(x)), lambda: Ridge(alpha=1.0).fit(x, y), args.repeats
    )
    x, y = data(int(100_000 * args.scale), 200, 1)
    alphas = lasso_path(x, y).l1 / 2

    def scikit(precompute: bool) -> object:
        return their_path(x - x.mean(0), y - y.mean(), alphas=alphas, precompute=precompute, tol=1e-6)

    for precompute in (False, True):
        name = f"lasso path 100k x 200, 100 points, precompute={precompute}"
        found[name] = alternate(lambda: lasso_path(x, y), lambda p=precompute: scikit(p), args.repeats)  # type: ignore[misc]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
