"""Values that a prediction uses where the user left an option open: step sizes, iterations, points of the curve."""

from __future__ import annotations

import math
from typing import NotRequired, TypedDict

import numpy as np

from rlnut.prediction.methods import Method, Prediction, Steps

RECORDS = 50  # points of a learning curve


LEFT, MOST_ITERATIONS = 0.01, 1000  # of the value that FQE's iterations have not reached; and how many they may be


ADAM = 1e-3  # its step size
TRACE = 0.9  # λ where α comes from the features
GTD2_SHARE = 0.05  # β/α of GTD2 where α comes from the features: w descends along what h has learned


class SettingsUsed(TypedDict):
    """What a run chose; None: the method has none."""

    gamma: float
    features: str
    lam: float | None
    alpha: float | None  # None too: from the features, row by row
    averaged: bool  # are the weights averages of what was learned on the way?
    sparse: NotRequired[bool]  # of a finite problem: were its tables taken as sparse rows?


def settings_used(
    method: Method, config: Prediction, gamma: float, words: str, alpha: float, network: bool = False
) -> SettingsUsed:
    """What the run chose where the user left it open; None: the method has none."""
    lam = None if method.lam == 1 else method.trace(config)
    how = step_rule(method, config, network)
    steps = "alpha" in method.uses and (network or method.solver == "scan") and how != "tuned"
    alone = alpha if steps else None
    return {"gamma": gamma, "features": words, "lam": lam, "alpha": alone, "averaged": how != "plain"}


def step_rule(method: Method, config: Prediction, network: bool) -> Steps:
    """Where α comes from and whether weights are averaged: linear methods choose both (`agents.td_averaging`).

    A given α is the method as the literature has it, unless averages are asked for; so is a rule of the user's own.
    """
    own = callable(method.rule.trace) or not isinstance(method.rule.gradient, str)
    if network or method.solver != "scan" or config.expected or own:
        return "plain"
    if config.alpha is None and config.beta is not None:
        return "plain"
    return "tuned" if config.alpha is None else "averaged" if config.averaging else "plain"


def second_step(method: Method, config: Prediction, alpha: float) -> float:
    """β; where α comes from the features β/α, less for GTD2, which descends along what h has learned."""
    if config.alpha is None and step_rule(method, config, network=False) == "tuned":
        return GTD2_SHARE if method.rule.gradient == "gtd2" else 1.0
    return alpha if config.beta is None else config.beta


def with_trace(method: Method, config: Prediction, spread: float, network: bool) -> Prediction:
    """λ, where it and the step size are left open: 0.9/√E_b[ρ²], `spread`, whatever the method.

    An importance-weighted trace is multiplied by γλρ at each step. Its variance is finite if (γλ)² E[ρ²] < 1; otherwise
    a few rows would decide everything.
    """
    if config.lam is not None or "lam" not in method.uses or step_rule(method, config, network) != "tuned":
        return config
    return config.replace(lam=TRACE / float(np.sqrt(max(1.0, spread))))


def step_size(
    method: Method, config: Prediction, largest: float, gamma: float, trace: float, spread: float = 1.0
) -> tuple[float, bool]:
    """α of a network or an expected update, and whether it falls in the course of the run.

    `largest` is max ‖∇v‖², `trace` λ. Traces add up to 1/(1 − γλ) gradients, the emphasis to 1/(1 − γ), so α is divided
    by that, and off-policy by `spread` = max E_b[ρ²].
    """
    if config.alpha is not None:
        return config.alpha, False
    if method.solver == "fitted":
        return ADAM, False
    grown = gamma * trace * np.sqrt(spread)  # what a trace is multiplied by, in the square mean
    share, long = 0.5, max(1 - grown, 0.05)
    if method.fold == "episode":
        share, long = 0.1, 1.0
    elif method.rule.emphatic:
        share, long = 0.1, max(1 - gamma * np.sqrt(spread), 0.01)
    elif not method.rule.semi_gradient:
        share = 0.25
    if config.values == "v":
        share /= spread  # ρ multiplies the step itself; for Q only the trace
    return float(share * long / max(1e-12, largest)), not config.expected


def with_iterations(config: Prediction, gamma: float) -> Prediction:
    """The iterations of FQE, where they are left open: K regressions know of K steps, whose weight then is γᴷ."""
    if config.iterations is not None:
        return config
    enough = math.ceil(math.log(LEFT) / math.log(gamma)) if 0 < gamma < 1 else MOST_ITERATIONS if gamma else 1
    return config.replace(iterations=min(max(1, enough), MOST_ITERATIONS))


def record_count(method: Method, config: Prediction) -> int:
    """K, the number of moments at which weights are kept; fewer where each costs a solve."""
    if method.solver == "fitted":
        return config.iterations or MOST_ITERATIONS
    return min(RECORDS // 5 if method.solver == "lstd" else RECORDS, config.episodes or config.steps)
