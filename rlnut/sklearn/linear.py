"""scikit-learn estimators over rlnut's models: the same names and parameters, for Pipeline, GridSearchCV and clone.

scikit-learn's objectives are sums, rlnut's are
means with the lecture's λ (n = Σ wᵢ), so that the parameters translate as follows.

| estimator                   | scikit-learn's objective           | rlnut's λ                         |
|-----------------------------|------------------------------------|-----------------------------------|
| Ridge(alpha)                | RSS + α‖w‖²                        | λ = α/n                           |
| Lasso, ElasticNet(l1_ratio) | RSS/2n + αρ‖w‖₁ + ½α(1−ρ)‖w‖²      | λ₁ = 2αρ, λ₂ = α(1−ρ)             |
| LogisticRegression(C)       | Σ −log P + ‖w‖²/2C                 | λ = 1/(2nC)                       |

The networks (`MLPClassifier`, `MLPRegressor`, and `NetworkClassifier`, `NetworkRegressor` for any other model) are in
`networks.py`.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from rlnut.errors import UsageError
from rlnut.linear_models import lasso, least_squares, logistic, perceptron
from rlnut.linear_models.solution import Solution

FLOATS = (np.float64, np.float32)


def _number(name: str, value: Any, low: float, high: float = np.inf) -> float:
    """A parameter as a float in [low, high]."""
    if not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        raise UsageError(f"{name} must be >= {low:g}{f' and <= {high:g}' if np.isfinite(high) else ''}, got {value!r}")
    return float(value)


class _Linear(BaseEstimator):
    """What all of them share: s = x·coef_ + intercept_."""

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return X @ np.asarray(self.coef_).T + self.intercept_


class _Regressor(MultiOutputMixin, RegressorMixin, _Linear):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit x [n, p] to y [n] or [n, K]; rows count `sample_weight` times."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        solution = self._solve(X, y, weight, len(X) if weight is None else weight.sum())
        self.coef_ = solution.coef.T
        self.intercept_ = float(solution.intercept) if y.ndim == 1 else solution.intercept
        return self

    def predict(self, X: Any) -> np.ndarray:
        """g(x) of each row."""
        return self._scores(X)

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        raise NotImplementedError


class LinearRegression(_Regressor):
    """Ordinary least squares; of many solutions the shortest."""

    def __init__(self, *, fit_intercept: bool = True) -> None:
        self.fit_intercept = fit_intercept

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        return least_squares.least_squares(X, y, intercept=self.fit_intercept, weight=weight)


class Ridge(_Regressor):
    """Least squares with an L2 penalty: minimises RSS + α‖w‖²."""

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        lam = _number("alpha", self.alpha, 0) / n
        return least_squares.least_squares(X, y, lam, intercept=self.fit_intercept, weight=weight)


class ElasticNet(_Regressor):
    """Least squares with L1 and L2 penalties: minimises RSS/2n + αρ‖w‖₁ + ½α(1−ρ)‖w‖²."""

    def __init__(self, alpha: float = 1.0, *, l1_ratio: float = 0.5, fit_intercept: bool = True) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept

    def _strengths(self) -> tuple[float, float]:
        alpha, share = _number("alpha", self.alpha, 0), _number("l1_ratio", self.l1_ratio, 0, 1)
        return 2 * alpha * share, alpha * (1 - share)

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        l1, l2 = self._strengths()
        if l1 == 0:
            return least_squares.least_squares(X, y, l2, intercept=self.fit_intercept, weight=weight)
        columns = [
            lasso.lasso(X, v, l1, l2, intercept=self.fit_intercept, weight=weight) for v in y.reshape(len(y), -1).T
        ]
        if y.ndim == 1:
            return columns[0]
        coef, intercept = np.stack([c.coef for c in columns], 1), np.array([c.intercept for c in columns])
        return Solution(coef, intercept, sum(c.objective for c in columns))


class Lasso(ElasticNet):
    """Least squares with an L1 penalty: minimises RSS/2n + α‖w‖₁."""

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _strengths(self) -> tuple[float, float]:
        return 2 * _number("alpha", self.alpha, 0), 0.0


class _Classifier(ClassifierMixin, _Linear):
    def _checked(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        return X, column_or_1d(y, warn=True)

    def _keep(self, solution: Solution, classes: np.ndarray) -> Self:
        p = self.n_features_in_
        self.classes_ = classes
        self.coef_ = np.ascontiguousarray(solution.coef.reshape(p, -1).T)
        self.intercept_ = np.atleast_1d(solution.intercept)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """s of each row: [B] for two classes (positive: the second), else [B, M]."""
        s = self._scores(X)
        return s[:, 0] if s.shape[1] == 1 else s

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row."""
        s = self.decision_function(X)
        return self.classes_[(s >= 0).astype(int) if s.ndim == 1 else s.argmax(1)]


class Perceptron(_Classifier):
    """Rosenblatt's perceptron: up to `max_iter` epochs, in file order or shuffled; `average`: the mean of all θ."""

    def __init__(
        self, *, max_iter: int = 100, shuffle: bool = True, average: bool = False, random_state: Any = 0
    ) -> None:
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.average = average
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit x [n, p] to labels y [n]."""
        X, y = self._checked(X, y)
        seed = check_random_state(self.random_state).randint(2**31) if self.shuffle else None
        found = perceptron.perceptron(X, y, self.max_iter, average=self.average, seed=seed)
        self.n_iter_, self.mistakes_ = len(found.mistakes), found.mistakes
        return self._keep(found.solution, found.classes)


class LogisticRegression(_Classifier):
    """Logistic regression, with more than two classes softmax regression: minimises Σ −log P + ‖w‖²/2C."""

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-8,
        max_iter: int = 100,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit x [n, p] to labels y [n]; rows count `sample_weight` times."""
        X, y = self._checked(X, y)
        weight = np.ones(len(X)) if sample_weight is None else _check_sample_weight(sample_weight, X)
        X, y, weight = X[weight != 0], y[weight != 0], weight[weight != 0]
        classes, label = np.unique(y, return_inverse=True)
        n = (logistic.class_weights(label, self.class_weight, classes) * weight).sum()
        found = logistic.logistic(
            X,
            y,
            1 / (2 * n * _number("C", self.C, 1e-300)),
            intercept=self.fit_intercept,
            class_weight=self.class_weight,
            weight=weight,
            tol=self.tol,
            iterations=self.max_iter,
        )
        self.n_iter_ = found.iterations
        return self._keep(found.solution, found.classes)

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(y = m | x) [B, M]."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log P(y = m | x) [B, M]."""
        s = self._scores(X)
        s = np.concatenate([np.zeros_like(s), s], 1) if s.shape[1] == 1 else s
        s = s - s.max(1, keepdims=True)
        return s - np.log(np.exp(s).sum(1, keepdims=True))
