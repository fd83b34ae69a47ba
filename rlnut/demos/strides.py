"""Stride and pooling, index by index; and the layers of a generic CNN, with their shapes and weights.

    out[p] = Σᵢ x[p·S + i] w[i],    p = 0 … (T − F)/S            filter of length F moved by S neurons
    pool[p] = max(x[p·k], …, x[p·k + k − 1])                     window k: one number of each k

A stage of a CNN is filters F × F × D, an activation and a pooling: the image gets smaller, the number of maps D grows;
fully connected layers read what is left. A filter has F·F·C + 1 numbers however large the image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlnut.demos.frame import Ask, Chapter
from rlnut.networks.architectures import lenet
from rlnut.networks.convolution import convolve, pool
from rlnut.networks.layers import parameter_count
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, new_figure, styled

X = np.array([1, 2, 0, 3, 1, -1, 2, 4, 0], np.float32)
W = np.array([1, 0, -1], np.float32)
# stride -> every output, worked out on paper
ON_PAPER = {1: (1, -1, -1, 4, -1, -5, 2), 2: (1, -1, -1, 2), 3: (1, 4, 2)}
POOLED = {"max": (2, 3, 1, 4), "average": (1.5, 1.5, 0, 3)}  # windows of 2


class CnnLayer(NamedTuple):
    """A row of the table of layers."""

    name: str
    shape: tuple[int, ...]  # what comes out, of one row
    weights: str  # how the number of weights comes about
    numbers: int


# LeNet-5 for 28 × 28 images and ten classes, worked out on paper
LENET = (
    CnnLayer("image", (28, 28, 1), "", 0),
    CnnLayer("6 filters 5 × 5, zeros around", (28, 28, 6), "(5·5·1 + 1)·6", 156),
    CnnLayer("tanh, mean of 2 × 2", (14, 14, 6), "", 0),
    CnnLayer("16 filters 5 × 5", (10, 10, 16), "(5·5·6 + 1)·16", 2416),
    CnnLayer("tanh, mean of 2 × 2", (5, 5, 16), "", 0),
    CnnLayer("flatten", (400,), "", 0),
    CnnLayer("fully connected, tanh", (120,), "(400 + 1)·120", 48120),
    CnnLayer("fully connected, tanh", (84,), "(120 + 1)·84", 10164),
    CnnLayer("fully connected, softmax", (10,), "(84 + 1)·10", 850),
)


def strided(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    """The library's convolution of one signal without zeros around it: [(T − F)//S + 1]."""
    found = convolve(jnp.asarray(x)[None, :, None], jnp.asarray(w)[:, None, None], stride, "valid")
    return np.asarray(found)[0, :, 0]


def pooled(x: np.ndarray, window: int, kind: str, stride: int | None = None) -> np.ndarray:
    """The library's pooling of one signal."""
    return np.asarray(pool(window, kind, stride).apply({}, jnp.asarray(x)[None, :, None]))[0, :, 0]


def weights_of_layers(params: object) -> list[int]:
    """Numbers in θ of each layer that has any, filters with their biases together."""
    sizes = [int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)]
    return [a + b for a, b in zip(sizes[::2], sizes[1::2], strict=True)]


def chapter(ask: Ask) -> Chapter:
    """The library against the tables worked out on paper."""
    outs = {stride: strided(X, W, stride) for stride in ON_PAPER}
    pools = {kind: pooled(X[:8], 2, kind) for kind in POOLED}
    overlapping = pooled(X[:8], 3, "max", 2)
    model = lenet()((10,))
    image = np.zeros((1, 28, 28), np.float32)
    params = model.init(jax.random.key(ask.seed), image)
    paper = sorted(layer.numbers for layer in LENET if layer.numbers)
    whole = parameter_count(params)
    without_sharing = 28 * 28 * 28 * 28 * 6

    return Chapter(
        "stride and pooling index by index, and the layers of LeNet-5",
        {
            "x": X,
            "w": W,
            "out": {f"stride {stride}": out for stride, out in outs.items()},
            "pooled": pools,
            "layers": [f"{layer.name}: {list(layer.shape)}, {layer.numbers}" for layer in LENET],
            "parameters": whole,
        },
        {
            "strides 1, 2 and 3 give the numbers worked out on paper": all(
                np.array_equal(outs[s], ON_PAPER[s]) for s in ON_PAPER
            ),
            "stride S takes every S-th output of stride 1": all(np.array_equal(outs[s], outs[1][::s]) for s in outs),
            "maximum and mean of windows of 2, too": all(np.array_equal(pools[k], POOLED[k]) for k in POOLED),
            "windows of 3 that move by 2 overlap": np.array_equal(overlapping, (2, 3, 2)),
            f"LeNet-5 has {whole:,} weights, layer by layer those of the table": (
                sorted(weights_of_layers(params)) == paper and whole == sum(paper)
            ),
            "and gives the ten outputs of its last row": model.apply(params, image).shape == (1, *LENET[-1].shape),
            f"a fully connected first layer would need {without_sharing:,} weights, the 6 filters need 156": (
                without_sharing > 10_000 * LENET[1].numbers
            ),
        },
        draw(outs, pools),
        (f"x of length {len(X)}", f"w of length {len(W)}", "no zeros around x"),
    )


