"""Why layers: one layer cannot learn XOR, a hidden layer can; and with enough hidden units it can be any function.

    x⁽¹⁾ = f(W⁽¹⁾x + b⁽¹⁾),    ŷ = W⁽²⁾x⁽¹⁾ + b⁽²⁾

A single layer weighs each input by itself, so that it sees no correlation between them: for XOR of two inputs in
[−1, 1] no line has more than 2/3 of them right (the best cuts off one quadrant, at a + b = 2/3). The expressivity
theorem (Cybenko 1989, Hornik et al. 1989) says that one hidden layer approximates any continuous function, if wide
enough; that descent finds it is not said, so the start that fits the training points best counts, judged at new points.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.small_tables import Table, xor
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.linear_models.logistic import Classifier, logistic
from rlnut.networks.architectures import mlp
from rlnut.regression.core import regression
from rlnut.regression.losses import binary_cross_entropy, squared
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, map_frame, panels, styled
from rlnut.types import Batch

STARTS = 3


def target(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x[:, 0]) + x[:, 0] ** 2


def chapter(ask: Ask, widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32), steps: int = 2000) -> Chapter:
    """A curve by networks of growing width; then XOR by logistic regression and by a hidden layer of 8."""
    x, new = np.linspace(-1, 1, 100)[:, None], np.linspace(-1, 1, 397)[:, None]
    batch = Batch((3 * x).astype(np.float32), target(x).astype(np.float32))
    keys = jax.random.split(jax.random.key(ask.seed), STARTS)
    guesses = {}
    for width in widths:
        adam = optax.adam(optax.cosine_decay_schedule(0.05, steps))
        core = regression(mlp((width,), "tanh")(()), squared, adam)
        fits, _, _ = jax.vmap(lambda key, core=core: descend_by_updates(core, batch, steps, key))(keys)
        guess = jax.vmap(core.predict, (0, None))
        start = np.argmin(((np.asarray(guess(fits.params, batch.x)) - batch.y) ** 2).mean(1))  # by the training rows
        guesses[width] = np.asarray(guess(fits.params, (3 * new).astype(np.float32)))[start]
    rms = [float(np.sqrt(np.mean((guess - target(new)) ** 2))) for guess in guesses.values()]

    table, unseen = xor(400, ask.seed), xor(2000, ask.seed + 1)
    line = logistic(table.x, table.y)
    core = regression(mlp((8,), "tanh")(()), binary_cross_entropy, optax.adam(0.03))
    fit, _, _ = descend_by_updates(
        core, Batch(table.x.astype(np.float32), table.y), steps // 2, jax.random.key(ask.seed)
    )

    def hidden(x: np.ndarray) -> np.ndarray:
        """P(y = 1 | x)."""
        return np.asarray(jax.nn.sigmoid(core.predict(fit.params, x.astype(np.float32))))

    single = float(np.mean(line.predict(unseen.x) == unseen.y))
    layered = float(np.mean((hidden(unseen.x) > 0.5) == unseen.y))
    return Chapter(
        f"sin 2πx + x² by networks of {widths[0]} to {widths[-1]} hidden units; XOR by one layer and by two",
        {
            "widths": list(widths),
            "rms_error": rms,
            "xor_accuracy_one_layer": single,
            "xor_accuracy_hidden_layer": layered,
            "xor_best_line": 2 / 3,
        },
        {
            f"{widths[-1]} hidden units err less than a tenth of one unit: {rms[-1]:.4f} against {rms[0]:.3f}": (
                rms[-1] < rms[0] / 10
            ),
            "twice the width never makes it much worse": all(b < 1.5 * a + 0.01 for a, b in pairwise(rms)),
            f"one layer has {100 * single:.0f} % of XOR right, within chance of the 2/3 that no line exceeds": single
            < 0.71,
            f"a hidden layer of 8 has {100 * layered:.1f} % right": layered > 0.95,
        },
        draw(new[:, 0], guesses, widths, rms, (line, hidden, table)),
        (f"{steps:,} updates of Adam", f"α = 0.05 (curve), 0.03 (XOR), {len(table.x)} rows of XOR"),
    )


@styled()
def draw(
    x: np.ndarray,
    guesses: dict[int, np.ndarray],
    widths: tuple[int, ...],
    rms: list[float],
    learned: tuple[Classifier, Callable[[np.ndarray], np.ndarray], Table],
) -> Figure:
    figure, (curve, error, one, two) = panels(2, 2)
    curve.plot(x, target(x[:, None]), color=GREY, lw=5, alpha=0.5, label="sin 2πx + x²")
    shown = (widths[0], widths[len(widths) // 2 - 1], widths[-1])
    for width, colour, style in zip(shown, (GREEN, ORANGE, BLUE), (":", "--", "-"), strict=True):
        curve.plot(x, guesses[width], style, color=colour, lw=2, label=f"{width} hidden unit{'s' * (width > 1)}")
    curve.set(xlabel="x", ylabel="y", ylim=(-1.2, 2.6), title="One hidden layer of tanh")
    curve.set_xticks([-1, -0.5, 0, 0.5, 1])
    curve.legend(ncols=2, loc="upper right")
    error.loglog(widths, rms, "o-", color=BLUE)
    error.set(
        xlabel="width of the hidden layer",
        ylabel="RMS error",
        title=f"The error falls with the width (best of {STARTS} starts)",
    )
    error.set_xticks(widths, [str(w) for w in widths])
    error.minorticks_off()

    line, hidden, table = learned
    a, b = np.meshgrid(np.linspace(-1, 1, 121), np.linspace(-1, 1, 121))
    grid = np.stack([a.ravel(), b.ravel()], 1)
    maps = (("One layer", line.probabilities(grid)[:, 1]), ("A hidden layer of 8", hidden(grid)))
    for axis, (name, p) in zip((one, two), maps, strict=True):
        image = axis.pcolormesh(a, b, p.reshape(a.shape), cmap="PuOr", vmin=0, vmax=1, shading="gouraud")
        for label, marker in ((0, "o"), (1, "^")):
            at = table.x[table.y == label]
            axis.plot(at[:, 0], at[:, 1], marker, ms=3.5, color="black", mfc="white", mew=0.6, label=f"y = {label}")
        axis.contour(a, b, p.reshape(a.shape), [0.5], colors="black", linewidths=1.5)
        axis.set(xlabel="input a", ylabel="input b", aspect="equal")
        axis.set_title(f"{name}: XOR with P from {p.min():.2f} to {p.max():.2f}")
        legend_above(axis)
    map_frame(one, two)
    figure.colorbar(image, ax=[one, two], label="P(y = 1); the line is ½", shrink=0.8)
    return figure
