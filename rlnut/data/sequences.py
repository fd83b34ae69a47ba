"""Sequences as arrays [n, T, ...], where only NaN follows the end of a shorter one; and three that test memory.

| name     | a row                                                   | y                        | without memory |
|----------|---------------------------------------------------------|--------------------------|----------------|
| recall:T | one of 4 symbols, then ⌈T/2⌉ … T distractors (4 others) | the first symbol         | accuracy 1/4   |
| parity:T | 1 … T bits                                              | is the number of 1s odd? | accuracy 1/2   |
| adding:T | T numbers in [0, 1], one marked in each half            | sum of the two marked    | mse 1/6        |

Symbols are one-hot rows. The adding problem is Hochreiter & Schmidhuber's (1997), as Le et al. (2015) pose it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlnut.data.dataset import Dataset
from rlnut.errors import UsageError

LONGEST = 10_000  # steps; more is a mistake, or would fill the memory


def pad(sequences: Sequence[ArrayLike]) -> np.ndarray:
    """Sequences [Tᵢ, ...] of unequal length -> one array [n, max Tᵢ, ...], NaN after the end of each."""
    rows = [np.asarray(sequence, float) for sequence in sequences]
    if not rows or any(row.ndim == 0 or not len(row) or row.shape[1:] != rows[0].shape[1:] for row in rows):
        raise UsageError("sequences must have the shapes [steps, ...], at least one step each, and equal steps")
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), np.nan)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def cut_sequences(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x [n, T, ...] as floats, with NaN from step `lengths` [n] on."""
    over = np.arange(x.shape[1]) >= np.asarray(lengths)[:, None]
    x = x.astype(x.dtype if x.dtype.kind == "f" else np.float32)
    x[over] = np.nan
    return x


def recall(rng: np.random.Generator, rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The first of 4 symbols, after up to `steps` distractors: x float32 [rows, steps + 1, 8], y int [rows]."""
    y = rng.integers(0, 4, rows)
    symbols = np.column_stack([y, rng.integers(4, 8, (rows, steps))])
    return cut_sequences(np.eye(8, dtype=np.float32)[symbols], 1 + rng.integers((steps + 1) // 2, steps + 1, rows)), y


def parity(rng: np.random.Generator, rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Is the number of 1s odd? x float32 [rows, steps, 1], y int [rows]."""
    bits, ends = rng.integers(0, 2, (rows, steps)), rng.integers(1, steps + 1, rows)
    return cut_sequences(bits[..., None].astype(np.float32), ends), (bits * (np.arange(steps) < ends[:, None])).sum(
        1
    ) % 2


def adding(rng: np.random.Generator, rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the two marked numbers: x float32 [rows, steps, 2] (number, mark), y float [rows]."""
    if steps < 2:
        raise UsageError(f"adding needs at least 2 steps, got {steps}")
    x = np.stack([rng.random((rows, steps)), np.zeros((rows, steps))], -1).astype(np.float32)
    half, every = steps // 2, np.arange(rows)
    for mark in (rng.integers(0, half, rows), rng.integers(half, steps, rows)):
        x[every, mark, 1] = 1
    return x, (x[..., 0].astype(float) * x[..., 1]).sum(1)


MEMORY: dict[str, tuple[Callable[..., tuple[np.ndarray, np.ndarray]], int]] = {  # name -> maker, its usual length
    "recall": (recall, 20), "parity": (parity, 10), "adding": (adding, 30),
}  # fmt: skip


def memory(name: str, steps: int | None = None, train: int = 10_000, test: int = 2_000, seed: int = 0) -> Dataset:
    """A dataset of MEMORY with sequences of up to `steps`; test rows are drawn with a generator of their own."""
    make, usual = MEMORY[name]
    steps = usual if steps is None else steps
    if not 1 <= steps <= LONGEST:
        raise UsageError(f"the length of {name} must be between 1 and {LONGEST:,}, got {steps}")
    parts = [make(np.random.default_rng((seed, part)), rows, steps) for part, rows in enumerate((train, test))]
    (x, y), (x_test, y_test) = parts
    return Dataset(x, y, x_test, y_test, None, f"{name}:{steps}")
