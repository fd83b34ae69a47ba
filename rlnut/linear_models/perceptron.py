"""The perceptron (Rosenblatt 1958): the lecture's step function, and a rule that learns from mistakes only.

    s = θᵀ(x, 1),    g(x) = ½(sign(s) + 1) = 1 if s >= 0 else 0,    θ ← θ + (y − g(x)) (x, 1)

With more than two classes each has its θ_m, g is the one-hot vector of the largest s_m (the first of equals), and the
same rule adds x to the right class and takes it from the wrong one. If a plane separates the classes with margin γ and
‖(x, 1)‖ <= R, there are at most (R/γ)² mistakes (Novikoff 1962); if none does, θ never settles, and rows with s near 0
flip for ever. The averaged variant answers with the mean of θ over all rows seen (Freund & Schapire 1999), which does.
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
    mistakes: tuple[int, ...]  # in each epoch

    def predict(self, x: Array) -> np.ndarray:
        """The label of each row [B]."""
        s = self.solution.predict(x)
        return self.classes[(s >= 0).astype(int) if s.ndim == 1 else s.argmax(1)]


def perceptron(
    x: Array, y: Array, epochs: int = 10, *, average: bool = False, seed: int | None = None
) -> FittedPerceptron:
    """Learn x [n, p] -> labels y [n] in `epochs` passes, or fewer if one has no mistake.

    Rows come in their order, or with a `seed` in a new random order each epoch. Starts from θ = 0. Sums are float32
    for float32 rows, else float64: which rows are mistakes when s is nearly 0 hangs on the rounding.

    >>> import numpy as np
    >>> perceptron(np.array([[1.0], [2.0], [-1.0]]), np.array([1, 1, 0])).mistakes
    (1, 0)
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise UsageError(f"y must hold one label a row, [n], got {labels.shape}")
    if epochs < 1:
        raise UsageError(f"epochs must be >= 1, got {epochs}")
    classes, label = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(f"y holds {len(classes)} class; at least two are needed")
    rows, _, _ = checked_rows(x, label)
    n, p = rows.shape
    two, kind = len(classes) == 2, rows.dtype if rows.dtype == np.float32 else np.dtype(float)
    w, b = np.zeros((1 if two else len(classes), p), kind), np.zeros(1 if two else len(classes), kind)
    late_w, late_b = np.zeros(w.shape), np.zeros(b.shape)  # Σ change·(rows seen before it)
    rng = None if seed is None else np.random.default_rng(seed)
    mistakes: list[int] = []
    for _ in range(epochs):
        order = np.arange(n) if rng is None else rng.permutation(n)
        wrong, seen = 0, len(mistakes) * n
        for part in blocks(n, p):
            table, answer = rows[order[part]].astype(kind, copy=False), label[order[part]]
            for row, right, before in zip(
                table, answer.tolist(), range(seen + part.start, seen + part.stop), strict=True
            ):
                s = w @ row + b
                guess = int(s[0] >= 0) if two else int(s.argmax())
                if guess == right:
                    continue
                wrong += 1
                for m, change in ((0, right - guess),) if two else ((right, 1), (guess, -1)):
                    w[m] += change * row
                    b[m] += change
                    if average:
                        late_w[m] += change * before * row
                        late_b[m] += change * before
        mistakes.append(wrong)
        if not wrong:
            break
    total = n * len(mistakes)
    coef, intercept = (w - late_w / total).T, b - late_b / total
    share = mistakes[-1] / n
    solution = Solution(coef[:, 0], intercept[0], share) if two else Solution(coef, intercept, share)
    return FittedPerceptron(solution, classes, tuple(mistakes))
