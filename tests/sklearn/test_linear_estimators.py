"""The estimators pass scikit-learn's own checks, work in its tools, and agree with its estimators."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.linear_model as theirs
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rlnut import UsageError
from rlnut.sklearn import ElasticNet, Lasso, LinearRegression, LogisticRegression, Perceptron, Ridge

ALL = [LinearRegression(), Ridge(), Lasso(alpha=0.01), ElasticNet(alpha=0.01), Perceptron(), LogisticRegression()]


@parametrize_with_checks(ALL)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (LinearRegression(), theirs.LinearRegression()),
        (LinearRegression(fit_intercept=False), theirs.LinearRegression(fit_intercept=False)),
        (Ridge(3.0), theirs.Ridge(3.0)),
        (Lasso(0.1), theirs.Lasso(0.1, tol=1e-12, max_iter=100_000)),
        (ElasticNet(0.1, l1_ratio=0.7), theirs.ElasticNet(0.1, l1_ratio=0.7, tol=1e-12, max_iter=100_000)),
        (ElasticNet(0.1, l1_ratio=0.0), theirs.Ridge(0.1 * 442)),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_regressors_agree(ours, other, weighted: bool):
    x, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float) if weighted else None
    if weight is not None and isinstance(ours, ElasticNet):
        weight *= len(y) / weight.sum()  # scikit-learn scales them so too
    if isinstance(other, theirs.Ridge) and not isinstance(ours, Ridge) and weight is not None:
        other = theirs.Ridge(0.1 * weight.sum())
    ours, other = clone(ours).fit(x, y, weight), other.fit(x, y, weight)
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(x), other.predict(x), rtol=1e-7)


def test_several_outputs_agree():
    x, y = load_diabetes(return_X_y=True)
    y = np.stack([y, x[:, 0] * 100], 1)
    for ours, other in ((Ridge(), theirs.Ridge()), (Lasso(0.1), theirs.Lasso(0.1, tol=1e-12))):
        np.testing.assert_allclose(ours.fit(x, y).coef_, other.fit(x, y).coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept_, other.intercept_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
@pytest.mark.parametrize("weights", [None, "balanced", {0: 3.0}])
def test_logistic_regression_agrees(load, weights):
    x, y = load(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    ours = LogisticRegression(C=0.7, class_weight=weights).fit(x, y)
    other = theirs.LogisticRegression(C=0.7, class_weight=weights, tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(x), other.predict_proba(x), atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(x), other.decision_function(x), atol=1e-4)


def test_in_scikit_learns_tools():
    x, y = load_breast_cancer(return_X_y=True)
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.01, 1.0]})
    assert search.fit(x, y).best_score_ > 0.97
    assert cross_val_score(make_pipeline(StandardScaler(), Perceptron(average=True)), x, y).mean() > 0.95
    x, y = load_diabetes(return_X_y=True)
    assert cross_val_score(Ridge(0.1), x, y).mean() == pytest.approx(cross_val_score(theirs.Ridge(0.1), x, y).mean())
    assert clone(Ridge(3.0)).get_params() == {"alpha": 3.0, "fit_intercept": True}


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Ridge(alpha=-1), "alpha must be >= 0"),
        (ElasticNet(l1_ratio=2), "l1_ratio must be >= 0 and <= 1"),
        (LogisticRegression(C=0), "C must be >="),
        (Perceptron(max_iter=0), "epochs must be >= 1"),
    ],
)
def test_bad_parameters_are_one_clear_line(estimator, message: str):
    with pytest.raises(UsageError, match=message):
        estimator.fit(np.eye(4), np.array([0, 1, 0, 1]))


def test_the_core_does_not_import_scikit_learn():
    code = "import sys; from rlnut.linear_models import least_squares, lasso, logistic, perceptron\n"
    code += "import rlnut.features.tiles; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
