"""Overfitting against steps of gradient descent, and stopping early: the validation rows say when.

    θ ← θ + (α/n) Σᵢ (yᵢ − g_θ(xᵢ)) ∂g/∂θ

Descent first learns what the rows have in common, then their noise: the cost of the training rows falls at every step,
that of new rows falls and rises again. Early stopping keeps the θ with the least cost on validation rows and ends after
`PATIENCE` steps without a better one. It is a penalty in disguise: from θ = 0, t steps at rate α shrink each direction
about as much as ridge regression with λ = 1/(αt) does (Goodfellow et al. 2016, section 7.8).

The test rows are used once, to judge the θ that was kept.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.demos.overfitting import HELD, wave
from rlnut.linear_models.least_squares import least_squares, ridge_path
from rlnut.networks.architectures import mlp
from rlnut.regression.core import regression
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled
from rlnut.types import Array, Batch

POINTS = 16  # training rows of the network
PATIENCE = 200  # steps without a lower validation cost
WIDTH, RATE = 64, 0.01  # of the network, and of Adam


class Descent(NamedTuple):
    """Mean squared errors before each step, [steps], and the step whose θ is kept."""

    train: np.ndarray
    held: np.ndarray  # validation rows
    test: np.ndarray
    stop: int


def stopping_step(costs: np.ndarray, patience: int = PATIENCE) -> int:
    """The step of the least cost so far, once `patience` steps have brought no lower one."""
    best = 0
    for step, cost in enumerate(costs):
        if cost < costs[best]:
            best = step
        elif step - best >= patience:
            break
    return best


def descend_linear(ask: Ask, steps: int) -> tuple[Descent, np.ndarray, np.ndarray, float]:
    """50 columns, 60 rows, noise 1: the descent; steps t, the errors of ridge with λ = 1/(αt) there; least squares'."""
    rng = np.random.default_rng(ask.seed)
    true = 0.3 * rng.normal(size=50)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(n, len(true)))
        return x, x @ true + rng.normal(size=n)

    (x, y), held, new = sample(60), sample(HELD), sample(2000)
    n = len(y)
    alpha = 0.1 / np.linalg.eigvalsh(x.T @ x / n)[-1]
    theta, path = np.zeros(x.shape[1]), []
    for _ in range(steps):
        path.append(theta)
        theta = theta + alpha / n * x.T @ (y - x @ theta)
    thetas = np.array(path)

    def errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.mean((x @ thetas.T - y[:, None]) ** 2, 0)

    train, held_errors, test = (errors(*part) for part in ((x, y), held, new))
    lams = 1 / (alpha * np.arange(1, steps))
    some = np.unique(np.geomspace(1, steps - 1, 60).astype(int)) - 1
    ridge = ridge_path(x, y, lams[some], intercept=False)
    ridge_errors = np.mean((ridge.coef @ new[0].T - new[1]) ** 2, 1)
    exact_error = float(np.mean((least_squares(x, y, intercept=False).predict(new[0]) - new[1]) ** 2))
    return Descent(train, held_errors, test, stopping_step(held_errors)), some + 1, ridge_errors, exact_error


