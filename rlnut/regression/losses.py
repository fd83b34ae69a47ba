"""Losses ℓ(ŷ, y) and penalties: one number for each row of a batch, so that δ = −∂ℓ/∂ŷ exists for all of them.

| loss                   | ℓ                              | δ = −∂ℓ/∂ŷ                |
|------------------------|--------------------------------|---------------------------|
| squared                | ½ (y − ŷ)²                     | y − ŷ                     |
| huber(κ)               | ½ δ² inside κ, linear outside  | clip(y − ŷ, −κ, κ)        |
| cross_entropy          | −Σₘ yₘ log softmax(ŷ)ₘ         | y − softmax(ŷ)            |
| binary_cross_entropy   | −y log σ(ŷ) − (1−y) log σ(−ŷ)  | y − σ(ŷ)                  |
| quantile_huber(κ)      | Σᵢ mean_j |τᵢ − 1(u<0)| h(u)/κ | u = yⱼ − θᵢ, ŷ = (θ, τ)   |

The ½ is the usual one, chosen so that δ is the residual (in RL: the Bellman error). The lecture's least-squares cost
E = (1/n) Σ (y − g)² is twice the mean of `squared`; both have the same minimum.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rlnut.types import Array, Batch, Params

Loss = Callable[[Array, Array], Array]  # (ŷ [B, ...], y [B, ...]) -> ℓ [B]
Penalty = Callable[[Params], Array]  # θ -> []
OutputPenalty = Callable[[Array, Batch], Array]  # (all outputs [B, A, ...], batch) -> [B]


def _rows(per_output: Array, name: str, prediction: Array, y: Array) -> Array:
    """Sum over the outputs of each row, after refusing shapes that would broadcast into a wrong answer."""
    if prediction.shape != y.shape:
        raise ValueError(f"{name}: prediction {prediction.shape} and target {y.shape} must have the same shape")
    return per_output.reshape(len(y), -1).sum(1)


def squared(prediction: Array, y: Array) -> Array:
    """½ (y − ŷ)², summed over outputs: [B, ...], [B, ...] -> [B]."""
    return _rows(optax.losses.l2_loss(prediction, y) if prediction.shape == y.shape else y, "squared", prediction, y)


def huber(kappa: float = 1.0) -> Loss:
    """½ δ² for |δ| <= κ, κ (|δ| − ½ κ) beyond (Huber 1964): squared loss whose δ is clipped to [−κ, κ]."""
    if kappa <= 0:
        raise ValueError(f"huber: kappa must be > 0, got {kappa}")

    def loss(prediction: Array, y: Array) -> Array:
        same = prediction.shape == y.shape
        return _rows(optax.losses.huber_loss(prediction, y, delta=kappa) if same else y, "huber", prediction, y)

    return loss


def cross_entropy(logits: Array, y: Array) -> Array:
    """−Σₘ yₘ log softmax(ŷ)ₘ: logits [B, M]; y [B] integer classes or [B, M] probabilities -> [B]."""
    if y.ndim == logits.ndim:
        return _rows(-y * jax.nn.log_softmax(logits), "cross_entropy", logits, y)
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"cross_entropy: labels must be integers or rows of probabilities, got {y.dtype} {y.shape}")
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y)


def smoothed(share: float) -> Loss:
    """`cross_entropy` to (1 − share)·y + share/M: the label shared out a little over all M classes (Szegedy 2016).

    logits [B, M], y [B] integer classes -> [B].
    """

    def loss(logits: Array, y: Array) -> Array:
        return (1 - share) * cross_entropy(logits, y) - share * jax.nn.log_softmax(logits).mean(-1)

    return loss


def binary_cross_entropy(logit: Array, y: Array) -> Array:
    """−y log σ(ŷ) − (1−y) log(1−σ(ŷ)), summed over outputs: [B, ...], [B, ...] -> [B]."""
    y = jnp.asarray(y, logit.dtype)
    same = logit.shape == y.shape
    return _rows(optax.losses.sigmoid_binary_cross_entropy(logit, y) if same else y, "binary_cross_entropy", logit, y)


def quantile_huber(kappa: float = 1.0) -> Loss:
    """Σᵢ mean_j |τᵢ − 1(u < 0)| h_κ(u)/κ, u = yⱼ − θᵢ (Dabney et al. 2018, eq. 10): [B, n, 2], [B, m] -> [B].

    Each output is a value θᵢ and its fraction τᵢ; the value is drawn to the τᵢ-quantile of the sample y. With y
    [B, m, 2] each yⱼ has a weight beside it and the mean over j is Σⱼ wⱼ. κ = 0 is the pinball loss of quantile
    regression, h(u)/κ = |u|.
    """
    if kappa < 0:
        raise ValueError(f"quantile_huber: kappa must be >= 0, got {kappa}")

    def loss(prediction: Array, y: Array) -> Array:
        weighted = y.ndim == 3 and y.shape[-1] == 2
        if (
            prediction.ndim != 3
            or prediction.shape[-1] != 2
            or len(prediction) != len(y)
            or not (weighted or y.ndim == 2)
        ):
            raise ValueError(
                f"quantile_huber: prediction {prediction.shape} and target {y.shape} must have the shapes"
                " [B, n, 2] and [B, m] or [B, m, 2]"
            )
        theta, tau = prediction[..., 0, None], jax.lax.stop_gradient(prediction[..., 1, None])
        u = (y[..., 0] if weighted else y)[:, None, :] - theta
        side = jnp.abs(tau - (u < 0))
        each = side * (optax.losses.huber_loss(u, delta=kappa) / kappa if kappa else jnp.abs(u))
        return ((each * y[:, None, :, 1]).sum(-1) if weighted else each.mean(-1)).sum(-1)

    return loss


def _weights(params: Params) -> list[Array]:
    """The weight arrays of θ: everything with two or more axes, so that intercepts and biases are not penalised."""
    return [w for w in jax.tree.leaves(params) if w.ndim >= 2]


def l2(strength: float) -> Penalty:
    """λ‖θ‖²₂ over weights (ridge; the lecture's L² regulariser). Biases are left free."""
    return lambda params: strength * sum((jnp.sum(w * w) for w in _weights(params)), jnp.zeros(()))


def l1(strength: float) -> Penalty:
    """λ‖θ‖₁ over weights (lasso; the lecture's L¹ regulariser). Biases are left free."""
    return lambda params: strength * sum((jnp.sum(jnp.abs(w)) for w in _weights(params)), jnp.zeros(()))
