"""Problems with known answers that several tests fit."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(0)


def line(n=400):
    """y = 3 x₀ − 2 x₁ + 5 exactly, on inputs of very different scales; x₂ is constant."""
    x = np.stack([RNG.normal(size=n), 1000 + 50 * RNG.normal(size=n), np.full(n, 7.0)], 1)
    return x, 3 * x[:, 0] - 2 * x[:, 1] + 5


def blobs(n=300):
    """Three classes far apart, with names."""
    names = np.array(["left", "right", "top"])
    centres = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    labels = RNG.integers(0, 3, n)
    return centres[labels] + RNG.normal(size=(n, 2)), names[labels]


def halves(x, y):
    middle = len(x) // 2
    return x[:middle], y[:middle], x[middle:], y[middle:]
