"""q(s, a) for on-line control, over flat weights: a table, features of s for each action, or a network.

Features that are 0 or 1 with few ones (tables, tiles) are read and updated by index: the cost of a step is that of the
active features, not of the table. Traces need ∂q/∂w as a whole: `gradient`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents.observation_features import Bounds, box_of, observation_features, resolved_words
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features.parsing import parse_features
from rlnut.learner.spec import Spec
from rlnut.networks.architectures import mlp
from rlnut.networks.layers import serial
from rlnut.types import Array, Key, Model, Shaped, namespace


class ActionValues(NamedTuple):
    """q(s, a; w) with w flat [P]."""

    init: Callable[[Key], Array]  # key -> w [P]
    q: Callable[[Array, Array], Array]  # (w, obs [N, ...]) -> [N, A]
    add: Callable[[Array, Array, Array, Array], Array]  # (w, obs, action [N], amount [N]) -> w + Σ amount·∂q/∂w
    gradient: Callable[[Array, Array, Array], Array]  # (w, obs, action) -> ∂q/∂w [N, P]
    step: Callable[[Array, Array], Array]  # (α [N], changes [N, P]) -> Σ α·change [P], each weight at its own rate
    shared: Callable[[Array], Array]  # obs -> bool [N, P] which weights belong to s, whatever the action
    norm: float  # ‖∂q/∂w‖² of a typical row: α is divided by it
    kind: str  # table, binary, dense, network
    host: bool  # q also works in NumPy


def linear_values(
    phi: maps.Features, actions: int, norm: float = 1.0, initial: float = 0.0, kind: str = "binary"
) -> ActionValues:
    """q(s, a) = w_aᵀφ(s); φ with `active` indices is read by index. norm: ‖φ‖², for φ of n ones n; q₀ = `initial`."""
    d, active = phi.dim, phi.active
    rate = None if phi.rate is None else np.tile(phi.rate.astype(np.float32), actions)

    def q(w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."]) -> Shaped[Array, "N A"]:
        if active is None:
            x = phi(obs)
            return x @ namespace(x).asarray(w).reshape(actions, d).T
        return w.reshape(actions, d)[:, active(obs)].sum(-1).T

    def gradient(
        w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."], action: Shaped[Array, " N"]
    ) -> Shaped[Array, "N P"]:
        chosen = jnp.arange(actions) == action[:, None]
        return (chosen[:, :, None] * phi(obs)[:, None, :]).reshape(len(action), actions * d)

    def step(alpha: Shaped[Array, " N"], change: Shaped[Array, "N P"]) -> Shaped[Array, " P"]:
        whole = alpha @ change
        return whole if rate is None else rate * whole

    def add(
        w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."], action: Shaped[Array, " N"], amount: Shaped[Array, " N"]
    ) -> Shaped[Array, " P"]:
        if active is None:
            return w + step(amount, gradient(w, obs, action))
        index = action[:, None] * d + active(obs)
        return jnp.asarray(w).at[index].add(jnp.broadcast_to(jnp.asarray(amount)[:, None], index.shape))

    def shared(obs: Array) -> Array:
        return jnp.tile(phi(obs) != 0, (1, actions))

    start = jnp.full(actions * d, initial / norm)
    return ActionValues(lambda key: start, q, add, gradient, step, shared, norm, kind, True)


def network_values(model: Model, example: Array) -> ActionValues:
    """q from a network with all its weights as one vector; ∂q/∂w by back-propagation."""
    from jax.flatten_util import ravel_pytree

    shapes = jax.eval_shape(model.init, jax.random.key(0), example)
    unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))[1]

    def q(w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."]) -> Shaped[Array, "N A"]:
        return model.apply(unravel(jnp.asarray(w)), obs)

    def gradient(
        w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."], action: Shaped[Array, " N"]
    ) -> Shaped[Array, "N P"]:
        one = jax.grad(lambda w, s, a: q(w, s[None])[0, a])
        return jax.vmap(one, (None, 0, 0))(w, obs, action)

    def add(
        w: Shaped[Array, " P"], obs: Shaped[Array, "N ..."], action: Shaped[Array, " N"], amount: Shaped[Array, " N"]
    ) -> Shaped[Array, " P"]:
        taken = jnp.arange(len(action))
        return w + jax.vjp(lambda w: q(w, obs)[taken, action], w)[1](amount.astype(w.dtype))[0]

    def init(key: Key) -> Array:
        return ravel_pytree(model.init(key, example))[0]

    def shared(obs: Array) -> Array:
        return jnp.zeros((len(obs), 1), bool)

    return ActionValues(init, q, add, gradient, lambda alpha, change: alpha @ change, shared, 1.0, "network", False)


def values_of(words: str, spec: Spec, low: Bounds = None, high: Bounds = None, initial: float = 0.0) -> ActionValues:
    """The approximator that `words` name ("auto", "one-hot", "tiles:8", "fourier:3", "mlp:64") for what `spec` sees.

    low, high: bounds of the observation in place of the space's own, one number a dimension.
    Raises UsageError for features that do not fit the space, and for a box without bounds.
    """
    words = resolved_words(words, spec)
    name, numbers = parse_features(words)
    if name == "mlp":
        if initial:
            raise UsageError("--initial has no effect on a network: its first values come from random weights")
        # parts with images side by side; else the encoder itself, whose running statistics are parameters
        inputs = observation_features(words, spec).phi.model if spec.observed.images else spec.encoder
        network = serial(inputs, mlp(numbers * 2)((spec.actions,)))
        return network_values(network, jnp.zeros((1, *spec.shape), spec.dtype))
    tables, given = name in ("one-hot", "aggregation"), low is not None or high is not None
    box = box_of(spec, low, high) if given and not tables else None
    found = observation_features(words, spec, box)
    if found.kind == "dense" and initial:
        raise UsageError(f"--initial is not supported for {name}: no weights give every state the same value")
    return linear_values(found.phi, spec.actions, found.norm, initial, found.kind)
