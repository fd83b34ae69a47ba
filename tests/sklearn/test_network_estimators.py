"""The network estimators: scikit-learn's own checks (all of them marked slow), its tools, its penalty and its names."""

import pickle
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from rlnut import UsageError
from rlnut.networks.architectures import mlp
from rlnut.sklearn import LogisticRegression, MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor
from rlnut.supervised.network_settings import CNN, MLP

SMALL = [
    MLPClassifier((10,), max_iter=60, learning_rate_init=0.02),
    MLPRegressor((10,), max_iter=60, learning_rate_init=0.02),
    NetworkClassifier(MLP(hidden=(10,), epochs=60, lr=0.02)),
    NetworkRegressor(MLP(hidden=(10,), epochs=60, lr=0.02)),
]


def expected_failures(estimator) -> dict[str, str]:
    """Batches are drawn from other rows: equal weights and rows in one batch, see below."""
    names = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(names, "each batch holds other rows")


QUICK = (  # each compiles for a second: these run always, all of them with -m slow
    "check_estimator_cloneable", "check_estimators_unfitted", "check_estimators_pickle", "check_n_features_in",
    "check_methods_subset_invariance", "check_no_attributes_set_in_init", "check_parameters_default_constructible",
    "check_fit2d_1sample",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(SMALL, expected_failed_checks=expected_failures)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
def test_some_of_scikit_learns_own_checks():
    done = set()
    brief = MLPClassifier((3,), max_iter=2), NetworkRegressor(MLP(hidden=(3,), epochs=2))
    for estimator, check in [pair for one in brief for pair in estimator_checks_generator(one)]:
        name = check.func.__name__
        if name in QUICK:
            check(estimator)
            done.add(name)
    assert len(done) == len(QUICK)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
def test_digits_in_scikit_learns_tools():
    x, y = load_digits(return_X_y=True)
    x, y = x[:600], np.array(list("abcdefghij"))[y[:600]]
    model = NetworkClassifier(
        CNN(channels=(16,), hidden=(), dropout=0.0, epochs=15, lr=0.01, batch=32, shift=0), shape=(8, 8)
    )
    assert cross_val_score(make_pipeline(MinMaxScaler(), model), x, y, cv=2).mean() > 0.8  # logistic regression: .84
    flat = {"model": [MLP(hidden=(), epochs=8, dropout=0.0), MLP(hidden=(32,), lr=0.01, epochs=8, dropout=0.0)]}
    search = GridSearchCV(NetworkClassifier(), flat, cv=2).fit(x, y)
    assert search.best_params_["model"] == flat["model"][1]
    assert set(search.predict(x[:50])) <= set("abcdefghij")
    np.testing.assert_allclose(search.predict_proba(x[:50]).sum(1), 1, atol=1e-6)


def test_the_penalty_is_scikit_learns():
    """A large α on iris: both shrink to the same cost, the mean cross-entropy plus α/(2 batch)‖W‖²."""
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    alpha, size = 15.0, len(x)
    ours = MLPClassifier((8,), "tanh", alpha=alpha, batch_size=size, learning_rate_init=0.02, max_iter=600, tol=1e-9)
    ours.fit(x, y)
    other = TheirClassifier(
        (8,), activation="tanh", alpha=alpha, batch_size=size, solver="lbfgs", max_iter=5000, tol=1e-10, random_state=0
    ).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), other.predict_proba(x), atol=0.01)
    assert abs(ours.predict_proba(x) - 1 / 3).max() > 0.1


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
LABELS, VALUES = np.digitize(X[:, 0] + X[:, 1] ** 2, (0.3, 1.2)), X[:, 0] + X[:, 1] ** 2
WEIGHT = RNG.integers(0, 4, 60)


@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, LABELS), (MLPRegressor, VALUES)])
def test_a_whole_weight_counts_as_so_many_rows(kind: Any, y: np.ndarray):
    """All rows in one batch: the same gradient, penalty and scaling, up to rounding."""
    common: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 20, "alpha": 1.0, "solver": "momentum"}
    weighted = kind(**common, batch_size=60).fit(X, y, sample_weight=WEIGHT)
    repeated = kind(**common, batch_size=int(WEIGHT.sum())).fit(X.repeat(WEIGHT, 0), y.repeat(WEIGHT))
    plain = kind(**common, batch_size=60).fit(X, y)
    ask = "predict_proba" if kind is MLPClassifier else "predict"
    found, truth, other = (getattr(model, ask)(X) for model in (weighted, repeated, plain))
    np.testing.assert_allclose(found, truth, atol=1e-4)
    assert np.abs(found - other).max() > 1e-3


