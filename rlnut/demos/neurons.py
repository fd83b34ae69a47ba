"""Neural networks as graphs: nodes, layers and shapes; and what a network is without its activation functions.

    linear regression     y = w·x + b              one layer, no activation
    logistic regression   P = σ(w·x + b)           one layer, a sigmoid
    deep network          x⁽ˡ⁾ = f(W⁽ˡ⁾x⁽ˡ⁻¹⁾ + b⁽ˡ⁾)

Without f, W⁽²⁾(W⁽¹⁾x + b⁽¹⁾) + b⁽²⁾ = (W⁽²⁾W⁽¹⁾)x + (W⁽²⁾b⁽¹⁾ + b⁽²⁾): layers that are stacked make one layer, and a
deep linear network is linear regression. The non-linear f is what a hidden layer needs.
"""

from __future__ import annotations

from itertools import pairwise

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter, descend_by_updates
from rlnut.demos.graphs import DrawnLayer, network_graph
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.logistic import logistic
from rlnut.networks.architectures import linear, mlp
from rlnut.networks.layers import ACTIVATIONS, parameter_count
from rlnut.regression.core import Regression, regression
from rlnut.regression.losses import binary_cross_entropy, squared
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, legend_above, line_style, panels, styled
from rlnut.types import Batch, Params

INPUTS, HIDDEN, ROWS = 3, (5, 4), 200
DEEP = "deep linear network"


def dense_parts(params: Params) -> list[dict[str, np.ndarray]]:
    """W and b of each dense layer in θ, in order."""
    found = jax.tree.leaves(params, is_leaf=lambda part: isinstance(part, dict) and "w" in part)
    return [part for part in found if isinstance(part, dict) and "w" in part]


def collapse(params: Params) -> tuple[np.ndarray, np.ndarray]:
    """W⁽ᴸ⁾ … W⁽¹⁾ and the bias that stacked layers without activations come to: [inputs], []."""
    w, b = np.eye(INPUTS), np.zeros(INPUTS)
    for part in dense_parts(params):
        w, b = w @ np.asarray(part["w"], float), b @ np.asarray(part["w"], float) + np.asarray(part["b"], float)
    return w[:, 0], b[0]


def chapter(ask: Ask, steps: int = 1500) -> Chapter:
    """Three networks drawn; the two single layers and the deep linear one against their exact solutions."""
    rng = np.random.default_rng(ask.seed)
    x = rng.normal(size=(ROWS, INPUTS))
    s = x @ np.array([1.5, -1.0, 0.5]) + 0.3
    y, labels = s + 0.3 * rng.normal(size=ROWS), (rng.random(ROWS) < 1 / (1 + np.exp(-s))).astype(int)
    exact, newton = least_squares(x, y), logistic(x, labels)
    tasks: dict[str, tuple[Regression, np.ndarray]] = {
        "one layer": (regression(linear()(()), squared, optax.sgd(0.2)), y),
        "one layer and a sigmoid": (regression(linear()(()), binary_cross_entropy, optax.adam(0.05)), labels),
        DEEP: (regression(mlp(HIDDEN, "identity")(()), squared, optax.sgd(0.02)), y),
    }
    best = {name: newton.solution if "sigmoid" in name else exact for name in tasks}
    far: dict[str, np.ndarray] = {}
    fits = {}
    for name, (core, target) in tasks.items():
        batch = Batch(x.astype(np.float32), target.astype(np.float32))
        fit, _, seen = descend_by_updates(core, batch, steps, jax.random.key(ask.seed), lambda params: params)
        seen = jax.tree.map(np.asarray, seen)
        moments = [collapse(jax.tree.map(lambda p, i=i: p[i], seen)) for i in range(0, steps, 10)]
        far[name] = np.array(
            [np.hypot(np.linalg.norm(w - best[name].coef), b - best[name].intercept) for w, b in moments]
        )
        fits[name] = fit.params
    w, b = collapse(fits[DEEP])
    single = np.asarray(tasks[DEEP][0].predict(fits[DEEP], x.astype(np.float32)))
    collapsed = float(np.abs(single - (x @ w + b)).max())

    bend = {
        name: float(np.abs(np.diff(np.asarray(f(np.linspace(-3, 3, 61))), 2)).max()) for name, f in ACTIVATIONS.items()
    }
    straight = [name for name, value in bend.items() if value < 1e-9]
    model = mlp(HIDDEN, "tanh")(())
    params = model.init(jax.random.key(ask.seed), x.astype(np.float32))
    sizes = (INPUTS, *HIDDEN, 1)
    counted_by_hand = sum(n * m + m for n, m in pairwise(sizes))

    figure, edges = draw(params, far)
    return Chapter(
        "networks as graphs, and what remains of them without activation functions",
        {
            "parameters": parameter_count(params),
            "edges_drawn": edges,
            "layers": [list(np.shape(part["w"])) for part in dense_parts(params)],
            "distance_from_exact": {name: float(distance[-1]) for name, distance in far.items()},
        },
        {
            "one layer without activation descends to least squares": far["one layer"][-1] < 1e-4,
            "one layer with a sigmoid descends to logistic regression": far["one layer and a sigmoid"][-1] < 1e-3,
            f"a deep linear network descends to least squares, too ({far[DEEP][-1]:.0e})": far[DEEP][-1] < 1e-3,
            f"its layers multiply to one layer ({collapsed:.0e})": collapsed < 1e-5,
            f"only identity is straight; every other f(z) bends: {', '.join(bend.keys() - set(straight))}": (
                straight == ["identity"]
            ),
            f"the graph of the deep network has one edge for each of {edges} weights; with the biases θ has "
            f"{counted_by_hand} numbers": edges + sum(sizes[1:]) == counted_by_hand == parameter_count(params),
        },
        figure,
        (f"{ROWS} rows of {INPUTS} columns", f"{steps:,} updates"),
    )


