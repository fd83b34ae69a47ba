"""The table of coefficients: of SciPy, of the normal equations, of scikit-learn's Ridge; and where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression, Ridge

import rlnut
from rlnut import UsageError
from rlnut.cli import main

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)) * (1, 10, 0.1)
Y = X @ [2.0, 0.0, -5.0] + 1 + RNG.normal(size=40)


def test_one_column_is_scipys_regression() -> None:
    table = rlnut.fit("linear", X[:, :1], Y, test=0, quiet=True).coefficient_table
    truth = stats.linregress(X[:, 0], Y)
    assert table.names == ("x0", "intercept") and table.freedom == 38
    assert table.se is not None and table.t is not None and table.p is not None
    np.testing.assert_allclose(table.coef, [truth.slope, truth.intercept])
    np.testing.assert_allclose(table.se, [truth.stderr, truth.intercept_stderr])
    np.testing.assert_allclose([table.t[0], table.p[0]], [truth.slope / truth.stderr, truth.pvalue])
    assert table.r2 == pytest.approx(truth.rvalue**2)


def test_several_columns_are_the_normal_equations_on_the_training_rows() -> None:
    """As statsmodels' OLS: bse = √diag(σ²(XᵀX)⁻¹), t = θ/bse, p of Student's t with n − q degrees of freedom."""
    found = rlnut.fit("linear", X, Y, test=0.25, quiet=True)
    table, train = found.coefficient_table, np.isin(np.arange(40), rows_of(found))
    design = np.column_stack([X[train], np.ones(30)])
    theta, square, *_ = np.linalg.lstsq(design, Y[train])
    se = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * square / 26)
    np.testing.assert_allclose(table.coef, theta)
    np.testing.assert_allclose(table.se, se)  # type: ignore[arg-type]
    np.testing.assert_allclose(table.p, 2 * stats.t.sf(np.abs(theta / se), 26))  # type: ignore[arg-type]
    assert table.r2 == pytest.approx(LinearRegression().fit(X[train], Y[train]).score(X[train], Y[train]))
    assert table.sigma == pytest.approx(np.sqrt(square[0] / 26)) and table.freedom == 26
    text = str(table).splitlines()
    assert text[0].split() == ["θ", "s.e.", "t", "p"] and text[4].split()[0] == "intercept"
    assert f"R² = {table.r2:.4f}" in text[5] and "26 degrees of freedom" in text[5]


def rows_of(found: rlnut.FittedModel) -> np.ndarray:
    """The training rows of a split by seed 0: those whose numbers the library would draw for any X of 40 rows."""
    from rlnut.data.catalogue import load_dataset

    assert found.result["test_size"] == 10
    return load_dataset(np.arange(40.0)[:, None], y=Y, test=0.25).x_train[:, 0].astype(int)


@pytest.mark.parametrize("l2", [0.5, None])
def test_lambda_of_ridge_is_scikit_learns_alpha_over_the_rows(l2: float | None) -> None:
    found = rlnut.fit("ridge", X, Y, l2=l2, test=0, quiet=True)
    assert found.result["alpha"] == pytest.approx(40 * found.result["l2"])
    np.testing.assert_allclose(found.result["coef"], Ridge(found.result["alpha"]).fit(X, Y).coef_, rtol=1e-8)
    table = found.coefficient_table
    assert table.se is None and table.r2 == pytest.approx(found.score(X, Y))
    assert f"α = {found.result['alpha']:.4g} of scikit-learn's Ridge" in str(table)
    assert "no standard errors: the penalty draws θ to 0" in str(table)


def test_without_a_penalty_ridge_is_linear_and_without_an_intercept_none_has_an_error() -> None:
    free, bare = (rlnut.fit("ridge", X, Y, l2=0.0, test=0, intercept=i, quiet=True) for i in (True, False))
    linear = rlnut.fit("linear", X, Y, test=0, quiet=True)
    np.testing.assert_allclose(free.result["coef_t"], linear.result["coef_t"])
    assert "intercept_se" in free.result and "intercept_se" not in bare.result
    _, square, *_ = np.linalg.lstsq(X, Y)
    np.testing.assert_allclose(
        bare.result["coef_se"], np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * square / 37), rtol=1e-8
    )


def test_the_command_prints_it_and_the_folder_keeps_it(tmp_path: Path, capsys: Any) -> None:
    np.savetxt(tmp_path / "t.csv", np.column_stack([X, Y]), delimiter=",", header="a,b,c,y", comments="")
    assert (
        main(["fit", "linear", str(tmp_path / "t.csv"), "--target", "y", "--out", str(tmp_path / "o"), "--json"]) == 0
    )
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert {"coef_se", "coef_t", "coef_p", "intercept_se", "train_r2", "sigma", "freedom"} <= set(found)
    table = rlnut.load(tmp_path / "o").coefficient_table
    assert table.names == ("a", "b", "c", "intercept") and str(table) in said.err
    for model, y, why in (("linear", np.column_stack([Y, Y]), "2 outputs"), ("mlp", Y, "no coefficients")):
        few: dict[str, Any] = {"epochs": 1} if model == "mlp" else {}
        other = rlnut.fit(model, X, y, test=0, quiet=True, **few)
        with pytest.raises(UsageError, match=why):
            _ = other.coefficient_table
    twice = rlnut.fit("linear", np.column_stack([X, X]), Y, test=0, quiet=True).coefficient_table
    assert twice.se is None and "do not determine them" in str(twice)
