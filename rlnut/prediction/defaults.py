"""Values that a prediction uses where the user left an option open: step sizes, iterations, points of the curve."""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from rlnut.prediction.methods import Method, Prediction

RECORDS = 50  # points of a learning curve


LEFT, MOST_ITERATIONS = 0.01, 1000  # of the value that FQE's iterations have not reached; and how many they may be


ADAM = 1e-3  # its step size


class SettingsUsed(TypedDict):
    """What a run chose; None: the method has none."""

    gamma: float
    features: str
    lam: float | None
    alpha: float | None


def settings_used(
    method: Method, config: Prediction, gamma: float, words: str, alpha: float, network: bool = False
) -> SettingsUsed:
    """What the run chose where the user left it open; None: the method has none."""
    lam = None if method.lam == 1 else method.trace(config)
    steps = "alpha" in method.uses and (network or method.solver == "scan")
    return {"gamma": gamma, "features": words, "lam": lam, "alpha": alpha if steps else None}


def step_size(
    method: Method, config: Prediction, largest: float, gamma: float, trace: float, spread: float = 1.0
) -> tuple[float, bool]:
    """α, and whether it falls in the course of the run; `largest` is max ‖∇v‖², `trace` λ.

    Traces and the emphasis add up to 1/(1 − γλ) and 1/(1 − γ) gradients, so α is divided by that, and off-policy by
    `spread` = max E_b[ρ²].
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