@styled()
def draw(params: Params, far: dict[str, np.ndarray]) -> tuple[Figure, int]:
    """The figure, and the number of edges in the graph of the deep network."""
    figure, (line, sigmoid, deep, shapes, descent, slopes) = panels(2, 3)
    inputs = DrawnLayer(INPUTS, "x", f"{INPUTS} inputs")
    network_graph(line, [inputs, DrawnLayer(1, "y", "W [3, 1], b [1]\nno activation")], "Linear: y = w·x + b")
    network_graph(sigmoid, [inputs, DrawnLayer(1, "P", "W [3, 1], b [1]\nsigmoid")], "Logistic: P = σ(w·x + b)")
    weights = [np.asarray(part["w"]) for part in dense_parts(params)]
    hidden = [
        DrawnLayer(n, f"x{'⁽¹⁾⁽²⁾'[3 * i : 3 * i + 3]}", f"W {list(w.shape)}\nb [{n}], f = tanh")
        for i, (n, w) in enumerate(zip(HIDDEN, weights, strict=False))
    ]
    last = DrawnLayer(1, "y", f"W {list(weights[-1].shape)}\nb [1]")
    edges = network_graph(
        deep, [DrawnLayer(INPUTS, "x⁽⁰⁾", ""), *hidden, last], "Deep: blue W > 0, orange W < 0", weights
    )

    z = np.linspace(-3, 3, 301)
    for i, (name, f) in enumerate(ACTIVATIONS.items()):
        shapes.plot(z, np.asarray(f(z)), **line_style(i), label=name)
        slope = np.asarray(jax.vmap(jax.grad(f))(z.astype(np.float32)))
        slopes.plot(z, slope, **line_style(i), label=name)
    shapes.set(xlabel="z", ylabel="f(z)", ylim=(-1.6, 3.1), title="Activation functions f(z)")
    slopes.set(xlabel="z", ylabel="f′(z)", title="Their slopes: what backpropagation multiplies")
    for i, (name, distance) in enumerate(far.items()):
        at = 10 * np.arange(len(distance)) + 1
        descent.loglog(at, distance, color=(BLUE, GREY, ORANGE)[i], ls=("-", ":", "--")[i], label=name)
    descent.set(xlabel="updates", ylabel="distance of W, b from exact", title="Linear networks are linear regression")
    for axis, columns in ((shapes, 3), (slopes, 3), (descent, 2)):
        legend_above(axis, columns)
    return figure, edges
