"""The sums behind every least-squares method of reinforcement learning: FQI, LSPI, LSTD(λ) and linear FQE solve them.

    A = Σ z (x − D x')ᵀ,    b = Σ z r,    G = Σ z xᵀ

| method        | z                 | x'                  | solves                          |
|---------------|-------------------|---------------------|---------------------------------|
| LSTD(λ)       | u e, the trace    | of s', or Σ π x     | A w = b                         |
| LSPI          | x                 | of the greedy action| (A + ridge) w = b               |
| FQI           | x                 | of the greedy action| (G + ridge) w = b + (G − A) w⁻  |
| FQE           | x                 | Σ_a π(a|s') x       | G w = b + (G − A) w⁻            |

Rows are added in blocks, by one matrix product each, in the type of the arrays: the callers take float64. NumPy or JAX.
"""

from __future__ import annotations

from typing import NamedTuple

from rlnut.errors import UsageError
from rlnut.types import Array


class Sums(NamedTuple):
    """Over all rows so far; M = d, or several sums of d lie together."""

    A: Array  # [M, d]
    b: Array  # [M]
    G: Array | None = None  # [M, d]; None: nobody asks

    def plus(self, z: Array, x: Array, after: Array, reward: Array) -> Sums:
        """With B more rows: z [B, M], x and D x' [B, d], r [B]."""
        left = z.T
        G = None if self.G is None else self.G + left @ x
        return Sums(self.A + left @ (x - after), self.b + left @ reward, G)


def check_system_size(size: int, most: int) -> None:
    """UsageError for more weights than a dense system of equations should have."""
    if size > most:
        raise UsageError(
            f"least squares over {size:,} weights needs {size:,} × {size:,} matrices; "
            f"at most {most:,} weights: take fewer features"
        )
