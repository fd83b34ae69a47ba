"""The core: a learner regresses g_θ(x) onto y. Supervised data gives y; in RL the Bellman equation makes it.

    E(θ) = (1/B) Σ_b w_b (ℓ(ŷ_b, y_b) + p(g_θ(x_b))) + penalty(θ),     ŷ = g_θ(x)[index],     δ = −∂ℓ/∂ŷ

The target y is computed before this file is entered, so the semi-gradient of RL needs no `stop_gradient`, and all
that ever reaches the network is δ, pulled back through it:  −∂E/∂θ = (1/B) Σ_b w_b δ_b ∂ŷ_b/∂θ − ∂penalty/∂θ.
For the squared loss δ = y − ŷ: the residual and the Bellman error at once. A penalty p of all outputs of a row (of
actions that were not taken, as in CQL) adds its own slope; δ is that of ℓ.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from rlnut.regression.losses import Loss, OutputPenalty, Penalty, squared
from rlnut.types import Array, Batch, Example, Fit, Key, Metrics, Model, Observed, Params, Shaped, Window


class FitInitFn(Protocol):
    """(key, x [B, ...], of which shape and type are read) -> the fit before the first step."""

    def __call__(self, key: Key, x: Example | Window, /) -> Fit: ...


class PredictFn(Protocol):
    """(θ, x [B, ...]) -> ŷ [B, ...], without noise."""

    def __call__(self, params: Params, x: Observed, /) -> Array: ...


class CostFn(Protocol):
    """(θ, batch of B rows) -> E(θ) [], δ [B, ...] of the outputs that the batch regresses."""

    def __call__(self, params: Params, batch: Batch, /) -> tuple[Array, Array]: ...


class UpdateFn(Protocol):
    """(fit, batch of B rows, factor of the step [] or None) -> the fit after one step of the optimiser, metrics []."""

    def __call__(self, fit: Fit, batch: Batch, factor: Array | None = None, /) -> tuple[Fit, Metrics]: ...


class StepFn(Protocol):
    """(fit, batch of B rows, factor) -> the fit after one step of the optimiser, metrics [], ŷ [B, ...] before it."""

    def __call__(self, fit: Fit, batch: Batch, factor: Array | None = None, /) -> tuple[Fit, Metrics, Array]: ...


class Regression(NamedTuple):
    """A regression method, built by `regression`: five pure functions, safe under jit, vmap and scan."""

    init: FitInitFn
    predict: PredictFn
    loss: CostFn
    update: UpdateFn
    step: StepFn  # `update` that also returns the outputs


def select(outputs: Shaped[Array, "B ..."], index: Shaped[Array, "B ..."] | None) -> Shaped[Array, "B ..."]:
    """The outputs that a batch regresses: [B, A, ...] and index [B] -> [B, ...]; index None -> all.

    An index [B, D] chooses in each of D groups of outputs [B, D, A, ...]; their mean is regressed.
    """
    if index is None:
        return outputs
    axis = index.ndim
    index = index.reshape(index.shape + (1,) * (outputs.ndim - axis))
    chosen = jnp.take_along_axis(outputs, index, axis=axis).squeeze(axis)
    return chosen.mean(tuple(range(1, axis))) if axis > 1 else chosen


def regression(
    model: Model,
    loss: Loss = squared,
    optimizer: optax.GradientTransformation | None = None,
    penalty: Penalty | None = None,
    output_penalty: OutputPenalty | None = None,
) -> Regression:
    """Compose model, loss ℓ, optimiser (default Adam, α = 1e-3) and penalties into a `Regression`.

    penalty: θ -> []; output_penalty: (all outputs [B, A, ...], batch) -> [B], weighted as the loss of its row is.

    >>> import jax, jax.numpy as jnp
    >>> from rlnut import Batch, linear
    >>> from rlnut.regression.core import regression
    >>> learner = regression(linear()(()))
    >>> x = jnp.array([[0.0], [1.0]])
    >>> fit = learner.init(jax.random.key(0), x)
    >>> fit, metrics = learner.update(fit, Batch(x, jnp.array([1.0, 3.0])))
    >>> int(fit.step)
    1
    """
    chosen = optax.adam(1e-3) if optimizer is None else optimizer

    def init(key: Key, x: Example | Window) -> Fit:
        init_key, noise_key = jax.random.split(key)
        params = model.init(init_key, x)
        return Fit(params, chosen.init(params), jnp.zeros((), jnp.int32), noise_key)

    def predict(params: Params, x: Observed) -> Array:
        return model.apply(params, x)

    def residual(outputs: Shaped[Array, "B ..."], y: Array) -> tuple[Shaped[Array, " B"], Shaped[Array, "B ..."]]:
        """ℓ [B] and δ = −∂ℓ/∂ŷ, of ŷ's shape."""
        losses, pull = jax.vjp(lambda o: loss(o, y), outputs)
        (slope,) = pull(jnp.ones_like(losses))
        return losses, -slope

    def mean(losses: Shaped[Array, " B"], weight: Array | None) -> Shaped[Array, ""]:
        return jnp.mean(losses * shares(losses, weight) if weight is not None else losses)

    def shares(losses: Shaped[Array, " B"], weight: Array | None) -> Shaped[Array, " B"]:
        """The weight of each row."""
        if weight is None:
            return jnp.ones(len(losses))
        if weight.shape != losses.shape:
            raise ValueError(f"a batch of {len(losses)} rows needs weights of shape {losses.shape}, got {weight.shape}")
        return weight

    def whole(outputs: Shaped[Array, "B ..."], batch: Batch) -> Shaped[Array, " B"]:
        """What all outputs of a row cost."""
        assert output_penalty is not None
        costs = output_penalty(outputs, batch)
        if costs.shape != outputs.shape[:1]:
            raise ValueError(f"an output penalty of {len(outputs)} rows must be [{len(outputs)}], got {costs.shape}")
        return costs

    def cost(params: Params, batch: Batch) -> tuple[Array, Array]:
        outputs = predict(params, batch.x)
        losses, delta = residual(select(outputs, batch.index), batch.y)
        losses = losses if output_penalty is None else losses + whole(outputs, batch)
        return mean(losses, batch.weight) + (penalty(params) if penalty else 0.0), delta

    def update(fit: Fit, batch: Batch, factor: Array | None = None) -> tuple[Fit, Metrics]:
        return step(fit, batch, factor)[:2]

    def step(fit: Fit, batch: Batch, factor: Array | None = None) -> tuple[Fit, Metrics, Array]:
        noise = (jax.random.fold_in(fit.key, fit.step),) if model.stochastic else ()
        everything, pull = jax.vjp(lambda p: model.apply(p, batch.x, *noise), fit.params)
        outputs, pull_chosen = jax.vjp(lambda all_: select(all_, batch.index), everything)
        losses, delta = residual(outputs, batch.y)
        share = shares(losses, batch.weight) / len(losses)
        (slopes,) = pull_chosen((-share.reshape(share.shape + (1,) * (delta.ndim - 1)) * delta).astype(outputs.dtype))
        if output_penalty is not None:
            costs, pull_costs = jax.vjp(lambda all_: whole(all_, batch), everything)
            losses, slopes = losses + costs, slopes + pull_costs(share.astype(costs.dtype))[0]
        value = mean(losses, batch.weight)
        (grads,) = pull(slopes)
        if penalty is not None:
            extra, slope = jax.value_and_grad(penalty)(fit.params)
            value, grads = value + extra, jax.tree.map(jnp.add, grads, slope)
        changes, opt_state = chosen.update(grads, fit.opt_state, fit.params)
        if factor is not None:  # every optimiser ends in its step size, so this is another one
            changes = jax.tree.map(lambda change: factor * change, changes)
        params = optax.apply_updates(fit.params, changes)
        metrics = {"cost": value, "delta": jnp.mean(jnp.abs(delta)), "gradient": optax.tree.norm(grads)}
        return fit._replace(params=params, opt_state=opt_state, step=fit.step + 1), metrics, outputs

    return Regression(init, predict, cost, update, step)
