"""The network estimators: scikit-learn's own checks (all of them marked slow), its tools, its penalty and its names."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from rlnut import UsageError
from rlnut.networks.architectures import mlp
from rlnut.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor
from rlnut.supervised.network_settings import CNN, MLP

SMALL = [
    MLPClassifier((10,), max_iter=60, learning_rate_init=0.02),
    MLPRegressor((10,), max_iter=60, learning_rate_init=0.02),
    NetworkClassifier(MLP(hidden=(10,), epochs=60, lr=0.02)),
    NetworkRegressor(MLP(hidden=(10,), epochs=60, lr=0.02)),
]
QUICK = (  # each compiles for a second: these run always, all of them with -m slow
    "check_estimator_cloneable", "check_estimators_unfitted", "check_estimators_pickle", "check_n_features_in",
    "check_methods_subset_invariance", "check_no_attributes_set_in_init", "check_parameters_default_constructible",
    "check_fit2d_1sample",
)  # fmt: skip


@pytest.mark.slow
@parametrize_with_checks(SMALL)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
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
    ours = MLPClassifier((8,), "tanh", alpha=alpha, batch_size=size, learning_rate_init=0.02, max_iter=600).fit(x, y)
    other = TheirClassifier(
        (8,), activation="tanh", alpha=alpha, batch_size=size, solver="lbfgs", max_iter=5000, tol=1e-10, random_state=0
    ).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), other.predict_proba(x), atol=0.01)
    assert abs(ours.predict_proba(x) - 1 / 3).max() > 0.1


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
