"""The rows of a fit as the model takes them: validation rows held out, inputs and values scaled by the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlnut.data.dataset import Dataset, split_rows
from rlnut.errors import UsageError
from rlnut.supervised.epochs import LabelledRows
from rlnut.supervised.fit_settings import FitSettings
from rlnut.supervised.scaling import Scale, scale_of, scaled

if TYPE_CHECKING:
    from rlnut.supervised.fitted_model import FittedModel


class SplitRows(NamedTuple):
    """The rows as the model takes them, disjoint."""

    train: LabelledRows
    held: LabelledRows  # for validation
    test: LabelledRows
    x_scale: Scale | None  # None: uint8, scaled inside the model
    y_scale: Scale | None  # None: classes


def prepare(problem: Dataset, config: FitSettings, seed: int, like: FittedModel | None = None) -> SplitRows:
    """Hold validation rows out of a checked dataset, and scale by what the other training rows say, or as `like`."""
    if config.patience and not config.validation:
        raise UsageError("patience needs held-out rows to judge by: set validation, for example 0.1")
    if (config.shift or config.turn) and problem.x_train.ndim < 3:
        raise UsageError(
            f"shift and turn move images, but a row of {problem.name} has shape {list(problem.x_train.shape[1:])}"
        )
    x, y = problem.x_train, problem.y_train
    train, held = np.arange(len(x)), np.arange(0)
    if config.validation:
        train, held = split_rows(len(x), config.validation, seed, None if problem.classes is None else y)
    weight = None if problem.weight is None else problem.weight[train] / problem.weight[train].mean()
    if like is not None:
        x_scale, y_scale = like.x_scale, like.y_scale
    else:
        plain, standard = config.scale == "auto" and x.dtype == np.uint8, config.scale != "none"
        x_scale = None if plain else scale_of(x[train], standard, config.sequences, weight)
        y_scale = scale_of(y[train], standard, weight=weight) if problem.classes is None else None

    def rows(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> LabelledRows:
        return LabelledRows(scaled(x, x_scale), scaled(y, y_scale), weight)

    held_rows, test = rows(x[held], y[held]), rows(problem.x_test, problem.y_test)
    return SplitRows(rows(x[train], y[train], weight), held_rows, test, x_scale, y_scale)
