"""Supervised learning: `fit` regresses a network onto labels or values with the same `Regression.update` as RL uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlnut.choices import FORMATS, OPTIMIZERS
from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.data.table_settings import TableSettings
from rlnut.errors import UsageError, counted, unknown
from rlnut.networks.layers import parameter_count
from rlnut.regression.core import Regression, regression
from rlnut.regression.losses import Loss, Penalty, cross_entropy, l1, l2, smoothed, squared
from rlnut.regression.optimizers import optimizer as named
from rlnut.regression.optimizers import rates_of
from rlnut.runtime.devices import check_split, device_count
from rlnut.runtime.files import JsonObject, as_path, new_folder
from rlnut.runtime.interrupts import terminations
from rlnut.runtime.log import COMPILING, Progress
from rlnut.runtime.loggers import LoggedRun, Logger, Loggers, RowLog
from rlnut.runtime.observing import Callback, Callbacks
from rlnut.supervised.convergence import fit_still_falling, not_converged
from rlnut.supervised.epochs import Epoch, LabelledRows, judge, run_epochs, trainer
from rlnut.supervised.fit_linear import chosen_exact, fit_exact
from rlnut.supervised.fit_look import COLUMNS, EpochObserver, FitLook, FitTools
from rlnut.supervised.fitted_model import FittedModel, architecture, described
from rlnut.supervised.linear_settings import LINEAR_MODELS, LinearSettings
from rlnut.supervised.network_settings import MODELS, FitSettings
from rlnut.supervised.predicted_rows import figures_of_test_rows
from rlnut.supervised.rows import SplitRows, prepare
from rlnut.types import Fit, Key, Model, Network, Params


@terminations(pass_on=True)
def fit(
    model: str | FitSettings | LinearSettings | Network | Model,
    dataset: object,
    y: object = None,
    *,
    data: str | Path | None = None,
    target: str | None = None,
    test: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    loss: Loss | None = None,
    optimizer: str | optax.GradientTransformation | None = None,
    quiet: bool = False,
    progress: bool | None = None,
    image: str = "png",
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    **settings: object,
) -> FittedModel:
    """Fit g_θ(x) to y by mini-batches:  θ ← θ − α ∂E/∂θ,  E = mean ℓ(g_θ(x), y) + penalty(θ).

    `model`: a name of MODELS, its settings, a network such as `rlnut.mlp()`, or a `Model` with its head.
    `dataset`: a name of DATASETS (`data` says where its files are), a `Dataset`, or (x_train, y_train, x_test, y_test)
    with x [N, ...] and y [N] or [N, K], or X beside `y`, or your own file or DataFrame (`target` is its column to
    learn); integers (of X and y, of a file or DataFrame: at most 20 different ones) and text are classes
    (cross-entropy), other numbers values (squared loss of y scaled to deviation 1; predictions are scaled
    back). The linear models are solved exactly instead (`linear_models`). `settings` are fields of `FitSettings` or of
    the named model, and of `TableSettings` for the columns of a file, a DataFrame or X; `optimizer` is one of
    OPTIMIZERS by name, or any of optax. The test rows are used once, after the last update; of a table, your own file,
    or X and y they are the share `test` (None: 0.2; 0: none, all rows are learned from, and no test figure is
    reported), drawn by `seed` where X or a DataFrame was given. With `out` the run leaves a folder that `rlnut.load`
    reads, with figures (`image`: png, svg or pdf). Ctrl-C ends the learning early and keeps what it has. `callbacks`
    are functions of a `FitLook` (after each epoch), or objects with `on_start`, `on_look` or `on_end`; `loggers` take
    the rows of the log, see `rlnut.Logger`; both are for models that learn in epochs. `quiet` prints nothing
    (`progress` is its opposite, an older name). Raises UsageError for wrong arguments or data, RlnutError if the cost
    does not stay finite.

    >>> import numpy as np, rlnut
    >>> current = np.arange(8.0)[:, None]
    >>> ohm = rlnut.fit(rlnut.linear(), (current, 3 * current[:, 0]) * 2, lr=0.1, epochs=300, quiet=True)
    >>> float(ohm.predict(np.array([[10.0]]))[0].round(3))
    30.0
    """
    began, progress = time.perf_counter(), not quiet if progress is None else progress
    method = _checked_arguments(seed, loss, optimizer)
    if image not in FORMATS:
        raise unknown("image", image, FORMATS)
    called: Callbacks[FitLook] = Callbacks(callbacks)
    noted = Loggers(loggers)
    if isinstance(optimizer, str):
        settings["optimizer"] = optimizer
    table = TableSettings.taken_from(settings)
    exact = chosen_exact(model, settings)
    if exact is not None:
        if loss is not None:
            raise UsageError(f"{exact[0]} has its own loss")
        if callbacks or loggers:
            raise UsageError(f"{exact[0]} is solved at once: it has no epochs for callbacks or loggers")
        task, reference = exact[1].wanted(), exact[1].reference()
        problem = load_dataset(dataset, data, target, task, test, y=y, table=table, seed=seed, reference=reference)
        return fit_exact(*exact, problem, data, out, seed, progress, method, image)
    name, config = chosen_model(model, settings)
    if method is not None and settings.keys() & {"optimizer", "lr", "schedule", "decay"}:
        raise UsageError("a given optimizer has its own lr, schedule and decay: leave those settings out")
    found = load_dataset(dataset, data, target, config.task, test, y=y, table=table, seed=seed)
    problem = checked_dataset(found, config.task, config.sequences)
    config = suited(config, problem, loss)
    about = described(name, config, seed, problem, data)
    noted.check(LoggedRun(about, None if out is None else as_path(out, "the output folder")))
    folder = None if out is None else new_folder(out)
    learner = prepared_learner(problem, config, chosen_network(model, config), loss, method, seed)
    watch = EpochObserver(called, RowLog(COLUMNS, noted))
    noted.start(LoggedRun(about, folder))
    try:
        fitted, learning = learn(learner, config, problem, about, folder, progress, watch=watch)
    finally:
        watch.close()
    result = judged_result(learner, config, problem, fitted, learning)
    result |= {"wall_s": time.perf_counter() - began, "out": None if folder is None else str(folder)}
    fitted = replace(fitted, result=result)
    if folder is not None:
        fitted.save(folder, image)
        from rlnut.supervised.figures import draw_fit

        draw_fit(folder, fitted, problem, image)
    return watch.checked(fitted)


def suited(config: FitSettings, problem: Dataset, loss: Loss | None = None) -> FitSettings:
    """The settings, complete, for a checked dataset that they can serve; the prior on weights is for our own losses."""
    if loss is not None and config.smoothing:
        raise UsageError("smoothing belongs to cross-entropy: set it to 0 to give a loss of your own")
    config.accept(problem.x_train.shape[1:], problem.classes is not None)
    config = config.replace(devices=device_count(config.devices))
    if loss is not None and config.l2 is None:
        config = config.replace(l2=0.0)
    return config.suited(problem.x_train, problem.classes is not None)


def _checked_arguments(seed: object, loss: object, optimizer: object) -> optax.GradientTransformation | None:
    """The optimiser of optax, if one was given; other kinds of arguments are refused."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise UsageError(f"seed must be a whole number >= 0 and < 2**32, got {seed!r}")
    if loss is not None and not callable(loss):
        raise UsageError(f"loss must be a function (predictions, y) -> one number a row, got {loss!r}")
    if optimizer is None or isinstance(optimizer, str):
        return None
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise UsageError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, or one of optax, got {optimizer!r}")
    return cast(optax.GradientTransformation, optimizer)


