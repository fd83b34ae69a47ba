"""Linear models by gradient descent: the same minimum as the exact solvers, by any optax optimiser on all rows at once.

    E(θ, b) = (1/n) Σ w ℓ(θᵀx + b, y) + λ‖θ‖²,     ℓ = ‖y − ŷ‖², or the cross-entropy of classes

in float64. It goes down in the standardised columns z = (x − mean)/deviation, whose valley is rounder; E is the same.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlnut.errors import RlnutError, UsageError
from rlnut.linear_models.solution import Solution, checked_rows
from rlnut.types import Array


def descend(
    x: Array,
    y: Array,
    lam: float = 0.0,
    solver: str | optax.GradientTransformation = "gd",
    lr: float | None = None,
    *,
    classes: int | None = None,
    weight: Array | None = None,
    intercept: bool = True,
    steps: int = 10_000,
    tol: float = 1e-8,
) -> tuple[Solution, int, float]:
    """From θ = 0 until ‖∇E‖ <= `tol` or `steps` are done -> the solution, the steps, and the last ‖∇E‖.

    x [n, p]; y [n] or [n, K] values, or with M = `classes` positions 0 … M−1. Two classes have one θ [p]. `lr` None:
    1/L for gd and momentum, where L bounds the curvature of E (every step then goes down), 0.1 for adam.
    `solver` may be any optax optimiser. Raises RlnutError if E does not stay finite.
    """
    x, y, given = checked_rows(x, y, weight)
    w = np.full(len(x), 1 / len(x)) if given is None else given / given.sum()
    mean = np.asarray(w @ x, float) if intercept else np.zeros(x.shape[1])
    z = np.asarray(x, float) - mean
    deviation = np.sqrt(w @ (z * z))
    deviation = np.where(deviation <= 1e-12 * np.abs(x).max(initial=1.0), 1.0, deviation)
    z /= deviation
    width = 1 if classes == 2 else classes or int(np.prod(y.shape[1:]))

    def cost(theta: tuple[jax.Array, jax.Array], z: jax.Array, y: jax.Array) -> Any:
        v, b = theta
        guess = z @ v + (b if intercept else 0.0)
        if classes is None:
            each = ((guess - y.reshape(guess.shape)) ** 2).sum(1)
        elif classes == 2:
            each = optax.losses.sigmoid_binary_cross_entropy(guess[:, 0], y)
        else:
            each = optax.losses.softmax_cross_entropy_with_integer_labels(guess, y)
        return w @ each + lam * jnp.sum((v / deviation[:, None]) ** 2)

    with jax.enable_x64():
        curvature = _curvature(z, w, classes, lam, deviation, intercept)
        chosen = optax.with_extra_args_support(_optimizer(solver, lr, curvature))
        slope = jax.value_and_grad(cost)
        start = (jnp.zeros((x.shape[1], width)), jnp.zeros(width))

        def run(theta: tuple, z: jax.Array, y: jax.Array) -> tuple:
            def step(carry: tuple) -> tuple:
                theta, state, done, value, grads = carry
                at = lambda theta: cost(theta, z, y)  # noqa: E731
                change, state = chosen.update(grads, state, theta, value=value, grad=grads, value_fn=at)
                theta = optax.apply_updates(theta, change)
                return theta, state, done + 1, *slope(theta, z, y)

            def going(carry: tuple) -> jax.Array:
                _, _, done, value, grads = carry
                return (done < steps) & (optax.tree.norm(grads) > tol) & jnp.isfinite(value)

            theta, _, done, value, grads = jax.lax.while_loop(
                going, step, (theta, chosen.init(theta), 0, *slope(theta, z, y))
            )
            return theta, done, value, optax.tree.norm(grads)

        ended = jax.jit(run)(start, z, y if classes else np.asarray(y, float))
        (v, b), done, value, norm = jax.tree.map(np.asarray, ended)
    if not np.isfinite(value):
        raise RlnutError(f"the cost is no longer finite after {int(done)} steps: try a smaller lr")
    theta = v / deviation[:, None]
    b = b - mean @ theta if intercept else np.zeros(width)
    if classes is not None and classes > 2:  # no cost: the scores of all classes may be shifted together
        value = value - lam * theta.shape[1] * np.sum(theta.mean(1) ** 2)
        theta, b = theta - theta.mean(1, keepdims=True), b - b.mean()
    flat = width == 1 and (classes == 2 or y.ndim == 1)
    found = Solution(theta[:, 0], b[0], float(value)) if flat else Solution(theta, b, float(value))
    return found, int(done), float(norm)


def _curvature(
    z: np.ndarray, w: np.ndarray, classes: int | None, lam: float, deviation: np.ndarray, intercept: bool
) -> float:
    """A bound L of the largest eigenvalue of E's Hessian: ℓ″ is 2, at most ¼ (logistic) or ½ (softmax)."""
    table = np.column_stack([z, np.full(len(z), float(intercept))]) * np.sqrt(w)[:, None]
    steepest = np.linalg.norm(table, 2) ** 2 * (2.0 if classes is None else 0.25 if classes == 2 else 0.5)
    return float(steepest + 2 * lam / deviation.min() ** 2)


def _optimizer(
    solver: str | optax.GradientTransformation, lr: float | None, curvature: float
) -> optax.GradientTransformation:
    if not isinstance(solver, str):
        if lr is not None:
            raise UsageError("a given optimizer has its own lr: leave that setting out")
        return solver
    if solver == "lbfgs":
        if lr is not None:
            raise UsageError("lbfgs searches for its step: leave lr out")
        return optax.lbfgs()
    if solver in ("gd", "momentum"):
        return optax.sgd(1 / curvature if lr is None else lr, 0.9 if solver == "momentum" else None, nesterov=True)
    return optax.adam(0.1 if lr is None else lr)
