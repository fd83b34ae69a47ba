"""The estimators pass scikit-learn's own checks, work in its tools, and agree with its estimators."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn.linear_model as theirs
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rlnut import UsageError
from rlnut.linear_models.perceptron import perceptron
from rlnut.sklearn import ElasticNet, Lasso, LinearRegression, LogisticRegression, Perceptron, Ridge

ALL = [LinearRegression(), Ridge(), Lasso(alpha=0.01), ElasticNet(alpha=0.01), Perceptron(), LogisticRegression()]


def expected_failures(estimator) -> dict[str, str]:
    """The order of the rows matters to the perceptron's rule: equal weights and rows in file order, see below."""
    names = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(names, "the order of the rows matters") if isinstance(estimator, Perceptron) else {}


@parametrize_with_checks(ALL, expected_failed_checks=expected_failures)
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
    assert clone(Ridge(3.0)).get_params() == {"alpha": 3.0, "fit_intercept": True, "positive": False}


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


X, Y = load_diabetes(return_X_y=True)
WEIGHT = np.random.default_rng(1).integers(0, 4, len(Y))
LABELS = np.digitize(Y, (120, 200))


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        LinearRegression(fit_intercept=False, positive=True),
        Ridge(3.0),
        Ridge(3.0, positive=True),
        Lasso(0.1),
        Lasso(0.1, positive=True),
        ElasticNet(0.1),
        ElasticNet(0.1, l1_ratio=0.0),
        LogisticRegression(),
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(class_weight={0: 3.0, 2: 0.5}, fit_intercept=False),
        Perceptron(shuffle=False, max_iter=7, tol=None),
        Perceptron(shuffle=False, max_iter=7, tol=None, average=True),
        Perceptron(shuffle=False),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Maximum number:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("classes", [2, 3])
def test_a_whole_weight_counts_as_so_many_rows(estimator, classes: int):
    """Also 0: a row of weight 0 is not there. scikit-learn's own estimators hold this, balanced classes since 1.7."""
    regressor = isinstance(estimator, (LinearRegression, Ridge, ElasticNet))
    if regressor and classes == 3:
        pytest.skip("values have no classes")
    y = Y if regressor else np.minimum(LABELS, classes - 1)
    weighted = clone(estimator).set_params(**balanced(estimator, classes)).fit(X, y, WEIGHT)
    repeated = clone(estimator).set_params(**balanced(estimator, classes)).fit(X.repeat(WEIGHT, 0), y.repeat(WEIGHT))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-6, atol=1e-6)
    if isinstance(estimator, Perceptron):
        assert weighted.mistakes_ == repeated.mistakes_


def balanced(estimator, classes: int) -> dict:
    return {"class_weight": {0: 3.0, 1: 0.5}} if "{" in str(estimator) and classes == 2 else {}


