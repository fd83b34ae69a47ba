"""What `fit` learns of small tables with its defaults, and whether it says that it has not converged."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import blobs, halves

from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import checked_dataset
from rlnut.linear_models.logistic import logistic
from rlnut.regression.optimizers import SCHEDULES, rates_of
from rlnut.supervised.convergence import further_gain, still_falling
from rlnut.supervised.fit import fit
from rlnut.supervised.network_settings import CNN, LSTM, MLP, FitSettings, Softmax

EARLY: dict[str, Any] = {"validation": 0.2, "patience": 10}


def best(table: str) -> float:
    """The test figure of the exact method of the same split: logistic regression, or the best of the regressions."""
    if table != "diabetes":
        return fit("logistic", table, progress=False).result["test_accuracy"]
    return min(fit(model, table, progress=False).result["test_mse"] for model in ("linear", "ridge", "lasso"))


def reached(model: str, table: str, seeds: range, **settings: Any) -> float:
    """The median test figure over seeds."""
    name = "test_mse" if table == "diabetes" else "test_accuracy"
    return float(np.median([fit(model, table, seed=s, progress=False, **settings).result[name] for s in seeds]))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["iris", "wine", "breast-cancer"])
@pytest.mark.parametrize("model", ["softmax", "mlp"])
def test_defaults_are_within_two_points_of_the_exact_method(model: str, table: str):
    assert reached(model, table, range(10)) >= best(table) - 0.02


@pytest.mark.slow
def test_mlp_with_early_stopping_is_within_five_percent_of_the_best_regression():
    assert reached("mlp", "diabetes", range(10), **EARLY) <= 1.05 * best("diabetes")


def test_the_quick_ones_of_these_tables():
    assert reached("perceptron", "iris", range(10)) >= best("iris") - 0.02
    assert reached("softmax", "iris", range(1)) >= best("iris") - 0.02
    assert reached("mlp", "diabetes", range(3), **EARLY) <= 1.05 * best("diabetes")
    assert reached("mlp", "diabetes", range(2)) <= 1.1 * best("diabetes")  # by default it stops early, too


@pytest.mark.parametrize("table", ["iris", "wine"])
def test_softmax_by_default_reaches_the_minimum_of_its_cost(table: str, capsys: pytest.CaptureFixture[str]):
    """E = mean cross-entropy + 0.08/n ‖W‖² of standardised columns, by Newton's method; it then says nothing."""
    problem = checked_dataset(load_dataset(table))
    x, n = problem.x_train, len(problem.x_train)
    exact = logistic((x - x.mean(0)) / x.std(0), problem.y_train, 0.08 / n)
    found = fit("softmax", table)
    assert found.result["objective"] == pytest.approx(exact.solution.objective, rel=0.01)
    assert found.result["converged"] is True and "not converged" not in capsys.readouterr().err


def test_a_fit_that_has_not_converged_says_so_and_more_epochs_change_it(capsys: pytest.CaptureFixture[str]):
    short = fit("softmax", "iris", epochs=20, batch=120, lr=2e-3)
    assert short.result["converged"] is False
    said = capsys.readouterr().err
    assert "softmax has not converged: its cost was still falling, by about" in said and said.count("converged") == 1
    long = fit("softmax", "iris", epochs=1000, batch=120, lr=0.03)
    assert long.result["converged"] is True and "converged" not in capsys.readouterr().err
    assert long.result["objective"] < short.result["objective"] / 2
    assert fit("softmax", "iris", epochs=1, batch=120).result["converged"] is False  # one update says nothing
    assert "its cost was still falling; try" in capsys.readouterr().err