def descend_network(ask: Ask, steps: int) -> tuple[Descent, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """A wide network on a few points of a sine: the descent, the points, and what it draws when kept and at last."""
    rng = np.random.default_rng(ask.seed)
    (x, y), (x_held, y_held), (x_test, y_test) = wave(POINTS, rng), wave(HELD, rng), wave(500, rng)
    grid = np.linspace(-1, 1, 400)[:, None]
    core = regression(mlp((WIDTH, WIDTH), "tanh")(()), optimizer=optax.adam(RATE))
    inputs = [(3 * part).astype(np.float32) for part in (x, x_held, x_test, grid)]
    batch = Batch(inputs[0], y.astype(np.float32))

    def watch(params: object) -> tuple[Array, ...]:
        guess = [core.predict(params, part) for part in inputs]
        return *(((g - v) ** 2).mean() for g, v in zip(guess, (y, y_held, y_test), strict=False)), guess[-1]

    seen = descend_by_updates(core, batch, steps, jax.random.key(ask.seed), watch)[2]
    train, held, test, drawn = (np.asarray(part, float) for part in seen)
    found = Descent(train, held, test, stopping_step(held))
    return found, (x[:, 0], y), drawn[[found.stop, -1]]


def chapter(ask: Ask, steps: int = 3000) -> Chapter:
    """The same story for a linear model, where each step is known exactly, and for a network."""
    line, at, ridge, exact = descend_linear(ask, steps)
    net, points, drawn = descend_network(ask, 2 * steps)
    apart = float(abs(line.test.min() / ridge.min() - 1))

    return Chapter(
        "gradient descent overfits when it goes on too long; validation rows say when to stop",
        {
            "linear_kept_step": line.stop,
            "linear_test_mse_kept": float(line.test[line.stop]),
            "linear_test_mse_last": float(line.test[-1]),
            "linear_least_squares_test_mse": exact,
            "network_kept_step": net.stop,
            "network_test_mse_kept": float(net.test[net.stop]),
            "network_test_mse_last": float(net.test[-1]),
            "least_error_of_descent_from_ridge": apart,
        },
        {
            "every step of the linear model lowers its training error": bool((np.diff(line.train) <= 1e-12).all()),
            f"its error on new rows is least after {int(line.test.argmin())} steps, then it rises": (
                0 < line.test.argmin() < steps // 2 and line.test[-1] > 1.2 * line.test.min()
            ),
            f"early stopping keeps step {line.stop}: {line.test[line.stop]:.3f} on new rows, {line.test[-1]:.3f} at "
            "last": line.test[line.stop] < 0.8 * line.test[-1],
            f"at best it errs as ridge with λ = 1/(αt) does at best, within {100 * apart:.1f} %": apart < 0.1,
            f"the network, too: {net.test[net.stop]:.3f} when kept, {net.test[-1]:.3f} at last": (
                net.test[net.stop] < 0.8 * net.test[-1]
            ),
            "though its training error is far smaller at last": net.train[-1] < net.train[net.stop] / 2,
        },
        draw(line, net, (at, ridge, exact), points, drawn),
        (
            f"60 and {POINTS} training rows",
            f"{HELD} validation rows",
            "2,500 new rows",
            f"patience {PATIENCE}",
        ),
    )


def draw_descent(axis: Axes, found: Descent, title: str) -> None:
    """Three errors against steps, and the step that is kept."""
    at = np.arange(1, len(found.train) + 1)
    for errors, colour, style, name in (
        (found.train, BLUE, "-", "training rows"),
        (found.held, GREEN, ":", "validation rows"),
        (found.test, ORANGE, "--", "new rows"),
    ):
        axis.loglog(at, errors, style, color=colour, label=name)
    axis.axvline(found.stop + 1, color=GREY, lw=1, label=f"kept: step {found.stop}")
    axis.set(xlabel="step of gradient descent", ylabel="mean squared error", title=title)
    legend_above(axis)


@styled()
def draw(
    line: Descent,
    net: Descent,
    ridge: tuple[np.ndarray, np.ndarray, float],
    points: tuple[np.ndarray, np.ndarray],
    drawn: np.ndarray,
) -> Figure:
    figure, (linear, same, network, curve) = panels(2, 2)
    draw_descent(linear, line, "Linear model of 50 columns, 60 rows")
    at, errors, exact = ridge
    same.loglog(at, line.test[at], "--", color=ORANGE, label="step t of descent")
    same.loglog(at, errors, ".", color=BLUE, label="ridge, λ = 1/(αt)")
    same.axhline(exact, color=GREY, lw=1, label="least squares: t = ∞, λ = 0")
    same.set(
        xlabel="t, steps of gradient descent", ylabel="mean squared error, new rows", title="To stop early is to shrink"
    )
    legend_above(same)
    draw_descent(network, net, f"Network of 2 × {WIDTH} units, {POINTS} rows")
    curve.plot(*points, "o", color=GREY, label="training rows")
    grid = np.linspace(-1, 1, drawn.shape[1])
    curve.plot(grid, drawn[0], color=BLUE, label=f"step {net.stop}, kept")
    curve.plot(grid, drawn[1], "--", color=ORANGE, label=f"step {len(net.train):,}")
    curve.set(xlabel="x", ylabel="y", ylim=(-2.2, 2.2), title="What the network draws")
    legend_above(curve, 3)
    return figure
