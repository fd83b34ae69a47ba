"""How a network is trained: the settings that all models of `rlnut fit` share, and what is chosen for those left open.

A small table gets as many updates as MNIST gives in a few passes, steps large enough to use them, a small network,
and a prior on the weights that fades with the number of rows. Importing this is cheap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rlnut.choices import RateSchedule, Scaling, Task
from rlnut.errors import UsageError
from rlnut.gradient_settings import GradientSettings
from rlnut.settings import Options, changed, setting

if TYPE_CHECKING:
    import numpy as np

    from rlnut.types import Network, Shape

UPDATES = 3000  # of a table, at least: adam's step moves a weight by at most α, and the weights of a fit are of order 1
FEW_UPDATES = 300  # of images and sequences, at least: each costs far more
LARGE = 10_000  # rows from which a table has the network that images have
# λ = 1/(2nσ²) is a normal prior of deviation σ for each weight (MAP): 2.5 for a linear model of standardised columns
# (the default of rstanarm, after Gelman et al. 2008), 0.7 where layers multiply. More rows need less of it.
WIDE, NARROW = 1 / (2 * 2.5**2), 1.0


def prior_text(strength: float) -> str:
    return f"λ of the penalty λ‖W‖², biases are not penalised (None: 0; for tables: {strength:g}/rows)"


def epochs_text(usual: int) -> str:
    few = f"more where that makes fewer than {UPDATES:,} updates on a table or {FEW_UPDATES} on images"
    return f"passes over the training rows (None: {usual}; {few})"


@dataclass(frozen=True)
class FitSettings(GradientSettings):
    """How a network is trained; by itself, the settings of a network that is given as a function.

    What is None is chosen for the rows by `suited`.
    """

    passes: ClassVar[int] = 10  # epochs, unless they would make too few updates
    prior: ClassVar[float] = 0.0  # λ of the penalty is this over the number of rows, for a table

    epochs: int | None = setting(None, epochs_text(10), low=1)
    batch: int | None = setting(None, "minibatch size (None: 128; for tables: rows/16, at least 32)", low=1)
    lr: float | None = setting(  # type: ignore[assignment]
        None, "learning rate α (None: 1e-3; for tables: 3e-3)", above=0
    )
    schedule: RateSchedule = changed(GradientSettings, "schedule", "cosine")
    l2: float | None = setting(None, "λ of the penalty λ‖W‖²; biases are not penalised (None: 0)", low=0)
    l1: float = setting(0.0, "λ of the penalty λ‖W‖₁; biases are not penalised", low=0)
    smoothing: float = setting(
        0.0, "label smoothing: share of each label that is spread over all classes", low=0, below=1
    )
    shift: int = setting(0, "augmentation: shift each training image at random by up to this many pixels", low=0)
    turn: float = setting(
        0.0, "augmentation: rotate each training image at random by up to this many degrees", low=0, high=180
    )
    scale: Scaling = setting(
        "auto",
        "scaling of the inputs: to mean 0 and standard deviation 1 over the training rows (standard), or none; "
        "auto: standard, but uint8 images from 0…255 to 0…1",
        choices=("auto", "standard", "none"),
    )
    task: Task = setting(
        "auto", "kind of target; auto: integers and text are classes", choices=("auto", "classification", "regression")
    )
    validation: float | None = setting(0.0, "share of the training rows held out for validation", low=0, below=1)
    patience: int | None = setting(0, "early stopping: epochs without a lower validation cost (0: never)", low=0)

    devices: int = setting(
        1, "number of devices that each batch is split over (0 or all: all of them)", low=0, words={"all": 0}
    )

    @property
    def linear(self) -> bool:
        """Is ŷ = W x + b, so that it has coefficients to show?"""
        return False

    @property
    def sequences(self) -> bool:
        """Are rows sequences [T, ...] that may differ in length?"""
        return False

    def suited(self, x: np.ndarray, classify: bool) -> Self:
        """These settings, with those that were left open chosen for rows x [N, ...] and their task."""
        table = x.ndim == 2 and x.dtype != "uint8" and not self.sequences
        early = self.stops_early(len(x), table, classify)
        found = self._with({"validation": 0.2 if early else 0.0})
        rows = max(1, len(x) - round((found.validation or 0.0) * len(x)))
        chosen = {"batch": min(128, max(32, rows // 16)) if table else 128} | self.left_open(rows, table)
        found = found._with(chosen)
        steps = max(1, rows // min(found.batch or 1, rows))
        found = found._with({"epochs": max(self.passes, math.ceil((UPDATES if table else FEW_UPDATES) / steps))})
        return found._with({"patience": max(10, (found.epochs or 0) // 4) if early and self.validation is None else 0})

    def stops_early(self, rows: int, table: bool, classify: bool) -> bool:
        """Are rows held out, by default, to stop where new rows are predicted best?"""
        return False

    def left_open(self, rows: int, table: bool) -> Options:
        """What stands in for None, when a table of numbers or other `rows` are learned from."""
        return {"lr": 3e-3 if table else 1e-3, "l2": self.prior / rows if table else 0.0}

    def _with(self, chosen: Options) -> Self:
        return self.replace(**{name: value for name, value in chosen.items() if getattr(self, name) is None})

    def network(self) -> Network:
        """The architecture without its head."""
        raise NotImplementedError

    def accept(self, row: Shape, classify: bool) -> None:
        """Refuse rows of a shape, or a task, that this model cannot serve."""
        if self.smoothing and not classify:
            raise UsageError("smoothing spreads labels over classes, but y holds numbers: set smoothing to 0")
