"""Optimisers and step-size schedules of optax by name: θ ← θ − α (u + decay·W), u the direction of the method."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import optax

from rlnut.types import Params

DIRECTIONS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam,
    "nadam": lambda: optax.scale_by_adam(nesterov=True),
    "radam": optax.scale_by_radam,
    "amsgrad": optax.scale_by_amsgrad,
    "adabelief": optax.scale_by_belief,
    "lion": optax.scale_by_lion,
    "rmsprop": optax.scale_by_rms,
    "adagrad": optax.scale_by_rss,
    "momentum": lambda: optax.trace(0.9),
    "nesterov": lambda: optax.trace(0.9, nesterov=True),
    "sgd": optax.identity,
}
SCHEDULES: dict[str, Callable[[float, int], optax.ScalarOrSchedule]] = {
    "cosine": optax.cosine_decay_schedule,
    "one-cycle": lambda lr, updates: optax.cosine_onecycle_schedule(max(updates, 2), lr),
    "linear": lambda lr, updates: optax.linear_schedule(lr, 0.0, updates),
    "constant": lambda lr, updates: lr,
}


def optimizer(name: str, lr: float, schedule: str, updates: int, decay: float = 0.0) -> optax.GradientTransformation:
    """α follows `schedule` over `updates` updates; `decay` is decoupled (Loshchilov & Hutter 2019, algorithm 2).

    Decay pulls at weights only, as the penalties do: everything with two or more axes.
    """
    parts = [DIRECTIONS[name]()]
    if decay:
        parts.append(optax.add_decayed_weights(decay, mask=_weights))
    return optax.chain(*parts, optax.scale_by_learning_rate(SCHEDULES[schedule](lr, updates)))


def rates_of(lr: float, schedule: str, updates: int) -> np.ndarray:
    """α of each of so many updates, [updates]."""
    alpha = SCHEDULES[schedule](lr, updates)
    return np.asarray(jax.vmap(alpha)(np.arange(updates)), float) if callable(alpha) else np.full(updates, alpha, float)


def _weights(params: Params) -> Params:
    return jax.tree.map(lambda w: w.ndim >= 2, params)
