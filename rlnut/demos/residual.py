"""Residual networks: why a layer should add to what it is given.

    plain    x⁽ˡ⁺¹⁾ = f(x⁽ˡ⁾)            residual    x⁽ˡ⁺¹⁾ = x⁽ˡ⁾ + α f(x⁽ˡ⁾)

A deeper plain network could do all that a shallower one does, by layers that change nothing; but descent does not find
them, and even the training error grows with depth (He et al. 2015). With a skip connection doing nothing is where a
block begins, and the slope of the cost passes by every block unharmed.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.small_tables import spirals
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.networks.layers import activation, dense, head, serial
from rlnut.networks.residual_networks import residual
from rlnut.regression.core import regression
from rlnut.regression.losses import binary_cross_entropy
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, panels, styled
from rlnut.types import Batch, Model

KINDS = {"plain": (ORANGE, "s--"), "residual": (BLUE, "o-")}
WIDTH = 16


def network(blocks: int, skip: bool) -> Model:
    """A dense layer, `blocks` blocks of ReLU, dense, ReLU, dense, with or without "x +", and a head."""
    inner = [activation("relu"), dense(WIDTH), activation("relu"), dense(WIDTH)]
    body = [residual(serial(*inner)) if skip else serial(*inner) for _ in range(blocks)]
    return serial(dense(WIDTH), *body, activation("relu"), head(()))


def chapter(ask: Ask, depths: tuple[int, ...] = (2, 8, 32), steps: int = 400) -> Chapter:
    """Two spirals, the same training for both kinds and each depth; the training error and cost of each."""
    table = spirals(300, ask.seed)
    batch = Batch(table.x.astype(np.float32) * 2, table.y)
    costs: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    wrong: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for blocks in depths:
        for kind in KINDS:
            model = network(blocks, kind == "residual")
            core = regression(model, binary_cross_entropy, optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
            fit, cost, _ = descend_by_updates(core, batch, steps, jax.random.key(ask.seed))
            costs[kind].append(np.asarray(cost))
            wrong[kind].append(float(np.mean((np.asarray(core.predict(fit.params, batch.x)) > 0) != table.y)))
    final = {kind: [float(cost[-1]) for cost in all_depths] for kind, all_depths in costs.items()}
    layers = [2 * blocks + 2 for blocks in depths]

    return Chapter(
        f"two spirals by networks of {layers[0]} to {layers[-1]} layers of {WIDTH} units",
        {
            "layers": layers,
            "training_cost_plain": final["plain"],
            "training_cost_residual": final["residual"],
            "training_error_plain": wrong["plain"],
            "training_error_residual": wrong["residual"],
            "steps": steps,
        },
        {
            f"the deepest plain network has not learned the training rows: {100 * wrong['plain'][-1]:.0f} % wrong": (
                wrong["plain"][-1] > 0.05
            ),
            f"the deepest residual one has: {100 * wrong['residual'][-1]:.1f} % wrong": wrong["residual"][-1] < 0.05,
            "depth does the plain network harm": final["plain"][-1] > 5 * min(final["plain"]),
            "and the residual one none": final["residual"][-1] < max(1.5 * final["residual"][0], 0.05),
        },
        draw(layers, costs, wrong),
    )


@styled()
def draw(layers: list[int], costs: dict[str, list[np.ndarray]], wrong: dict[str, list[float]]) -> Figure:
    figure, (depth, plain, skips) = panels(1, 3)
    for kind, (colour, style) in KINDS.items():
        depth.plot(layers, [100 * w for w in wrong[kind]], style, color=colour, label=kind)
    depth.set(xlabel="layers", ylabel="training error, %", ylim=(-2, 55), title="depth against training error")
    depth.axhline(50, color=GREY, lw=1, label="chance")
    depth.legend(frameon=False)
    for axis, (kind, (colour, _)) in zip((plain, skips), KINDS.items(), strict=True):
        for i, (number, cost) in enumerate(zip(layers, costs[kind], strict=True)):
            axis.semilogy(cost, color=colour, alpha=0.25 + 0.75 * i / max(len(layers) - 1, 1), label=f"{number} layers")
        low = min(float(c.min()) for curves in costs.values() for c in curves)
        axis.set(xlabel="updates", ylabel="training cost, nats", ylim=(low / 1.5, 1.5), title=f"{kind} networks")
        axis.legend(frameon=False, loc="lower left")
    return figure
