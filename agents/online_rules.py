"""What distinguishes the members of on-line control: a rule and its numbers. Importing this needs no JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rlnut.learner.traces import Cut, TraceKind

if TYPE_CHECKING:
    from rlnut.types import Array

NextValue = Literal["sampled", "behaviour", "max", "soft"]


class OnlineRule(NamedTuple):
    """What distinguishes the members of the family."""

    next_value: NextValue = "max"  # of the action taken next, or the mean over a policy (soft: ε-greedy)
    double: bool = False  # two tables: one selects, the other evaluates, a coin says which learns (van Hasselt 2010)
    cut: Cut | None = None  # how a trace is cut (learner/traces.py); None: no trace, one-step or n-step targets
    trace: TraceKind = "accumulating"  # how it adds up; dutch: true online
    n: int = 1  # rewards in a target without traces


class OnlineHyper(NamedTuple):
    """The numbers of a member: floats, or arrays to sweep."""

    alpha: Array | float  # α, divided by ‖x‖² when features are laid
    lam: Array | float = 0.0  # λ
    soft: Array | float = 0.0  # ε of the policy π that is learned, where it is soft
    omega: Array | float = 0.0  # α/N(s, a)^ω
