"""Cross-entropy and Kullback-Leibler divergence: learning a probability is making the smaller of two distances 0.

    D_KL(p‖q) = Σₘ pₘ log pₘ/qₘ = −Σₘ pₘ log qₘ − H(p),        H(p) = −Σₘ pₘ log pₘ independent of θ

So minimising the cross-entropy −Σ pₘ log qₘ over θ minimises the divergence, which is 0 at q = p and nowhere else. Its
slope with respect to the logits is q − p: the residual δ = p − q again.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy import stats

from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.networks.architectures import linear
from rlnut.regression.core import regression
from rlnut.regression.losses import binary_cross_entropy, cross_entropy
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, panels, styled
from rlnut.types import Batch

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the divergence, nats
CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])  # of the triangle of three probabilities


def chapter(ask: Ask, steps: int = 300) -> Chapter:
    """Two classes: the whole curve over θ. Three: descent on the triangle of distributions to the truth."""
    rng = np.random.default_rng(ask.seed)
    p = float(rng.uniform(0.15, 0.85))
    theta = np.linspace(-6, 6, 1201)
    with jax.enable_x64(True):
        cross = np.asarray(binary_cross_entropy(jnp.asarray(theta), jnp.full(len(theta), p)))
    q = 1 / (1 + np.exp(-theta))
    divergence = stats.entropy([np.full_like(q, p), np.full_like(q, 1 - p)], [q, 1 - q])  # SciPy's, by its definition
    entropy = float(stats.entropy([p, 1 - p]))
    apart = float(np.abs(cross - divergence - entropy).max())
    best = float(theta[cross.argmin()])

    truth = rng.permutation((0.65, 0.25, 0.1))
    core = regression(linear()((3,)), cross_entropy, optax.sgd(0.3))
    batch = Batch(np.ones((1, 1), np.float32), truth[None].astype(np.float32))
    fit, _, path = descend_by_updates(
        core, batch, steps, jax.random.key(ask.seed), lambda params: core.predict(params, batch.x)[0]
    )
    guesses = np.asarray(jax.nn.softmax(path))
    left = stats.entropy(truth, np.asarray(jax.nn.softmax(core.predict(fit.params, batch.x)[0])))
    delta = core.loss(core.init(jax.random.key(0), batch.x).params, batch)[1][0]

    return Chapter(
        f"two classes with p = {p:.3f}, three with p = ({', '.join(f'{m:.3f}' for m in truth)})",
        {
            "p": p,
            "entropy_nats": entropy,
            "cross_entropy_minus_divergence_spread": apart,
            "theta_at_minimum": best,
            "log_odds_of_p": float(np.log(p / (1 - p))),
            "least_divergence": float(divergence.min()),
            "truth_of_three": truth,
            "found_of_three": guesses[-1],
            "divergence_after_descent": float(left),
        },
        {
            f"cross-entropy − divergence is H(p) = {entropy:.4f} for every θ": apart < 1e-12,
            "both are least at the truth, θ = log p/(1 − p)": abs(best - np.log(p / (1 - p))) <= 0.01,
            "the divergence is nowhere below 0": divergence.min() > -1e-15,
            "the residual that drives the descent is p − q": np.allclose(delta, truth - 1 / 3, atol=1e-6),
            f"descent on the cross-entropy ends at the truth: {left:.0e} nats from it": left < 1e-6,
        },
        draw((theta, cross, divergence, p), truth, guesses),
        ("α = 0.3", f"{steps} updates"),
    )


@styled()
def draw(curves: tuple[np.ndarray, np.ndarray, np.ndarray, float], truth: np.ndarray, guesses: np.ndarray) -> Figure:
    figure, (two, three) = panels(1, 2)
    theta, cross, divergence, p = curves
    two.plot(theta, cross, color=BLUE, lw=2, label="cross-entropy −Σ p log q")
    two.plot(theta, divergence, "--", color=ORANGE, lw=2, label="divergence Σ p log p/q")
    two.plot(theta, cross - divergence, ":", color=GREEN, lw=2, label="their difference, H(p)")
    two.axvline(np.log(p / (1 - p)), color=GREY, lw=1, label="θ = log p/(1 − p)")
    two.set(
        xlabel="θ, with q = σ(θ)", ylabel="nats", ylim=(0, None), title=f"Two classes, p = {p:.2f}: a constant apart"
    )
    two.legend()

    a, b = np.meshgrid(np.linspace(0.001, 0.998, 300), np.linspace(0.001, 0.998, 300))
    inside = a + b < 0.999
    a, b = a[inside], b[inside]
    q = np.stack([1 - a - b, a, b], 1)
    height = stats.entropy(np.broadcast_to(truth, q.shape), q, axis=1)
    x, y = (q @ CORNERS).T
    filled = three.tricontourf(x, y, height, levels=[0, *LEVELS], cmap="Greys", extend="max")
    three.tricontour(x, y, height, levels=LEVELS, colors="black", linewidths=0.5)
    bar = figure.colorbar(filled, ax=three, label="divergence of q from p, nats", shrink=0.8, format="%g")
    bar.set_ticks([0, *LEVELS])
    three.plot(*(guesses @ CORNERS).T, "o-", color=ORANGE, ms=3, label="gradient descent from q = ⅓")
    three.plot(*(truth @ CORNERS), "*", color=BLUE, ms=15, label="truth p")
    for corner, name, side in zip(CORNERS, ("q₀ = 1", "q₁ = 1", "q₂ = 1"), ("right", "left", "center"), strict=True):
        three.text(*corner, f" {name} ", ha=side, va="bottom" if side == "center" else "top")
    three.axis("off")
    three.axis("equal")
    three.set_title("Three classes: descent ends at the truth", pad=26)
    three.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2)
    return figure
