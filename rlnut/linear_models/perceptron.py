"""The perceptron (Rosenblatt 1958): the lecture's step function, and a rule that learns from mistakes only.

    s = θᵀ(x, 1),    g(x) = ½(sign(s) + 1) = 1 if s >= 0 else 0,    θ ← θ + (y − g(x)) (x, 1)

With more than two classes each has its θ_m, g is the one-hot vector of the largest s_m (the first of equals), and the
same rule adds x to the right class and takes it from the wrong one. If a plane separates the classes with margin γ and
‖(x, 1)‖ <= R, there are at most (R/γ)² mistakes (Novikoff 1962); if none does, θ never settles, and rows with s near 0
flip for ever. The averaged variant answers with the mean of θ over all rows seen (Freund & Schapire 1999), which does.
The bound says as well that columns of very different scales (a small γ/R) cost many passes: standardise them first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.linear_models.solution import Solution, blocks, checked_rows
from rlnut.types import Array


class FittedPerceptron(NamedTuple):
    """A fitted perceptron: coef [p] for two classes, [p, M] for M."""

    solution: Solution  # its objective is the share of mistakes in the last epoch
    classes: np.ndarray  # [M] the labels, in order
    mistakes: tuple[float, ...]  # in each epoch; whole numbers unless rows have weights
    converged: bool  # no mistake in the last epoch, or no fewer for `patience` epochs

    def predict(self, x: Array) -> np.ndarray:
        """The label of each row [B]."""
        s = self.solution.predict(x)
        return self.classes[(s >= 0).astype(int) if s.ndim == 1 else s.argmax(1)]


def perceptron(
    x: Array,
    y: Array,
    epochs: int = 10,
    *,
    average: bool | None = False,
    seed: int | None = None,
    weight: Array | None = None,
    patience: int | None = None,
    tol: float = 0.0,
    start: Solution | None = None,
    classes: np.ndarray | None = None,
) -> FittedPerceptron:
    """Learn x [n, p] -> labels y [n] in `epochs` passes, or fewer if one has no mistake.

    `average`: answer with the mean of θ; None: with the mean unless the last epoch has no mistake.
    Rows come in their order, or with a `seed` in a new random order each epoch. Begins at `start`, or θ = 0. Sums are
    float32 for float32 rows, else float64: which rows are mistakes when s is nearly 0 hangs on the rounding. A row of
    `weight` k counts as k rows, one after the other. With `patience` it ends after so many epochs in which the share of
    mistakes did not fall by more than `tol`. `classes` are the labels, in order, where y may not hold all of them.

    >>> import numpy as np
    >>> perceptron(np.array([[1.0], [2.0], [-1.0]]), np.array([1, 1, 0])).mistakes
    (1, 0)
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise UsageError(f"y must hold one label a row, [n], got {labels.shape}")
    if epochs < 1:
        raise UsageError(f"epochs must be >= 1, got {epochs}")
    found = np.unique(labels)
    known = found if classes is None else np.asarray(classes)
    if len(known) < 2:
        raise UsageError(f"y holds {len(known)} class; at least two are needed")
    if not np.isin(found, known).all():
        raise UsageError(f"y holds the label {found[~np.isin(found, known)][0]!r}, which is not among the classes")
    rows, label, given = checked_rows(x, np.searchsorted(known, labels), weight)
    if average and start is not None:
        raise UsageError("the mean of θ over the rows seen needs all of them: average cannot continue from a start")
    state = _State.begin(rows, len(known), start)
    counts = np.ones(len(rows)) if given is None else given
    rng = None if seed is None else np.random.default_rng(seed)
    mistakes: list[float] = []
    best, idle = np.inf, 0
    for _ in range(epochs):
        order = np.arange(len(rows)) if rng is None else rng.permutation(len(rows))
        wrong = state.epoch(rows, label, counts, order, average is not False)
        mistakes.append(int(wrong) if given is None else wrong)
        share = wrong / counts.sum()
        best, idle = (share, 0) if share < best - tol else (best, idle + 1)
        if not wrong or (patience is not None and idle >= patience):
            break
    done = not wrong or (patience is not None and idle >= patience)
    mean = wrong > 0 if average is None else average
    coef, intercept = state.answer(counts.sum() * len(mistakes) if mean else np.inf)
    return FittedPerceptron(Solution(coef, intercept, float(share)), known, tuple(mistakes), bool(done))


class _State:
    """θ = (w, b) while it learns: one row of w for two classes, else one for each."""

    def __init__(self, w: np.ndarray, b: np.ndarray) -> None:
        self.w, self.b = w, b
        self.late_w, self.late_b = np.zeros(w.shape), np.zeros(b.shape)  # Σ change·(rows seen before it)
        self.seen = 0.0

    @classmethod
    def begin(cls, rows: np.ndarray, classes: int, start: Solution | None) -> _State:
        kind = rows.dtype if rows.dtype == np.float32 else np.dtype(float)
        shape = (1 if classes == 2 else classes, rows.shape[1])
        if start is None:
            return cls(np.zeros(shape, kind), np.zeros(shape[0], kind))
        w, b = np.array(start.coef.T, kind).reshape(-1, len(start.coef)), np.array(start.intercept, kind).reshape(-1)
        if w.shape != shape:
            raise UsageError(f"the start has coefficients {list(w.T.shape)}, but {list(shape[::-1])} are needed")
        return cls(w, b)

    def epoch(self, rows: np.ndarray, label: np.ndarray, counts: np.ndarray, order: np.ndarray, average: bool) -> float:
        """One pass over the rows in `order`: the number of mistakes."""
        w, b, two, wrong = self.w, self.b, len(self.w) == 1, 0.0
        for part in blocks(len(rows), rows.shape[1]):
            chosen = order[part]
            table = rows[chosen].astype(w.dtype, copy=False)
            for row, right, count in zip(table, label[chosen].tolist(), counts[chosen].tolist(), strict=True):
                used = 0.0
                while used < count:
                    s = w @ row + b
                    guess = int(s[0] >= 0) if two else int(s.argmax())
                    if guess == right:
                        break
                    step = min(1.0, count - used)
                    for m, sign in ((0, right - guess),) if two else ((right, 1), (guess, -1)):
                        change = sign * step
                        w[m] += change * row
                        b[m] += change
                        if average:
                            self.late_w[m] += change * (self.seen + used) * row
                            self.late_b[m] += change * (self.seen + used)
                    used += step
                wrong += used
                self.seen += count
        return wrong

    def answer(self, total: float) -> tuple[np.ndarray, np.ndarray]:
        """coef [p] or [p, M] and intercept: the mean of θ over a `total` of rows seen, or the last θ (infinity)."""
        coef, intercept = (self.w - self.late_w / total).T, self.b - self.late_b / total
        return (coef[:, 0], intercept[0]) if len(self.w) == 1 else (coef, intercept)
