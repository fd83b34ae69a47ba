"""Options that `fit` and the agents with a network share: the gradient method, and the units of a network's layers."""

from __future__ import annotations

from dataclasses import dataclass

from rlnut.choices import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULES
from rlnut.settings import Settings, setting


@dataclass(frozen=True)
class GradientSettings(Settings):
    """How θ follows the gradient."""

    lr: float = setting(1e-3, "step size α of the optimiser", above=0)
    optimizer: str = setting("adam", "the gradient method", choices=OPTIMIZERS)
    schedule: str = setting(
        "constant", "α: constant, to 0 along a line or a cosine, or up to lr first (one-cycle)", choices=SCHEDULES
    )
    decay: float = setting(0.0, "decoupled weight decay: W ← W − α·decay·W in each update (with adam: AdamW)", low=0)


@dataclass(frozen=True)
class LayerSettings(Settings):
    """What the hidden layers are made of."""

    activation: str = setting("relu", "non-linearity between layers", choices=ACTIVATIONS)
    initializer: str = setting("he", "distribution of the initial weights", choices=INITIALIZERS)
