"""Residual networks: why a layer should add to what it is given.

    plain    x⁽ˡ⁺¹⁾ = f(x⁽ˡ⁾)            residual    x⁽ˡ⁺¹⁾ = x⁽ˡ⁾ + α f(x⁽ˡ⁾)

A deeper plain network could do all that a shallower one does, by layers that change nothing; but descent does not find
them, and from some depth on even the training error grows (He et al. 2015). With a skip connection, and α learned from
0, doing nothing is where a block begins, and the slope of the cost passes by every block unharmed. Networks of a few
layers learn as well without: here, with weights of He et al., plain ones of 6 and 18 layers do, those of 66 do not.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.small_tables import spirals
from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.errors import counted
from rlnut.networks.layers import activation, dense, head, serial
from rlnut.networks.residual_networks import residual
from rlnut.regression.core import regression
from rlnut.regression.losses import binary_cross_entropy
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, line_style, panels, styled
from rlnut.types import Batch, Model

KINDS = {"plain": (ORANGE, "s--"), "residual": (BLUE, "o-")}
WIDTH, RATE = 16, 3e-3


def network(blocks: int, skip: bool) -> Model:
    """A dense layer, `blocks` blocks of ReLU, dense, ReLU, dense, with or without "x + α", and a head."""
    inner = serial(activation("relu"), dense(WIDTH), activation("relu"), dense(WIDTH))
    body = [residual(inner) if skip else inner for _ in range(blocks)]
    return serial(dense(WIDTH), *body, activation("relu"), head(()))


def chapter(ask: Ask, depths: tuple[int, ...] = (2, 8, 32), steps: int = 400, seeds: int = 5) -> Chapter:
    """Two spirals, the same training for both kinds and each depth; training error and cost, medians over seeds."""
    table = spirals(300, ask.seed)
    batch = Batch(table.x.astype(np.float32) * 2, table.y)
    keys = jax.random.split(jax.random.key(ask.seed), seeds)
    costs: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}  # [seeds, steps] of each depth
    wrong: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}  # [seeds]
    for blocks in depths:
        for kind in KINDS:
            model = network(blocks, kind == "residual")
            core = regression(model, binary_cross_entropy, optax.adam(optax.cosine_decay_schedule(RATE, steps)))
            fits, cost, _ = jax.vmap(lambda key, core=core: descend_by_updates(core, batch, steps, key))(keys)
            costs[kind].append(np.asarray(cost))
            guess = np.asarray(jax.vmap(core.predict, (0, None))(fits.params, batch.x)) > 0
            wrong[kind].append((guess != table.y).mean(1))
    final = {kind: [float(np.median(cost[:, -1])) for cost in found] for kind, found in costs.items()}
    error = {kind: [float(np.median(each)) for each in found] for kind, found in wrong.items()}
    worst = float(wrong["residual"][-1].max())
    layers = [2 * blocks + 2 for blocks in depths]

    return Chapter(
        f"two spirals by networks of {layers[0]} to {layers[-1]} layers of {WIDTH} units",
        {
            "layers": layers,
            "seeds": seeds,
            "training_cost_plain": final["plain"],
            "training_cost_residual": final["residual"],
            "training_error_plain": error["plain"],
            "training_error_residual": error["residual"],
            "training_error_of_each_seed": wrong,
            "steps": steps,
        },
        {
            f"plain networks of {layers[-1]} layers have not learned the training rows: "
            f"{100 * error['plain'][-1]:.0f} % wrong, median of {seeds} starts": error["plain"][-1] > 0.02,
            f"residual ones have, from every start: {100 * worst:.1f} % wrong at most": worst < 0.02,
            f"with {layers[0]} to {layers[-2]} layers both kinds learn them": max(error["plain"][:-1]) < 0.05
            and max(error["residual"][:-1]) < 0.05,
            "so depth does harm to the plain network": final["plain"][-1] > 5 * min(final["plain"]),
            "and none to the residual one": final["residual"][-1] < max(1.5 * final["residual"][0], 0.05),
        },
        draw(layers, costs, wrong),
        (counted(seeds, "seed"), "300 rows", f"{steps} updates of Adam", f"α = {RATE}, falling to 0"),
    )


@styled()
def draw(layers: list[int], costs: dict[str, list[np.ndarray]], wrong: dict[str, list[np.ndarray]]) -> Figure:
    """Medians over seeds as lines; dots are single seeds, bands their range."""
    figure, (depth, *each) = panels(1, 3)
    for kind, (colour, style) in KINDS.items():
        shares = 100 * np.array(wrong[kind])  # [depths, seeds]
        depth.plot(layers, np.median(shares, 1), style, color=colour, label=f"{kind}, median")
        depth.plot(np.repeat(layers, shares.shape[1]), shares.ravel(), ".", color=colour, alpha=0.5)
    depth.axhline(50, color=GREY, lw=1, label="chance")
    depth.set(xlabel="layers", ylabel="training error, %", ylim=(-2, 55), title="Depth against training error")
    depth.set_xscale("log")
    depth.set_xticks(layers, [str(n) for n in layers])
    depth.minorticks_off()
    depth.legend(loc="center left")
    floor, top = 1e-6, max(float(cost.max()) for found in costs.values() for cost in found)
    for axis, kind in zip(each, KINDS, strict=True):
        for i, (number, cost) in enumerate(zip(layers, costs[kind], strict=True)):
            shown = np.maximum(cost, floor)
            axis.semilogy(np.median(shown, 0), label=f"{number} layers", **line_style(i))
            axis.fill_between(
                np.arange(cost.shape[1]), shown.min(0), shown.max(0), color=line_style(i)["color"], alpha=0.15, lw=0
            )
        axis.set(xlabel="updates", ylabel="training cost, nats", ylim=(floor, 2 * top))
        axis.set_title(f"{kind.capitalize()} networks: median and range of the seeds")
        axis.legend(loc="lower left")
    return figure
