"""Linear models side by side with scikit-learn, alternately in one process: ratios of medians; and their memory.

    python benchmarks/linear_models.py [ridge|lasso|softmax|memory|growth ...] [--repeats N] [--scale S] [--data DIR]

ridge: 200,000 x 200. lasso: a path of 100 strengths, 100,000 x 200, to the same gap. softmax: MNIST, mean NLL +
‖W‖²/2n, until our objective is no higher than that of scikit-learn's L-BFGS. memory: the peak of a process that fits
800 MB of data, as a multiple of the data. growth: seconds of a fit at 1, 2 and 4 times the rows. S shrinks the number
of rows. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MEMORY = """
import resource, sys
import numpy as np
from rlnut import lasso, least_squares, logistic
rng = np.random.default_rng(0)
x = rng.random((int(sys.argv[2]), 100))
y = x[:, 0] + x[:, 1] + 0.1 * rng.random(len(x))
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
least_squares.least_squares(x[:100], y[:100])
before = peak() - x.nbytes  # of the program itself
{"least squares": lambda: least_squares.least_squares(x, y),
 "ridge path": lambda: least_squares.ridge_path(x, y, np.logspace(-6, 2, 50)),
 "lasso": lambda: lasso.lasso(x, y, 0.01),
 "logistic": lambda: logistic.logistic(x, y > 1, 1e-4, tol=1e-4)}[sys.argv[1]]()
print((peak() - before) / x.nbytes)
"""


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


def ridge(args: argparse.Namespace) -> dict[str, Any]:
    from sklearn.linear_model import Ridge

    from rlnut.linear_models.least_squares import least_squares

    x, y = data(int(200_000 * args.scale), 200, 0)
    return alternate(lambda: least_squares(x, y, 1 / len(x)), lambda: Ridge(alpha=1.0).fit(x, y), args.repeats)


def lasso(args: argparse.Namespace) -> dict[str, Any]:
    from sklearn.linear_model import lasso_path as their_path

    from rlnut.linear_models.lasso import lasso_path

    x, y = data(int(100_000 * args.scale), 200, 1)
    alphas = lasso_path(x, y).l1 / 2

    def scikit(precompute: bool) -> object:
        return their_path(x - x.mean(0), y - y.mean(), alphas=alphas, precompute=precompute, tol=1e-6)

    return {
        f"precompute={precompute}": alternate(
            lambda: lasso_path(x, y),
            lambda p=precompute: scikit(p),  # type: ignore[misc]
            args.repeats,
        )
        for precompute in (False, True)
    }


def softmax(args: argparse.Namespace) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    from rlnut.data.catalogue import load_dataset
    from rlnut.data.dataset import subset
    from rlnut.linear_models.logistic import logistic

    n = int(60_000 * args.scale)
    digits = subset(load_dataset("mnist", args.data), n, 10_000)
    x, y = digits.x_train.reshape(n, -1) / np.float32(255), digits.y_train
    found: dict[str, Any] = {}
    for most in (100, 1000):
        scikit = lambda most=most: LogisticRegression(C=1.0, max_iter=most).fit(x, y)  # noqa: E731
        model = scikit()
        s = x @ model.coef_.T.astype(float) + model.intercept_
        s -= s.max(1, keepdims=True)
        cost = float(np.mean(np.log(np.exp(s).sum(1)) - s[np.arange(n), y]) + (model.coef_**2).sum() / (2 * n))
        for tol in (0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4):
            mine = logistic(x, y, 1 / (2 * n), tol=tol)
            if mine.solution.objective <= cost:
                break
        both = alternate(lambda tol=tol: logistic(x, y, 1 / (2 * n), tol=tol), scikit, args.repeats)  # type: ignore[misc]
        objectives = {"rlnut_objective": mine.solution.objective, "scikit_learn_objective": cost, "tol": tol}
        found[f"{model.n_iter_.max()} iterations of L-BFGS"] = both | objectives
    return found


def memory(args: argparse.Namespace) -> dict[str, Any]:
    rows = str(int(1_000_000 * args.scale))

    def peak(name: str) -> float:
        done = subprocess.run([sys.executable, "-c", MEMORY, name, rows], capture_output=True, text=True, check=True)
        return float(done.stdout)

    return {f"{name}, peak / data": peak(name) for name in ("least squares", "ridge path", "lasso", "logistic")}


def growth(args: argparse.Namespace) -> dict[str, Any]:
    from rlnut.supervised.fit import fit

    found = {}
    for times in (1, 2, 4):
        x, y = data(int(50_000 * args.scale) * times, 200, 0)
        done = fit("mlp", (x, y, x[:1000], y[:1000]), epochs=3, progress=False)
        found[f"{len(x):,} rows, MLP, s/epoch"] = done.result["seconds_per_epoch"]
    return found


BENCHMARKS = {"ridge": ridge, "lasso": lasso, "softmax": softmax, "memory": memory, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files of MNIST")
    args = parser.parse_args()
    if unknown := set(args.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in args.names or BENCHMARKS:
        print(name, json.dumps(BENCHMARKS[name](args), indent=1), flush=True)


if __name__ == "__main__":
    main()