def test_the_validation_cost_decides_where_there_is_one(capsys: pytest.CaptureFixture[str]):
    """Labels without any pattern: the training cost falls for ever, the validation cost does not."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 20)), rng.integers(0, 2, 200)
    settings: dict[str, Any] = {"hidden": (64,), "l2": 0.0, "epochs": 40, "lr": 2e-3}
    assert fit("mlp", (x, y, x, y), **settings).result["converged"] is False
    assert "validation rows show whether" in capsys.readouterr().err
    assert fit("mlp", (x, y, x, y), validation=0.5, **settings).result["converged"] is True
    assert "not converged" not in capsys.readouterr().err


def test_the_further_gain_of_costs_whose_limit_is_known():
    n = 4096
    time = np.arange(1, n + 1) / n
    rates = np.ones(n)

    def octave(a: float, low: float, high: float) -> float:
        """The mean of t^−a over t in (low, high]."""
        whole = np.log(high / low) if a == 1 else (high ** (1 - a) - low ** (1 - a)) / (1 - a)
        return whole / (high - low)

    for a in (0.5, 1.0):
        truth = octave(a, 0.5, 1) - octave(a, 1, 2)
        assert further_gain(time**-a, rates) == pytest.approx(truth, rel=0.01)
    assert further_gain(np.full(n, 0.3), rates) == 0.0
    assert further_gain(np.exp(-30 * time), rates) < 1e-5
    assert further_gain(time, rates) == 0.0  # it rises
    assert still_falling(np.exp(-time), rates) == pytest.approx(further_gain(np.exp(-time), rates))
    assert still_falling(np.exp(-30 * time), rates) is None
    assert still_falling(np.zeros(0), np.zeros(0)) == np.inf


def test_the_cost_is_followed_over_the_sum_of_the_step_sizes():
    """A straight fall that a cosine schedule slows down is straight again in Σ α, and not converged."""
    rates = rates_of(0.1, "cosine", 1000)
    costs = 1 - 0.5 * np.cumsum(rates) / rates.sum()
    assert further_gain(costs, rates) == pytest.approx(0.1875, abs=2e-3)  # the means are .90625, .8125 and .625


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_are_those_of_the_schedule(schedule: str):
    made = SCHEDULES[schedule](0.1, 20)
    expected = [float(made(jnp.int32(i))) if callable(made) else made for i in range(20)]
    np.testing.assert_allclose(rates_of(0.1, schedule, 20), expected, rtol=1e-5)


def test_what_is_left_open_is_chosen_for_the_rows():
    iris, images = np.zeros((120, 4)), np.zeros((60_000, 28, 28), np.uint8)
    softmax, mlp = Softmax().suited(iris, True), MLP().suited(iris, True)
    assert (softmax.batch, softmax.epochs, softmax.lr, softmax.l2) == (32, 1000, 0.03, 0.08 / 120)
    assert (mlp.hidden, mlp.dropout, mlp.l2, mlp.zero_head, mlp.epochs) == ((64, 64), 0.0, 1 / 120, True, 1000)
    assert (mlp.validation, mlp.patience) == (0.0, 0)
    values = MLP().suited(np.zeros((353, 10)), False)
    assert (values.validation, values.patience) == (0.2, max(10, (values.epochs or 0) // 4))
    watched = MLP(validation=0.1).suited(np.zeros((353, 10)), False)
    assert (watched.validation, watched.patience) == (0.1, 0)
    before = MLP().suited(images, True)  # as it was: MNIST keeps its numbers
    assert (before.hidden, before.dropout, before.epochs, before.batch, before.lr, before.l2, before.zero_head) == (
        (512, 256), 0.2, 10, 128, 1e-3, 0.0, False,
    )  # fmt: skip
    for kind, passes in ((Softmax, 20), (CNN, 8), (LSTM, 10)):
        chosen = kind().suited(images, True)
        assert (chosen.epochs, chosen.batch, chosen.l2) == (passes, 128, 0.0)
    few = CNN().suited(images[:1280], True)
    assert few.epochs == 30  # 300 updates
    assert MLP(epochs=1).suited(images, True).epochs == 1
    assert FitSettings().suited(np.zeros((10, 1)), False).l2 == 0.0


def test_columns_of_any_scale_are_the_same_to_the_perceptron(capsys: pytest.CaptureFixture[str]):
    x, y = blobs(200)
    stretched = x * [1e4, 1e-3] + [1e6, 0]
    plain, scaled = fit("perceptron", halves(x, y)), fit("perceptron", halves(stretched, y))
    assert plain.result["converged"] is True and "not converged" not in capsys.readouterr().err
    np.testing.assert_array_equal(scaled.predict(stretched), plain.predict(x))
    np.testing.assert_allclose(scaled.outputs(stretched), plain.outputs(x), atol=1e-5)
    raw = fit("perceptron", halves(stretched, y), scale="none", epochs=10, progress=False)
    assert raw.score(stretched, y) < scaled.score(stretched, y) == 1.0


def test_a_gradient_solver_that_runs_out_of_steps_says_so(capsys: pytest.CaptureFixture[str]):
    fit("logistic", "thermal", solver="gd", steps=3)
    said = capsys.readouterr().err
    assert "logistic has not converged: ‖∇E‖ = " in said and "after 3 steps" in said
    fit("logistic", "thermal", solver="lbfgs")
    fit("logistic", "thermal")
    fit("ridge", "ohm", solver="gd")
    assert "not converged" not in capsys.readouterr().err
