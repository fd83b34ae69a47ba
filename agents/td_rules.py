"""What distinguishes one method of temporal-difference prediction from another; importing this loads no JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from rlnut.agents.td_gradient import Direction, Moment
    from rlnut.types import Array

Trace = Literal["accumulating", "replacing", "dutch"]  # of `learner.traces`, those that do not ask for other actions
Expected = Literal["td", "tdc", "gtd2", "tdrc", "etd", "residual-gradient"]  # updates of agents/td_expected.py
Gradient = Literal["semi", "residual", "double", "gtd2", "tdc", "tdrc"]


# (D₋ λ c e [d], M ∇v(s) [d], α D₋ λ c eᵀ∇v(s) []) -> the trace e with the new row in it [d]
TraceFn = Callable[["Array", "Array", "Array"], "Array"]


class WeightUpdate(NamedTuple):
    """A direction or a step-size rule that remembers something from row to row, a pytree: m.h of the `Moment` m."""

    init: Callable[[Array], Any]  # w [d] -> what it remembers before the first row
    step: Callable[[Moment], tuple[Array, Any]]  # moment -> (change of w [d], what it remembers)


class TDRule(NamedTuple):
    """Arguments of the one recursion in `agents.td`; hashable, so that each is compiled once.

    Where a name stands for a rule of ours, a function of your own may stand: a trace (`TraceFn`), a direction
    (`agents.td_gradient.Direction`), or a `WeightUpdate`.
    """

    trace: Trace | TraceFn = "accumulating"  # how it adds up (learner/traces.py)
    window: int = 0  # n > 0: the n-step target of each row is made from n rows under the weights of the moment
    online: bool = False  # the correction that makes dutch traces true online TD(λ) (S&B 12.5)
    offline: bool = False  # regress onto the λ-return under the weights of the episode's start (S&B 12.3)
    gradient: Gradient | Direction | WeightUpdate = "semi"  # the others: agents/td_gradient.py
    emphatic: bool = False  # M = λ + (1 − λ) F, F <- ρ₋ D₋ F + 1 (S&B 11.8, 12.42)

    @property
    def semi_gradient(self) -> bool:
        """The target counts as a constant."""
        return self.gradient == "semi"

    @property
    def second_try(self) -> bool:
        """Every step is tried twice from the same state: the residual gradient without bias."""
        return self.gradient == "double"
