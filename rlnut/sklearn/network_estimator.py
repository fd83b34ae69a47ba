"""What the network estimators share: `fitted_`, how it is learned, kept, copied and asked; for classes and values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.errors import UsageError
from rlnut.runtime.files import JsonObject
from rlnut.sklearn.inputs import FLOATS, SparseInputs, as_dense
from rlnut.supervised.epochs import Epoch
from rlnut.supervised.fit import PreparedLearner, chosen_model, chosen_network, learn, prepared_learner, suited
from rlnut.supervised.fitted_model import FittedModel, architecture
from rlnut.supervised.network_settings import FitSettings
from rlnut.types import Fit, Metrics, Network


class NetworkEstimator(SparseInputs):
    """What all of them share: `fitted_`, a `FittedModel`, and how it is learned, kept and asked."""

    random_state: int | RandomState | None
    fitted_: FittedModel
    n_features_in_: int

    def _model(self, n: int, mean_weight: float = 1.0) -> FitSettings | Network:
        """The model to fit to n rows, whose weights have this mean."""
        raise NotImplementedError

    def _prepared(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, classes: int | None, like: FittedModel | None
    ) -> tuple[PreparedLearner, FitSettings, Dataset, JsonObject]:
        """Everything before the first update. scikit-learn keeps the test rows to itself, so there are none."""
        if weight is not None:  # a row of weight 0 is not there
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        rows = self._rows(X)
        model = self._model(len(rows), 1.0 if weight is None else float(weight.mean()))
        name, config = chosen_model(model, {})
        known = None if classes is None else tuple(range(classes))
        given = Dataset(rows, y, rows[:0], y[:0], known, "arrays", weight=weight)
        problem = checked_dataset(given, config.task if classes is None else "classification", config.sequences)
        config = suited(config, problem)
        network = chosen_network(model, config)
        seed = int(check_random_state(self.random_state).randint(2**31))
        learner = prepared_learner(problem, config, network, None, None, seed, like)
        about = {"model": name, "config": dataclasses.asdict(config), "seed": seed, "dataset": problem.name}
        return learner, config, problem, about | {"columns": (), "target": None}

    def _learn(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, classes: int | None, again: bool) -> Self:
        like = self.fitted_ if again else None
        learner, config, problem, about = self._prepared(X, y, weight, classes, like)
        self.fitted_, found = learn(learner, config, problem, about, None, False, self._stop)
        self._ready: tuple[Callable[..., tuple[Fit, Metrics]], Fit] | None = None
        self._dtype = X.dtype
        self.n_iter_ = len(self.fitted_.epochs)
        self.loss_curve_ = [epoch.cost for epoch in self.fitted_.epochs]
        self._check_end(found["ended"], found["converged"])
        return self

    def _stop(self, history: Sequence[Epoch]) -> bool:
        return False

    def _check_end(self, ended: str, converged: bool) -> None:
        """Warn where scikit-learn would."""

    def _rows(self, X: np.ndarray) -> np.ndarray:
        shape = getattr(self, "shape", None)
        if shape is None:
            return X
        if int(np.prod(shape)) != X.shape[1]:
            raise UsageError(f"shape {tuple(shape)} does not hold the {X.shape[1]} features of a row")
        return X.reshape(-1, *shape)

    def _asked(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return self._rows(as_dense(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)))

    def __getstate__(self) -> dict:
        """Compiled functions cannot be copied to another process: the numbers go, the model is made again there."""
        state = dict(super().__getstate__())
        state.pop("_ready", None)
        if "fitted_" in state:
            state["fitted_"] = {f.name: getattr(self.fitted_, f.name) for f in dataclasses.fields(FittedModel)}
            del state["fitted_"]["model"]
        return state

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        if "fitted_" in state:
            kept, self._ready = state["fitted_"], None
            model = self._model(self.n_features_in_)
            network = chosen_network(model, chosen_model(model, {})[1].replace(**kept["about"]["config"]))
            self.fitted_ = FittedModel(architecture(network, kept["head"], kept["x_scale"] is None), **kept)


class NetworkClassification(ClassifierMixin, NetworkEstimator):
    classes_: np.ndarray

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit x [n, p] to labels y [n]; a row counts `sample_weight` times."""
        rows, labels = self._rows_of(X, y)
        check_classification_targets(labels)
        known, position = np.unique(column_or_1d(labels, warn=True), return_inverse=True)
        if len(known) < 2:
            raise UsageError(f"y holds 1 class, {known[0]}: at least two are needed")
        weight = self._weights_of(sample_weight, rows)
        again = self._goes_on() and np.array_equal(known, self.classes_)
        self.classes_ = known
        return self._learn(rows, position, weight, len(known), again)

    def _goes_on(self) -> bool:
        return bool(getattr(self, "warm_start", False)) and hasattr(self, "fitted_")

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """P(y = m | x) [B, M]."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """log P(y = m | x) [B, M]."""
        X = self._asked(X)
        s = self.fitted_.outputs(X).astype(np.float64)
        s -= s.max(1, keepdims=True)
        return (s - np.log(np.exp(s).sum(1, keepdims=True))).astype(self._dtype)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable label of each row [B]."""
        X = self._asked(X)
        return self.classes_[self.fitted_.outputs(X).argmax(1)]


class NetworkRegression(MultiOutputMixin, RegressorMixin, NetworkEstimator):
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit x [n, p] to values y [n] or [n, K]; a row counts `sample_weight` times."""
        rows, values = self._rows_of(X, y, multi_output=True, y_numeric=True)
        weight = self._weights_of(sample_weight, rows)
        again = bool(getattr(self, "warm_start", False)) and hasattr(self, "fitted_")
        return self._learn(rows, as_values(values), weight, None, again)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """g(x) of each row [B] or [B, K]."""
        X = self._asked(X)
        return self.fitted_.predict(X).astype(self._dtype)


def as_values(y: np.ndarray) -> np.ndarray:
    """One column is one output, to the last bit."""
    y = np.asarray(y, float)
    return y[:, 0] if y.shape[1:] == (1,) else y
