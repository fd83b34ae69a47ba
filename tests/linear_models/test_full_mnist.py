"""The linear models on all of MNIST against figures computed elsewhere."""

import numpy as np
import pytest

from rlnut.data import mnist
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.logistic import logistic
from rlnut.linear_models.perceptron import perceptron

pytestmark = pytest.mark.mnist


@pytest.fixture(scope="module")
def digits(mnist_source) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if not mnist_source.full:
        pytest.skip("the 60,000 digits are not on this machine: set RLNUT_DATA")
    x, y, x_test, y_test = mnist.load_mnist(mnist.MNIST, mnist_source.data)
    return x.reshape(-1, 784), y, x_test.reshape(-1, 784), y_test


def test_one_hot_least_squares(digits):
    x, y, x_test, y_test = digits
    found = least_squares(x, np.eye(10)[y]).predict(x_test)
    assert (found.argmax(1) == y_test).mean() == pytest.approx(0.8603, abs=5e-4)
    assert ((found - np.eye(10)[y_test]) ** 2).mean() == pytest.approx(0.03838, abs=5e-6)


@pytest.mark.parametrize(("average", "accuracy"), [(False, 0.8826), (True, 0.9227)])
def test_perceptron_after_one_epoch_in_file_order(digits, average: bool, accuracy: float):
    x, y, x_test, y_test = digits
    fit = perceptron(x / np.float32(255), y, 1, average=average)
    assert (fit.predict(x_test / np.float32(255)) == y_test).mean() == pytest.approx(accuracy, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("average", "accuracy", "tolerance"), [(False, 0.8861, 0.02), (True, 0.9260, 5e-4)])
def test_perceptron_after_five_epochs(digits, average: bool, accuracy: float, tolerance: float):
    """The last θ hangs on the rounding of the sums (float64: .8751); the mean hardly does."""
    x, y, x_test, y_test = digits
    fit = perceptron(x / np.float32(255), y, 5, average=average)
    assert (fit.predict(x_test / np.float32(255)) == y_test).mean() == pytest.approx(accuracy, abs=tolerance)


@pytest.mark.slow
def test_softmax(digits):
    """λ‖W‖² with λ = ½·1e-4, converged."""
    x, y, x_test, y_test = digits
    fit = logistic(x / 255, y, 0.5e-4)
    assert fit.gradient <= 1e-8
    assert fit.solution.objective == pytest.approx(0.25925, abs=2e-4)
    assert (fit.predict(x_test / 255) == y_test).mean() == pytest.approx(0.926, abs=1e-3)
