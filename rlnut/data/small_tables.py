"""Small tables to learn from: synthetic ones whose truth is known, and the real ones that scikit-learn carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlnut.data.dataset import Dataset, split_rows
from rlnut.errors import RlnutError, UsageError, unknown


class Table(NamedTuple):
    """Rows of numbers and what to say about them; y holds integers or text for classes, floats for values."""

    x: np.ndarray  # [n, p] float64
    y: np.ndarray  # [n]
    columns: tuple[str, ...]  # of x
    truth: dict[str, Any]  # what a good fit finds; empty for real data
    target: str = "y"  # the name of y
    note: str = ""  # how the user's file was understood

    @property
    def classify(self) -> bool:
        return self.y.dtype.kind != "f"


def ohm(rows: int = 100, seed: int = 0) -> Table:
    """V = θI with resistance θ = 5 Ω, I in [−2, 2] A, and noise of 0.5 V."""
    rng = np.random.default_rng(seed)
    current = rng.uniform(-2, 2, (rows, 1))
    return Table(current, 5.0 * current[:, 0] + 0.5 * rng.normal(size=rows), ("I",), {"theta": [5.0], "noise": 0.5})


def sparse(rows: int = 200, seed: int = 0) -> Table:
    """50 normal columns of which 5 matter: y = θᵀx + noise of 0.5."""
    rng = np.random.default_rng(seed)
    theta = np.zeros(50)
    theta[:5] = 3, -2, 1.5, -1, 0.5
    x = rng.normal(size=(rows, 50))
    names = tuple(f"x{i}" for i in range(50))
    return Table(x, x @ theta + 0.5 * rng.normal(size=rows), names, {"theta": theta.tolist(), "noise": 0.5})


def thermal(rows: int = 2000, seed: int = 0) -> Table:
    """A two-state system in a bath: P(y = 1 | β) = 1/(1 + e^{βΔε}) with Δε = 1, β in [0, 3]: logistic with θ = −Δε."""
    rng = np.random.default_rng(seed)
    beta = rng.uniform(0, 3, (rows, 1))
    y = (rng.random(rows) < 1 / (1 + np.exp(beta[:, 0]))).astype(int)
    return Table(beta, y, ("beta",), {"theta": [-1.0], "intercept": 0.0})


def spirals(rows: int = 400, seed: int = 0) -> Table:
    """Two spirals, one and a half turns each, that no plane separates."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    t = 3 * np.pi * np.sqrt(rng.uniform(0.01, 1, rows))
    x = np.stack([t * np.cos(t + np.pi * y), t * np.sin(t + np.pi * y)], 1) / (3 * np.pi)
    return Table(x + 0.02 * rng.normal(size=x.shape), y, ("x", "y"), {"linear_accuracy": 0.5})


def xor(rows: int = 400, seed: int = 0) -> Table:
    """y = 1 where exactly one of two inputs in [−1, 1] is positive: no single layer can learn it."""
    x = np.random.default_rng(seed).uniform(-1, 1, (rows, 2))
    return Table(x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int), ("a", "b"), {"linear_accuracy": 0.5})


SYNTHETIC: dict[str, Callable[..., Table]] = {
    "ohm": ohm, "sparse": sparse, "thermal": thermal, "spirals": spirals, "xor": xor,
}  # fmt: skip
REAL = {"iris": "load_iris", "wine": "load_wine", "breast-cancer": "load_breast_cancer", "diabetes": "load_diabetes"}


def real(name: str) -> Table:
    """One of the tables that scikit-learn carries: iris, wine, breast-cancer (classes), diabetes (values)."""
    if name not in REAL:
        raise unknown("table", name, REAL)
    try:
        from sklearn import datasets
    except ImportError:
        raise RlnutError(f'{name} needs scikit-learn: pip install "rlnut[sklearn]"') from None
    found = getattr(datasets, REAL[name])()
    names = tuple(map(str, found.feature_names))
    if "target_names" not in found:
        return Table(np.asarray(found.data, float), np.asarray(found.target, float), names, {})
    return Table(np.asarray(found.data, float), np.asarray(found.target), names, {})


def load_table(name: str, data: str | Path | None = None) -> Table:
    """A table by its name; it is no file, so `data` has no meaning here."""
    if data is not None:
        raise UsageError(f"{name} is made or carried by a library: --data has no effect")
    return SYNTHETIC[name]() if name in SYNTHETIC else real(name)


def held_out(table: Table, name: str, share: float = 0.2, seed: int = 0) -> Dataset:
    """A table with a `share` of its rows held out as test rows (0: none): dealt by `seed`, each class in proportion."""
    train, test = held_rows(table.y, table.target, name, share, seed)
    found = Dataset(table.x[train], table.y[train], table.x[test], table.y[test], None, name)
    return found._replace(columns=table.columns, target=table.target, note=table.note)


def held_rows(y: np.ndarray, target: str, name: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training and of the test rows, for answers y [n] of the column `target`."""
    rows, classify = np.arange(len(y)), y.dtype.kind != "f"
    train, test = split_rows(len(rows), share, seed, y if classify else None) if share else (rows, rows[:0])
    if share and not len(test):
        raise UsageError(
            f"{name}: {target!r} holds {len(np.unique(y))} classes in {len(rows)} rows, too few of each to "
            "hold out test rows: fit on all rows with --test 0, or set --task regression if they are values"
        )
    return train, test
