"""States that are NamedTuples of arrays, replaced in some rows as one array would be: `state.at[rows].set(others)`.

Gymnasium's `FunctionalJaxVectorEnv` starts episodes anew so.
"""

from __future__ import annotations

from typing import Any

import jax


class RowsOf:
    """`state.at` of a pytree of arrays [N, ...], and `state.at[rows]`."""

    def __init__(self, state: Any, rows: Any = None) -> None:
        self.state, self.rows = state, rows

    def __getitem__(self, rows: Any) -> RowsOf:
        return RowsOf(self.state, rows)

    def set(self, others: Any) -> Any:
        """The state with these rows replaced by those of `others`."""
        return jax.tree.map(lambda old, new: old.at[self.rows].set(new), self.state, others)