def test_halves_of_weights_in_the_perceptron_by_hand():
    """θ = 0 calls row 0 positive: of its weight 1.5 a step of 1 is right already for x < 0, so ½ is left unused."""
    x, y = np.array([[-1.0], [2.0]]), np.array([0, 1])
    found = Perceptron(shuffle=False, max_iter=1, tol=None)
    with pytest.warns(ConvergenceWarning):
        found.fit(x, y, [0.5, 1.0])  # s = 0: class 1, wrong; θ = −½(−1, 1) = (½, −½); then s = ½ > 0: right
    assert (
        found.coef_.tolist() == [[0.5]]
        and np.asarray(found.intercept_).tolist() == [-0.5]
        and found.mistakes_ == (0.5,)
    )


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (LinearRegression(positive=True), theirs.LinearRegression(positive=True)),
        (Ridge(0.5, positive=True), theirs.Ridge(0.5, positive=True, tol=1e-10)),
        (Lasso(0.1, positive=True), theirs.Lasso(0.1, positive=True, tol=1e-12, max_iter=100_000)),
        (ElasticNet(0.01, positive=True), theirs.ElasticNet(0.01, positive=True, tol=1e-12, max_iter=100_000)),
    ],
    ids=lambda m: type(m).__name__,
)
def test_positive_coefficients_agree(ours, other):
    found = ours.fit(X, Y).coef_
    assert found.min() == 0 and found.max() > 0
    np.testing.assert_allclose(found, other.fit(X, Y).coef_, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("estimator", ALL, ids=lambda m: type(m).__name__)
def test_sparse_rows_and_precision_are_kept(estimator):
    """A sparse X gives what the dense one gives; float32 in is float32 out, as in scikit-learn."""
    x, y = np.where(np.abs(X) < 0.02, 0, X), LABELS if hasattr(estimator, "decision_function") else Y
    dense = clone(estimator).fit(x, y)
    for kind in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        other = clone(estimator).fit(kind(x), y)
        np.testing.assert_allclose(other.coef_, dense.coef_)
        np.testing.assert_allclose(other.predict(kind(x[:9])), dense.predict(x[:9]))
    single = clone(estimator).fit(x.astype(np.float32), y)
    assert single.coef_.dtype == np.float32
    if hasattr(single, "decision_function"):
        assert single.decision_function(x.astype(np.float32)).dtype == np.float32
    else:
        assert single.predict(x.astype(np.float32)).dtype == np.float32


def test_a_sparse_array_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="GiB are free"):
        Ridge().fit(sparse.csr_array((10**7, 10**7)), np.zeros(10**7))


def test_too_few_iterations_warn_and_keep_what_there_is():
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        brief = LogisticRegression(max_iter=1).fit(X, LABELS)
    assert brief.n_iter_.tolist() == [1] and brief.score(X, LABELS) > 0.4
    assert LogisticRegression().fit(X, LABELS).n_iter_.shape == theirs.LogisticRegression().fit(X, LABELS).n_iter_.shape
    with pytest.warns(ConvergenceWarning, match="before the perceptron converged"):
        Perceptron(max_iter=2).fit(X, LABELS)
    assert Perceptron().fit(X, LABELS).n_iter_ < 1000


def test_the_perceptron_goes_on_where_it_was():
    """Two calls of an epoch each are one call of two epochs."""
    x, y = X[:100], (Y[:100] > 150).astype(int)
    whole = perceptron(x, y, 2)
    parts = Perceptron(shuffle=False)
    for _ in range(2):
        parts.partial_fit(x, y, classes=[0, 1])
    np.testing.assert_array_equal(parts.coef_[0], whole.solution.coef)
    with pytest.raises(ValueError, match="classes must be passed"):
        Perceptron().partial_fit(x, y)
    with pytest.raises(UsageError, match="not among the classes"):
        parts.partial_fit(x, y + 5)
    warm = Perceptron(shuffle=False, max_iter=1, tol=None, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        warm.fit(x, y).fit(x, y)
    np.testing.assert_array_equal(warm.coef_[0], whole.solution.coef)


@pytest.mark.parametrize("estimator", ALL, ids=lambda m: type(m).__name__)
def test_fitted_estimators_are_pickled(estimator):
    fitted = clone(estimator).fit(X, LABELS)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_the_core_does_not_import_scikit_learn():
    code = "import sys; from rlnut.linear_models import least_squares, lasso, logistic, perceptron\n"
    code += "import rlnut.features.tiles; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_perceptrons_default_answers_with_the_mean_where_no_plane_separates():
    x, y = load_iris(return_X_y=True)
    scores = [Perceptron(random_state=seed).fit(x, y).score(x, y) for seed in range(5)]
    assert min(scores) > 0.95  # the best plane has .987 right; the last θ as little as .667
    apart = x[y != 2], y[y != 2]
    last, default = Perceptron(average=False).fit(*apart), Perceptron().fit(*apart)
    np.testing.assert_array_equal(last.coef_, default.coef_)  # a plane separates these: the θ without a mistake
