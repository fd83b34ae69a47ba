"""Recurrent networks: how long does a network remember?

    RNN     hₜ = tanh(W xₜ + U hₜ₋₁ + b)                          each step multiplies what it knows by U and tanh′
    LSTM    cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g),  hₜ = σ(o) tanh(cₜ)     each step adds; a gate decides what is kept

The task: name the first of the symbols, after T or fewer distractors. What the first step left behind passes through
every step between, and so does the slope of the cost on its way back. In the RNN both fade, so that there is nothing to
learn from; the LSTM's sum lets them through.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.dataset import Dataset
from rlnut.data.sequences import memory
from rlnut.demos.frame import Ask, Chapter
from rlnut.errors import counted
from rlnut.networks.recurrent_networks import CELLS, scan
from rlnut.regression.core import regression
from rlnut.regression.losses import cross_entropy
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, legend_above, panels, styled, whole_numbers
from rlnut.supervised.network_settings import MODELS
from rlnut.supervised.scaling import scale_of
from rlnut.types import Array, Batch, Fit, Key, Params

STYLES = {"rnn": (ORANGE, "s--"), "lstm": (BLUE, "o-")}
SYMBOLS = 4
HIDDEN, RATE = 32, 1e-2


class LearnedCells(NamedTuple):
    """Networks that were trained from several seeds, all on the same batches."""

    params: Params  # of all seeds, [seeds, ...]
    costs: np.ndarray  # [seeds, epochs]
    accuracy: np.ndarray  # [seeds] on new sequences


def learn_cells(kind: str, data: Dataset, seed: int, seeds: int, epochs: int, size: int = 64) -> LearnedCells:
    """Adam on cross-entropy, α falling to 0, for all seeds at once."""
    updates = len(data.x_train) // size
    model = MODELS[kind]().replace(hidden=(HIDDEN,)).network()((SYMBOLS,))
    core = regression(model, cross_entropy, optax.adam(optax.cosine_decay_schedule(RATE, epochs * updates)))
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(len(data.x_train))[: updates * size] for _ in range(epochs)]).reshape(-1, size)
    x, y = jnp.asarray(data.x_train, jnp.float32), jnp.asarray(data.y_train)

    def one(key: Key) -> tuple[Params, Array]:
        def step(fit: Fit, rows: Array) -> tuple[Fit, Array]:
            new, metrics = core.update(fit, Batch(x[rows], y[rows]))
            return new, metrics["cost"]

        fit, costs = jax.lax.scan(step, core.init(key, x[:1]), jnp.asarray(order))
        return fit.params, costs

    params, costs = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), seeds))
    guess = jax.jit(jax.vmap(core.predict, (0, None)))(params, jnp.asarray(data.x_test, jnp.float32)).argmax(-1)
    accuracy = (np.asarray(guess) == data.y_test).mean(1)
    return LearnedCells(params, np.asarray(costs).reshape(seeds, epochs, updates).mean(2), accuracy)


def left(kind: str, params: Params, x: np.ndarray) -> np.ndarray:
    """How far apart y stays, for two sequences that differ in the first symbol only: ‖yₜ − y′ₜ‖/‖y₀ − y′₀‖, [T + 1]."""
    other = x.copy()
    other[:, 0, :SYMBOLS] = np.roll(x[:, 0, :SYMBOLS], 1, axis=1)
    (theta,) = [part for part in jax.tree.leaves(params, is_leaf=is_cell) if is_cell(part)]
    cell = CELLS[kind](theta["u"].shape[0])
    y, changed = (scan(cell, theta, jnp.asarray(part, jnp.float32))[1] for part in (x, other))
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
    last: dict[str, LearnedCells] = {}
    for i, steps in enumerate(lengths):
        data = memory("recall", steps, rows, 1000, ask.seed)
        scale = scale_of(data.x_train, True, True)
        data = data._replace(x_train=scale.forth(data.x_train), x_test=scale.forth(data.x_test))
        for cell in STYLES:
            last[cell] = learn_cells(cell, data, ask.seed, seeds, epochs)
            right[cell][:, i] = last[cell].accuracy
    whole = data.x_test[~np.isnan(data.x_test[:, -1, 0])][:200]
    kept = {
        cell: np.array([left(cell, jax.tree.map(lambda p, k=k: p[k], found.params), whole) for k in range(seeds)])
        for cell, found in last.items()
    }
    costs = {cell: found.costs for cell, found in last.items()}
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
        (
            f"{counted(seeds, 'seed')}: median and range",
            f"{rows:,} training rows",
            "1,000 new ones",
            f"{epochs} epochs",
            f"α = {RATE}, falling to 0",
        ),
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
        legend_above(axis, 3)
    figure.align_labels()
    return figure
