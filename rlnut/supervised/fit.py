"""Supervised learning: `fit` regresses a network onto labels or values with the same `Regression.update` as RL uses."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, checked_dataset, split_rows
from rlnut.errors import UsageError, unknown
from rlnut.networks.layers import parameter_count
from rlnut.regression.core import Regression, regression
from rlnut.regression.losses import Loss, Penalty, cross_entropy, l1, l2, smoothed, squared
from rlnut.regression.optimizers import optimizer as named
from rlnut.runtime.files import new_folder
from rlnut.runtime.version import installed_version
from rlnut.supervised.epochs import FitReport, LabelledRows, judge, run_epochs, trainer
from rlnut.supervised.fit_linear import chosen_exact, fit_exact
from rlnut.supervised.fitted_model import FittedModel, architecture
from rlnut.supervised.linear_settings import LINEAR_MODELS, LinearSettings
from rlnut.supervised.network_settings import MODELS, FitSettings
from rlnut.supervised.scaling import Scale, scale_of, scaled
from rlnut.types import Model, Network


def fit(
    model: str | FitSettings | LinearSettings | Network | Model,
    dataset: Any,
    *,
    data: str | Path | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    loss: Loss | None = None,
    optimizer: optax.GradientTransformation | None = None,
    progress: bool = True,
    **settings: Any,
) -> FittedModel:
    """Fit g_θ(x) to y by mini-batches:  θ ← θ − α ∂E/∂θ,  E = mean ℓ(g_θ(x), y) + penalty(θ).

    `model`: a name of MODELS, its settings, a network such as `rlnut.mlp()`, or a `Model` with its head.
    `dataset`: a name of DATASETS (`data` says where its files are), a `Dataset`, or (x_train, y_train, x_test, y_test)
    with x [N, ...] and y [N] or [N, K], or your own file (`target` is its column to learn); integers and text are
    classes (cross-entropy), other numbers values (squared loss of y scaled to deviation 1; predictions are scaled
    back). The linear models are solved exactly instead (`linear_models`). `settings` are fields of `FitSettings` or of
    the named model. The test rows are used once, after the last update. With `out` the run leaves a folder that
    `rlnut.load` reads. Ctrl-C ends the learning early and keeps what it has. Raises UsageError for what is wrong with
    the words or the data, RlnutError if the cost does not stay finite.

    >>> import numpy as np, rlnut
    >>> current = np.arange(8.0)[:, None]
    >>> ohm = rlnut.fit(rlnut.linear(), (current, 3 * current[:, 0]) * 2, lr=0.1, epochs=300, progress=False)
    >>> float(ohm.predict(np.array([[10.0]]))[0].round(3))
    30.0
    """
    began = time.perf_counter()
    exact = chosen_exact(model, settings)
    if exact is not None:
        if loss is not None:
            raise UsageError(f"{exact[0]} has its own loss")
        return fit_exact(*exact, load_dataset(dataset, data, target), data, out, seed, progress, optimizer)
    name, config, network = _chosen(model, settings)
    if loss is not None and config.smoothing:
        raise UsageError("smoothing belongs to cross-entropy: set it to 0 to give a loss of your own")
    if optimizer is not None and settings.keys() & {"optimizer", "lr", "schedule", "decay"}:
        raise UsageError("a given optimizer has its own lr, schedule and decay: leave those settings out")
    problem = checked_dataset(load_dataset(dataset, data, target), config.task, config.sequences)
    row, classes = problem.x_train.shape[1:], problem.classes
    config.accept(row, classes is not None)
    config = config.suited(problem.x_train)
    folder = None if out is None else new_folder(out)
    parts = prepare(problem, config, seed)

    head = problem.y_train.shape[1:] if classes is None else (len(classes),)
    whole = architecture(network, head, parts.x_scale is None)
    size = min(config.batch, len(parts.train.x))
    updates = config.epochs * (len(parts.train.x) // size)
    cost, penalty = loss or (squared if classes is None else cross_entropy), _penalty(config)
    trained = smoothed(config.smoothing) if config.smoothing else cost
    method = optimizer or named(config.optimizer, config.lr, config.schedule, updates, config.decay)
    core = regression(whole, trained, method, penalty)
    key = jax.random.key(seed)
    state = core.init(key, jnp.asarray(parts.train.x[:1]))
    _check_head(core, state.params, parts.train, head)
    about = {"rlnut": installed_version(), "model": name, "config": asdict(config), "seed": seed}
    about |= {"dataset": problem.name, "data": None if data is None else str(data)}
    about |= {"columns": problem.columns, "target": problem.target}
    blank = FittedModel(whole, state.params, row, head, classes, parts.x_scale, parts.y_scale, about, {})
    blank = replace(blank, sequences=config.sequences)
    count = parameter_count(state.params)
    with FitReport(progress, updates) as report:
        task = "regression" if classes is None else f"classification into {len(classes)} classes"
        report.say(
            f"fit {name} to {problem.name}: {task}; {count:,} parameters; rows of shape {list(row)}: "
            f"{len(parts.train.x):,} train, {len(parts.held.x):,} validation, {len(parts.test.x):,} test; "
            f"{config.epochs} epochs = {updates:,} updates of {size} rows"
        )
        work = trainer(core, state, parts.train, size, config.shift, config.turn, jax.random.fold_in(key, 1))
        verdict = judge(core, cost, classes is not None)
        keep = None if folder is None else lambda params: replace(blank, params=params).save_model(folder)
        learned = run_epochs(work, state, config, seed, parts.held, verdict, report, keep)
    fitted = replace(blank, params=learned.params, history=learned.history)
    result = {"model": name, "dataset": problem.name, "train_size": len(parts.train.x)}
    result |= {"validation_size": len(parts.held.x), "test_size": len(parts.test.x)}
    result |= _test(fitted, problem)
    result |= {"epochs": len(learned.history), "updates": learned.updates, "parameters": count}
    result |= {"ended": learned.ended, "compile_s": work.compile_s, "seconds_per_epoch": learned.seconds_per_epoch}
    if config.linear:
        coef, intercept = fitted.coefficients()
        extra = float(penalty(learned.params)) if penalty else 0.0
        result |= {"objective": judge(core, trained, classes is not None)(learned.params, parts.train)[0] + extra}
        result |= {"coef": coef.tolist(), "intercept": intercept.tolist()}
    result |= {"wall_s": time.perf_counter() - began, "out": None if folder is None else str(folder)}
    fitted = replace(fitted, result=result)
    if folder is not None:
        fitted.save(folder)
    return fitted


class SplitRows(NamedTuple):
    """The rows as the model takes them, disjoint."""

    train: LabelledRows
    held: LabelledRows  # for validation
    test: LabelledRows
    x_scale: Scale | None  # None: uint8, scaled inside the model
    y_scale: Scale | None  # None: classes


def prepare(problem: Dataset, config: FitSettings, seed: int) -> SplitRows:
    """Hold validation rows out of a checked dataset, and scale by what the other training rows say."""
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
    plain = config.scale == "auto" and x.dtype == np.uint8
    x_scale = None if plain else scale_of(x[train], config.scale != "none", config.sequences)
    y_scale = scale_of(y[train], config.scale != "none") if problem.classes is None else None

    def rows(x: np.ndarray, y: np.ndarray) -> LabelledRows:
        return LabelledRows(scaled(x, x_scale), scaled(y, y_scale))

    return SplitRows(
        rows(x[train], y[train]), rows(x[held], y[held]), rows(problem.x_test, problem.y_test), x_scale, y_scale
    )


def _chosen(model: Any, settings: dict[str, Any]) -> tuple[str, FitSettings, Network]:
    """A name for the model, how it is trained, and its architecture without the head."""
    if isinstance(model, str):
        if model not in MODELS:
            raise unknown("model", model, [*MODELS, *LINEAR_MODELS])
        model = MODELS[model]()
    if isinstance(model, FitSettings) and type(model) in MODELS.values():
        config = model.replace(**settings)
        name = next(name for name, kind in MODELS.items() if kind is type(model))
        return name, config, config.network()
    if isinstance(model, Model):
        return "model", FitSettings().replace(**settings), lambda shape: model
    if callable(model):
        return "network", FitSettings().replace(**settings), model
    raise UsageError(f"model must be one of {', '.join(MODELS)}, its settings, a network or a Model, got {model!r}")


def _penalty(config: FitSettings) -> Penalty | None:
    parts = [kind(strength) for kind, strength in ((l2, config.l2), (l1, config.l1)) if strength]
    return (lambda params: sum((part(params) for part in parts), jnp.zeros(()))) if parts else None


def _check_head(core: Regression, params: Any, train: LabelledRows, head: tuple[int, ...]) -> None:
    """A model that was given with its own head must have the one that y needs."""
    got = jax.eval_shape(core.predict, params, train.x[:1]).shape
    if got != (1, *head):
        raise UsageError(f"the model's output has shape {list(got[1:])} a row, but y needs {list(head)}")


def _test(fitted: FittedModel, problem: Dataset) -> dict[str, float]:
    """The figure that the contract wants, over all test rows."""
    found = fitted.outputs(problem.x_test)
    if fitted.y_scale is None:
        return {"test_accuracy": float(np.mean(found.argmax(-1) == problem.y_test))}
    return {"test_mse": float(np.mean((fitted.y_scale.back(found) - problem.y_test) ** 2))}
