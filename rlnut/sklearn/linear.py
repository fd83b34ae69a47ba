"""scikit-learn estimators over rlnut's linear models, for Pipeline, GridSearchCV and clone.

scikit-learn's objectives are sums, rlnut's are means with the lecture's λ (n = Σ wᵢ), so that the parameters translate
as follows.

| estimator                   | scikit-learn's objective           | rlnut's λ                         |
|-----------------------------|------------------------------------|-----------------------------------|
| Ridge(alpha)                | RSS + α‖w‖²                        | λ = α/n                           |
| Lasso, ElasticNet(l1_ratio) | RSS/2n + αρ‖w‖₁ + ½α(1−ρ)‖w‖²      | λ₁ = 2αρ, λ₂ = α(1−ρ)             |
| LogisticRegression(C)       | Σ −log P + ‖w‖²/2C                 | λ = 1/(2nC)                       |

What is offered of scikit-learn's parameters, and what is not, stands in `rlnut.sklearn`.
"""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from rlnut.linear_models import lasso, least_squares, logistic, perceptron
from rlnut.linear_models.solution import Solution
from rlnut.sklearn.inputs import FLOATS, SparseInputs, number


class _Linear(SparseInputs):
    """What all of them share: s = x·coef_ + intercept_, in float32 for an X of float32."""

    coef_: np.ndarray
    intercept_: np.ndarray | float

    def _scores(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        return X @ np.asarray(self.coef_).T + self.intercept_


class _Regressor(MultiOutputMixin, RegressorMixin, _Linear):
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit x [n, p] to y [n] or [n, K]; rows count `sample_weight` times."""
        rows, values = self._rows_of(X, y, multi_output=True, y_numeric=True)
        weight = self._weights_of(sample_weight, rows)
        solution = self._solve(rows, values, weight, float(len(rows) if weight is None else weight.sum()))
        self.coef_ = solution.coef.T.astype(rows.dtype)
        intercept = np.asarray(solution.intercept).astype(rows.dtype)
        self.intercept_ = intercept[()] if values.ndim == 1 else intercept
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """g(x) of each row."""
        return self._scores(X)

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        raise NotImplementedError


class LinearRegression(_Regressor):
    """Ordinary least squares; of many solutions the shortest. `positive`: no coefficient below 0."""

    def __init__(self, *, fit_intercept: bool = True, positive: bool = False) -> None:
        self.fit_intercept = fit_intercept
        self.positive = positive

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        return least_squares.least_squares(X, y, intercept=self.fit_intercept, weight=weight, positive=self.positive)


class Ridge(_Regressor):
    """Least squares with an L2 penalty: minimises RSS + α‖w‖². `positive`: no coefficient below 0."""

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True, positive: bool = False) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        lam = number("alpha", self.alpha, 0) / n
        return least_squares.least_squares(
            X, y, lam, intercept=self.fit_intercept, weight=weight, positive=self.positive
        )


class ElasticNet(_Regressor):
    """Least squares with L1 and L2 penalties: minimises RSS/2n + αρ‖w‖₁ + ½α(1−ρ)‖w‖²."""

    def __init__(
        self, alpha: float = 1.0, *, l1_ratio: float = 0.5, fit_intercept: bool = True, positive: bool = False
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive

    def _strengths(self) -> tuple[float, float]:
        alpha, share = number("alpha", self.alpha, 0), number("l1_ratio", self.l1_ratio, 0, 1)
        return 2 * alpha * share, alpha * (1 - share)

    def _solve(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float) -> Solution:
        l1, l2 = self._strengths()
        free, positive = self.fit_intercept, self.positive
        if l1 == 0:
            return least_squares.least_squares(X, y, l2, intercept=free, weight=weight, positive=positive)
        columns = [
            lasso.lasso(X, v, l1, l2, intercept=free, weight=weight, positive=positive) for v in y.reshape(len(y), -1).T
        ]
        if y.ndim == 1:
            return columns[0]
        coef, intercept = np.stack([c.coef for c in columns], 1), np.array([c.intercept for c in columns])
        return Solution(coef, intercept, sum(c.objective for c in columns))


class Lasso(ElasticNet):
    """Least squares with an L1 penalty: minimises RSS/2n + α‖w‖₁."""

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True, positive: bool = False) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive

    def _strengths(self) -> tuple[float, float]:
        return 2 * number("alpha", self.alpha, 0), 0.0


class _Classifier(ClassifierMixin, _Linear):
    classes_: np.ndarray

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        rows, labels = self._rows_of(X, y, reset=reset)
        check_classification_targets(labels)
        return rows, column_or_1d(labels, warn=True), self._weights_of(sample_weight, rows)

    def _keep(self, solution: Solution, classes: np.ndarray, dtype: np.dtype) -> Self:
        p = self.n_features_in_
        self.classes_ = classes
        self.coef_ = np.ascontiguousarray(solution.coef.reshape(p, -1).T).astype(dtype)
        self.intercept_ = np.atleast_1d(solution.intercept).astype(dtype)
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """s of each row: [B] for two classes (positive: the second), else [B, M]."""
        s = self._scores(X)
        return s[:, 0] if s.shape[1] == 1 else s

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The label of each row."""
        s = self.decision_function(X)
        return self.classes_[(s >= 0).astype(int) if s.ndim == 1 else s.argmax(1)]


class Perceptron(_Classifier):
    """Rosenblatt's perceptron: up to `max_iter` epochs, in file order or shuffled; `average`: the mean of all θ.

    `average` None: the mean unless the last epoch has no mistake; the last θ where learning may go on from it.
    It ends after an epoch without a mistake, or after `n_iter_no_change` epochs in which the share of mistakes did not
    fall by more than `tol` (None: never so).
    """

    def __init__(
        self,
        *,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        average: bool | None = None,
        random_state: int | RandomState | None = 0,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
    ) -> None:
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.average = average
        self.random_state = random_state
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit x [n, p] to labels y [n]; a row counts `sample_weight` times. Warns where `max_iter` ends it."""
        rows, labels, weight = self._checked(X, y, sample_weight)
        known = np.unique(labels)
        again = self.warm_start and hasattr(self, "coef_") and np.array_equal(known, self.classes_)
        patience = None if self.tol is None else int(number("n_iter_no_change", self.n_iter_no_change, 1))
        average = False if self.average is None and self.warm_start else self.average
        found = self._learn(rows, labels, weight, known, self.max_iter, again, patience, average)
        if not found.converged:
            warnings.warn(
                f"Maximum number of iterations ({self.max_iter}) reached before the perceptron converged",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch over these rows, from what was learned before; the first call names all `classes`."""
        first = not hasattr(self, "coef_")
        rows, labels, weight = self._checked(X, y, sample_weight, reset=first)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = np.unique(classes) if first else self.classes_  # type: ignore[arg-type]
        self._learn(rows, labels, weight, known, 1, not first, None, bool(self.average))
        return self

    def _learn(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        known: np.ndarray,
        epochs: int,
        again: bool,
        patience: int | None,
        average: bool | None,
    ) -> perceptron.FittedPerceptron:
        seed = check_random_state(self.random_state).randint(2**31) if self.shuffle else None
        start = Solution(np.asarray(self.coef_).T, np.asarray(self.intercept_), 0.0) if again else None
        tol = 0.0 if self.tol is None else number("tol", self.tol, 0)
        found = perceptron.perceptron(
            rows, labels, epochs, average=average, seed=seed, weight=weight, patience=patience, tol=tol,
            start=start, classes=known,
        )  # fmt: skip
        self.n_iter_, self.mistakes_ = len(found.mistakes), found.mistakes
        self._keep(found.solution, found.classes, rows.dtype)
        return found


class LogisticRegression(_Classifier):
    """Logistic regression, with more than two classes softmax regression: minimises Σ −log P + ‖w‖²/2C."""

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: str | dict | None = None,
        tol: float = 1e-8,
        max_iter: int = 100,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit x [n, p] to labels y [n]; a row counts `sample_weight` times. Warns where `max_iter` ends it."""
        rows, labels, weight = self._checked(X, y, sample_weight)
        kept = slice(None) if weight is None else weight > 0
        classes, label = np.unique(labels[kept], return_inverse=True)
        counts = np.ones(len(label)) if weight is None else weight[kept]
        n = (logistic.class_weights(label, self.class_weight, classes, counts) * counts).sum()
        found = logistic.logistic(
            rows,
            labels,
            1 / (2 * n * number("C", self.C, 1e-300)),
            intercept=self.fit_intercept,
            class_weight=self.class_weight,
            weight=weight,
            tol=number("tol", self.tol, 0),
            iterations=self.max_iter,
            strict=False,
        )
        if found.gradient > self.tol and found.iterations >= self.max_iter:
            warnings.warn(
                f"Newton's method stopped after max_iter={self.max_iter} steps at a gradient norm of "
                f"{found.gradient:.1e} (tol={self.tol:g})",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.n_iter_ = np.array([found.iterations], np.int32)
        return self._keep(found.solution, found.classes, rows.dtype)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """P(y = m | x) [B, M]."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """log P(y = m | x) [B, M]."""
        s = self._scores(X)
        s = np.concatenate([np.zeros_like(s), s], 1) if s.shape[1] == 1 else s
        s = s - s.max(1, keepdims=True)
        return s - np.log(np.exp(s).sum(1, keepdims=True))
