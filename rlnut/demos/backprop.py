"""Backpropagation: the slopes of the cost by all weights at the price of a few forward passes.

    Δ⁽ᴸ⁾ = −δ/B,    Δ⁽ˡ⁾ = (Δ⁽ˡ⁺¹⁾W⁽ˡ⁺¹⁾ᵀ) ⊙ f′(z⁽ˡ⁾),    ∂E/∂W⁽ˡ⁾ = x⁽ˡ⁻¹⁾ᵀΔ⁽ˡ⁾

The written-out pass of `rlnut.networks.backpropagation` is compared with `jax.grad` and with finite differences, which
need two forward passes for each weight and are exact to neither side: large steps h err by the curvature, ~h², small
ones by rounding, ~1/h. Each layer multiplies Δ by Wᵀ and f′: with f = σ, f′ <= ¼, and the signal dies on
its way through many layers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.networks.architectures import mlp
from rlnut.networks.backpropagation import backpropagation
from rlnut.regression.core import regression
from rlnut.regression.losses import squared
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, legend_above, panels, styled, whole_numbers
from rlnut.types import Batch, Model, Network, Params

WIDTHS = (16, 12, 8)
DEPTH = 12


def start(network: Network, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Model, Params, np.ndarray]:
    """The model, θ in float64, and δ = y − ŷ of the squared loss."""
    model = network(y.shape[1:])
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), model.init(jax.random.key(seed), x))
    return model, params, y - np.asarray(model.apply(params, x))


def flat(tree: Params) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def chapter(ask: Ask, rows: int = 64) -> Chapter:
    """One network three ways; then the size of Δ in each layer of a deep one."""
    rng = np.random.default_rng(ask.seed)
    x, y = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 3))
    model, params, delta = start(mlp(WIDTHS, "tanh"), x, y, ask.seed)
    core = regression(model, squared)
    ours = backpropagation(params, x, delta, "tanh")
    direction = jax.tree.map(lambda p: rng.normal(size=p.shape), params)
    slope = float(flat(ours) @ flat(direction))
    steps = np.logspace(-13, 0, 40)
    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(lambda params: core.loss(params, Batch(jnp.asarray(x), jnp.asarray(y)))[0]))
        theirs = jax.tree.map(np.asarray, both(params)[1])

        def cost(h: float) -> float:
            return float(both(jax.tree.map(lambda p, d: p + h * d, params, direction))[0])

        numeric = np.array([(cost(h) - cost(-h)) / (2 * h) for h in steps])
    sizes = {}
    for activation, initializer in (("sigmoid", "glorot"), ("tanh", "glorot"), ("relu", "he")):
        _, deep, error = start(mlp((32,) * DEPTH, activation, initializer), x, y, ask.seed)
        slopes = jax.tree.leaves(backpropagation(deep, x, error, activation))
        sizes[activation] = [float(np.linalg.norm(w)) for w in slopes if w.ndim == 2]
    apart = float(np.abs(flat(ours) - flat(theirs)).max() / np.abs(flat(theirs)).max())
    errors = np.abs(numeric - slope) / abs(slope)
    fades = {name: size[0] / size[-1] for name, size in sizes.items()}

    return Chapter(
        f"a network 5-{'-'.join(map(str, WIDTHS))}-3 with {len(flat(ours))} weights, and one of {DEPTH} hidden layers",
        {
            "weights": len(flat(ours)),
            "from_jax_grad": apart,
            "from_finite_differences": float(errors.min()),
            "best_h": float(steps[errors.argmin()]),
            "first_layer_over_last": fades,
        },
        {
            f"the written-out pass is jax.grad, to {apart:.0e} of the largest slope": apart < 1e-6,
            f"finite differences agree to {errors.min():.0e} at the best step": errors.min() < 1e-7,
            "and to less at larger and smaller steps": min(errors[0], errors[-1]) > 1e3 * errors.min(),
            f"in {DEPTH} layers of σ the slope fades to {fades['sigmoid']:.0e} of the last layer's": fades["sigmoid"]
            < 1e-4,
            f"with relu and He's weights it does not ({fades['relu']:.2g})": 0.05 < fades["relu"] < 20,
        },
        draw(ours, theirs, (steps, errors), sizes),
        (f"{rows} rows", "float64"),
    )


@styled()
def draw(ours: Params, theirs: Params, numeric: tuple[np.ndarray, np.ndarray], sizes: dict[str, list[float]]) -> Figure:
    figure, (same, finite, fade) = panels(1, 3)
    layers = [leaf for leaf in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True) if leaf[0].ndim == 2]
    reach = max(float(np.abs(a).max()) for a, _ in layers)
    for i, (a, b) in enumerate(layers):  # each layer in a lane of its own: on one line they would hide each other
        colour, marker = ((BLUE, "o"), (ORANGE, "^"), (GREEN, "s"), (PURPLE, "d"))[i]
        lane = reach * (len(layers) - 1 - i)
        same.plot(np.ravel(a), np.ravel(b) + lane, marker, color=colour, ms=4, alpha=0.7, label=f"W of layer {i + 1}")
        same.plot([-reach, reach], [lane - reach, lane + reach], color=GREY, lw=1, zorder=0)
    same.set(xlabel="∂E/∂W by jax.grad", ylabel="∂E/∂W written out, + a shift a layer", title="The same slopes")
    legend_above(same)

    finite.loglog(*numeric, "o-", color=BLUE, ms=4)
    finite.set(
        xlabel="step h of the finite difference", ylabel="relative error", title="Finite differences have a best step"
    )
    finite.annotate("rounding", (0.15, 0.7), xycoords="axes fraction")
    finite.annotate("curvature", (0.68, 0.9), xycoords="axes fraction")

    for (name, size), colour, marker in zip(sizes.items(), (ORANGE, GREEN, BLUE), "s^o", strict=True):
        fade.semilogy(range(1, len(size) + 1), size, marker + "-", color=colour, label=name)
    fade.set(xlabel="layer", ylabel="‖∂E/∂W‖", title="The slope on its way back through the layers")
    whole_numbers(fade.xaxis)
    fade.legend()
    return figure
