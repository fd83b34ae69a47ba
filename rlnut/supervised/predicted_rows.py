"""What a fitted model says of the test rows: predictions beside the truth, as a table and as a confusion matrix."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlnut.data.dataset import Dataset
from rlnut.errors import UsageError, counted
from rlnut.runtime.files import JsonObject, atomic_write

if TYPE_CHECKING:
    from rlnut.supervised.fitted_model import FittedModel

MOST_CLASSES = 100  # whose confusion matrix is reported
MOST_ROWS = 100_000  # that test.csv holds


class PredictedRows(NamedTuple):
    """The test rows of a checked dataset and what was predicted of them."""

    true: np.ndarray  # [N] positions in `classes`, or values [N] or [N, K]
    predicted: np.ndarray  # the same
    probability: np.ndarray | None  # [N] of the predicted class, where the model has probabilities
    classes: tuple | None


def predicted_rows(fitted: FittedModel, problem: Dataset) -> PredictedRows | None:
    """The predictions of all test rows; None without test rows."""
    return judged_rows(fitted, problem.x_test, problem.y_test) if len(problem.x_test) else None


def judged_rows(fitted: FittedModel, x: object, y: np.ndarray) -> PredictedRows:
    """The predictions for rows x beside the truth y: positions in the classes, or values."""
    found = fitted.outputs(x)
    if len(found) != len(y):
        raise UsageError(f"x has {counted(len(found), 'row')} but y has {len(y)}")
    if fitted.y_scale is not None:
        return PredictedRows(y, fitted.y_scale.back(found), None, None)
    probability = None
    if fitted.probable:
        weight = np.exp(np.asarray(found, float) - found.max(1, keepdims=True))
        probability = weight.max(1) / weight.sum(1)
    return PredictedRows(y, found.argmax(-1), probability, fitted.classes)


def mistakes(rows: PredictedRows) -> np.ndarray:
    """The places of the rows that were taken for another class, the surest mistakes first."""
    wrong = np.flatnonzero(rows.true != rows.predicted)
    if rows.probability is None:
        return wrong
    return wrong[np.argsort(-rows.probability[wrong], kind="stable")]


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often rows of class i [M] were taken for class j: int [M, M], true classes as rows."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def classification_figures(true: np.ndarray, predicted: np.ndarray, classes: int) -> JsonObject:
    """Accuracy and, of at most MOST_CLASSES classes, the confusion matrix: rows are true classes."""
    found: JsonObject = {"test_accuracy": float((predicted == true).mean())}
    if classes <= MOST_CLASSES:
        found["confusion"] = confusion_matrix(true, predicted, classes).tolist()
    return found


def figures_of_test_rows(fitted: FittedModel, problem: Dataset) -> JsonObject:
    """Accuracy and confusion, or mean squared error, over the test rows of a checked dataset; nothing without any."""
    if not len(problem.x_test):
        return {}
    found = fitted.outputs(problem.x_test)
    if fitted.y_scale is None:
        return classification_figures(problem.y_test, found.argmax(-1), len(fitted.classes or ()))
    return {"test_mse": float(np.mean((fitted.y_scale.back(found) - problem.y_test) ** 2))}


def write_test_rows(rows: PredictedRows, path: Path) -> None:
    """test.csv: the truth and the prediction of each test row, and how probable the model took it for."""
    outputs = 1 if rows.true.ndim == 1 else rows.true.shape[1]
    names = [f"{word}{'' if outputs == 1 else f'_{k}'}" for word in ("true", "predicted") for k in range(outputs)]
    columns: list[list[object]] = []
    for values in (rows.true, rows.predicted):
        if rows.classes is not None:
            columns.append([rows.classes[i] for i in values])
        else:
            columns += [[f"{x:.9g}" for x in column] for column in values.reshape(len(values), outputs).T]
    if rows.probability is not None:
        names.append("probability")
        columns.append([f"{p:.6g}" for p in rows.probability])
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows(zip(*columns, strict=True))
    atomic_write(path, text.getvalue())
