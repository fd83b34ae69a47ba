"""Logistic regression: the energy gap of a two-state system from looking at which state it is in.

    P(y = 1 | β) = e^{−βε₁}/(e^{−βε₀} + e^{−βε₁}) = σ(−βΔε),    Δε = ε₁ − ε₀,    σ(s) = 1/(1 + e^{−s})

So the log-odds are linear in β = 1/T with slope −Δε: measuring a gap is logistic regression (the lecture writes
1/(1 + e^{−βΔε}) for both states; it is that of state 0). How sure the estimate is, says the curvature of the cost:

    Fisher information I(Δε) = Σᵢ βᵢ² pᵢ(1 − pᵢ),    standard error = 1/√I

Newton's method uses that curvature and needs a few steps; gradient descent and Adam need hundreds.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy import stats

from rlnut.data.small_tables import Table, thermal
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.linear_models.logistic import logistic
from rlnut.networks.architectures import linear
from rlnut.regression.core import regression
from rlnut.regression.losses import binary_cross_entropy
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, panels, styled
from rlnut.types import Batch


def gap(rows: int, seed: int) -> tuple[float, float]:
    """Δε and its standard error from `rows` looks at the system at random temperatures."""
    table = thermal(rows, seed)
    found = logistic(table.x, table.y, intercept=False)
    p = found.probabilities(table.x)[:, 1]
    return -float(found.solution.coef[0]), float(1 / np.sqrt((table.x[:, 0] ** 2 * p * (1 - p)).sum()))


def chapter(ask: Ask, rows: int = 2000, replicas: int = 200, steps: int = 400) -> Chapter:
    """One experiment with its error bar; many of them, to see whether the bars are right; three ways down the cost."""
    table = thermal(rows, ask.seed)
    truth = -table.truth["theta"][0]
    found, error = gap(rows, ask.seed)
    others = np.array([gap(rows, ask.seed + 1 + i) for i in range(replicas)])
    pulls = (others[:, 0] - truth) / others[:, 1]
    covered = float((np.abs(pulls) < stats.norm.ppf(0.975)).mean())
    doubt = 4 / np.sqrt(2 * replicas)  # of a standard deviation from so many experiments: 4 of its own standard errors

    newton = logistic(table.x, table.y)
    batch = Batch(table.x.astype(np.float32), table.y.astype(np.float32))
    ways = {"gradient descent": optax.sgd(0.5), "Adam": optax.adam(0.05)}
    away = {}
    for name, optimizer in ways.items():
        core = regression(linear()(()), binary_cross_entropy, optimizer)
        b, w = jax.tree.leaves(
            descend_by_updates(core, batch, steps, jax.random.key(ask.seed), lambda params: params)[2]
        )
        away[name] = np.hypot(w[:, 0, 0] - newton.solution.coef[0], b[:, 0] - newton.solution.intercept)

    return Chapter(
        f"a two-state system seen {rows} times at β between 0 and 3",
        {
            "gap": found,
            "standard_error": error,
            "true_gap": truth,
            "experiments": replicas,
            "mean_of_gaps": float(others[:, 0].mean()),
            "deviation_over_error_bar": float(pulls.std()),
            "share_within_95_percent_interval": covered,
            "newton_steps": newton.iterations,
            "newton_gradient": newton.gradient,
            "from_newton": {name: float(far[-1]) for name, far in away.items()},
        },
        {
            f"the gap is found: Δε = {found:.3f} ± {error:.3f}, true {truth:g}": abs(found - truth) < 4 * error,
            f"{replicas} experiments scatter as 1/√I says: deviation/error bar = {pulls.std():.3f}": (
                abs(pulls.std() - 1) < doubt
            ),
            f"95 % intervals hold the truth in {100 * covered:.1f} % of them": (
                stats.binomtest(round(covered * replicas), replicas, 0.95).pvalue > 1e-4
            ),
            f"Newton reaches a gradient of 1e-8 in {newton.iterations} steps": (
                newton.gradient <= 1e-8 and newton.iterations < 15
            ),
            "Adam and gradient descent come to the same θ": max(far[-1] for far in away.values()) < 0.01,
        },
        draw(table, (found, error, truth), pulls, away, newton.iterations),
        (f"{rows:,} rows", f"{replicas} more experiments", "α = 0.5 (gradient descent), 0.05 (Adam)"),
    )


@styled()
def draw(
    table: Table, answer: tuple[float, float, float], pulls: np.ndarray, away: dict[str, np.ndarray], newton_steps: int
) -> Figure:
    figure, (data, error, descent) = panels(1, 3)
    found, spread, truth = answer
    beta, y = table.x[:, 0], table.y
    edges = np.linspace(0, 3, 13)
    middle = (edges[1:] + edges[:-1]) / 2
    bins = np.digitize(beta, edges) - 1
    share, count = np.array([(y[bins == i].mean(), (bins == i).sum()) for i in range(12)]).T
    data.errorbar(middle, share, np.sqrt(share * (1 - share) / count), fmt="o", color=GREY, label="measured, ±1σ")
    fine = np.linspace(0, 3, 200)
    low, mid, high = (1 / (1 + np.exp(fine * g)) for g in (found + 2 * spread, found, found - 2 * spread))
    data.fill_between(fine, low, high, color=BLUE, alpha=0.3, label="fit ± 2 standard errors")
    data.plot(fine, mid, color=BLUE)
    data.plot(fine, 1 / (1 + np.exp(fine * truth)), "--", color=ORANGE, label="truth")
    data.set(
        xlabel="β = 1/T, 1/energy", ylabel="P(y = 1)", title=f"The gap is found: Δε = {found:.3f} ± {spread:.3f} (1σ)"
    )
    data.legend()

    x = np.linspace(-4, 4, 200)
    error.ecdf(pulls, color=BLUE, label=f"{len(pulls)} experiments")
    error.plot(x, stats.norm.cdf(x), "--", color=ORANGE, lw=2, label="normal distribution")
    error.set(xlabel="(Δε found − true) / its error bar", ylabel="share of experiments below", xlim=(-4, 4))
    error.set_title("The error bars 1/√I are right")
    error.legend(loc="upper left")

    for (name, far), colour, style in zip(away.items(), (GREEN, BLUE), ("--", "-"), strict=True):
        descent.semilogy(far, style, color=colour, label=name)
    descent.axvline(newton_steps, color=ORANGE, lw=1, label=f"Newton is there after {newton_steps}")
    descent.set(xlabel="steps", ylabel="distance of θ from Newton's", title="Three ways down the same cost")
    descent.legend()
    return figure
