"""JAX in one chapter: grad, jit, vmap, scan and keys, each on a function of this library.

    grad    a function that returns ∂E/∂θ                   jit    the same function, compiled once for each shape
    vmap    the same function for a whole axis at once      scan   a loop that is compiled as one operation
    key     randomness that is handed in: the same key gives the same numbers, `split` makes new ones

They take pure functions: what comes out depends on what goes in and on nothing else. That is why θ, the optimiser's
state and the key are arguments everywhere in this library, and why one `Regression.update` can be compiled, looped over
with scan and run for many seeds with vmap.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.data.small_tables import ohm
from rlnut.demos.frame import Ask, Chapter
from rlnut.linear_models.least_squares import least_squares
from rlnut.networks.architectures import linear
from rlnut.networks.layers import ACTIVATIONS, sigmoid
from rlnut.regression.core import regression
from rlnut.regression.losses import squared
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled
from rlnut.types import Array, Batch, Fit, Key


def chapter(ask: Ask, steps: int = 100, seeds: int = 8) -> Chapter:
    """Each transformation against what it replaces: formulas, plain loops, the exact solution."""
    key = jax.random.key(ask.seed)
    z = jnp.linspace(-4, 4, 81)
    slope = jax.vmap(jax.grad(sigmoid))(z)  # grad is of one number, vmap makes it one of an array
    by_formula = sigmoid(z) * (1 - sigmoid(z))

    table = ohm(100, ask.seed)
    exact = least_squares(table.x, table.y)
    core = regression(linear("glorot")(()), squared, optax.sgd(0.2))
    batch = Batch(table.x.astype(np.float32), table.y.astype(np.float32))

    def step(fit: Fit, _: None) -> tuple[Fit, Array]:
        new, metrics = core.update(fit, batch)
        return new, metrics["cost"]

    traced = 0

    def train(key: Key) -> tuple[Fit, Array]:
        nonlocal traced
        traced += 1  # Python runs when the function is traced, not when the compiled one is called
        return jax.lax.scan(step, core.init(key, batch.x), None, steps)

    compiled = jax.jit(train)
    began = time.perf_counter()
    jax.block_until_ready(compiled(key))
    first = time.perf_counter() - began
    began = time.perf_counter()
    _, costs = jax.block_until_ready(compiled(key))
    again = time.perf_counter() - began

    fit, loop = core.init(key, batch.x), []
    for _ in range(steps):
        fit, metrics = core.update(fit, batch)
        loop.append(float(metrics["cost"]))
    calls = traced

    keys = jax.random.split(key, seeds)
    fits, many = jax.jit(jax.vmap(train))(keys)
    single = np.stack([compiled(k)[1] for k in keys])
    resistance = np.asarray(jax.vmap(core.predict, (0, None))(fits.params, jnp.ones((1, 1))))[:, 0]
    goal = float(exact.coef[0] + exact.intercept)
    same = bool((jax.random.normal(key, (5,)) == jax.random.normal(key, (5,))).all())
    other = bool((jax.random.normal(keys[0], (5,)) != jax.random.normal(keys[1], (5,))).all())
    off = float(jnp.abs(slope - by_formula).max())
    apart = float(np.abs(np.array(loop) / np.asarray(costs) - 1).max())

    return Chapter(
        "grad, jit, vmap, scan and keys, on functions of this library",
        {
            "seconds_of_the_first_call": first,
            "seconds_of_the_second_call": again,
            "voltage_at_1_A": resistance,
            "exact_voltage_at_1_A": goal,
            "largest_difference_of_grad": off,
        },
        {
            f"grad of σ is σ(1 − σ) ({off:.0e})": off < 1e-6,
            f"scan gives the costs of a plain loop ({apart:.0e})": apart < 1e-3,
            "jit traces the function once for two calls": calls == 1,
            f"vmap gives {seeds} seeds what each gives alone": bool(np.allclose(many, single, rtol=1e-3)),
            "all of them come to the exact least squares": bool((np.abs(resistance - goal) < 1e-3).all()),
            "one key gives the same numbers twice, two keys do not": same and other,
        },
        draw(np.asarray(z), 2 * np.asarray(many), exact.objective, key),
        ("100 rows of Ohm's law", f"{steps} steps", f"{seeds} keys"),
    )


@styled()
def draw(z: np.ndarray, costs: np.ndarray, least: float, key: Key) -> Figure:
    figure, (slope, scan, random) = panels(1, 3)
    for name, colour in (("sigmoid", BLUE), ("tanh", ORANGE)):
        f = ACTIVATIONS[name]
        slope.plot(z, f(z), "--", color=colour, label=f"f = {name}")
        slope.plot(z, jax.vmap(jax.grad(f))(z), color=colour, label="vmap(grad(f))")
    slope.set(xlabel="z", ylabel="f(z) and f′(z)", title="Slopes by grad, for an array by vmap")
    legend_above(slope)
    scan.semilogy(costs.T, color=BLUE, lw=1)
    scan.plot([], [], color=BLUE, lw=1, label=f"vmap of scan: {len(costs)} keys at once")
    scan.axhline(least, color=GREY, lw=1, label="exact minimum")
    scan.set(xlabel="step", ylabel="E(θ), mean squared error, V²", title="One compiled loop for all keys")
    legend_above(scan, 1)
    once, again = (np.asarray(jax.random.uniform(key, (200, 2))) for _ in range(2))
    random.plot(*once.T, "o", color=GREEN, mfc="none", ms=8, label="uniform(key)")
    random.plot(*again.T, ".", color=ORANGE, ms=4, label="uniform(key), again")
    random.set(xlabel="first number", ylabel="second number", title="The same key, the same numbers")
    legend_above(random)
    return figure