class PreparedLearner(NamedTuple):
    """A regression method at its start, and the rows that it is for."""

    core: Regression
    start: Fit
    rows: SplitRows
    model: Model
    head: tuple[int, ...]  # shape of one ŷ
    cost: Loss  # by which validation rows are judged
    trained: Loss  # the same with label smoothing
    penalty: Penalty | None
    key: Key
    seed: int
    size: int  # rows of one update
    epochs: int
    rates: np.ndarray  # [updates] α of each update; of an optimiser that was given only that they are alike
    lr: float | None  # α of the settings; None: an optimiser was given


def prepared_learner(
    problem: Dataset,
    config: FitSettings,
    network: Network,
    loss: Loss | None,
    optimizer: optax.GradientTransformation | None,
    seed: int,
    like: FittedModel | None = None,
) -> PreparedLearner:
    """Everything that is decided before the first update, for a checked dataset; `like`: from where that model is."""
    rows, classes = prepare(problem, config, seed, like), problem.classes
    head = problem.y_train.shape[1:] if classes is None else (len(classes),)
    model = architecture(network, head, rows.x_scale is None)
    assert config.batch and config.epochs and config.lr, "`suited` completes the settings"
    size = min(config.batch, len(rows.train.x))
    check_split(config.devices, "batch", size)
    updates = config.epochs * (len(rows.train.x) // size)
    cost, penalty = loss or (squared if classes is None else cross_entropy), _penalty(config)
    trained = smoothed(config.smoothing) if config.smoothing else cost
    method = optimizer or named(config.optimizer, config.lr, config.schedule, updates, config.decay)
    rates = np.ones(updates) if optimizer else rates_of(config.lr, config.schedule, updates)
    core = regression(model, trained, method, penalty)
    key = jax.random.key(seed)
    start = core.init(key, jnp.asarray(rows.train.x[:1]))
    _check_head(core, start.params, rows.train, head)
    if like is not None:
        start = start._replace(params=like.params, opt_state=method.init(like.params))
    epochs, lr = config.epochs, None if optimizer else config.lr
    return PreparedLearner(core, start, rows, model, head, cost, trained, penalty, key, seed, size, epochs, rates, lr)


def learn(
    learner: PreparedLearner,
    config: FitSettings,
    problem: Dataset,
    about: JsonObject,
    folder: Path | None,
    progress: bool,
    stop: Callable[[Sequence[Epoch]], bool] | None = None,
    watch: EpochObserver | None = None,
) -> tuple[FittedModel, JsonObject]:
    """All epochs: the fitted model, and what to say of the learning. `folder` is written after each epoch."""
    rows, classes, row = learner.rows, problem.classes, problem.x_train.shape[1:]
    blank = FittedModel(
        learner.model, learner.start.params, row, learner.head, classes, rows.x_scale, rows.y_scale, about, {},
        sequences=config.sequences,
    )  # fmt: skip
    count = parameter_count(learner.start.params)
    with closing(Progress(len(learner.rates), 0, not progress, unit="update", start=COMPILING)) as report:
        task = "regression" if classes is None else f"classification into {len(classes)} classes"
        if problem.note:
            report.say(f"{problem.name}: {problem.note}")
        updates = f"{counted(len(learner.rates), 'update')} of {counted(learner.size, 'row')}"
        report.say(
            f"fit {about['model']} to {problem.name}: {task}; {counted(count, 'parameter')}; "
            f"rows of shape {list(row)}: {len(rows.train.x):,} train, {len(rows.held.x):,} validation, "
            f"{len(rows.test.x):,} test; {counted(learner.epochs, 'epoch')} = {updates}"
        )
        key = jax.random.fold_in(learner.key, 1)
        work = trainer(
            learner.core, learner.start, rows.train, learner.size, config.shift, config.turn, key, config.devices
        )
        verdict = judge(learner.core, learner.cost, classes is not None)
        keep = None if folder is None else lambda params: replace(blank, params=params).save_model(folder)
        if watch is not None:
            watch.tools = FitTools(lambda params: replace(blank, params=params), keep, learner.lr, learner.epochs)
        learned = run_epochs(
            work, learner.start, learner.epochs, config.patience or 0, learner.seed, rows.held, verdict, report, keep,
            stop, watch,
        )  # fmt: skip
        rates = learner.rates.reshape(learner.epochs, -1)
        gain = None if learned.ended in ("early", "converged") else fit_still_falling(learned, rates)
        if gain is not None and learned.ended not in ("interrupted", "stopped"):
            report.say(not_converged(about["model"], gain, bool(len(rows.held.x))))
    found: JsonObject = {"epochs": len(learned.history), "updates": learned.updates, "parameters": count}
    found |= {"ended": learned.ended, "converged": gain is None}
    found |= {"compile_s": work.compile_s, "seconds_per_epoch": learned.seconds_per_epoch}
    return replace(blank, params=learned.params, epochs=learned.history), found


def judged_result(
    learner: PreparedLearner, config: FitSettings, problem: Dataset, fitted: FittedModel, learning: JsonObject
) -> JsonObject:
    """What `rlnut fit --json` prints: sizes, the test figure if there are test rows, coefficients of a linear model."""
    rows = learner.rows
    result: JsonObject = {"model": fitted.about["model"], "dataset": problem.name}
    result |= {"train_size": len(rows.train.x), "validation_size": len(rows.held.x), "test_size": len(rows.test.x)}
    result |= figures_of_test_rows(fitted, problem) | learning
    if config.linear:
        coef, intercept = fitted.coefficients()
        extra = float(learner.penalty(fitted.params)) if learner.penalty else 0.0
        objective = judge(learner.core, learner.trained, problem.classes is not None)(fitted.params, rows.train)[0]
        result |= {"objective": objective + extra, "coef": coef.tolist(), "intercept": intercept.tolist()}
    return result


def chosen_model(model: object, settings: dict[str, object]) -> tuple[str, FitSettings]:
    """A name for the model, and how it is trained."""
    if isinstance(model, str):
        if model not in MODELS:
            raise unknown("model", model, [*MODELS, *LINEAR_MODELS])
        model = MODELS[model]()
    if isinstance(model, FitSettings) and type(model) in MODELS.values():
        return next(name for name, kind in MODELS.items() if kind is type(model)), model.replace(**settings)
    if callable(model) or isinstance(model, Model):
        return "model" if isinstance(model, Model) else "network", FitSettings().replace(**settings)
    raise UsageError(f"model must be one of {', '.join(MODELS)}, its settings, a network or a Model, got {model!r}")


def chosen_network(model: object, config: FitSettings) -> Network:
    """The architecture without its head: that of the complete settings, or the network that was given."""
    if type(config) in MODELS.values():
        return config.network()
    return (lambda shape: model) if isinstance(model, Model) else cast(Network, model)


def _penalty(config: FitSettings) -> Penalty | None:
    parts = [kind(strength) for kind, strength in ((l2, config.l2), (l1, config.l1)) if strength]
    return (lambda params: sum((part(params) for part in parts), jnp.zeros(()))) if parts else None


def _check_head(core: Regression, params: Params, train: LabelledRows, head: tuple[int, ...]) -> None:
    """A model that was given with its own head must have the one that y needs."""
    got = jax.eval_shape(core.predict, params, train.x[:1]).shape
    if got != (1, *head):
        raise UsageError(f"the model's output has shape {list(got[1:])} a row, but y needs {list(head)}")
