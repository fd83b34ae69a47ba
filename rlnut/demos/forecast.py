"""A time series: next year's sunspot number by a recurrent network.

    hₜ = tanh(W xₜ + U hₜ₋₁ + b),    ŷ = w·h_T + c         x: the numbers of the last T years, in order

The state h is all that the network knows of the past: what comes later cannot reach what came before (causality). The
years are split in time, training before validation before test; shuffled rows would tell the model the future. A
forecast is worth something only against simple ones: the same number as this year (persistence), and linear regression
on the last `LAGS` years (an autoregression), which is hard to beat with 200 rows.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.time_series import FIRST_TEST_YEAR, FIRST_YEAR, sunspot_numbers, sunspots
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.demos.recurrent import is_cell
from rlnut.linear_models.least_squares import least_squares
from rlnut.networks.recurrent_networks import CELLS, scan
from rlnut.regression.core import regression
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled
from rlnut.supervised.network_settings import MODELS
from rlnut.types import Batch

LAGS, HELD, SCALE, RATE = 9, 40, 100.0, 1e-2  # years of the autoregression, validation years, unit of y, of Adam


def rms_of(guess: np.ndarray, y: np.ndarray) -> float:
    """Root mean square of the error."""
    return float(np.sqrt(np.mean((guess - y) ** 2)))


def chapter(ask: Ask, steps: int = 400, hidden: int = 16) -> Chapter:
    """Train on the early years, stop by the validation years, judge by those from 1950 on."""
    data = sunspots()
    x, y = data.x_train[:-HELD], data.y_train[:-HELD]
    x_held, y_held = data.x_train[-HELD:], data.y_train[-HELD:]
    model = MODELS["rnn"]().replace(hidden=(hidden,)).network()(())
    core = regression(model, optimizer=optax.adam(RATE))
    scaled = [(part / SCALE).astype(np.float32) for part in (x, x_held, data.x_test)]
    batch = Batch(scaled[0], (y / SCALE).astype(np.float32))
    fit, costs, seen = descend_by_updates(
        core,
        batch,
        steps,
        jax.random.key(ask.seed),
        lambda params: tuple(core.predict(params, part) for part in scaled[1:]),
    )
    held, guesses = (SCALE * np.asarray(part, float) for part in seen)  # [steps, years]
    held_rms = np.sqrt(((held - y_held) ** 2).mean(1))
    stop = int(held_rms.argmin())
    auto = least_squares(data.x_train[:, -LAGS:, 0], data.y_train).predict(data.x_test[:, -LAGS:, 0])
    ways = {"network": guesses[stop], "autoregression": auto, "persistence": data.x_test[:, -1, 0]}
    errors = {name: rms_of(guess, data.y_test) for name, guess in ways.items()}
    spread = float(data.y_test.std())

    later = data.x_test.copy()
    later[:, -1] += 50  # a change of the last year must not reach earlier states
    (theta,) = [part for part in jax.tree.leaves(fit.params, is_leaf=is_cell) if is_cell(part)]
    cell = CELLS["rnn"](hidden)
    both = [(part / SCALE).astype(np.float32) for part in (data.x_test, later)]
    states = [np.asarray(scan(cell, theta, part)[1]) for part in both]  # [years, T, hidden]

    return Chapter(
        f"next year's sunspot number from the last {x.shape[1]} years, by a recurrent network",
        {"rms_error": errors, "deviation_of_test_years": spread, "kept_step": stop, "test_years": len(data.y_test)},
        {
            f"the network errs less than persistence: {errors['network']:.1f} against {errors['persistence']:.1f}": (
                errors["network"] < 0.8 * errors["persistence"]
            ),
            f"and as an autoregression of {LAGS} years does ({errors['autoregression']:.1f}), within a quarter": (
                errors["network"] < 1.25 * errors["autoregression"]
            ),
            "the last year changes the last state and none before it": (
                np.array_equal(states[0][:, :-1], states[1][:, :-1]) and not np.array_equal(states[0], states[1])
            ),
            "no test year is among the training years": len(y) + HELD + x.shape[1] == FIRST_TEST_YEAR - FIRST_YEAR,
        },
        draw(ways, errors, data.y_test, (np.sqrt(2 * np.asarray(costs)) * SCALE, held_rms, stop)),
        (f"{len(y)} training years", f"{HELD} validation years", f"{len(data.y_test)} test years", f"{hidden} units"),
    )


@styled()
def draw(
    ways: dict[str, np.ndarray],
    errors: dict[str, float],
    y: np.ndarray,
    learning: tuple[np.ndarray, np.ndarray, int],
) -> Figure:
    figure, (series, forecast, cost) = panels(1, 3)
    numbers = sunspot_numbers()
    years = FIRST_YEAR + np.arange(len(numbers))
    series.plot(years, numbers, color=GREY, lw=1)
    series.axvspan(FIRST_TEST_YEAR, years[-1], color=ORANGE, alpha=0.15, label="test years")
    series.axvspan(FIRST_TEST_YEAR - HELD, FIRST_TEST_YEAR, color=GREEN, alpha=0.15, label="validation years")
    series.set(xlabel="year", ylabel="sunspot number, yearly mean", title="All 309 years, split in time")
    legend_above(series)
    at = FIRST_TEST_YEAR + np.arange(len(y))
    forecast.plot(at, y, "o", color=GREY, ms=4, label="observed")
    for (name, guess), colour, style in zip(ways.items(), (BLUE, ORANGE, GREEN), ("-", "--", ":"), strict=True):
        forecast.plot(at, guess, style, color=colour, label=f"{name}, RMS {errors[name]:.1f}")
    forecast.set(xlabel="year", ylabel="sunspot number", title="One year ahead, test years")
    legend_above(forecast)
    train, held, stop = learning
    steps = np.arange(1, len(train) + 1)
    cost.loglog(steps, train, color=BLUE, label="training years")
    cost.loglog(steps, held, ":", color=GREEN, lw=2, label="validation years")
    cost.axvline(stop + 1, color=GREY, lw=1, label=f"kept: step {stop}")
    cost.set(xlabel="step", ylabel="RMS error of the sunspot number", title="The validation years choose the step")
    legend_above(cost)
    return figure
