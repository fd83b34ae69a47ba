"""How the outputs of a network represent action values: numbers, classes over a support, or a distribution.

| readout     | outputs of an action    | q(s, a)           | target y                          | loss ℓ          |
|-------------|-------------------------|-------------------|-----------------------------------|-----------------|
| scalar      | q                       | q                 | r + D v                           | squared, huber  |
| classes     | M logits                | Σₘ pₘ zₘ          | the number r + D v as M chances   | cross-entropy   |
| categorical | M logits                | Σₘ pₘ zₘ          | r + D Z, projected on z           | cross-entropy   |
| quantiles   | n values, n fractions τ | mean of values    | r + D θ'ⱼ, of one action or of π  | quantile huber  |

A network that is read as numbers or classes learns the mean of the return; the other two learn its distribution.
Everything that acting needs works on NumPy arrays as on JAX arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.regression.losses import Loss, cross_entropy, quantile_huber, squared
from rlnut.types import Array, Shape, Shaped, namespace

SPREAD = 0.75  # σ of HL-Gauss in widths of a bin (Farebrother et al. 2024, section 3.1)


class ReadFromOutputsFn(Protocol):
    """Outputs [B, A, *shape] -> q [B, A], or the part [B, A, *part] that a policy mixes."""

    def __call__(self, outputs: Array, /) -> Array: ...


class TargetFn(Protocol):
    """(r [B], D [B], part [B, *part] of s') -> y [B, *y]."""

    def __call__(self, reward: Array, discount: Array, part: Array, /) -> Array: ...


class MeanFn(Protocol):
    """y [B, *y] -> the value that it stands for [B]."""

    def __call__(self, y: Array, /) -> Array: ...


class SurpriseFn(Protocol):
    """(outputs of the action taken [B, *shape], y [B, *y]) -> how surprising the row was [B], >= 0."""

    def __call__(self, outputs: Array, y: Array, /) -> Array: ...


class MixFn(Protocol):
    """(π [B, A], part [B, A, *part]) -> the part of the policy π [B, ...], for the target."""

    def __call__(self, policy: Array, part: Array, /) -> Array: ...


class DistributionFn(Protocol):
    """Outputs [B, A, *shape] -> the distribution of the return: values [B, A, m] and their probabilities [B, A, m]."""

    def __call__(self, outputs: Array, /) -> tuple[Array, Array]: ...


class Readout(NamedTuple):
    """Pure functions between outputs, values and targets; `part` is what a policy mixes over the next actions."""

    shape: Shape  # of the outputs for one action
    q: ReadFromOutputsFn
    part: ReadFromOutputsFn
    target: TargetFn
    loss: Loss  # (outputs of the action taken [B, *shape], y [B, *y]) -> ℓ [B]
    mean: MeanFn
    score: SurpriseFn
    mix: MixFn
    distribution: DistributionFn | None = None  # None: the mean of the return is learned, not its distribution


def bootstrap(reward: Array, discount: Array, value: Array) -> Array:
    """y = r + D·v, all of the same shape; discount is γⁿ·(1 − terminated)."""
    if not reward.shape == discount.shape == value.shape:
        raise ValueError(f"bootstrap: shapes {reward.shape}, {discount.shape} and {value.shape} must be the same")
    return reward + discount * value


def same(x: Array) -> Array:
    """x."""
    return x


def mixed(policy: Array, part: Array) -> Array:
    """Σ_a π(a) part(a): [B, A], [B, A, ...] -> [B, ...]; of D groups of actions [B, D, A] the mean over groups."""
    weights = policy.reshape(policy.shape + (1,) * (part.ndim - policy.ndim))
    total = (weights * part).sum(policy.ndim - 1)
    return total.mean(tuple(range(1, policy.ndim - 1))) if policy.ndim > 2 else total


def scalar(loss: Loss = squared) -> Readout:
    """Outputs are the values: y = r + D v."""
    return Readout((), same, same, bootstrap, loss, same, lambda q, y: jnp.abs(y - q), mixed)


def softmax(logits: Shaped[Array, "*B M"]) -> Shaped[Array, "*B M"]:
    """exp(x) / Σ exp(x) over the last axis, NumPy or JAX."""
    powers = namespace(logits).exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


class Support(NamedTuple):
    """M places z on the axis of returns, and how a number becomes chances on them."""

    z: np.ndarray  # [M] float32, rising
    encode: Callable[[Array], Array]  # value [...] -> chances [..., M]

    def mean(self, chances: Shaped[Array, "*B M"]) -> Shaped[Array, "*B"]:
        """Σₘ pₘ zₘ: [..., M] -> [...]."""
        return chances @ self.z


def two_hot(low: float, high: float, atoms: int) -> Support:
    """All the chance on the two neighbours of a value, so that the mean is the value; outside: on the edge.

    The hat functions of M evenly spaced atoms low … high (Bellemare et al. 2017, eq. 7, of a single value).
    """
    z = np.linspace(low, high, atoms, dtype=np.float32)
    width = (high - low) / (atoms - 1)

    def encode(value: Shaped[Array, "*B"]) -> Shaped[Array, "*B M"]:
        place = jnp.clip((value - low) / width, 0, atoms - 1)
        return jnp.clip(1 - jnp.abs(place[..., None] - jnp.arange(atoms)), 0, 1)

    return Support(z, encode)


def hl_gauss(low: float, high: float, bins: int, spread: float = SPREAD) -> Support:
    """Probabilities of M bins of a Gaussian around the value, σ = spread × width (Farebrother et al. 2024, eq. 5).

    The bins reach 3σ beyond low … high, so that the mean of the chances is the value over all of that range. Values
    outside count as its edge.
    """
    width = (high - low) / (bins - 6 * spread)
    sigma = spread * width
    edges = np.linspace(low - 3 * sigma, high + 3 * sigma, bins + 1)

    def encode(value: Shaped[Array, "*B"]) -> Shaped[Array, "*B M"]:
        value = jnp.clip(value, low, high)
        below = jax.scipy.special.ndtr((edges - value[..., None]) / sigma)
        return (below[..., 1:] - below[..., :-1]) / (below[..., -1:] - below[..., :1])

    return Support(((edges[1:] + edges[:-1]) / 2).astype(np.float32), encode)


def classes(support: Support) -> Readout:
    """Classification in place of regression: the number r + D v as chances on a support (Farebrother et al. 2024)."""

    def value(logits: Shaped[Array, "*B M"]) -> Shaped[Array, "*B"]:
        return support.mean(softmax(logits))

    def target(
        reward: Shaped[Array, " B"], discount: Shaped[Array, " B"], v: Shaped[Array, " B"]
    ) -> Shaped[Array, "B M"]:
        return support.encode(bootstrap(reward, discount, v))

    def score(logits: Shaped[Array, "B M"], y: Shaped[Array, "B M"]) -> Shaped[Array, " B"]:
        return jnp.abs(support.mean(y) - value(logits))

    return Readout((len(support.z),), value, value, target, cross_entropy, support.mean, score, mixed)


def project(support: Support, values: Shaped[Array, "B K"], chances: Shaped[Array, "B K"]) -> Shaped[Array, "B M"]:
    """Chances at values [B, K] -> chances on the support [B, M], each value shared between its neighbours.

    Within the support the mean is kept (Bellemare et al. 2017, eq. 7); slow twin: `oracle.categorical_projection`.
    """
    return (chances[..., None] * support.encode(values)).sum(-2)


def categorical(low: float, high: float, atoms: int) -> Readout:
    """C51: the distribution of the return on M atoms; y is r + D Z projected on them (Bellemare et al. 2017)."""
    support = two_hot(low, high, atoms)

    def target(
        reward: Shaped[Array, " B"], discount: Shaped[Array, " B"], chances: Shaped[Array, "B M"]
    ) -> Shaped[Array, "B M"]:
        return project(support, reward[:, None] + discount[:, None] * support.z, chances)

    def divergence(logits: Shaped[Array, "B M"], y: Shaped[Array, "B M"]) -> Shaped[Array, " B"]:
        """KL(y ‖ p): the priority of Rainbow (Hessel et al. 2018)."""
        return jnp.maximum(cross_entropy(logits, y) + jax.scipy.special.xlogy(y, y).sum(-1), 0)

    def value(logits: Shaped[Array, "*B M"]) -> Shaped[Array, "*B"]:
        return support.mean(softmax(logits))

    def distribution(logits: Shaped[Array, "*B M"]) -> tuple[Array, Array]:
        return namespace(logits).broadcast_to(support.z, logits.shape), softmax(logits)

    return Readout((atoms,), value, softmax, target, cross_entropy, support.mean, divergence, mixed, distribution)


def mixture(policy: Shaped[Array, "B A"], values: Shaped[Array, "B A n"]) -> Shaped[Array, "B m 2"]:
    """Returns under π as a weighted sample: all θ'ₐⱼ with weights π(a)/n: [B, A], [B, A, n] -> [B, A·n, 2].

    Quantile functions of actions must not be averaged: of a coin toss between returns 0 and 1 that gives ½ for sure.
    """
    weights = jnp.broadcast_to(policy[..., None] / values.shape[-1], values.shape)
    return jnp.stack([values, weights], -1).reshape(len(values), -1, 2)


def quantiles(n: int, kappa: float = 1.0) -> Readout:
    """n values at the fractions that stand beside them, [n, 2]: QR-DQN and IQN (Dabney et al. 2018a, b).

    y is the sample r + D θ'ⱼ [B, n] of one next action, or r + D θ'ₐⱼ with weights π(a)/n [B, A·n, 2] of a policy;
    loss: `losses.quantile_huber`.
    """

    def values(outputs: Array) -> Array:
        return outputs[..., 0]

    def q(outputs: Array) -> Array:
        return outputs[..., 0].mean(-1)

    def target(
        reward: Shaped[Array, " B"], discount: Shaped[Array, " B"], part: Shaped[Array, "B m ..."]
    ) -> Shaped[Array, "B m ..."]:
        if part.ndim < 3:
            return reward[:, None] + discount[:, None] * part
        return jnp.stack([reward[:, None] + discount[:, None] * part[..., 0], part[..., 1]], -1)

    def mean(y: Array) -> Array:
        return y.mean(-1) if y.ndim < 3 else (y[..., 0] * y[..., 1]).sum(-1)

    def distribution(outputs: Array) -> tuple[Array, Array]:
        found = outputs[..., 0]
        return found, namespace(found).full_like(found, 1 / found.shape[-1])

    loss = quantile_huber(kappa)
    return Readout((n, 2), q, values, target, loss, mean, loss, mixture, distribution)
