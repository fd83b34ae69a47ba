"""Drawings of networks: a column of nodes for each layer, an edge for each weight; no chapter, but used by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from rlnut.runtime.plotting import BLUE, GREY, ORANGE

SHOWN = 6  # nodes of a layer that are drawn; of wider ones the middle is left out


class DrawnLayer(NamedTuple):
    """A column of the graph."""

    units: int
    name: str  # written above it
    below: str = ""  # written below: shape of W, activation


def heights(units: int) -> tuple[np.ndarray, bool]:
    """Where the nodes of a layer are drawn, around 0, and whether some are left out."""
    drawn = min(units, SHOWN)
    return (np.arange(drawn) - (drawn - 1) / 2)[::-1], units > drawn


def network_graph(axis: Axes, layers: Sequence[DrawnLayer], title: str, weights: Sequence[np.ndarray] = ()) -> int:
    """Draw the layers from left to right, W [in, out] between them (its signs as colours); the number of edges drawn.

    weights: the matrices, for line widths and colours; left out, all edges are grey. Nodes beyond `SHOWN` are dots.
    """
    edges = 0
    for i, layer in enumerate(layers):
        at, more = heights(layer.units)
        colour = "white" if i == 0 else ORANGE if i == len(layers) - 1 else BLUE
        axis.plot(np.full(len(at), 2.0 * i), at, "o", ms=15, mfc=colour, mec="black", mew=1, zorder=3)
        if more:
            axis.text(2 * i, 0, "⋮", ha="center", va="center", fontsize=16, zorder=4, backgroundcolor="white")
        axis.text(2 * i, SHOWN / 2 + 0.35, layer.name, ha="center", va="bottom", fontsize=9)
        axis.text(2 * i, -SHOWN / 2 - 0.35, layer.below, ha="center", va="top", fontsize=8)
        if i:
            before, _ = heights(layers[i - 1].units)
            w = weights[i - 1] if len(weights) >= i else None
            most = 1.0 if w is None else float(np.abs(w).max()) or 1.0
            for j, low in enumerate(before):
                for k, high in enumerate(at):
                    size = 0.5 if w is None else 2.5 * abs(w[j, k]) / most
                    shade = GREY if w is None else BLUE if w[j, k] >= 0 else ORANGE
                    axis.plot((2 * i - 2, 2 * i), (low, high), color=shade, lw=size, zorder=1)
                    edges += 1
    axis.set(xlim=(-0.9, 2 * len(layers) - 1.1), ylim=(-SHOWN / 2 - 1.6, SHOWN / 2 + 1.1))
    axis.axis("off")
    axis.set_title(title)
    return edges
