"""M states in a heat bath: softmax regression is Boltzmann's distribution, and the sigmoid is Fermi and Dirac's.

    P(y = m | β) = e^{−βε_m} / Σₖ e^{−βεₖ}          Boltzmann: M states of energy ε_m at β = 1/T, a softmax in β
    n(ε) = 1/(1 + e^{β(ε−μ)}) = σ(−β(ε − μ))         Fermi–Dirac: a level that is empty or filled, M = 2

Looking at which state the system is in, at many temperatures, gives the energies: softmax regression with the single
input β has θ_m = ε_m up to a number that all share, so that energies above the lowest are found. A label is written
one-hot, 2 → [0, 0, 1, 0], and the cost is E = −(1/n) Σⱼ Σₘ y_jm log P(y_jm = 1 | βⱼ).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.features.maps import one_hot
from rlnut.linear_models.logistic import logistic
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, legend_above, line_style, panels, styled

ENERGIES = np.array([0.0, 0.5, 1.0, 2.0])
MU, TEMPERATURES = 1.0, (0.05, 0.2, 0.5)


def boltzmann(beta: np.ndarray, energies: np.ndarray = ENERGIES) -> np.ndarray:
    """P(y = m | β) [n, M] of β [n]."""
    weight = np.exp(-beta[:, None] * energies)
    return weight / weight.sum(1, keepdims=True)


def fermi_dirac(energy: np.ndarray, beta: float, mu: float = MU) -> np.ndarray:
    """Mean number of particles, 0 to 1, in a level of this energy."""
    return 1 / (1 + np.exp(beta * (energy - mu)))


def metropolis(energy: np.ndarray, beta: float, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Levels filled and emptied at random, accepted with min(1, e^{−βΔ}), Δ = ±(ε − μ): mean filling, its error [L]."""
    filled = np.zeros((500, len(energy)))
    kept = []
    for _ in range(steps):
        change = (1 - 2 * filled) * (energy - MU)
        tried = rng.random(filled.shape) < 0.5  # a flip that costs nothing would else happen at every step
        accepted = rng.random(filled.shape) < np.exp(-beta * np.maximum(change, 0))
        filled = np.where(tried & accepted, 1 - filled, filled)
        kept.append(filled)
    of_chain = np.mean(kept[steps // 4 :], 0)  # [500 chains, L]
    return of_chain.mean(0), of_chain.std(0) / np.sqrt(len(of_chain))


def gaps(beta: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """ε_m − ε₀ and their standard errors [M − 1] by softmax regression, and the cost E."""
    found = logistic(beta[:, None], y, softmax=True, intercept=False)
    energy = -found.solution.coef[0]
    p = found.probabilities(beta[:, None])
    squared = beta**2  # information of θ₁ … θ_{M−1}, θ₀ = 0:  Σ β² (diag p − p pᵀ)
    information = np.diag(squared @ p) - (p * squared[:, None]).T @ p
    error = np.sqrt(np.diag(np.linalg.inv(information[1:, 1:])))
    return (energy - energy[0])[1:], error, found.solution.objective


def chapter(ask: Ask, rows: int = 4000, steps: int = 200) -> Chapter:
    """Energies of four states from labels; one-hot rows; the filling of levels against Fermi and Dirac's formula."""
    rng = np.random.default_rng(ask.seed)
    beta = rng.uniform(0, 3, rows)
    y = (rng.random((rows, 1)) > boltzmann(beta).cumsum(1)).sum(1)
    found, error, cost = gaps(beta, y)
    truth = ENERGIES[1:] - ENERGIES[0]
    encoded = np.asarray(one_hot(len(ENERGIES))(y), float)
    by_formula = -float((encoded * np.log(boltzmann(beta, np.concatenate([[0], found])))).sum() / rows)

    shown = np.concatenate([np.unique(y, return_index=True)[1], np.arange(4)])  # a row of each label, and four more

    level = np.linspace(0, 2, 9)
    filling = {t: metropolis(level, 1 / t, steps, rng) for t in TEMPERATURES}
    pulls = {t: (mean - fermi_dirac(level, 1 / t)) / np.maximum(sd, 1e-3) for t, (mean, sd) in filling.items()}
    worst = max(float(np.abs(p).max()) for p in pulls.values())
    two = boltzmann(np.array([1.0, 3.0]), np.array([0.0, 0.7]))[:, 1]
    sigmoid = float(np.abs(two - 1 / (1 + np.exp(0.7 * np.array([1.0, 3.0])))).max())

    return Chapter(
        f"the energies of {len(ENERGIES)} states from {rows:,} looks at a system in a heat bath",
        {
            "energies_above_the_first": found,
            "standard_errors": error,
            "true_energies": truth,
            "cost": cost,
            "first_labels": y[:6],
            "first_labels_one_hot": [[int(v) for v in row] for row in encoded[:6]],
            "largest_pull_of_a_filling": worst,
        },
        {
            "softmax regression finds every energy within 4 standard errors": bool(
                (np.abs(found - truth) < 4 * error).all()
            ),
            f"its cost is −(1/n) ΣΣ y log P with one-hot y ({abs(cost - by_formula):.0e})": abs(cost - by_formula)
            < 1e-9,
            "each one-hot row holds a single 1, at its label": bool(
                (encoded.sum(1) == 1).all() and (encoded.argmax(1) == y).all()
            ),
            f"two states are a sigmoid ({sigmoid:.0e})": sigmoid < 1e-12,
            f"levels of a Metropolis simulation are filled as Fermi and Dirac say, all within {worst:.1f} standard "
            "errors": worst < 5,
        },
        draw(beta, y, found, encoded[shown], level, filling, y[shown]),
        (f"{rows:,} rows", "β = 1/T from 0 to 3", f"Metropolis: 500 chains of {steps} steps, μ = {MU:g}"),
    )


def draw_one_hot(axis: Axes, y: np.ndarray, encoded: np.ndarray) -> None:
    """Labels on the left, their rows of 0 and 1 beside them."""
    axis.imshow(encoded, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for (i, m), value in np.ndenumerate(encoded):
        axis.text(m, i, f"{value:.0f}", ha="center", va="center")
    axis.set(xlabel="m", ylabel="label y of a row", xticks=range(encoded.shape[1]))
    axis.set_yticks(range(len(y)), [str(label) for label in y])
    axis.set_title("One-hot: y → [y₀, y₁, y₂, y₃]")
    axis.grid(False)


@styled()
def draw(
    beta: np.ndarray,
    y: np.ndarray,
    found: np.ndarray,
    encoded: np.ndarray,
    level: np.ndarray,
    filling: dict[float, tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
) -> Figure:
    figure, (states, hot, fermi) = panels(1, 3)
    edges = np.linspace(0, 3, 13)
    middle, bins = (edges[1:] + edges[:-1]) / 2, np.digitize(beta, edges) - 1
    fine = np.linspace(0, 3, 200)
    fitted = boltzmann(fine, np.concatenate([[0], found]))
    for m, marker in enumerate("os^D"):
        colour = (BLUE, ORANGE, GREEN, PURPLE)[m]
        share = np.array([(y[bins == i] == m).mean() for i in range(len(middle))])
        states.plot(middle, share, marker, color=colour)
        name = f"ε{'₀₁₂₃'[m]} = {np.concatenate([[0], found])[m]:.2f}"
        states.plot(fine, fitted[:, m], color=colour, label=name)
    states.set(xlabel="β = 1/T, 1/energy", ylabel="P(y = m)", title="Boltzmann: dots measured, lines softmax")
    legend_above(states, 4)
    draw_one_hot(hot, labels, encoded)
    energy = np.linspace(0, 2, 300)
    for i, (t, (mean, _)) in enumerate(filling.items()):
        fermi.plot(energy, fermi_dirac(energy, 1 / t), **line_style(i), label=f"T = {t:g}")
        fermi.plot(level, mean, "o", color=line_style(i)["color"])
    fermi.axvline(MU, color=GREY, lw=1)
    fermi.set(xlabel="energy ε of a level", ylabel="filling n(ε)", title="Fermi–Dirac: σ(−(ε − μ)/T); dots simulated")
    legend_above(fermi, 3)
    return figure
