"""The coefficients of a linear fit by their names, with standard errors, t and p where they are defined, and R²."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from rlnut.errors import UsageError, counted
from rlnut.runtime.files import JsonObject

if TYPE_CHECKING:
    from rlnut.linear_models.standard_errors import StandardErrors
    from rlnut.supervised.fitted_model import FittedModel

SHOWN = 30  # rows of the printed table
INTERCEPT = "intercept"


class CoefficientTable(NamedTuple):
    """One row for each coefficient of a model with one output; the last one is the intercept."""

    names: tuple[str, ...]
    coef: np.ndarray  # [p + 1]
    se: np.ndarray | None  # [p + 1] standard errors; None: not defined (a penalty, dependent columns, few rows)
    t: np.ndarray | None  # coef/se
    p: np.ndarray | None  # P(|T| ≥ |t|) of Student's t with `freedom` degrees of freedom
    r2: float | None  # on the training rows
    sigma: float | None  # standard deviation of the noise
    freedom: int | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        width = max(len(name) for name in self.names)
        shown = [*range(min(len(self.names) - 1, SHOWN)), len(self.names) - 1]
        lines = [f"{'':{width}}  {'θ':>12}" + ("" if self.se is None else f"{'s.e.':>12}{'t':>10}{'p':>10}")]
        for j in shown:
            line = f"{self.names[j]:{width}}  {self.coef[j]:>12.6g}"
            if self.se is not None and self.t is not None and self.p is not None:
                line += f"{self.se[j]:>12.4g}{self.t[j]:>10.3f}{self.p[j]:>10.2g}"
            lines.append(line)
        if hidden := len(self.names) - len(shown):
            lines.insert(-1, f"… {hidden} more")
        facts = [] if self.r2 is None else [f"R² = {self.r2:.4f} on the training rows"]
        if self.sigma is not None:
            facts.append(f"σ = {self.sigma:.4g} with {counted(self.freedom or 0, 'degree')} of freedom")
        return "\n".join([*lines, "; ".join([*facts, *self.notes])]).rstrip()

    def __repr__(self) -> str:
        return str(self)


def figures_of_errors(errors: StandardErrors, coef: np.ndarray, intercept: np.ndarray, free: bool) -> JsonObject:
    """What JSON says of standard errors: t = θ/se and p of Student's t, for coef [p] or [p, K] as [K, p]."""

    def t_and_p(theta: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.asarray(theta / se)
        return t, np.asarray(2 * special.stdtr(errors.freedom, -np.abs(t)))

    t, p = t_and_p(coef, errors.coef)
    found: JsonObject = {"coef_se": errors.coef.T.tolist(), "coef_t": t.T.tolist(), "coef_p": p.T.tolist()}
    if free:
        t, p = t_and_p(intercept, errors.intercept)
        found |= {"intercept_se": errors.intercept.tolist(), "intercept_t": t.tolist(), "intercept_p": p.tolist()}
    return found | {"sigma": errors.sigma.tolist(), "freedom": errors.freedom}


def coefficient_names(columns: Sequence[str], count: int, features: bool) -> list[str]:
    """The names of the columns where θ multiplies these, else x0, x1, … or φ0, φ1, … of hand-made features."""
    if not features and len(columns) == count:
        return list(columns)
    return [f"{'φ' if features else 'x'}{j}" for j in range(count)]


def coefficient_table(fitted: FittedModel) -> CoefficientTable:
    """The table of a linear model with one output; UsageError for others."""
    found, about = fitted.result, fitted.about
    coef = np.asarray(found.get("coef", ()), float)
    if coef.ndim != 1 or not coef.size:
        kind = "no coefficients" if not coef.size else f"{len(coef)} outputs: coefficients() has all of them"
        raise UsageError(f"a table of coefficients is for a linear model with one output; {about['model']} has {kind}")
    names = coefficient_names(about.get("columns", ()), len(coef), bool(about.get("basis")))

    def column(word: str) -> np.ndarray | None:
        if f"coef_{word}" not in found:
            return None
        return np.array([*found[f"coef_{word}"], found.get(f"intercept_{word}", np.nan)], float)

    notes = []
    if "alpha" in found:
        notes.append(f"λ = {found['l2']:.4g}, which is α = {found['alpha']:.4g} of scikit-learn's Ridge")
    if "coef_se" not in found and about["model"] in ("linear", "ridge") and "train_r2" in found:
        penalised = about["model"] == "ridge" and found.get("l2")
        why = "the penalty draws θ to 0" if penalised else "these rows and columns do not determine them"
        notes.append(f"no standard errors: {why}")
    values = np.array([*coef, found["intercept"]], float)
    return CoefficientTable(
        (*names, INTERCEPT), values, column("se"), column("t"), column("p"), found.get("train_r2"),
        found.get("sigma"), found.get("freedom"), tuple(notes),
    )  # fmt: skip
