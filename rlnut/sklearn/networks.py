"""scikit-learn estimators over rlnut's networks, imported from `rlnut.sklearn`.

`MLPClassifier` and `MLPRegressor` have scikit-learn's names and parameters; `NetworkClassifier` and `NetworkRegressor`
take the settings of any model of `rlnut fit` (`rlnut.supervised.network_settings.CNN(epochs=3)`), or a network of one's
own. scikit-learn's X [n, p] has flat rows: `shape` says what a row is, e.g. (28, 28).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Self, cast

import jax
import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d

from rlnut.choices import Activation, Optimizer
from rlnut.data.dataset import Dataset
from rlnut.errors import UsageError, counted
from rlnut.runtime.files import JsonObject
from rlnut.sklearn.inputs import number
from rlnut.sklearn.network_estimator import NetworkClassification, NetworkEstimator, NetworkRegression, as_values
from rlnut.supervised.epochs import Epoch
from rlnut.supervised.fit import PreparedLearner
from rlnut.supervised.fitted_model import FittedModel
from rlnut.supervised.network_settings import MLP, MODELS, FitSettings
from rlnut.types import Batch, Network

ACTIVATIONS: dict[str, Activation] = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


class _Perceptrons(NetworkEstimator):
    """A fully connected network, with scikit-learn's parameters: E = mean ℓ + α/(2 batch) ‖W‖², as there.

    It ends after `n_iter_no_change` epochs in which the training cost did not fall by `tol`; with `early_stopping`
    after as many without a better validation cost.
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        tol: float = 1e-4,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: int | RandomState | None = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def _stop(self, history: Sequence[Epoch]) -> bool:
        if self.early_stopping:
            return False
        best, idle = np.inf, 0
        for epoch in history:
            idle = idle + 1 if epoch.cost > best - number("tol", self.tol, 0) else 0
            best = min(best, epoch.cost)
        return idle > self.n_iter_no_change

    def _check_end(self, ended: str, converged: bool) -> None:
        if ended == "":
            warnings.warn(
                f"Stochastic optimizer: maximum number of iterations ({self.max_iter}) reached and the optimization "
                "has not converged yet",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _go_on(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, classes: int | None, first: bool) -> Self:
        """One epoch over these rows, from the weights and the optimiser's state as they are."""
        learner, config, problem, about = self._prepared(X, y, weight, classes, None if first else self.fitted_)
        rows = learner.rows.train
        if first:
            self.fitted_, self._dtype, self.n_iter_, self.loss_curve_ = (
                _untrained(learner, config, problem, about),
                X.dtype,
                0,
                [],
            )
        update, state = getattr(self, "_ready", None) or (jax.jit(learner.core.update), learner.start)
        order, costs = np.random.default_rng((learner.seed, self.n_iter_)).permutation(len(rows.x)), []
        for start in range(0, len(order), learner.size):
            part = order[start : start + learner.size]
            share = None if rows.weight is None else rows.weight[part].astype(np.float32)
            state, metrics = update(state, Batch(rows.x[part], rows.y[part], None, share))
            costs.append(float(metrics["cost"]))
        self._ready = update, state
        self.fitted_ = dataclasses.replace(self.fitted_, params=state.params)
        self.n_iter_ += 1
        self.loss_curve_ = [*self.loss_curve_, float(np.mean(costs))]
        return self

    def _model(self, n: int, mean_weight: float = 1.0) -> FitSettings | Network:
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        batch = min(200, n) if isinstance(self.batch_size, str) else self.batch_size  # auto
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, int)).tolist()
        return MLP(
            hidden=tuple(hidden),
            activation=ACTIVATIONS[self.activation],
            dropout=0.0,
            optimizer=cast(Optimizer, self.solver),
            schedule="constant",
            l2=self.alpha / (2 * min(batch, n) * mean_weight),
            batch=batch,
            lr=self.learning_rate_init,
            epochs=self.max_iter,
            validation=self.validation_fraction if self.early_stopping else 0.0,
            patience=self.n_iter_no_change if self.early_stopping else 0,
        )


def _untrained(learner: PreparedLearner, config: FitSettings, problem: Dataset, about: JsonObject) -> FittedModel:
    row, rows = problem.x_train.shape[1:], learner.rows
    model, params = learner.model, learner.start.params
    return FittedModel(model, params, row, learner.head, problem.classes, rows.x_scale, rows.y_scale, about, {})


class MLPClassifier(NetworkClassification, _Perceptrons):
    """Fully connected network with softmax and cross-entropy; inputs are standardised by the training rows."""

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch over these rows, from what was learned before; the first call names all `classes`.

        Inputs stay standardised as by the rows of the first call.
        """
        first = not hasattr(self, "fitted_")
        rows, labels = self._rows_of(X, y, reset=first)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        self.classes_ = np.unique(np.asarray(classes)) if first else self.classes_
        labels = column_or_1d(labels, warn=True)
        if not np.isin(labels, self.classes_).all():
            raise ValueError(f"y holds labels that are not among the classes {self.classes_.tolist()}")
        position = np.searchsorted(self.classes_, labels)
        return self._go_on(rows, position, self._weights_of(sample_weight, rows), len(self.classes_), first)


class MLPRegressor(NetworkRegression, _Perceptrons):
    """Fully connected network with squared loss; inputs and outputs are standardised by the training rows."""

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """One epoch over these rows, from what was learned before; scaled as by the rows of the first call."""
        first = not hasattr(self, "fitted_")
        rows, values = self._rows_of(X, y, multi_output=True, y_numeric=True, reset=first)
        return self._go_on(rows, as_values(values), self._weights_of(sample_weight, rows), None, first)


class _Any(NetworkEstimator):
    """Any model of `rlnut fit`. It warns where its epochs end while the cost is still falling."""

    def __init__(
        self,
        model: FitSettings | Network | str = "mlp",
        *,
        shape: tuple[int, ...] | None = None,
        random_state: int | RandomState | None = 0,
    ) -> None:
        self.model = model
        self.shape = shape
        self.random_state = random_state

    def _model(self, n: int, mean_weight: float = 1.0) -> FitSettings | Network:
        if isinstance(self.model, str) and self.model in MODELS:
            return MODELS[self.model]()
        if isinstance(self.model, FitSettings) or callable(self.model):
            return self.model
        raise UsageError(f"model must be one of {', '.join(MODELS)}, its settings or a network, got {self.model!r}")

    def _check_end(self, ended: str, converged: bool) -> None:
        if not converged:
            warnings.warn(
                f"Stochastic optimizer: all {counted(self.n_iter_, 'epoch')} done and the cost was still falling; "
                "increase the number of epochs",
                ConvergenceWarning,
                stacklevel=4,
            )


class NetworkClassifier(NetworkClassification, _Any):
    """Any model of `rlnut fit` by its name or settings, or a network.

    Images: ``NetworkClassifier(CNN(epochs=3), shape=(28, 28))``.
    Search over settings with a list of them: ``GridSearchCV(..., {"model": [MLP(lr=1e-3), MLP(lr=3e-3)]})``.
    """


class NetworkRegressor(NetworkRegression, _Any):
    """The same for values y."""
