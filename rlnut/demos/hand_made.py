"""Features by hand or learned: the same straight-line model on top, and two ways to find what it stands on.

    by hand    g = θ₀ + θ₁I + θ₂I²            someone chose 1, I, I²; θ is exact
    learned    g = w·f(W I + b) + c           the hidden units are the features, found by descent with w

Where the chosen features are those of the law a few rows are enough. Where the law is
another, no number of rows helps the hand-made model: its error stays at the bias of its features. The network finds
features for both.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.features.maps import polynomial
from rlnut.linear_models.least_squares import least_squares
from rlnut.networks.architectures import mlp
from rlnut.networks.layers import ACTIVATIONS
from rlnut.regression.core import regression
from rlnut.regression.losses import l2, squared
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, legend_above, panels, styled
from rlnut.types import Batch

NOISE, UNITS = 0.1, 12
LAWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "V = I + I²/2": lambda i: i + i**2 / 2,
    "V = tanh(4I) + sin(3I)/2": lambda i: np.tanh(4 * i) + np.sin(3 * i) / 2,
}


def learn_features(
    current: np.ndarray, voltage: np.ndarray, new: np.ndarray, seed: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """ŷ of the network at new currents [n], and its hidden units there [n, UNITS]."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, steps))
    core = regression(mlp((UNITS,), "tanh")(()), squared, optimizer, l2(1e-4))
    batch = Batch(current.astype(np.float32), voltage.astype(np.float32))
    params = descend_by_updates(core, batch, steps, jax.random.key(seed))[0].params
    first = next(part for part in jax.tree.leaves(params, is_leaf=lambda p: isinstance(p, dict) and "w" in p))
    hidden = ACTIVATIONS["tanh"](new @ np.asarray(first["w"]) + np.asarray(first["b"]))
    return np.asarray(core.predict(params, new.astype(np.float32)), float), np.asarray(hidden)


def chapter(ask: Ask, sizes: tuple[int, ...] = (10, 30, 100, 300), steps: int = 1500) -> Chapter:
    """Both ways on both laws, with more and more rows; errors against the law itself, without noise."""
    rng = np.random.default_rng(ask.seed)
    new = np.linspace(-1, 1, 400)[:, None]
    phi = polynomial(1, 2)
    errors: dict[str, dict[str, list[float]]] = {law: {"by hand": [], "learned": []} for law in LAWS}
    drawn: dict[str, tuple[np.ndarray, ...]] = {}
    hidden = np.empty(0)
    for law, value in LAWS.items():
        for rows in sizes:
            current = rng.uniform(-1, 1, (rows, 1))
            voltage = value(current[:, 0]) + NOISE * rng.normal(size=rows)
            by_hand = least_squares(phi(current), voltage, intercept=False).predict(phi(new))
            learned, hidden = learn_features(current, voltage, new, ask.seed, steps)
            for way, guess in (("by hand", by_hand), ("learned", learned)):
                errors[law][way].append(float(np.sqrt(np.mean((guess - value(new[:, 0])) ** 2))))
        drawn[law] = (current[:, 0], voltage, by_hand, learned)
    right, other = LAWS
    best = least_squares(phi(new), LAWS[other](new[:, 0]), intercept=False).predict(phi(new))
    bias = float(np.sqrt(np.mean((best - LAWS[other](new[:, 0])) ** 2)))
    last = {law: {way: values[-1] for way, values in found.items()} for law, found in errors.items()}

    return Chapter(
        "features chosen by hand beside features that a network learns",
        {"rows": list(sizes), "rms_error": errors, "bias_of_features_by_hand": bias, "hidden_units": UNITS},
        {
            f"for {right} the features by hand are right: {sizes[0]} rows give {errors[right]['by hand'][0]:.3f}": (
                errors[right]["by hand"][0] < 1.5 * NOISE and last[right]["by hand"] < NOISE / 2
            ),
            f"for {other} they are wrong: {sizes[-1]} rows leave {last[other]['by hand']:.3f}, their bias {bias:.3f}": (
                last[other]["by hand"] > 0.9 * bias and bias > NOISE
            ),
            f"learned features suit both laws: {last[right]['learned']:.3f} and {last[other]['learned']:.3f}": (
                max(found["learned"] for found in last.values()) < 0.7 * NOISE
            ),
        },
        draw(new[:, 0], drawn, hidden, sizes, errors),
        (f"noise {NOISE:g} V", f"{UNITS} hidden units", f"{steps:,} updates of Adam"),
    )


@styled()
def draw(
    new: np.ndarray,
    drawn: dict[str, tuple[np.ndarray, ...]],
    hidden: np.ndarray,
    sizes: tuple[int, ...],
    errors: dict[str, dict[str, list[float]]],
) -> Figure:
    figure, (one, two, units, error) = panels(2, 2)
    for axis, (law, (current, voltage, by_hand, learned)) in zip((one, two), drawn.items(), strict=True):
        axis.plot(current, voltage, ".", color=GREY, alpha=0.6, label=f"{len(current)} rows")
        axis.plot(new, by_hand, "--", color=ORANGE, label="θ₀ + θ₁I + θ₂I²")
        axis.plot(new, learned, color=BLUE, label=f"{hidden.shape[1]} learned features")
        axis.set(xlabel="current I, A", ylabel="voltage V, V", title=law, xticks=np.linspace(-1, 1, 5))
        legend_above(axis, 3)
    units.plot(new, hidden, color=BLUE, lw=1)
    for power in range(3):
        units.plot(new, new**power, "--", color=ORANGE, lw=1.2)
    units.plot([], [], color=BLUE, lw=1, label="learned: tanh(wI + b)")
    units.plot([], [], "--", color=ORANGE, label="by hand: 1, I, I²")
    units.set(xlabel="current I, A", ylabel="feature", title="The features themselves (second law)")
    units.set_xticks(np.linspace(-1, 1, 5))
    legend_above(units)
    for law, marker in zip(errors, "os", strict=True):
        for way, colour, style in (("by hand", ORANGE, "--"), ("learned", BLUE, "-")):
            label = f"{way}, {'first' if marker == 'o' else 'second'} law"
            error.loglog(sizes, errors[law][way], marker + style, color=colour, label=label)
    error.set(
        xlabel="training rows", ylabel="RMS error against the law, V", title="Hand-made: good only if they are right"
    )
    error.set_yticks((0.01, 0.02, 0.05, 0.1, 0.2, 0.5), ("0.01", "0.02", "0.05", "0.1", "0.2", "0.5"))
    error.set_xticks(sizes, [str(n) for n in sizes])
    error.minorticks_off()
    legend_above(error)
    return figure
