"""Has a fit converged? What as many updates again would gain, by the way its cost has fallen.

The cost is followed over τ = Σ α, the sum of the step sizes so far, in which a schedule that ends at 0 does not look
like a cost that no longer falls. Its means over three octaves, τ in (⅛, ¼], (¼, ½] and (½, 1] of the whole, fall by a
and then by b; the next octave, a run twice as long, would gain b·min(1, b/a): exact for a cost that falls like a power
of τ, and too much for one that falls faster.
"""

from __future__ import annotations

import math

import numpy as np

from rlnut.supervised.epochs import LearnedParams

EPOCHS = 16  # with a validation cost, from which on their costs show whether it still falls
SHARE = 0.02  # of the first cost: a gain below it changes no prediction that matters


def further_gain(costs: np.ndarray, rates: np.ndarray) -> float:
    """What twice as many updates would take from the cost; `costs` of the updates done [n], their α `rates` [n].

    Too few updates to tell (an octave is empty): infinity.
    """
    rates = np.asarray(rates, float)
    place = np.cumsum(rates) / rates.sum()
    octaves = [(place > 1 / 2 ** (k + 1)) & (place <= 1 / 2**k) & (rates > 0) for k in (2, 1, 0)]
    if not all(octave.any() for octave in octaves):
        return math.inf
    first, second, third = (float(np.average(costs[octave], weights=rates[octave])) for octave in octaves)
    before, latest = first - second, second - third
    if latest <= 0:
        return 0.0
    return latest * min(1.0, latest / before) if before > 0 else latest


def still_falling(costs: np.ndarray, rates: np.ndarray) -> float | None:
    """The further gain, if it is worth more updates: above SHARE of what the cost was at first; else None."""
    gain = further_gain(costs, rates) if len(costs) else math.inf
    start = float(np.mean(costs[: max(1, len(costs) // 1000)], dtype=float)) if len(costs) else 0.0
    return gain if gain > SHARE * abs(start) else None


def fit_still_falling(learned: LearnedParams, rates: np.ndarray) -> float | None:
    """The same of the validation cost, or without one of the training cost; `rates` as planned, [epochs, updates]."""
    held = [epoch.validation_cost for epoch in learned.history if epoch.validation_cost is not None]
    steps, done = rates.shape[1], rates.reshape(-1)[: learned.updates] * learned.factors
    if len(held) < EPOCHS:
        return still_falling(learned.costs, done)
    return still_falling(np.array(held), done[: len(held) * steps].reshape(-1, steps).sum(1))


def not_converged(name: str, gain: float, judged: bool) -> str:
    """What to say of a fit that has not; judged: are there validation rows?"""
    less = f", by about {gain:.2g} more in as many updates again" if math.isfinite(gain) else ""
    hint = "" if judged else "; validation rows show whether that helps on new ones"
    return f"{name} has not converged: its cost was still falling{less}; try more epochs{hint}"
