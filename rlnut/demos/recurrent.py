"""Recurrent networks: how long does a network remember?

    RNN     hₜ = tanh(W xₜ + U hₜ₋₁ + b)                          each step multiplies what it knows by U and tanh′
    LSTM    cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g),  hₜ = σ(o) tanh(cₜ)     each step adds; a gate decides what is kept

The task: name the first of the symbols, after T or fewer distractors. What the first step left behind passes through
every step between, and so does the slope of the cost on its way back. In the RNN both fade, so that there is nothing to
learn from; the LSTM's sum lets them through.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from rlnut.data.sequences import memory
from rlnut.demos.frame import Ask, Chapter
from rlnut.networks.recurrent_networks import CELLS, scan
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, panels, styled
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import FittedModel

STYLES = {"rnn": (ORANGE, "s--"), "lstm": (BLUE, "o-")}
SYMBOLS = 4


def left(kind: str, fitted: FittedModel, x: np.ndarray) -> np.ndarray:
    """How far apart y stays, for two sequences that differ in the first symbol only: ‖yₜ − y′ₜ‖/‖y₀ − y′₀‖, [T + 1]."""
    other = x.copy()
    other[:, 0, :SYMBOLS] = np.roll(x[:, 0, :SYMBOLS], 1, axis=1)
    (theta,) = [part for part in jax.tree.leaves(fitted.params, is_leaf=is_cell) if is_cell(part)]
    cell = CELLS[kind](theta["u"].shape[0])
    y, changed = (scan(cell, theta, fitted.prepared(part))[1] for part in (x, other))
    apart = np.asarray(jnp.linalg.norm(y - changed, axis=2).mean(0))
    return apart / apart[0]


def is_cell(part: object) -> bool:
    """Is this the θ of a recurrent layer?"""
    return isinstance(part, dict) and "u" in part


def chapter(ask: Ask, lengths: tuple[int, ...] = (10, 20, 40), rows: int = 2000, epochs: int = 12) -> Chapter:
    """The same training for both cells on longer and longer sequences; then how far back the slope reaches."""
    accuracy: dict[str, list[float]] = {cell: [] for cell in STYLES}
    last = {}
    for steps in lengths:
        data = memory("recall", steps, rows, 1000, ask.seed)
        for cell in STYLES:
            last[cell] = fit(cell, data, seed=ask.seed, progress=False, hidden=(32,), epochs=epochs, batch=64, lr=1e-2)
            accuracy[cell].append(last[cell].result["test_accuracy"])
    whole = data.x_test[~np.isnan(data.x_test[:, -1, 0])][:200]
    kept = {cell: left(cell, fitted, whole) for cell, fitted in last.items()}
    rnn, lstm = accuracy["rnn"], accuracy["lstm"]

    return Chapter(
        f"name the first of {SYMBOLS} symbols after T/2 to T distractors",
        {
            "lengths": list(lengths),
            "accuracy_rnn": rnn,
            "accuracy_lstm": lstm,
            "chance": 1 / SYMBOLS,
            "epochs": epochs,
            "left_at_the_end": {cell: float(trace[-1]) for cell, trace in kept.items()},
        },
        {
            f"the LSTM remembers over {lengths[-1]} steps: {100 * lstm[-1]:.1f} % right": lstm[-1] > 0.7,
            f"the RNN does not: {100 * rnn[-1]:.1f} %, chance is {100 / SYMBOLS:g} %": rnn[-1] < 0.5,
            "over a short time both do": len(lengths) == 1 or min(rnn[0], lstm[0]) > 0.9,
            f"after {lengths[-1]} steps the LSTM holds {kept['lstm'][-1]:.2g} times what the first symbol changed, "
            f"the RNN {kept['rnn'][-1]:.1g} times": kept["lstm"][-1] > 0.2 > 10 * kept["rnn"][-1],
        },
        draw(lengths, accuracy, last, kept),
    )


@styled()
def draw(
    lengths: tuple[int, ...],
    accuracy: dict[str, list[float]],
    last: dict[str, FittedModel],
    kept: dict[str, np.ndarray],
) -> Figure:
    figure, (memory_of, cost, trace) = panels(1, 3)
    for cell, (colour, style) in STYLES.items():
        memory_of.plot(lengths, [100 * a for a in accuracy[cell]], style, color=colour, label=cell.upper())
        costs = [epoch.cost for epoch in last[cell].history]
        cost.plot(range(1, len(costs) + 1), costs, style, color=colour, label=cell.upper())
        trace.semilogy(np.maximum(kept[cell], 1e-8), style[1:], color=colour, lw=2, label=cell.upper())
    memory_of.axhline(100 / SYMBOLS, color=GREY, lw=1, label="chance")
    memory_of.set(xlabel="length T, steps", ylabel="accuracy on new sequences, %", ylim=(0, 105), title="memory")
    cost.axhline(np.log(SYMBOLS), color=GREY, lw=1, label="chance")
    cost.set(xlabel="epoch", ylabel="training cost, nats", title=f"learning, T = {lengths[-1]}")
    trace.set(xlabel="steps after the first", ylabel="‖y − y′‖ / ‖y₀ − y′₀‖", title="what is left of the first symbol")
    for axis in (memory_of, cost, trace):
        axis.legend(frameon=False)
    return figure
