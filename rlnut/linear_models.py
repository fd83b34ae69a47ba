"""The linear models of `rlnut fit` that are solved exactly, or by their own rule: settings, and one way to run them.

Importing this is cheap; the solvers come in when they are used.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from rlnut.data import TASKS, Dataset
from rlnut.errors import UsageError
from rlnut.settings import Settings, setting

if TYPE_CHECKING:
    from rlnut.solvers import Solution
    from rlnut.types import Network

LAMS = np.logspace(-10, 4, 113)  # the λ that cross-validation chooses from, times the mean square of the columns


class Solved(NamedTuple):
    """What a solver found, and what else to say about it."""

    solution: Solution
    epochs: int  # passes over the rows
    extra: dict[str, Any]


@dataclass(frozen=True)
class Exact(Settings):
    """Base of the linear models that are not trained by gradient steps."""

    probable: ClassVar[bool] = False  # are the scores of classes log-probabilities?

    def wanted(self) -> str:
        """What y must be: one of data.TASKS."""
        return "auto"

    def network(self) -> Network:
        """The architecture that predicts with what was found."""
        from rlnut.networks import linear

        return linear()

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        """Fit rows x [n, p] to values y [n] or [n, K], or to positions y [n] in `classes`."""
        raise NotImplementedError

    def _values(self, y: np.ndarray, classes: tuple | None) -> np.ndarray:
        """What least squares regresses: the values, or one-hot rows."""
        return y if classes is None else np.eye(len(classes))[y]


@dataclass(frozen=True)
class _Regressor(Exact):
    task: str = setting(
        "auto", "what y is; auto: integers and text are classes (fitted as one-hot rows)", choices=TASKS
    )

    def wanted(self) -> str:
        return self.task


@dataclass(frozen=True)
class Linear(_Regressor):
    """Least squares: E = (1/n) Σ ‖y − Wᵀx − b‖², exactly."""

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        from rlnut.least_squares import least_squares

        return Solved(least_squares(x, self._values(y, classes)), 1, {})


@dataclass(frozen=True)
class Ridge(_Regressor):
    """Least squares with λ‖W‖², exactly; the intercept is free."""

    l2: float | None = setting(None, "λ of the penalty λ‖W‖² (none: chosen by cross-validation)", low=0)
    folds: int | None = setting(None, "choose λ by this many folds (none: by generalised cross-validation)", low=2)

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        from rlnut.least_squares import least_squares, ridge_folds, ridge_path

        target = self._values(y, classes)
        if self.l2 is not None:
            if self.folds is not None:
                raise UsageError("folds choose λ, but l2 gives it: leave one of them out")
            return Solved(least_squares(x, target, self.l2), 1, {"l2": self.l2})
        lams = LAMS * max(float(np.square(x - x.mean(0), dtype=float).mean()), 1e-300)
        path = ridge_path(x, target, lams)
        scores = path.gcv if self.folds is None else ridge_folds(x, target, lams, self.folds, seed=seed)
        solution, lam = path.choose(scores)
        return Solved(solution, 1 if self.folds is None else 2, {"l2": lam})


@dataclass(frozen=True)
class Lasso(Exact):
    """Least squares with λ₁‖θ‖₁ + λ₂‖θ‖² (elastic net), exactly, with a duality gap as proof."""

    l1: float = setting(0.1, "λ₁ of the penalty λ₁‖θ‖₁", above=0)
    l2: float = setting(0.0, "λ₂ of the penalty λ₂‖θ‖²", low=0)

    def wanted(self) -> str:
        return "regression"

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        from rlnut.lasso import lasso_path
        from rlnut.solvers import Solution

        path = lasso_path(x, y, self.l1, self.l2)
        found = Solution(path.coef[0], path.intercept[0], float(path.objective[0]))
        return Solved(found, 1, {"non_zero": int(np.count_nonzero(found.coef)), "gap": float(path.gap[0])})


@dataclass(frozen=True)
class Perceptron(Exact):
    """The step function and the rule that learns from mistakes only."""

    epochs: int = setting(10, "passes through the rows; fewer if one has no mistake", low=1)
    average: bool = setting(False, "answer with the mean of θ over all rows seen")
    shuffle: bool = setting(False, "a new random order of the rows in each epoch")

    def wanted(self) -> str:
        return "classification"

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        from rlnut.perceptron import perceptron

        found = perceptron(x, y, self.epochs, average=self.average, seed=seed if self.shuffle else None)
        return Solved(found.solution, len(found.mistakes), {"mistakes": list(found.mistakes)})


@dataclass(frozen=True)
class Logistic(Exact):
    """Logistic regression, with more than two classes softmax regression, by Newton's method to its minimum."""

    probable: ClassVar[bool] = True

    l2: float = setting(1e-4, "λ of the penalty λ‖W‖²", low=0)
    balanced: bool = setting(False, "weigh the rows so that every class counts the same")

    def wanted(self) -> str:
        return "classification"

    def solve(self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int) -> Solved:
        from rlnut.logistic import logistic

        found = logistic(x, y, self.l2, class_weight="balanced" if self.balanced else None)
        return Solved(found.solution, found.iterations, {"gradient": found.gradient})


LINEAR_MODELS: dict[str, type[Exact]] = {
    "linear": Linear, "ridge": Ridge, "lasso": Lasso, "perceptron": Perceptron, "logistic": Logistic,
}  # fmt: skip


def solve(name: str, config: Exact, problem: Dataset, seed: int = 0) -> tuple[Solution, dict[str, Any]]:
    """Fit to the training rows of a dataset that is `data.checked`, judge by its test rows: solution and JSON object.

    Rows of any shape count as vectors, uint8 as x/255; coefficients are for these. One row of `coef` a class or output.
    """
    began = time.perf_counter()
    if problem.classes is None and isinstance(config, Lasso) and problem.y_train.ndim > 1:
        raise UsageError(f"lasso takes one value a row, but y has shape {problem.y_train.shape}")
    x, x_test = _vectors(problem.x_train), _vectors(problem.x_test)
    found = config.solve(x, problem.y_train, problem.classes, seed)
    guess = found.solution.predict(x_test)
    if problem.classes is None:
        verdict = {"test_mse": float(np.mean((guess - problem.y_test) ** 2))}
    else:
        chosen = (guess >= 0).astype(int) if guess.ndim == 1 else guess.argmax(1)
        verdict = {"test_accuracy": float((chosen == problem.y_test).mean())}
    result = {"model": name, "dataset": problem.name, "train_size": len(x), "test_size": len(x_test), **verdict}
    result |= {"epochs": found.epochs, **found.extra, "objective": found.solution.objective}
    result |= {"coef": found.solution.coef.T.tolist(), "intercept": np.asarray(found.solution.intercept).tolist()}
    return found.solution, result | {"wall_s": time.perf_counter() - began}


def _vectors(x: np.ndarray) -> np.ndarray:
    flat = x.reshape(len(x), -1)
    return flat / np.float32(255) if flat.dtype == np.uint8 else flat
