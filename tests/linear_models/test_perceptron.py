"""The perceptron against its rule written out, Novikoff's bound, and known figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import UsageError
from rlnut.linear_models import solution
from rlnut.linear_models.perceptron import perceptron


def test_by_hand():
    """s = wx + b >= 0 says 1, so the start θ = 0 says 1: x = 2 (y 0) moves w to −2, b to −1; x = 3 (y 1) to 1 and 0."""
    fit = perceptron(np.array([[2.0], [3.0]]), np.array([0, 1]), epochs=1)
    assert fit.mistakes == (2,)
    assert fit.solution.coef.tolist() == [1] and fit.solution.intercept == 0
    assert fit.predict(np.array([[0.0], [-0.1]])).tolist() == [1, 0]  # the step is 1 at s = 0
    averaged = perceptron(np.array([[2.0], [3.0]]), np.array([0, 1]), epochs=1, average=True)
    assert averaged.solution.coef.tolist() == [-0.5] and averaged.solution.intercept == -0.5  # mean of −2, 1 and −1, 0


def slow(x, y, m: int, epochs: int) -> tuple[np.ndarray, np.ndarray, int]:
    """θ, the mean of θ after every row, and the number of mistakes, by the definition."""
    theta, total, wrong = np.zeros((m, x.shape[1] + 1)), np.zeros((m, x.shape[1] + 1)), 0
    for _ in range(epochs):
        for row, right in zip(np.concatenate([x, np.ones((len(x), 1))], 1), y, strict=True):
            guess = (theta @ row).argmax()
            theta = theta + np.outer(np.eye(m)[right] - np.eye(m)[guess], row)
            wrong += guess != right
            total += theta
    return theta, total / (epochs * len(x)), wrong


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 100))
def test_many_classes_equal_the_definition(m: int, p: int, epochs: int, seed: int):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (25, p)).astype(float)  # integers: sums are exact, ties happen
    y = np.concatenate([np.arange(m), rng.integers(0, m, 25 - m)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solution, "BLOCK", 7)
        last = perceptron(x, y, epochs)
        mean = perceptron(x, y, epochs, average=True)
    theta, average, wrong = slow(x, y, m, len(last.mistakes))
    assert sum(last.mistakes) == wrong
    np.testing.assert_allclose(last.solution.coef, theta[:, :-1].T)
    np.testing.assert_allclose(last.solution.intercept, theta[:, -1])
    np.testing.assert_allclose(mean.solution.coef, average[:, :-1].T, atol=1e-12)
    np.testing.assert_allclose(mean.solution.intercept, average[:, -1], atol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_separable_rows_end_without_mistakes_within_novikoffs_bound(kind: type):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 2))
    truth = np.array([2.0, -1.0, 0.3]) / np.sqrt(5.09)
    s = x @ truth[:2] + truth[2]
    x, s = x[np.abs(s) > 0.1], s[np.abs(s) > 0.1]
    fit = perceptron(x.astype(kind), s >= 0, epochs=500)
    assert fit.mistakes[-1] == 0 and (fit.predict(x) == (s >= 0)).all()
    assert fit.solution.coef.dtype == np.float64 and fit.solution.objective == 0
    assert sum(fit.mistakes) <= ((x**2).sum(1).max() + 1) / np.abs(s).min() ** 2
    shuffled = perceptron(x, s >= 0, epochs=500, seed=1)
    assert shuffled.mistakes != fit.mistakes and shuffled.mistakes[-1] == 0
    assert perceptron(x, s >= 0, epochs=500, seed=1).mistakes == shuffled.mistakes


def test_the_average_is_better_where_classes_overlap():
    """Near s = 0 the last θ is at the mercy of the last mistakes; the mean is not."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    x = rng.normal(size=(4000, 5)) + 0.7 * y[:, None]
    test = rng.integers(0, 2, 4000)
    fresh = rng.normal(size=(4000, 5)) + 0.7 * test[:, None]
    score = {a: (perceptron(x, y, 5, average=a).predict(fresh) == test).mean() for a in (False, True)}
    best = 0.783  # Φ(0.7·√5/2)
    assert score[True] > best - 0.015 and score[True] > score[False] + 0.01


def test_labels_may_be_text():
    x = np.array([[1.0, 0], [0, 1], [-1, -1]])
    fit = perceptron(x, np.array(["red", "blue", "green"]), 50)
    assert fit.predict(x).tolist() == ["red", "blue", "green"]


@pytest.mark.parametrize(
    ("y", "epochs", "message"),
    [
        (np.zeros(3), 1, "1 class; at least two"),
        (np.arange(3), 0, "epochs must be >= 1"),
        (np.eye(3), 1, "one label a row"),
        (np.arange(2), 1, "x must be"),
    ],
)
def test_bad_arguments_are_one_clear_line(y, epochs: int, message: str):
    with pytest.raises(UsageError, match=message):
        perceptron(np.eye(3), y, epochs)
