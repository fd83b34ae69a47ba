"""Networks on MNIST beside PyTorch and scikit-learn, in turns on the same cores: ratios of medians, and time to 99 %.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch scikit-learn numpy
    python benchmarks/mnist_networks.py [cnn] [mlp] [99] [--peers PYTHON] [--steps N] [--repeats N] [--data DIR]

cnn: 32 and 64 filters 3 × 3, ReLU, pooling by 2, layers of 128 and 10; mlp: 512, 256 and 10; float32, batch 128, Adam
1e-3 in all. An epoch is 468 updates. 99: seconds from the start of a process until 99 % of the test rows are right, for
us with a small network and a short schedule, for PyTorch with the CNN (NCHW) and a test after each epoch.
The peers live in an environment of their own (PYTHON of it), never among the dependencies.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH, EPOCH = 128, 468
SHORT = "--channels 16,32 --epochs 4 --lr 4e-3 --schedule one-cycle --dropout 0.1"  # our way to 99 %


def ours(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[int], float]]:
    """What `rlnut fit` runs, as functions (updates) -> seconds."""
    import jax
    import jax.numpy as jnp

    from rlnut.networks.architectures import cnn, mlp
    from rlnut.regression.core import regression
    from rlnut.regression.losses import cross_entropy
    from rlnut.supervised.epochs import LabelledRows, trainer
    from rlnut.supervised.fitted_model import architecture

    def timer(network: Any) -> Callable[[int], float]:
        core = regression(architecture(network, (10,), True), cross_entropy)
        state = core.init(jax.random.key(0), x[:1])
        work = trainer(core, state, LabelledRows(x, y.astype(np.int32)), BATCH, 0, 0.0, jax.random.key(1))
        order = jnp.asarray(np.random.default_rng(0).permutation(len(x)), jnp.int32)

        def run(updates: int) -> float:
            began = time.perf_counter()
            costs = jnp.zeros(work.steps)
            jax.block_until_ready(work.stretch(state, costs, work.x, work.y, order, jnp.int32(0), jnp.int32(updates)))
            return time.perf_counter() - began

        return run

    return {"cnn": timer(cnn((32, 64), hidden=(128,))), "mlp": timer(mlp((512, 256)))}


def theirs(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> dict[str, Callable[[int], float]]:
    """The peers, as functions (updates) -> seconds; "99" gives them since it was called, for any number of updates."""
    import torch
    from sklearn.neural_network import MLPClassifier
    from torch import nn

    torch.manual_seed(0)

    def network(kind: str) -> nn.Module:
        if kind == "mlp":
            parts: list[nn.Module] = [nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU()]
            return nn.Sequential(*parts, nn.Linear(256, 10))
        stages = [
            layer
            for a, b in ((1, 32), (32, 64))
            for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        ]
        return nn.Sequential(*stages, nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))

    images = torch.from_numpy(x).float().div(255)[:, None]
    labels = torch.from_numpy(y).long()

    def trainer(kind: str, layout: torch.memory_format) -> tuple[nn.Module, Callable[[int], float]]:
        model = network(kind).to(memory_format=layout)
        method, inputs = torch.optim.Adam(model.parameters(), 1e-3), images.to(memory_format=layout)

        def run(updates: int) -> float:
            began, order = time.perf_counter(), torch.randperm(len(inputs))
            for i in range(updates):
                rows = order[i * BATCH : (i + 1) * BATCH]
                method.zero_grad()
                nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
                method.step()
            return time.perf_counter() - began

        return model, run

    def until_99(updates: int) -> float:
        """Epochs of the CNN until the test says 99 %."""
        began = time.perf_counter()
        model, run = trainer("cnn", torch.contiguous_format)
        tests, right = torch.from_numpy(x_test).float().div(255)[:, None], torch.from_numpy(y_test).long()
        for _ in range(20):
            run(EPOCH)
            with torch.no_grad():
                found = torch.cat([model(part).argmax(1) for part in tests.split(1000)])
            if (found == right).float().mean() >= 0.99:
                return time.perf_counter() - began
        return float("inf")

    def scikit(updates: int) -> float:
        rows = updates * BATCH
        model = MLPClassifier((512, 256), batch_size=BATCH, max_iter=1)
        flat = (x[:rows].reshape(rows, -1) / np.float32(255)).astype(np.float32)
        model.partial_fit(flat[:BATCH], y[:BATCH], classes=np.arange(10))  # sets up; what follows is one epoch
        began = time.perf_counter()
        model.partial_fit(flat, y[:rows])
        return time.perf_counter() - began

    return {
        "cnn torch NCHW": trainer("cnn", torch.contiguous_format)[1],
        "cnn torch channels_last": trainer("cnn", torch.channels_last)[1],
        "mlp torch": trainer("mlp", torch.contiguous_format)[1],
        "mlp scikit-learn": scikit,
        "99": until_99,
    }


def serve(rows: Path) -> None:
    """In the peers' process: a line "NAME UPDATES" in, a line with the seconds out."""
    found = theirs(**np.load(rows))
    for line in sys.stdin:
        name, updates = line.rsplit(maxsplit=1)
        print(found[name](int(updates)), flush=True)


