"""From an exactly solved linear model to the same `FittedModel` that a trained network gives."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import numpy as np
import optax

from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.errors import UsageError, counted
from rlnut.features.maps import Features
from rlnut.linear_models.solution import Solution, blocks
from rlnut.runtime.files import JsonObject, new_folder
from rlnut.runtime.log import say
from rlnut.supervised.coefficient_table import figures_of_errors
from rlnut.supervised.epochs import accuracy_or_r2
from rlnut.supervised.fitted_model import FittedModel, architecture, described
from rlnut.supervised.linear_base import LinearSettings, vectors
from rlnut.supervised.linear_settings import LINEAR_MODELS
from rlnut.supervised.predicted_rows import classification_figures
from rlnut.supervised.scaling import Scale, scale_of
from rlnut.types import Params


def chosen_exact(model: object, settings: dict[str, object]) -> tuple[str, LinearSettings] | None:
    """The name and settings of an exactly solved model; None if `model` is another one."""
    if isinstance(model, str) and model in LINEAR_MODELS:
        model = LINEAR_MODELS[model]()
    for name, kind in LINEAR_MODELS.items():
        if type(model) is kind:
            return name, model.replace(**settings)
    return None


def fit_exact(
    name: str,
    config: LinearSettings,
    dataset: Dataset,
    data: str | Path | None,
    out: str | Path | None,
    seed: int,
    progress: bool = False,
    optimizer: optax.GradientTransformation | None = None,
    image: str = "png",
) -> FittedModel:
    """Solve on the training rows, judge by the test rows if there are any; with `out` the model is left in a folder."""
    problem = checked_dataset(dataset, config.wanted())
    if problem.weight is not None:
        raise UsageError(f"weights of rows are for networks; {name} takes them in rlnut.sklearn, as sample_weight")
    folder = None if out is None else new_folder(out)
    basis = config.basis_of(problem.x_train, seed)
    phi = config.phi(basis)
    if progress:
        task = "regression" if problem.classes is None else f"classification into {len(problem.classes)} classes"
        features = f"; {counted(phi.dim, 'feature')} {', '.join(config.features)}" if phi else ""
        if problem.note:
            say(f"{problem.name}: {problem.note}")
        say(f"fit {name} to {problem.name}: {task}; {counted(len(problem.x_train), 'training row')}{features}")
    solution, result = solve_linear(name, config, problem, seed, optimizer, phi)
    short = config.not_converged(result)
    if progress and short:
        say(f"{name} has not converged: {short}")
    classes, row = problem.classes, problem.x_train.shape[1:]
    head = problem.y_train.shape[1:] if classes is None else (len(classes),)
    x_scale = None if problem.x_train.dtype == np.uint8 else scale_of(problem.x_train, False)
    y_scale = None if classes else scale_of(problem.y_train, False)
    model = architecture(config.network(basis), head, x_scale is None)
    like = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *row), np.float32 if x_scale else np.uint8))
    about = described(name, config, seed, problem, data) | {"basis": basis}
    rows = _mapped(vectors(problem.x_train), phi) if classes is None else None
    errors = None if rows is None or optimizer else config.coefficient_errors(rows, problem.y_train, solution)
    if rows is not None:
        result["train_r2"] = accuracy_or_r2(solution.predict(rows), problem.y_train, False)
    if errors is not None:
        free = bool(getattr(config, "intercept", True))
        result |= figures_of_errors(errors, solution.coef, solution.intercept, free)
    result |= {"ended": "solved", "out": None if folder is None else str(folder)}
    params = _params(like, solution, classes is not None)
    fitted = FittedModel(model, params, row, head, classes, x_scale, y_scale, about, result)
    if folder is not None:
        fitted.save(folder, image)
        from rlnut.supervised.figures import draw_fit

        given = rows if rows is not None or phi is None else _mapped(vectors(problem.x_train), phi)
        path = None if rows is None else config.penalty_path(rows, problem.y_train)
        spread = None if errors is None else errors.coef
        draw_fit(folder, fitted, problem, image, None if phi is None else given, spread, path)
    return fitted


def solve_linear(
    name: str,
    config: LinearSettings,
    problem: Dataset,
    seed: int = 0,
    optimizer: optax.GradientTransformation | None = None,
    phi: Features | None = None,
) -> tuple[Solution, JsonObject]:
    """Fit to the training rows of a checked dataset, judge by its test rows if any: solution and JSON object.

    Rows of any shape count as vectors, uint8 as x/255; coefficients are for these, or for the features `phi` of them.
    One row of `coef` a class or output.
    """
    began = time.perf_counter()
    if optimizer is not None and not config.descends:
        raise UsageError(f"{name} has its own rule: it takes no optimizer")
    x = _mapped(vectors(problem.x_train), phi)
    scale = scale_of(x, True) if config.standardised(problem.x_train) else None
    rows = x if scale is None else scale.forth(x, np.float64)
    found = config.solve(rows, problem.y_train, problem.classes, seed, optimizer)
    if scale is not None:
        found = found._replace(solution=_for_columns(found.solution, scale))
    result: JsonObject = {"model": name, "dataset": problem.name, "train_size": len(x)}
    result |= {"test_size": len(problem.x_test)}
    if len(problem.x_test):
        guess = found.solution.predict(_mapped(vectors(problem.x_test), phi))
        if problem.classes is None:
            result |= {"test_mse": float(np.mean((guess - problem.y_test) ** 2))}
        else:
            chosen = (guess >= 0).astype(int) if guess.ndim == 1 else guess.argmax(1)
            result |= classification_figures(problem.y_test, chosen, len(problem.classes))
    result |= {"epochs": found.epochs, **found.extra, "objective": found.solution.objective}
    result |= {"coef": found.solution.coef.T.tolist(), "intercept": np.asarray(found.solution.intercept).tolist()}
    return found.solution, result | {"wall_s": time.perf_counter() - began}


def _mapped(x: np.ndarray, phi: Features | None) -> np.ndarray:
    """φ of all rows, some at a time, so that what a map makes on the way stays small."""
    return x if phi is None else np.concatenate([phi(x[rows]) for rows in blocks(len(x), x.shape[1] * phi.dim)])


def _for_columns(solution: Solution, scale: Scale) -> Solution:
    """The same model of columns as they were before they were scaled."""
    coef = (solution.coef.T / scale.deviation).T
    return Solution(coef, solution.intercept - scale.mean @ coef, solution.objective)


def _params(like: Params, solution: Solution, classify: bool) -> Params:
    """θ of the network, in float64; two classes have the scores (0, s)."""
    w, b = solution.coef.reshape(len(solution.coef), -1), np.atleast_1d(solution.intercept)
    if classify and w.shape[1] == 1:
        w, b = np.concatenate([np.zeros_like(w), w], 1), np.concatenate([np.zeros_like(b), b])
    return jax.tree.map(lambda leaf: w if leaf.ndim == 2 else b, like)
