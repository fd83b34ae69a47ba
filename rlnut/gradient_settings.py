"""Options that `fit` and the agents with a network share: the gradient method, and the units of a network's layers."""

from __future__ import annotations

from dataclasses import dataclass

from rlnut.choices import (
    ACTIVATIONS,
    INITIALIZERS,
    OPTIMIZERS,
    SCHEDULES,
    Activation,
    Initializer,
    Optimizer,
    RateSchedule,
)
from rlnut.settings import Settings, setting


@dataclass(frozen=True)
class GradientSettings(Settings):
    """How θ follows the gradient."""

    lr: float = setting(1e-3, "learning rate α", above=0)
    optimizer: Optimizer = setting("adam", "optimiser", choices=OPTIMIZERS)
    schedule: RateSchedule = setting(
        "constant",
        "learning-rate schedule: constant, or decaying to 0 (linear, cosine; one-cycle rises to lr first)",
        choices=SCHEDULES,
    )
    decay: float = setting(0.0, "decoupled weight decay: W ← W − α·decay·W in each update (with adam: AdamW)", low=0)


@dataclass(frozen=True)
class LayerSettings(Settings):
    """What the hidden layers are made of."""

    activation: Activation = setting("relu", "activation function of the hidden layers", choices=ACTIVATIONS)
    initializer: Initializer = setting("he", "weight initialisation", choices=INITIALIZERS)
