"""A fit in words: one line, or its layers or coefficients and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from rlnut.errors import counted
from rlnut.networks.summary import model_summary
from rlnut.supervised.coefficient_table import coefficient_table

if TYPE_CHECKING:
    from rlnut.supervised.fitted_model import FittedModel


def fit_line(fitted: FittedModel) -> str:
    """The model, its data, and how good it is on the test rows."""
    about, found = fitted.about, fitted.result
    parts = [f"{about['model']} on {about['dataset']}"]
    if "train_size" in found:
        parts.append(counted(found["train_size"], "training row"))
    names = [name for name in ("test_accuracy", "test_mse") if name in found]
    parts += [f"{name.replace('_', ' ')} {found[name]:.4g}" for name in names]
    return ", ".join(parts)


def fit_text(fitted: FittedModel) -> str:
    """The line, then the coefficients of a linear model with one output, else the layers."""
    if fitted.exact and np.ndim(fitted.result.get("coef", 0)) == 1:
        return f"{fit_line(fitted)}\n{coefficient_table(fitted)}"
    row = jax.ShapeDtypeStruct((1, *fitted.row), np.uint8 if fitted.x_scale is None else np.float32)
    return f"{fit_line(fitted)}\n{model_summary(fitted.model, fitted.params, row)}"
