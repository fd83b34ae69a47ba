"""States that are NamedTuples of arrays, replaced in some rows as one array would be: `state.at[rows].set(others)`.

Gymnasium's `FunctionalJaxVectorEnv` starts episodes anew so.
"""

from __future__ import annotations

import jax

from rlnut.types import Array, Tree


class RowsOf:
    """`state.at` of a pytree of arrays [N, ...], and `state.at[rows]`."""

    def __init__(self, state: Tree, rows: Array | None = None) -> None:
        self.state, self.rows = state, rows

    def __getitem__(self, rows: Array) -> RowsOf:
        return RowsOf(self.state, rows)

    def set(self, others: Tree) -> Tree:
        """The state with these rows replaced by those of `others`."""
        return jax.tree.map(lambda old, new: old.at[self.rows].set(new), self.state, others)
