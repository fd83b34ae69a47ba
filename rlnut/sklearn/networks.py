"""scikit-learn estimators over rlnut's networks, imported from `rlnut.sklearn`.

`MLPClassifier` and `MLPRegressor` have scikit-learn's names and parameters; `NetworkClassifier` and `NetworkRegressor`
take the settings of any model of `rlnut fit` (`rlnut.supervised.network_settings.CNN(epochs=3)`), or a network of one's
own. scikit-learn's X [n, p] has flat rows: `shape` says what a row is, e.g. (28, 28).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from rlnut.errors import UsageError
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import FittedModel, architecture
from rlnut.supervised.network_settings import MLP, MODELS, FitSettings
from rlnut.types import Network

FLOATS = (np.float64, np.float32)
ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


class _Network(BaseEstimator):
    """What all of them share: `fitted_`, a `FittedModel`, and how it is learned, kept and asked."""

    def _model(self, n: int) -> tuple[FitSettings | Network, dict[str, Any]]:
        """The model to fit to n rows, and settings to change in it."""
        raise NotImplementedError

    def _learn(self, X: np.ndarray, y: np.ndarray) -> Self:
        model, settings = self._model(len(X))
        seed = check_random_state(self.random_state).randint(2**31)
        rows = self._rows(X)
        # scikit-learn keeps the test rows to itself: the first row stands in where `fit` wants rows to judge by
        self.fitted_ = fit(model, (rows, y, rows[:1], y[:1]), seed=seed, progress=False, **settings)
        self.n_iter_ = len(self.fitted_.history)
        self.loss_curve_ = [epoch.cost for epoch in self.fitted_.history]
        return self

    def _rows(self, X: np.ndarray) -> np.ndarray:
        shape = getattr(self, "shape", None)
        if shape is None:
            return X
        if int(np.prod(shape)) != X.shape[1]:
            raise UsageError(f"shape {tuple(shape)} does not hold the {X.shape[1]} features of a row")
        return X.reshape(-1, *shape)

    def _asked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._rows(validate_data(self, X, dtype=FLOATS, reset=False))

    def __getstate__(self) -> dict[str, Any]:
        """Compiled functions cannot be copied to another process: the numbers go, the model is made again there."""
        state = dict(super().__getstate__())
        if "fitted_" in state:
            state["fitted_"] = {f.name: getattr(self.fitted_, f.name) for f in dataclasses.fields(FittedModel)}
            del state["fitted_"]["model"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "fitted_" in state:
            kept = state["fitted_"]
            model, settings = self._model(self.n_features_in_)
            network = model.replace(**settings).network() if isinstance(model, FitSettings) else model
            self.fitted_ = FittedModel(architecture(network, kept["head"], kept["x_scale"] is None), **kept)


class _Classifier(ClassifierMixin, _Network):
    def fit(self, X: Any, y: Any) -> Self:
        """Fit x [n, p] to labels y [n]."""
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, position = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise UsageError(f"y holds 1 class, {self.classes_[0]}: at least two are needed")
        return self._learn(X, position)

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(y = m | x) [B, M]."""
        X = self._asked(X)
        return self.fitted_.predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row [B]."""
        X = self._asked(X)
        return self.classes_[self.fitted_.outputs(X).argmax(1)]


class _Regressor(MultiOutputMixin, RegressorMixin, _Network):
    def fit(self, X: Any, y: Any) -> Self:
        """Fit x [n, p] to values y [n] or [n, K]."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        y = np.asarray(y, float)
        return self._learn(X, y[:, 0] if y.shape[1:] == (1,) else y)  # one column is one output, to the last bit

    def predict(self, X: Any) -> np.ndarray:
        """g(x) of each row [B] or [B, K]."""
        X = self._asked(X)
        return self.fitted_.predict(X)


class _Perceptrons(_Network):
    """A fully connected network, with scikit-learn's parameters: E = mean ℓ + α/(2 batch) ‖W‖², as there."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def _model(self, n: int) -> tuple[FitSettings | Network, dict[str, Any]]:
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        batch = min(200, n) if isinstance(self.batch_size, str) else self.batch_size  # auto
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, int)).tolist()
        model = MLP(
            hidden=tuple(hidden),
            activation=ACTIVATIONS[self.activation],
            dropout=0.0,
            optimizer=self.solver,
            schedule="constant",
            l2=self.alpha / (2 * batch),
            batch=batch,
            lr=self.learning_rate_init,
            epochs=self.max_iter,
            validation=self.validation_fraction if self.early_stopping else 0.0,
            patience=self.n_iter_no_change if self.early_stopping else 0,
        )
        return model, {}


class MLPClassifier(_Classifier, _Perceptrons):
    """Fully connected network with softmax and cross-entropy; inputs are standardised by the training rows."""


class MLPRegressor(_Regressor, _Perceptrons):
    """Fully connected network with squared loss; inputs and outputs are standardised by the training rows."""


class _Any(_Network):
    """Any model of `rlnut fit`."""

    def __init__(self, model: FitSettings | Network | str = "mlp", *, shape: Any = None, random_state: Any = 0) -> None:
        self.model = model
        self.shape = shape
        self.random_state = random_state

    def _model(self, n: int) -> tuple[FitSettings | Network, dict[str, Any]]:
        if isinstance(self.model, str) and self.model in MODELS:
            return MODELS[self.model](), {}
        if isinstance(self.model, FitSettings) or callable(self.model):
            return self.model, {}
        raise UsageError(f"model must be one of {', '.join(MODELS)}, its settings or a network, got {self.model!r}")


class NetworkClassifier(_Classifier, _Any):
    """Any model of `rlnut fit` by its name or settings, or a network.

    Images: ``NetworkClassifier(CNN(epochs=3), shape=(28, 28))``.
    Search over settings with a list of them: ``GridSearchCV(..., {"model": [MLP(lr=1e-3), MLP(lr=3e-3)]})``.
    """


class NetworkRegressor(_Regressor, _Any):
    """The same for values y."""