class Peers:
    """The process of the other libraries; asked, it answers with its own seconds."""

    def __init__(self, python: str, rows: Path) -> None:
        words = [python, __file__, "--serve", str(rows)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, name: str, updates: int) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(name, updates, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def in_turns(runs: dict[str, Callable[[int], float]], updates: int, repeats: int) -> dict[str, Any]:
    """Median seconds an epoch of each, one run after the other; the first round does not count."""
    for run in runs.values():
        run(2)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(run(updates) * EPOCH / updates)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    ratios = {f"rlnut / {name}": middle["rlnut"] / found for name, found in middle.items() if name != "rlnut"}
    return {"seconds_per_epoch": middle, "ratio": ratios, "updates": updates, "repeats": repeats}


def to_99(python: str, rows: Path, data: str | None, repeats: int) -> dict[str, Any]:
    """Seconds of whole processes, in turns. Ours counts only where it ends at 99 %: its seeds differ."""
    places = ["--data", data] if data else []
    mine, accuracy, other = [], [], []
    for seed in range(repeats):
        fit = ["fit", "cnn", "mnist", *places, *SHORT.split(), "--seed", str(seed), "--json"]
        words = [sys.executable, "-m", "rlnut", *fit]
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        mine.append(time.perf_counter() - began)
        accuracy.append(json.loads(done.stdout.splitlines()[-1])["test_accuracy"])
        began = time.perf_counter()
        peers = Peers(python, rows)
        reached = peers("99", 1)
        other.append(time.perf_counter() - began if np.isfinite(reached) else float("inf"))
        peers.close()
    middle = statistics.median(mine), statistics.median(other)
    found = {"rlnut_s": mine, "rlnut_test_accuracy": accuracy, "torch_s": other, "ratio": middle[0] / middle[1]}
    return found | {"settings": SHORT, "reached": min(accuracy) >= 0.99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["cnn", "mlp", "99"], help="of cnn, mlp, 99")
    parser.add_argument("--peers", default="/tmp/peers/bin/python", metavar="PYTHON")
    parser.add_argument("--steps", type=int, default=117, help="updates of one run (a quarter of an epoch)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    from rlnut.data.catalogue import load_dataset

    digits, found = load_dataset("mnist", args.data), {}
    arrays = {name: getattr(digits, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "mnist.npz"
        x, y = arrays["x_train"], arrays["y_train"]
        np.savez(rows, x=x, y=y, x_test=arrays["x_test"], y_test=arrays["y_test"])
        if {"cnn", "mlp"} & set(args.what):
            mine, peers = ours(x, y), Peers(args.peers, rows)
            for kind, others in (("cnn", ("torch NCHW", "torch channels_last")), ("mlp", ("torch", "scikit-learn"))):
                if kind in args.what:
                    rivals = {name: lambda n, name=name, kind=kind: peers(f"{kind} {name}", n) for name in others}
                    found[kind] = in_turns({"rlnut": mine[kind], **rivals}, args.steps, args.repeats)
            peers.close()
        if "99" in args.what:
            found["99"] = to_99(args.peers, rows, args.data, min(args.repeats, 3))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
