"""The linear models of `rlnut fit` that are solved exactly, or by their own rule: settings, each with its `solve`.

Importing this is cheap; the solvers come in when they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rlnut.choices import Scaling, Task
from rlnut.data.dataset import TASKS
from rlnut.errors import UsageError, counted
from rlnut.settings import setting
from rlnut.supervised.linear_base import LinearSettings, Solved

if TYPE_CHECKING:
    from optax import GradientTransformation

    from rlnut.linear_models.lasso import LassoPath
    from rlnut.linear_models.solution import Solution
    from rlnut.linear_models.standard_errors import StandardErrors
    from rlnut.runtime.files import JsonObject

SOLVERS = ("gd", "momentum", "adam", "lbfgs")  # see rlnut.descent
TOL = 1e-8  # of ‖∇E‖, where a gradient solver ends
SEEN = 20_000  # rows that a perceptron sees at least: a few seconds' work
MOST_ERRORS = 1000  # coefficients whose standard errors are worked out
LAMS = np.logspace(-10, 4, 113)  # the λ that cross-validation chooses from, times the mean square of the columns


@dataclass(frozen=True)
class _Descended(LinearSettings):
    """A model that is solved exactly, or by gradient steps on all rows at once (`descent`)."""

    descends: ClassVar[bool] = True

    solver: Literal["exact", "newton", "gd", "momentum", "adam", "lbfgs"] = setting(
        "exact", "closed form (exact), or full-batch gradient descent", choices=("exact", *SOLVERS)
    )
    lr: float | None = setting(
        None, "learning rate α of a gradient solver (None: 1/L for gd and momentum, 0.1 for adam)", above=0
    )
    steps: int | None = setting(
        None, "maximum number of steps of a gradient solver; ends when ‖∇E‖ <= 1e-8 (None: 10,000)", low=1
    )
    intercept: bool = setting(True, "fit an intercept b: ŷ = θᵀx + b")

    def not_converged(self, result: JsonObject) -> str | None:
        norm = result.get("gradient", 0.0)
        if norm <= TOL:
            return None
        done = counted(result["epochs"], "step")
        return f"‖∇E‖ = {norm:.1e} after {done}, not yet {TOL:g}: try more steps, or the solver {type(self)().solver}"

    def descended(
        self,
        x: np.ndarray,
        y: np.ndarray,
        lam: float,
        optimizer: GradientTransformation | None,
        classes: int | None = None,
        weight: np.ndarray | None = None,
    ) -> Solved | None:
        """What the gradient solver finds; None if the exact one is asked for."""
        from rlnut.linear_models.descent import descend

        if optimizer is None and self.solver == type(self)().solver:
            for name in ("lr", "steps"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name} is for a gradient solver, but solver is {self.solver}")
            return None
        chosen = self.solver if optimizer is None else optimizer
        most = self.steps or 10_000
        found, steps, norm = descend(
            x, y, lam, chosen, self.lr, classes=classes, weight=weight, intercept=self.intercept, steps=most, tol=TOL
        )
        return Solved(found, steps, {"gradient": norm})


@dataclass(frozen=True)
class _Regressor(_Descended):
    task: Task = setting(
        "auto", "kind of target; auto: integers and text are classes (regression on one-hot rows)", choices=TASKS
    )

    def wanted(self) -> str:
        return self.task

    @property
    def unbiased(self) -> bool:
        """Is θ on average the true one? A penalty draws it to 0, by more than its standard error may say."""
        return False

    def coefficient_errors(self, x: np.ndarray, y: np.ndarray, solution: Solution) -> StandardErrors | None:
        from rlnut.linear_models.standard_errors import standard_errors

        known = self.unbiased and self.solver == "exact" and x.shape[1] <= MOST_ERRORS
        return standard_errors(x, y, solution, self.intercept) if known else None


@dataclass(frozen=True)
class LeastSquaresSettings(_Regressor):
    """Least squares: E = (1/n) Σ ‖y − Wᵀx − b‖²."""

    def reference(self) -> bool:
        return self.intercept

    @property
    def unbiased(self) -> bool:
        return True

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        from rlnut.linear_models.least_squares import least_squares

        target = _values(y, classes)
        found = self.descended(x, target, 0.0, optimizer)
        return found or Solved(least_squares(x, target, intercept=self.intercept), 1, {})


@dataclass(frozen=True)
class RidgeSettings(_Regressor):
    """Least squares with λ‖W‖²; the intercept is free."""

    l2: float | None = setting(
        None, "λ of the penalty λ‖W‖²; scikit-learn's alpha is λ × rows (None: chosen by cross-validation)", low=0
    )
    folds: int | None = setting(
        None, "folds of the cross-validation that chooses λ (None: generalised cross-validation)", low=2
    )

    @property
    def unbiased(self) -> bool:
        return self.l2 == 0

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        from rlnut.linear_models.least_squares import least_squares, ridge_folds, ridge_path

        target, free = _values(y, classes), self.intercept
        if self.l2 is not None:
            if self.folds is not None:
                raise UsageError("folds choose λ, but l2 gives it: leave one of them out")
            found = self.descended(x, target, self.l2, optimizer)
            found = found or Solved(least_squares(x, target, self.l2, intercept=free), 1, {})
            return found._replace(extra=found.extra | {"l2": self.l2, "alpha": self.l2 * len(x)})
        lams = LAMS * max(float(np.square(x - x.mean(0), dtype=float).mean()), 1e-300)
        path = ridge_path(x, target, lams, intercept=free)
        by = path.gcv if self.folds is None else ridge_folds(x, target, lams, self.folds, seed=seed, intercept=free)
        solution, lam = path.choose(by)
        found = self.descended(x, target, lam, optimizer) or Solved(solution, 1 if self.folds is None else 2, {})
        return found._replace(extra=found.extra | {"l2": lam, "alpha": lam * len(x)})


@dataclass(frozen=True)
class LassoSettings(LinearSettings):
    """Least squares with λ₁‖θ‖₁ + λ₂‖θ‖² (elastic net), exactly, with a duality gap as proof."""

    l1: float | None = setting(
        None,
        "λ₁ of the penalty λ₁‖θ‖₁; scikit-learn's Lasso has alpha = λ₁/2 (None: chosen by cross-validation)",
        above=0,
    )
    l2: float = setting(0.0, "λ₂ of the penalty λ₂‖θ‖² (greater than 0: elastic net)", low=0)
    folds: int | None = setting(None, "folds of the cross-validation that chooses λ₁ (None: 5)", low=2)
    intercept: bool = setting(True, "fit an intercept b: ŷ = θᵀx + b")

    def wanted(self) -> str:
        return "regression"

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        from rlnut.linear_models.lasso import lasso_folds, lasso_path
        from rlnut.linear_models.solution import Solution

        if y.ndim > 1:
            raise UsageError(f"lasso takes one value a row, but y has shape {y.shape}")
        if self.l1 is not None and self.folds is not None:
            raise UsageError("folds choose λ₁, but l1 gives it: leave one of them out")
        path, best = lasso_path(x, y, self.l1, self.l2, intercept=self.intercept), 0
        if self.l1 is None:
            error = lasso_folds(x, y, path.l1, self.l2, self.folds or 5, seed=seed, intercept=self.intercept)
            best = int(np.argmin(error))  # of equal ones the largest λ₁, which comes first
        found = Solution(path.coef[best], path.intercept[best], float(path.objective[best]))
        extra = {"l1": float(path.l1[best]), "l2": self.l2, "non_zero": int(np.count_nonzero(found.coef))}
        return Solved(found, 1 if self.l1 else 1 + (self.folds or 5), extra | {"gap": float(path.gap[best])})

    def penalty_path(self, x: np.ndarray, y: np.ndarray) -> LassoPath | None:
        from rlnut.linear_models.lasso import lasso_path

        return lasso_path(x, y, None, self.l2, intercept=self.intercept)


@dataclass(frozen=True)
class PerceptronSettings(LinearSettings):
    """The step function and the rule that learns from mistakes only; where no plane separates the classes it never
    settles, and the mean of θ (average) is the better answer.
    """

    epochs: int | None = setting(
        None,
        f"passes over the rows; ends at one without a mistake (None: 10, more if they are fewer than {SEEN:,} rows)",
        low=1,
    )
    average: bool | None = setting(
        None, "averaged perceptron: use the mean of θ over all updates (None: unless the last pass has no mistake)"
    )
    shuffle: bool = setting(True, "shuffle the rows in each epoch (files are often sorted by class)")
    scale: Scaling = setting(
        "auto",
        "scaling of the columns: to mean 0 and standard deviation 1 over the training rows (standard), or none; "
        "auto: standard, but uint8 images from 0…255 to 0…1",
        choices=("auto", "standard", "none"),
    )

    def not_converged(self, result: JsonObject) -> str | None:
        if result["converged"]:
            return None
        last, epochs = counted(result["mistakes"][-1], "mistake"), counted(result["epochs"], "epoch")
        if self.average is False:
            return f"{last} in the last of {epochs}; try more epochs, or answer with the mean of all θ (average)"
        return f"{last} in the last of {epochs}, no plane may separate the classes: the answer is the mean of all θ"

    def standardised(self, x: np.ndarray) -> bool:
        return self.scale == "standard" or (self.scale == "auto" and x.dtype != np.uint8)

    def wanted(self) -> str:
        return "classification"

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        from rlnut.linear_models.perceptron import perceptron

        epochs = self.epochs or max(10, math.ceil(SEEN / len(x)))
        found = perceptron(x, y, epochs, average=self.average, seed=seed if self.shuffle else None)
        extra = {"mistakes": list(found.mistakes), "converged": found.converged}
        return Solved(found.solution, len(found.mistakes), extra)


@dataclass(frozen=True)
class LogisticSettings(_Descended):
    """Logistic regression, P(y = 1 | x) = 1/(1 + e^−(θ·x + b)); with more classes softmax regression. To its minimum.

    For classes m of M, P(m | x) = exp(θ_m·x + b_m)/Σ_k exp(θ_k·x + b_k); the lecture writes −θ for our θ. For two
    classes our θ is θ₁ − θ₀.
    """

    probable: ClassVar[bool] = True

    solver: Literal["newton", "gd", "momentum", "adam", "lbfgs"] = setting(
        "newton", "Newton's method, or full-batch gradient descent", choices=("newton", *SOLVERS)
    )
    l2: float = setting(1e-4, "λ of the penalty λ‖W‖²", low=0)
    balanced: bool = setting(False, "weight the rows so that all classes count equally")

    def wanted(self) -> str:
        return "classification"

    def solve(
        self, x: np.ndarray, y: np.ndarray, classes: tuple | None, seed: int, optimizer: GradientTransformation | None
    ) -> Solved:
        from rlnut.linear_models.logistic import class_weights, logistic

        balanced = "balanced" if self.balanced else None
        known = np.arange(len(classes or ()))
        weight = class_weights(y, balanced, known) if balanced else None
        found = self.descended(x, y, self.l2, optimizer, len(known), weight)
        if found is not None:
            return found
        solved = logistic(x, y, self.l2, class_weight=balanced, intercept=self.intercept)
        return Solved(solved.solution, solved.iterations, {"gradient": solved.gradient})


def _values(y: np.ndarray, classes: tuple | None) -> np.ndarray:
    """What least squares regresses: the values, or one-hot rows."""
    return y if classes is None else np.eye(len(classes))[y]


LINEAR_MODELS: dict[str, type[LinearSettings]] = {
    "linear": LeastSquaresSettings,
    "ridge": RidgeSettings,
    "lasso": LassoSettings,
    "perceptron": PerceptronSettings,
    "logistic": LogisticSettings,
}
