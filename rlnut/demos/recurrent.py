"""Recurrent networks: how long does a network remember?

    RNN     hₜ = tanh(W xₜ + U hₜ₋₁ + b)                          each step multiplies what it knows by U and tanh′
    LSTM    cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g),  hₜ = σ(o) tanh(cₜ)     each step adds; a gate decides what is kept

The task: name the first of the symbols, after T or fewer distractors. What the first step left behind passes through
every step between, and so does the slope of the cost on its way back. In the RNN both fade, so that there is nothing to
learn from; the LSTM's sum lets them through.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from rlnut.data.sequences import memory
from rlnut.demos.frame import Ask, Chapter
from rlnut.errors import counted
from rlnut.networks.recurrent_networks import CELLS, scan
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, panels, styled, whole_numbers
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import FittedModel

STYLES = {"rnn": (ORANGE, "s--"), "lstm": (BLUE, "o-")}
SYMBOLS = 4
RATE = 1e-2


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


def chapter(
    ask: Ask, lengths: tuple[int, ...] = (10, 20, 40), rows: int = 2000, epochs: int = 12, seeds: int = 3
) -> Chapter:
    """The same training for both cells on longer and longer sequences; then how far back the slope reaches."""
    right = {cell: np.zeros((seeds, len(lengths))) for cell in STYLES}
    last: dict[str, list[FittedModel]] = {cell: [] for cell in STYLES}
    for i, steps in enumerate(lengths):
        data = memory("recall", steps, rows, 1000, ask.seed)
        for cell in STYLES:
            settings: dict[str, Any] = {"hidden": (32,), "epochs": epochs, "batch": 64, "lr": RATE, "progress": False}
            last[cell] = [fit(cell, data, seed=ask.seed + seed, **settings) for seed in range(seeds)]
            right[cell][:, i] = [fitted.result["test_accuracy"] for fitted in last[cell]]
    whole = data.x_test[~np.isnan(data.x_test[:, -1, 0])][:200]
    kept = {cell: np.array([left(cell, fitted, whole) for fitted in fits]) for cell, fits in last.items()}
    costs = {
        cell: np.array([[epoch.cost for epoch in fitted.history] for fitted in fits]) for cell, fits in last.items()
    }
    rnn, lstm = (np.median(right[cell], 0) for cell in ("rnn", "lstm"))
    end = {cell: float(np.median(trace[:, -1])) for cell, trace in kept.items()}

    return Chapter(
        f"name the first of {SYMBOLS} symbols after T/2 to T distractors",
        {
            "lengths": list(lengths),
            "seeds": seeds,
            "accuracy_rnn": rnn,
            "accuracy_lstm": lstm,
            "accuracy_of_each_seed": right,
            "chance": 1 / SYMBOLS,
            "epochs": epochs,
            "left_at_the_end": end,
        },
        {
            f"the LSTM remembers over {lengths[-1]} steps: {100 * lstm[-1]:.1f} % right, median of {seeds} seeds": (
                lstm[-1] > 0.7
            ),
            f"the RNN does not: {100 * rnn[-1]:.1f} %, chance is {100 / SYMBOLS:g} %": rnn[-1] < 0.5,
            "over a short time both do": len(lengths) == 1 or min(rnn[0], lstm[0]) > 0.9,
            f"after {lengths[-1]} steps the LSTM holds {end['lstm']:.2g} times what the first symbol changed, "
            f"the RNN {end['rnn']:.1g} times": end["lstm"] > 0.2 > 10 * end["rnn"],
        },
        draw(lengths, right, costs, kept),
        (counted(seeds, "seed"), f"{rows:,} training rows", "1,000 new ones", f"{epochs} epochs", f"α = {RATE}"),
    )


@styled()
def draw(
    lengths: tuple[int, ...],
    right: dict[str, np.ndarray],
    costs: dict[str, np.ndarray],
    kept: dict[str, np.ndarray],
) -> Figure:
    """Medians over seeds as lines, the range of all seeds as bands; of each seed [seeds, ...]."""
    figure, (memory_of, cost, trace) = panels(1, 3)
    for cell, (colour, style) in STYLES.items():
        curves = (
            (memory_of, np.array(lengths), 100 * right[cell], style),
            (cost, np.arange(1, costs[cell].shape[1] + 1), costs[cell], style),
            (trace, np.arange(kept[cell].shape[1]), np.maximum(kept[cell], 1e-8), style[1:]),
        )
        for axis, x, y, form in curves:
            axis.plot(x, np.median(y, 0), form, color=colour, label=cell.upper())
            axis.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.2, lw=0)
    memory_of.axhline(100 / SYMBOLS, color=GREY, lw=1, label="chance")
    memory_of.set(xlabel="length T, steps", ylabel="accuracy on new sequences, %", ylim=(0, 105))
    memory_of.set_title("How long they remember")
    memory_of.set_xticks(lengths)
    cost.axhline(np.log(SYMBOLS), color=GREY, lw=1, label="chance")
    cost.set(xlabel="epoch", ylabel="training cost, nats", title=f"How they learn, T = {lengths[-1]}")
    trace.set_yscale("log")
    trace.set(xlabel="steps after the first", ylabel="‖y − y′‖ / ‖y₀ − y′₀‖", title="What is left of the first symbol")
    whole_numbers(cost.xaxis, trace.xaxis)
    for axis in (memory_of, cost, trace):
        axis.legend(loc="lower left")
    figure.align_labels()
    return figure
