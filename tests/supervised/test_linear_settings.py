"""The linear models of `rlnut fit` on tables with a known answer."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LassoCV, LinearRegression

from rlnut import UsageError
from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.data.small_tables import held_out, load_table
from rlnut.supervised.fit_linear import solve_linear as solve_checked
from rlnut.supervised.linear_settings import (
    LINEAR_MODELS,
    LassoSettings,
    LeastSquaresSettings,
    LinearSettings,
    LogisticSettings,
    PerceptronSettings,
    RidgeSettings,
)


def solve(name: str, config: LinearSettings, data: Dataset, seed: int = 0):
    return solve_checked(name, config, checked_dataset(data, config.wanted()), seed)


def table(name: str) -> Dataset:
    return held_out(load_table(name), name)


def test_linear_finds_the_resistance():
    data = table("ohm")
    fit, result = solve("linear", LeastSquaresSettings(), data)
    theirs = LinearRegression().fit(data.x_train, data.y_train)
    assert result["coef"] == pytest.approx(theirs.coef_) and result["intercept"] == pytest.approx(theirs.intercept_)
    residual = data.y_train - theirs.predict(data.x_train)
    assert result["objective"] == pytest.approx((residual**2).mean())
    assert result["test_mse"] == pytest.approx(((data.y_test - theirs.predict(data.x_test)) ** 2).mean())
    assert (result["model"], result["dataset"], result["train_size"], result["test_size"]) == ("linear", "ohm", 80, 20)
    assert fit.coef.shape == (1,) and result["epochs"] == 1 and result["wall_s"] > 0


def test_classes_are_fitted_as_one_hot_rows():
    data = table("iris")
    _, result = solve("linear", LeastSquaresSettings(), data)
    theirs = LinearRegression().fit(data.x_train, np.eye(3)[data.y_train])
    np.testing.assert_allclose(result["coef"], theirs.coef_, atol=1e-10)
    assert result["test_accuracy"] == (theirs.predict(data.x_test).argmax(1) == data.y_test).mean()


def test_ridge_chooses_or_is_told():
    data = table("diabetes")
    plain = solve("linear", LeastSquaresSettings(), data)[1]
    for config in (RidgeSettings(), RidgeSettings(folds=5)):
        result = solve("ridge", config, data)[1]
        assert result["l2"] > 0 and result["test_mse"] < 1.05 * plain["test_mse"]
        told = solve("ridge", RidgeSettings(l2=result["l2"]), data)[1]
        assert told["coef"] == pytest.approx(result["coef"]) and told["objective"] == pytest.approx(result["objective"])
    with pytest.raises(UsageError, match="leave one of them out"):
        solve("ridge", RidgeSettings(l2=1.0, folds=5), data)


def test_lasso_chooses_as_scikit_learn_does_on_the_same_folds():
    data = table("sparse")
    found = solve("lasso", LassoSettings(folds=4), data, seed=3)[1]
    deal = np.array_split(np.random.default_rng(3).permutation(len(data.x_train)), 4)
    folds = [(np.setdiff1d(np.arange(len(data.x_train)), held), held) for held in deal]
    top = 2 * np.abs((data.x_train - data.x_train.mean(0)).T @ data.y_train).max() / len(data.x_train)
    theirs = LassoCV(alphas=top * np.geomspace(1, 1e-3, 100) / 2, cv=folds, tol=1e-8).fit(data.x_train, data.y_train)
    assert found["l1"] == pytest.approx(2 * theirs.alpha_)
    np.testing.assert_allclose(found["coef"], theirs.coef_, atol=1e-4)
    told = solve("lasso", LassoSettings(l1=found["l1"], l2=0.0), data)[1]
    assert told["coef"] == pytest.approx(found["coef"], abs=1e-8)
    with pytest.raises(UsageError, match="leave one of them out"):
        solve("lasso", LassoSettings(l1=1.0, folds=5), data)


def test_without_an_intercept_it_is_the_fit_through_the_origin():
    data = table("ohm")
    theta = np.linalg.lstsq(data.x_train, data.y_train)[0]
    for config in (
        LeastSquaresSettings(intercept=False),
        RidgeSettings(l2=0.0, intercept=False),
        LeastSquaresSettings(intercept=False, solver="gd"),
    ):
        result = solve("linear", config, data)[1]
        assert result["coef"] == pytest.approx(theta) and result["intercept"] == 0
    shrunk = solve("lasso", LassoSettings(l1=0.5, intercept=False), data)[1]
    n = len(data.x_train)
    aim, square = data.x_train[:, 0] @ data.y_train / n, (data.x_train**2).mean()
    assert shrunk["coef"] == pytest.approx([(aim - 0.25) / square]) and shrunk["intercept"] == 0


def test_lasso_finds_the_support():
    result = solve("lasso", LassoSettings(l1=0.3), table("sparse"))[1]
    assert np.flatnonzero(result["coef"]).tolist() == [0, 1, 2, 3, 4] and result["non_zero"] == 5


def test_perceptron_and_logistic_classify():
    data = table("breast-cancer")
    scale = data.x_train.std(0)
    data = data._replace(x_train=data.x_train / scale, x_test=data.x_test / scale)
    averaged = solve("perceptron", PerceptronSettings(average=True, shuffle=True, epochs=10), data, seed=1)[1]
    assert averaged["test_accuracy"] > 0.93 and len(averaged["mistakes"]) == averaged["epochs"] <= 10
    for config in (LogisticSettings(), LogisticSettings(balanced=True)):
        result = solve("logistic", config, data)[1]
        assert result["test_accuracy"] > 0.93 and len(result["coef"]) == 30 and result["gradient"] <= 1e-8
    iris = solve("logistic", LogisticSettings(), table("iris"))[1]
    assert np.shape(iris["coef"]) == (3, 4) and np.shape(iris["intercept"]) == (3,) and iris["test_accuracy"] > 0.9


def test_bytes_count_as_shares_of_255():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 2, 3)).astype(np.uint8)
    y = x.reshape(60, 6) @ np.arange(6.0) / 255 + 2
    result = solve("linear", LeastSquaresSettings(), Dataset(x[:50], y[:50], x[50:], y[50:]))[1]
    np.testing.assert_allclose(result["coef"], np.arange(6), atol=1e-5)
    assert result["test_mse"] < 1e-10


@pytest.mark.parametrize("name", ["perceptron", "logistic"])
def test_classifiers_refuse_values(name: str):
    with pytest.raises(UsageError, match="no class labels"):
        solve(name, LINEAR_MODELS[name](), table("ohm"))


def test_lasso_refuses_classes_and_several_outputs():
    with pytest.raises(UsageError):
        solve(
            "lasso",
            LassoSettings(),
            Dataset(np.eye(3), np.array(["a", "b", "a"]), np.eye(3), np.array(["a", "b", "a"])),
        )
    with pytest.raises(UsageError, match="one value a row"):
        solve("lasso", LassoSettings(), Dataset(np.eye(3), np.eye(3), np.eye(3), np.eye(3)))


def test_settings_import_without_jax_and_scipy():
    code = "import sys, rlnut.supervised.linear_settings; sys.exit('jax' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
