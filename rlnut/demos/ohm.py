"""Linear regression: V = θI, a resistance from noisy voltages.

    E(θ) = (1/n) Σᵢ (Vᵢ − g_θ(Iᵢ))²

g_θ may bend in I (θI², θ₀ + θ₁I + θ₂I²) and still be linear in θ, so that the best θ is one linear solve away. Gradient
descent on the same cost comes to the same place, θ ← θ + α (1/n) Σ δᵢ ∂g/∂θ, with δ = V − g.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.small_tables import Table, ohm
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.features.maps import monomials, polynomial
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.solution import Solution
from rlnut.networks.architectures import linear
from rlnut.regression.core import regression
from rlnut.regression.losses import squared
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled
from rlnut.types import Array, Batch, Params

MODELS = {"linear": monomials([[1]]), "squared": monomials([[2]]), "quadratic": polynomial(1, 2)}
FORMULAS = {"linear": "θI", "squared": "θI²", "quadratic": "θ₀ + θ₁I + θ₂I²"}


def chapter(ask: Ask, rows: int = 100, steps: int = 60) -> Chapter:
    """Three hand-made models fitted exactly and judged on new data; then gradient descent beside the exact answer."""
    train, test = ohm(rows, ask.seed), ohm(1000, ask.seed + 1)
    truth, noise = train.truth["theta"][0], train.truth["noise"]
    fits = {name: least_squares(phi(train.x), train.y, intercept=False) for name, phi in MODELS.items()}
    mse = {name: float(np.mean((fits[name].predict(phi(test.x)) - test.y) ** 2)) for name, phi in MODELS.items()}
    resistance = float(fits["linear"].coef[0])
    error = noise / np.sqrt((train.x**2).sum())
    rows_of_phi = MODELS["quadratic"](train.x)
    bend = float(fits["quadratic"].coef[2])
    bend_error = noise * np.sqrt(np.linalg.inv(rows_of_phi.T @ rows_of_phi)[2, 2])

    core = regression(linear()(()), squared, optax.sgd(0.2))
    batch = Batch(train.x.astype(np.float32), train.y.astype(np.float32))
    fit, _, path = descend_by_updates(core, batch, steps, jax.random.key(ask.seed), weights)
    slope, offset = (float(a) for a in weights(fit.params))
    exact = least_squares(train.x, train.y)
    apart = max(abs(slope - exact.coef[0]), abs(offset - exact.intercept))

    return Chapter(
        "V = θI from noisy currents and voltages",
        {
            "resistance_ohm": resistance,
            "standard_error_ohm": float(error),
            "true_resistance_ohm": truth,
            "test_mse_V2": mse,
            "noise_variance_V2": noise**2,
            "theta_2_V_per_A2": bend,
            "theta_2_standard_error": float(bend_error),
            "descent": {"slope": slope, "offset": offset, "steps": steps, "from_exact": float(apart)},
        },
        {
            f"least squares finds {truth:g} Ω: {resistance:.3f} ± {error:.3f}": abs(resistance - truth) < 4 * error,
            "on new data θI errs by the noise alone, θI² by ten times as much": (
                abs(mse["linear"] / noise**2 - 1) < 0.25 and mse["squared"] > 10 * mse["linear"]
            ),
            f"no bend is in the data: θ₂ = {bend:.3f} ± {bend_error:.3f}": abs(bend) < 4 * bend_error,
            f"gradient descent ends at the exact solution: {apart:.0e} from it": apart < 1e-4,
        },
        draw(train, fits, path, exact, steps),
        (f"{rows} rows", f"noise {noise:g} V", "α = 0.2"),
    )


def weights(params: Params) -> tuple[Array, Array]:
    """(θ, b) of a linear model with one input."""
    b, w = jax.tree.leaves(params)
    return w[0, 0], b[0]


@styled()
def draw(train: Table, fits: dict[str, Solution], path: tuple[Array, Array], exact: Solution, steps: int) -> Figure:
    figure, (data, residual, descent) = panels(1, 3)
    at = np.linspace(-2.1, 2.1, 200)[:, None]
    law = fits["linear"].predict(at)
    data.plot(train.x[:, 0], train.y, ".", color=GREY, label="measured")
    residual.plot(train.x[:, 0], train.y - fits["linear"].predict(train.x), ".", color=GREY, label="measured")
    for (name, phi), colour, style in zip(MODELS.items(), (BLUE, ORANGE, GREEN), ("-", "--", ":"), strict=True):
        guess = fits[name].predict(phi(at))
        data.plot(at[:, 0], guess, style, color=colour, lw=2.5, label=FORMULAS[name])
        residual.plot(at[:, 0], guess - law, style, color=colour, lw=2.5, label=FORMULAS[name])
    data.set(xlabel="current I, A", ylabel="voltage V, V", title="Three models, linear in θ")
    data.legend(loc="upper left")
    widest = 1.15 * np.abs(train.y - fits["linear"].predict(train.x)).max()
    residual.set(xlabel="current I, A", ylabel="V − θI, V", ylim=(-widest, widest))
    residual.set_title("The same less θI: no bend is left")
    legend_above(residual, 4)

    slopes, offsets = (np.asarray(a) for a in path)
    a, b = np.meshgrid(np.linspace(-0.5, 7, 120), np.linspace(-3, 3, 120))
    x, y = train.x[:, 0], train.y
    cost = np.mean((y - a[..., None] * x - b[..., None]) ** 2, -1)
    lines = descent.contour(a, b, cost, levels=[1, 3, 6, 12, 20, 30], colors=GREY, linewidths=0.8)
    descent.clabel(lines, fontsize=8, fmt="%g")
    descent.plot(slopes, offsets, "o-", color=ORANGE, ms=4, label=f"gradient descent, {steps} steps")
    descent.plot(exact.coef[0], exact.intercept, "*", color=BLUE, ms=15, label="exact")
    descent.set(xlabel="θ, V/A = Ω", ylabel="offset b, V", title="The cost E(θ, b), V²")
    descent.grid(False)
    legend_above(descent)
    return figure
