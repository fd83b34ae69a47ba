"""What the exactly solved linear models of `rlnut fit` share: their settings' base, and what a solver gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from rlnut.settings import Settings, setting

if TYPE_CHECKING:
    from optax import GradientTransformation

    from rlnut.features.maps import Features
    from rlnut.linear_models.lasso import LassoPath
    from rlnut.linear_models.solution import Solution
    from rlnut.linear_models.standard_errors import StandardErrors
    from rlnut.runtime.files import JsonObject
    from rlnut.types import Network


class Solved(NamedTuple):
    """What a solver found, and what else to say about it."""

    solution: Solution
    epochs: int  # passes over the rows
    extra: JsonObject


@dataclass(frozen=True)
class LinearSettings(Settings):
    """Base of the linear models that are solved to the end: one problem, one answer."""

    features: tuple[str, ...] = setting(
        (),
        "hand-made features φ(x) in place of x, concatenated: power:2 polynomial:3 fourier:5 rbf:10 random-fourier:500 "
        "tiles:8 one-hot aggregation:10",
    )

    probable: ClassVar[bool] = False  # are the scores of classes log-probabilities?
    descends: ClassVar[bool] = False  # can it go down the gradient, and so take an optimiser?

    def wanted(self) -> str:
        """What y must be: one of data.TASKS."""
        return "auto"

    def reference(self) -> bool:
        """Is one text of each column the reference, with no coefficient? Else θ is not determined by the rows."""
        return False

    def standardised(self, x: np.ndarray) -> bool:
        """Are the columns of rows x scaled before they are solved for? The answer is for the columns as they were."""
        return False

    def not_converged(self, result: JsonObject) -> str | None:
        """What to say of a solution that is not yet the one asked for; None if it is."""
        return None

    def phi(self, basis: JsonObject | None) -> Features | None:
        """The feature map, made again from what `basis_of` kept; None without features."""
        from rlnut.features.columns import Columns, over_table

        return over_table(self.features, Columns(**basis["columns"]), basis["seed"]) if basis else None

    def basis_of(self, x: np.ndarray, seed: int) -> JsonObject | None:
        """What the feature map knows of the training rows x [n, ...]: a JSON object; None without features."""
        from rlnut.features.columns import Columns

        return {"columns": Columns.of(vectors(x), x.ndim > 2)._asdict(), "seed": seed} if self.features else None

    def network(self, basis: JsonObject | None = None) -> Network:
        """The architecture that predicts with what was found."""
        from rlnut.networks.architectures import linear
        from rlnut.networks.layers import head, serial

        phi = self.phi(basis)
        return linear() if phi is None else lambda shape: serial(phi.model, head(tuple(shape), "zeros"))

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        """Fit rows x [n, p] to values y [n] or [n, K], or to positions y [n] in `classes`.

        An optax `optimizer` takes the place of a `_Descended` model's solver; others refuse it.
        """
        raise NotImplementedError

    def coefficient_errors(self, x: np.ndarray, y: np.ndarray, solution: Solution) -> StandardErrors | None:
        """Standard errors of coefficients that regress y on rows x [n, p]; None where the model has none."""
        return None

    def penalty_path(self, x: np.ndarray, y: np.ndarray) -> LassoPath | None:
        """The coefficients for every penalty, for the figure; None where there is no such path."""
        return None


def vectors(x: np.ndarray) -> np.ndarray:
    """Rows of any shape as [n, p]; uint8 as shares of 255."""
    flat = x.reshape(len(x), -1)
    return flat / np.float32(255) if flat.dtype == np.uint8 else flat