def draw_cells(axis: Axes, values: Sequence[float] | np.ndarray, at: Sequence[float], row: float, colour: str) -> None:
    """Numbers in boxes, centred at `at`, with their height in `row`."""
    for value, place in zip(values, at, strict=True):
        axis.add_patch(Rectangle((place - 0.42, row - 0.3), 0.84, 0.6, fc=colour, ec="black", lw=0.8, alpha=0.35))
        axis.text(place, row, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=10)


def draw_sliding(axis: Axes, x: np.ndarray, out: np.ndarray, size: int, stride: int, colour: str) -> None:
    """Inputs above, outputs below; lines from the inputs that an output reads; the first window is marked."""
    draw_cells(axis, x, range(len(x)), 2, GREY)
    middle = [p * stride + (size - 1) / 2 for p in range(len(out))]
    draw_cells(axis, out, middle, 0, colour)
    for p, centre in enumerate(middle):
        for i in range(size):
            axis.plot(
                (p * stride + i, centre), (1.7, 0.3), color=colour, lw=1.6 if p < 2 else 0.5, ls="-" if p else "--"
            )
    for i in range(len(x)):
        axis.text(i, 2.42, f"{i}", ha="center", va="bottom", fontsize=7, color="#606060")
    for p, centre in enumerate(middle):
        axis.text(centre, -0.42, f"p = {p}", ha="center", va="top", fontsize=7, color="#606060")
    axis.set(xlim=(-0.8, len(x) - 0.2), ylim=(-0.9, 2.9))
    axis.axis("off")


@styled()
def draw(outs: dict[int, np.ndarray], pools: dict[str, np.ndarray]) -> Figure:
    figure = new_figure(13, 8.6)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1, 1.1)), object)
    axes = left.subplots(4, 1)
    for axis, (stride, out) in zip(axes, outs.items(), strict=False):
        draw_sliding(axis, X, out, len(W), stride, BLUE)
        axis.set_title(f"Stride S = {stride}: out[p] = x[{stride if stride > 1 else ''}p]·1 + x[…+1]·0 + x[…+2]·(−1)")
    draw_sliding(axes[-1], X[:8], pools["max"], 2, 2, GREEN)
    axes[-1].set_title("Pooling: the maximum of each window of 2")

    table = right.subplots()
    table.axis("off")
    table.set_title("A generic CNN: LeNet-5, layer by layer")
    heights = np.linspace(0.95, 0.12, len(LENET) + 1)
    for x, text in ((0, "layer"), (0.46, "shape"), (0.64, "weights"), (1, "number")):
        table.text(x, heights[0], text, weight="bold", ha="right" if x == 1 else "left", fontsize=10)
    for layer, y in zip(LENET, heights[1:], strict=True):
        table.text(0, y, layer.name, fontsize=9.5)
        table.text(0.46, y, " × ".join(map(str, layer.shape)), fontsize=9.5)
        table.text(0.64, y, layer.weights, fontsize=9.5)
        table.text(1, y, f"{layer.numbers:,}" if layer.numbers else "", ha="right", fontsize=9.5)
        bar = 0.9 * np.log10(np.prod(layer.shape)) / np.log10(28 * 28 * 6)
        table.add_patch(Rectangle((0, y - 0.032), bar, 0.016, fc=ORANGE if layer.numbers else GREY, alpha=0.5))
    table.text(0, 0.04, "θ altogether", weight="bold", fontsize=10)
    table.text(1, 0.04, f"{sum(layer.numbers for layer in LENET):,}", weight="bold", ha="right", fontsize=10)
    table.text(0, -0.02, "bars: numbers that come out of a layer, on a logarithmic scale", fontsize=8, color="#606060")
    table.set(xlim=(0, 1), ylim=(-0.05, 1))
    return figure
