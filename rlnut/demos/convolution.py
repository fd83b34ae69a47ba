"""Convolution: small filters, the same at every place.

    out[p] = Σᵢ x[p·S + i] w[i]            filter of length F, stride S; over images the same with two indices

A filter sees its neighbourhood only, and what it finds it finds anywhere: a shifted input gives a shifted output. Which
filters are useful is learned, like all else: from x and out alone descent finds w, and from labelled digits a network
finds filters for strokes and edges.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import signal as signal_processing

from rlnut.demos.frame import Ask, Chapter, descend_by_updates, digits
from rlnut.errors import counted
from rlnut.networks.architectures import cnn
from rlnut.networks.convolution import conv, convolve
from rlnut.regression.core import regression
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, legend_above, map_frame, new_figure, styled, whole_numbers
from rlnut.supervised.fit import fit
from rlnut.types import Batch, Params

FILTERS = {"mean of three": (1 / 3, 1 / 3, 1 / 3), "difference": (-1.0, 0.0, 1.0)}
HIDDEN = np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])  # Sobel's, to be found from examples


def slide(x: np.ndarray, w: ArrayLike, stride: int = 1) -> np.ndarray:
    """One filter w [F] over one signal x [T], zeros around it: [⌈T/S⌉]."""
    found = convolve(jnp.asarray(x)[None, :, None], jnp.asarray(w, jnp.float32)[:, None, None], stride)
    return np.asarray(found)[0, :, 0]


def chapter(ask: Ask, epochs: int = 3, train: int = 4000) -> Chapter:
    """The lecture's examples in one dimension; a filter found from examples; filters learned from digits."""
    rng = np.random.default_rng(ask.seed)
    step = np.repeat([0.0, 1.0, 0.3], (12, 12, 13)) + 0.03 * rng.normal(size=37)
    signal = step.astype(np.float32)
    outs = {name: slide(signal, w) for name, w in FILTERS.items()}
    far = max(float(np.abs(out - np.correlate(signal, FILTERS[name], "same")).max()) for name, out in outs.items())
    strided = np.array_equal(slide(signal, FILTERS["difference"], 2), outs["difference"][::2])
    edges = sorted(int(i) + 1 for i in np.argsort(-np.abs(outs["difference"][1:-1]))[:4])  # zeros stand beyond the ends

    x = rng.normal(size=(20, 12, 12)).astype(np.float32)
    y = np.stack([signal_processing.correlate2d(image, HIDDEN, "same") for image in x]).astype(np.float32)
    core = regression(conv(1, len(HIDDEN)), optimizer=optax.adam(0.05))
    fit_to, _, _ = descend_by_updates(core, Batch(x[..., None], y[..., None]), 400, jax.random.key(ask.seed))
    learned = np.asarray(fit_to.params["w"])[:, :, 0, 0]
    off = float(np.abs(learned - HIDDEN).max())

    data = digits(ask, train)
    network = cnn((8, 16), 5, hidden=(64,))
    fitted = fit(network, data, seed=ask.seed, epochs=epochs, batch=64, lr=3e-3, progress=False)
    w, b = first_filters(fitted.params)
    image = jnp.asarray(data.x_test[:1, ..., None] / np.float32(255))
    maps = np.asarray(jax.nn.relu(convolve(image, w) + b))[0]
    moved = np.asarray(jax.nn.relu(convolve(jnp.roll(image, (2, 3), (1, 2)), w) + b))[0]
    inner = slice(6, 22)
    shift = float(np.abs(np.roll(maps, (2, 3), (0, 1)) - moved)[inner, inner].max())
    accuracy, goal = fitted.result["test_accuracy"], 0.98 if ask.full else 0.93

    return Chapter(
        f"filters over a signal, and over {len(data.x_train):,} digits of {data.name}",
        {
            "from_numpy_correlate": far,
            "edges_found_at": edges,
            "filter_found": learned,
            "filter_true": HIDDEN,
            "filters": list(w.shape),
            "test_accuracy": accuracy,
            "train_size": len(data.x_train),
            "test_size": len(data.x_test),
            "moved_input_against_moved_maps": shift,
        },
        {
            f"the filters slide as numpy.correlate does ({far:.0e})": far < 1e-5,
            "stride 2 takes every second place": strided,
            "the difference filter finds the two edges": edges == [11, 12, 23, 24],
            f"from examples of in and out, descent finds the filter, to {off:.0e}": off < 1e-3,
            f"a shifted digit gives shifted feature maps ({shift:.0e})": shift < 1e-4,
            f"{100 * accuracy:.1f} % of new digits are read right, at least {100 * goal:g} %": accuracy >= goal,
        },
        draw(signal, outs, learned, np.asarray(w), data.x_test[0], maps),
        (f"{len(data.x_train):,} training rows", counted(epochs, "epoch"), "α = 0.003"),
    )


def first_filters(params: Params) -> tuple[jax.Array, jax.Array]:
    """Weights [F, F, 1, D] and biases [D] of the first convolution in θ."""
    w = next(leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4)
    b = next(leaf for leaf in jax.tree.leaves(params) if leaf.shape == w.shape[-1:])
    return w, b


@styled()
def draw(
    signal: np.ndarray,
    outs: dict[str, np.ndarray],
    learned: np.ndarray,
    w: np.ndarray,
    image: np.ndarray,
    maps: np.ndarray,
) -> Figure:
    figure = new_figure(12, 8.4)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(5, 4)), object)
    slid, true, found = above.subplots(1, 3, width_ratios=(3, 1, 1))
    slid.plot(signal, "o-", color=GREY, ms=3, label="signal")
    for (name, out), colour, style in zip(outs.items(), (BLUE, ORANGE), ("-", "--"), strict=True):
        slid.plot(out, style, color=colour, lw=2, label=name)
    slid.set(xlabel="position p in the signal", ylabel="value", title="Two filters of length 3, by hand")
    whole_numbers(slid.xaxis)
    legend_above(slid, 3)
    for axis, weights, name in ((true, HIDDEN, "The filter behind the data"), (found, learned, "Found by descent")):
        image_of = axis.imshow(weights, cmap="PuOr", vmin=-2.5, vmax=2.5)
        axis.set(xticks=[], yticks=[])
        axis.set_title(name, fontsize=9)
        map_frame(axis)
        for (i, j), weight in np.ndenumerate(weights):
            shown = f"{round(float(weight), 2) + 0.0:.2f}".replace("-", "−")
            axis.text(j, i, shown, ha="center", va="center", color="white" if abs(weight) > 1.5 else "black")
    above.colorbar(image_of, ax=[true, found], label="weight", shrink=0.6, location="bottom", pad=0.04)

    axes = below.subplots(2, 1 + w.shape[-1])
    most = np.abs(w).max()
    axes[0, 0].axis("off")
    axes[1, 0].imshow(image, cmap="Greys")
    axes[1, 0].set_title("A digit", fontsize=9)
    for d in range(w.shape[-1]):
        weight = axes[0, d + 1].imshow(w[:, :, 0, d], cmap="PuOr", vmin=-most, vmax=most)
        answer = axes[1, d + 1].imshow(maps[..., d], cmap="Greys", vmin=0, vmax=maps.max())
        axes[0, d + 1].set_title(f"Filter {d + 1}", fontsize=9)
        axes[1, d + 1].set_title(f"Its map {d + 1}", fontsize=9)
    below.colorbar(weight, ax=axes[0].tolist(), label="weight")
    below.colorbar(answer, ax=axes[1].tolist(), label="output")
    map_frame(*axes.ravel())
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    below.suptitle("Filters learned from digits, and their outputs for one", fontsize=11)
    return figure
