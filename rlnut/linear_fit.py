"""From an exactly solved linear model to the same `Fitted` that a trained network gives: predict, score, save, load."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlnut import __version__
from rlnut.data import Dataset, checked
from rlnut.files import new_folder
from rlnut.fitted import Fitted, Scale, architecture, scale_of
from rlnut.linear_models import LINEAR_MODELS, Exact, solve
from rlnut.solvers import Solution
from rlnut.types import Params


def chosen_exact(model: Any, settings: dict[str, Any]) -> tuple[str, Exact] | None:
    """The name and settings of an exactly solved model; None if `model` is another one."""
    if isinstance(model, str) and model in LINEAR_MODELS:
        model = LINEAR_MODELS[model]()
    for name, kind in LINEAR_MODELS.items():
        if type(model) is kind:
            return name, model.replace(**settings)
    return None


def fit_exact(
    name: str,
    config: Exact,
    dataset: Dataset,
    data: str | Path | None,
    out: str | Path | None,
    seed: int,
    progress: bool = False,
) -> Fitted:
    """Solve on the training rows, judge by the test rows; with `out` the model is left in a new folder."""
    problem = checked(dataset, config.wanted())
    folder = None if out is None else new_folder(out)
    if progress:
        task = "regression" if problem.classes is None else f"classification into {len(problem.classes)} classes"
        print(f"fit {name} to {problem.name}: {task}; {len(problem.x_train):,} training rows", file=sys.stderr)
    solution, result = solve(name, config, problem, seed)
    classes, row = problem.classes, problem.x_train.shape[1:]
    head = problem.y_train.shape[1:] if classes is None else (len(classes),)
    # float32 weights on scaled inputs lose nothing that matters, on raw ones a large mean would cost digits
    x_scale = None if problem.x_train.dtype == np.uint8 else scale_of(problem.x_train, True)
    y_scale = None if classes else scale_of(problem.y_train, True)
    model = architecture(config.network(), head, x_scale is None)
    like = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *row), np.float32 if x_scale else np.uint8))
    params = _params(like, solution, row, classes is not None, x_scale, y_scale)
    about = {"rlnut": __version__, "model": name, "config": asdict(config), "seed": seed, "dataset": problem.name}
    about |= {"data": None if data is None else str(data), "columns": problem.columns, "target": problem.target}
    result |= {"ended": "solved", "out": None if folder is None else str(folder)}
    fitted = Fitted(model, params, row, head, classes, x_scale, y_scale, about, result)
    if folder is not None:
        fitted.save(folder)
    return fitted


def _params(
    like: Params, solution: Solution, row: tuple[int, ...], classify: bool, x_scale: Scale | None, y_scale: Scale | None
) -> Params:
    """θ of the network: weights and bias for scaled inputs and outputs; two classes have the scores (0, s)."""
    w, b = solution.coef.reshape(len(solution.coef), -1), np.atleast_1d(solution.intercept)
    if classify and w.shape[1] == 1:
        w, b = np.concatenate([np.zeros_like(w), w], 1), np.concatenate([np.zeros_like(b), b])
    if x_scale is not None:
        mean, deviation = (np.broadcast_to(v, row).reshape(-1, 1) for v in x_scale)
        w, b = w * deviation, b + (w * mean).sum(0)
    if y_scale is not None:
        w, b = w / y_scale.deviation, (b - y_scale.mean) / y_scale.deviation
    return jax.tree.map(lambda leaf: np.asarray(w if leaf.ndim == 2 else b, leaf.dtype), like)
