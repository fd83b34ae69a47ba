"""Eligibility traces: how much of a trace survives an action, and how the trace of a new row is added.

    e <- D₋ λ c e + x(s, a)          y_t = v_t + u_t δ_t + D_t λ c (y_{t+1} − w_t)

The backward view (left) and the forward view (right, `returns`) fade by the same coefficient c. Importing this loads
no JAX, so that settings can use its names; everything works on NumPy arrays as on JAX arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from rlnut.types import Array

Cut = Literal["none", "importance", "retrace", "tree-backup", "v-trace", "watkins", "peng"]
TraceKind = Literal["accumulating", "replacing", "clearing", "dutch"]


class Passed(NamedTuple):
    """The actions that a trace passes over, as far as a coefficient may ask: arrays of one shape."""

    rho: Array | float = 1.0  # π(a|s)/b(a|s)
    pi: Array | float = 1.0  # π(a|s)
    greedy: Array | float = 1.0  # 1 where q(s, a) is the largest, else 0


def clipped(rho: Array | float, most: float = 1.0) -> Array | float:
    """min(most, ρ)."""
    return min(most, rho) if isinstance(rho, (int, float)) else rho.__array_namespace__().minimum(most, rho)


COEFFICIENTS: Mapping[Cut, Callable[[Passed], Array | float]] = {
    "none": lambda action: 1.0,  # on-policy; off-policy not corrected: Q(λ) of Harutyunyan et al. (2016), naive SARSA
    "importance": lambda action: action.rho,  # per decision (Precup et al. 2000; S&B 12.22, 12.23)
    "retrace": lambda action: clipped(action.rho),  # Munos et al. (2016)
    "tree-backup": lambda action: action.pi,  # Precup, Sutton & Singh (2000); S&B 12.10
    "v-trace": lambda action: clipped(action.rho),  # Espeholt et al. (2018) with c̄ = 1
    "watkins": lambda action: action.greedy,  # 0 after an exploring action (Watkins 1989; S&B 12.10)
    "peng": lambda action: 1.0,  # later errors are of v(s), not of q(s, a) (Peng & Williams 1996)
}


def trace_parts(
    kind: TraceKind, rest: Array, own: Array, overlap: Array, same: Array, shared: Array | None = None
) -> tuple[Array, Array]:
    """The trace of a new row as (what is left of older rows, the row's own part); e is their sum.

    accumulating: rest + own; replacing: own in place of what was there, where `same` (Singh & Sutton 1996; S&B 12.7);
    clearing: and nothing where `shared`, for the state's other actions (None: it has none); dutch: rest + (1 − overlap)
    own, `overlap` = α restᵀx (S&B 12.11). rest = D₋ λ c e, in any layout; the other arrays broadcast against it.
    """
    if kind == "dutch":
        return rest, (1 - overlap) * own
    if kind == "accumulating":
        return rest, own
    gone = shared if kind == "clearing" and shared is not None else same
    return rest.__array_namespace__().where(gone, 0.0, rest), own
