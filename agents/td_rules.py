"""What distinguishes one method of temporal-difference prediction from another; importing this loads no JAX."""

from __future__ import annotations

from typing import Literal, NamedTuple

Trace = Literal["accumulating", "replacing", "dutch"]  # of `learner.traces`, those that do not ask for other actions
Gradient = Literal["semi", "residual", "double", "gtd2", "tdc", "tdrc"]


class TDRule(NamedTuple):
    """Arguments of the one recursion in `agents.td`; hashable, so that each is compiled once."""

    trace: Trace = "accumulating"  # how it adds up (learner/traces.py)
    window: int = 0  # n > 0: the n-step target of each row is made from n rows under the weights of the moment
    online: bool = False  # the correction that makes dutch traces true online TD(λ) (S&B 12.5)
    offline: bool = False  # regress onto the λ-return under the weights of the episode's start (S&B 12.3)
    gradient: Gradient = "semi"  # the others: agents/td_gradient.py
    emphatic: bool = False  # M = λ + (1 − λ) F, F <- ρ₋ D₋ F + 1 (S&B 11.8, 12.42)

    @property
    def semi_gradient(self) -> bool:
        """The target counts as a constant."""
        return self.gradient == "semi"

    @property
    def second_try(self) -> bool:
        """Every step is tried twice from the same state: the residual gradient without bias."""
        return self.gradient == "double"