def test_training_ends_when_the_cost_no_longer_falls_and_else_warns():
    quick = MLPClassifier((8,), learning_rate_init=0.05, max_iter=500, tol=1e-3).fit(X, LABELS)
    curve = np.array(quick.loss_curve_)
    assert quick.n_iter_ == len(curve) < 500
    assert (curve[-11:] > np.minimum.accumulate(curve)[-12:-1] - 1e-3).all()
    with pytest.warns(ConvergenceWarning, match="maximum number of iterations .3. reached"):
        MLPClassifier((8,), max_iter=3).fit(X, LABELS)
    with pytest.warns(ConvergenceWarning, match="all 3 epochs done and the cost was still falling"):
        NetworkClassifier(MLP(hidden=(8,), epochs=3)).fit(X, LABELS)
    NetworkClassifier(MLP(hidden=(8,), epochs=300, lr=0.05, l2=0.01)).fit(X, LABELS)  # a warning would be an error


def test_it_goes_on_where_it_was():
    steps = MLPClassifier((8,), learning_rate_init=0.02)
    with pytest.raises(ValueError, match="classes must be passed"):
        steps.partial_fit(X, LABELS)
    for _ in range(40):
        steps.partial_fit(X, LABELS, classes=[0, 1, 2])
    assert steps.n_iter_ == 40 and steps.loss_curve_[-1] < steps.loss_curve_[0] / 2 and steps.score(X, LABELS) > 0.85
    first = steps.loss_curve_[-1]
    again = pickle.loads(pickle.dumps(steps)).partial_fit(X, LABELS)
    assert again.loss_curve_[-1] < 1.1 * first
    with pytest.raises(ValueError, match="not among the classes"):
        steps.partial_fit(X, LABELS + 1)
    values = MLPRegressor((8,), learning_rate_init=0.02)
    for part in np.array_split(np.tile(np.arange(60), 30), 60):
        values.partial_fit(X[part], VALUES[part])
    assert values.score(X, VALUES) > 0.7
    warm = MLPClassifier((8,), learning_rate_init=0.02, max_iter=15, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        costs = [warm.fit(X, LABELS).loss_curve_ for _ in range(2)]
    assert costs[1][0] < 1.2 * costs[0][-1] < 0.8 * costs[0][0]


@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
def test_sparse_rows_precision_and_logarithms():
    x = np.where(np.abs(X) < 0.3, 0, X)
    model = MLPClassifier((4,), max_iter=3)
    dense, thin = clone(model).fit(x, LABELS), clone(model).fit(sparse.csr_array(x), LABELS)
    np.testing.assert_array_equal(thin.predict_proba(sparse.csr_array(x)), dense.predict_proba(x))
    np.testing.assert_allclose(dense.predict_log_proba(x), np.log(dense.predict_proba(x)), rtol=1e-6)
    assert dense.predict_proba(x).dtype == np.float64
    single = x.astype(np.float32)
    assert clone(model).fit(single, LABELS).predict_proba(single).dtype == np.float32
    assert MLPRegressor((4,), max_iter=3).fit(single, VALUES).predict(single).dtype == np.float32


@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
def test_in_other_processes():
    """Estimators are copied to two processes and back, and say there what they say here."""
    x, y = load_iris(return_X_y=True)
    for model in (LogisticRegression(), NetworkClassifier(MLP(hidden=(3,), epochs=2))):
        here, there = (cross_val_score(model, x, y, cv=2, n_jobs=jobs) for jobs in (1, 2))
        np.testing.assert_allclose(there, here)


@pytest.mark.filterwarnings("ignore:Stochastic:sklearn.exceptions.ConvergenceWarning")
def test_copies_say_the_same():
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = np.stack([x[:, 0], x[:, 1] * 2], 1)
    for fitted in (
        NetworkRegressor(MLP(hidden=(4,), epochs=2), random_state=3).fit(x, y),
        NetworkRegressor(mlp((4,)), random_state=3).fit(x, y),
    ):
        np.testing.assert_array_equal(clone(fitted).fit(x, y).predict(x), fitted.predict(x))
        if isinstance(fitted.model, MLP):
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(x), fitted.predict(x))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (NetworkClassifier("nonsense"), "model must be one of"),
        (NetworkClassifier(shape=(3, 3)), r"shape \(3, 3\) does not hold the 4 features"),
        (MLPClassifier(activation="softsign"), "activation must be one of identity, logistic, tanh, relu"),
        (MLPClassifier(solver="lbfgs"), "unknown optimizer"),
        (MLPClassifier(learning_rate_init=0), "lr must be > 0"),
    ],
)
def test_bad_parameters_are_one_clear_line(estimator, message):
    with pytest.raises(UsageError, match=message):
        estimator.fit(np.eye(4), np.array([0, 1, 0, 1]))
