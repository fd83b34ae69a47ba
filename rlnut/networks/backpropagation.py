"""Backpropagation written out for the lecture's fully connected network; `jax.grad` is what everything else uses.

    forward    z⁽ˡ⁾ = x⁽ˡ⁻¹⁾ W⁽ˡ⁾ + b⁽ˡ⁾,  x⁽ˡ⁾ = f(z⁽ˡ⁾),  ŷ = z⁽ᴸ⁾
    backward   Δ⁽ᴸ⁾ = −δ/B,  Δ⁽ˡ⁾ = (Δ⁽ˡ⁺¹⁾ W⁽ˡ⁺¹⁾ᵀ) ⊙ f′(z⁽ˡ⁾)
    gradient   ∂E/∂W⁽ˡ⁾ = x⁽ˡ⁻¹⁾ᵀ Δ⁽ˡ⁾,  ∂E/∂b⁽ˡ⁾ = Σ_rows Δ⁽ˡ⁾

All that the network hears of the loss or of the Bellman equation is δ = −∂ℓ/∂ŷ.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from rlnut.errors import UsageError, unknown
from rlnut.networks.layers import ACTIVATIONS
from rlnut.types import Array, Params

SLOPES: dict[str, Callable[[np.ndarray], Array]] = {  # f′(z)
    "relu": lambda z: (z > 0).astype(z.dtype),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: np.exp(-np.logaddexp(0, z) - np.logaddexp(0, -z)),  # σ(z) σ(−z)
    "elu": lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
    "identity": np.ones_like,
}


def backpropagation(params: Params, x: Array, delta: Array, activation: str = "relu") -> Params:
    """∂E/∂θ of an `mlp` for E = (1/B) Σ ℓ: θ, x [B, ...], δ = −∂ℓ/∂ŷ [B, ...] -> a pytree like θ, in NumPy.

    Raises UsageError if θ is not that of an mlp without normalisation, or if δ does not fit the head.
    """
    if activation not in SLOPES:
        raise unknown("activation", activation, SLOPES)
    leaves, structure = jax.tree.flatten(params)
    biases, weights = [[np.asarray(a) for a in leaves[k::2]] for k in (0, 1)]
    inputs, sums = [np.asarray(x).reshape(len(x), -1)], []
    layers = list(zip(weights, biases, strict=False))
    if len(leaves) % 2 or any(w.ndim != 2 or b.shape != w.shape[1:] for w, b in layers):
        raise UsageError("backpropagation is written out for the parameters of an mlp without normalisation")
    for w, b in layers:
        sums.append(inputs[-1] @ w + b)
        inputs.append(np.asarray(ACTIVATIONS[activation](sums[-1])))
    slope = -np.asarray(delta).reshape(len(x), -1) / len(x)
    if slope.shape != sums[-1].shape:
        raise UsageError(f"δ has shape {np.shape(delta)}, but the head gives {sums[-1].shape}")
    found: list[np.ndarray] = []
    for layer in reversed(range(len(layers))):
        found = [slope.sum(0), inputs[layer].T @ slope, *found]
        if layer:
            slope = (slope @ weights[layer].T) * np.asarray(SLOPES[activation](sums[layer - 1]))
    return jax.tree.unflatten(structure, found)
