"""Which figures a fit leaves in its folder, and the table of the test rows that they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlnut.data.dataset import Dataset
from rlnut.runtime.plotting import save_figure
from rlnut.supervised.coefficient_plots import coefficient_figure, lasso_figure, template_figure
from rlnut.supervised.fitted_model import FittedModel
from rlnut.supervised.linear_base import vectors
from rlnut.supervised.plots import (
    confusion_figure,
    is_image,
    misread_figure,
    residual_figure,
)
from rlnut.supervised.predicted_rows import MOST_ROWS, PredictedRows, predicted_rows, write_test_rows

if TYPE_CHECKING:
    from rlnut.linear_models.lasso import LassoPath

MOST_TEMPLATES = 20  # classes whose coefficients are drawn as images


def draw_fit(
    folder: Path,
    fitted: FittedModel,
    problem: Dataset,
    form: str = "png",
    features: np.ndarray | None = None,
    errors: np.ndarray | None = None,
    path: LassoPath | None = None,
) -> None:
    """Write the figures of a fit, `form` png, svg or pdf, into its folder.

    | file              | of what                        | what it shows                                            |
    |-------------------|--------------------------------|----------------------------------------------------------|
    | test.csv          | fits with test rows            | true, predicted and probability of each                  |
    | residuals.*       | regression with test rows      | predicted against true, residuals                        |
    | confusion.*       | classification with test rows  | counts, and percent of each true class                   |
    | misread.*         | classification of images       | the surest mistakes                                      |
    | coefficients.*    | linear models                  | θ by name, with standard errors where there are any      |
    | path.*            | lasso                          | θ against λ₁                                             |

    features: what θ multiplies [n, p], where that is not x; errors: of θ; path: of the lasso.
    """
    facts = (f"seed {fitted.about['seed']}", f"{fitted.result['train_size']:,} training rows")
    rows = predicted_rows(fitted, problem)
    if rows is not None:
        _draw_test_rows(folder, form, rows, problem, fitted, (*facts, f"{len(rows.true):,} test rows"))
    if "coef" in fitted.result:
        _draw_coefficients(folder, form, fitted, problem, features, errors, facts, path)


def _draw_test_rows(
    folder: Path, form: str, rows: PredictedRows, problem: Dataset, fitted: FittedModel, facts: tuple[str, ...]
) -> None:
    name = f"{fitted.about['model']} on {problem.name}"
    if len(rows.true) <= MOST_ROWS:
        write_test_rows(rows, folder / "test.csv")
    if rows.classes is None:
        spread = float(((rows.true - rows.true.mean(0)) ** 2).mean())
        r2 = f"R² = {1 - fitted.result['test_mse'] / spread:.3f}, " if spread > 0 else ""
        title = f"{name}: {r2}RMSE = {fitted.result['test_mse'] ** 0.5:.3g} on test rows"
        figure = residual_figure(rows, title, problem.target or "y", facts)
        save_figure(figure, folder / f"residuals.{form}")
        return
    title = f"{name}: {100 * fitted.result['test_accuracy']:.1f} % of the test rows are right"
    if "confusion" in fitted.result:
        matrix = np.array(fitted.result["confusion"])
        save_figure(confusion_figure(matrix, rows.classes, title, facts), folder / f"confusion.{form}")
    if is_image(problem.x_test) and not fitted.sequences:
        figure_of = misread_figure(problem.x_test, rows, title, facts)
        if figure_of is not None:
            save_figure(figure_of, folder / f"misread.{form}")


def _draw_coefficients(
    folder: Path,
    form: str,
    fitted: FittedModel,
    problem: Dataset,
    features: np.ndarray | None,
    errors: np.ndarray | None,
    facts: tuple[str, ...],
    path: LassoPath | None,
) -> None:
    name = f"{fitted.about['model']} on {problem.name}"
    coef = np.asarray(fitted.result["coef"]).T  # [p] or [p, K]
    x = vectors(problem.x_train) if features is None else features
    if len(coef) != x.shape[1]:
        return
    deviation = np.asarray(x.std(0), float)
    words = problem.columns if features is None and len(problem.columns) == len(coef) else None
    names = list(words) if words else [f"{'x' if features is None else 'φ'}[{j}]" for j in range(len(coef))]
    classes = [str(c) for c in problem.classes or ()]
    image = features is None and problem.x_train.ndim == 3 and is_image(problem.x_train)
    if image and coef.ndim == 2 and coef.shape[1] == len(classes) <= MOST_TEMPLATES:
        shape = (problem.x_train.shape[1], problem.x_train.shape[2])
        figure = template_figure(coef, shape, classes, f"Coefficients of {name}", facts)
    else:
        figure = coefficient_figure(coef, deviation, names, f"Coefficients of {name}", classes, errors, facts)
    save_figure(figure, folder / f"coefficients.{form}")
    if path is not None:
        figure = lasso_figure(path, fitted.result["l1"], deviation, names, f"The lasso path of {name}", facts)
        save_figure(figure, folder / f"path.{form}")
