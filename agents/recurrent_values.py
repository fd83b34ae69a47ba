"""Values along a memory: a recurrent layer between the hidden layers and the head (Hausknecht & Stone 2015).

carry, y = cell(carry, trunk(s)),     q(s, ·) = head(y),     carry = start where an episode begins
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.learner.agent import Actor
from rlnut.networks.recurrent_networks import Cell, restart, scan
from rlnut.types import Array, Carry, Key, Look, Model, Params, Window, call


def recurrent_values(below: Model, cell: Cell, head: Model, width: int, size: int) -> tuple[Model, Actor]:
    """(model over windows -> outputs [B·L, ...], actor over single steps), of the same parameters.

    below: observations [B, ...] -> [B, width]; cell: of `size` units; head: [B, size] -> outputs [B, ...].
    """

    def init(key: Key, obs: Array) -> Params:
        keys = jax.random.split(key, 3)
        wide, deep = jnp.zeros((1, width)), jnp.zeros((1, size))
        return {"trunk": below.init(keys[0], obs), "cell": cell.init(keys[1], wide), "head": head.init(keys[2], deep)}

    def apply(params: Params, x: Window, key: Key | None = None) -> Array:
        rows, steps = x.begin.shape
        features = call(below, params["trunk"], x.obs.reshape(rows * steps, *x.obs.shape[2:]))
        _, y = scan(cell, params["cell"], features.reshape(rows, steps, -1), begin=x.begin, carry=x.carry)
        wanted = jnp.take_along_axis(y, x.at[..., None], axis=1)
        return call(head, params["head"], wanted.reshape(-1, y.shape[-1]), key)

    def carry(envs: int) -> Carry:
        return cell.start({"u": np.zeros(0, np.float32)}, envs)  # zeros of the type of u

    def step(params: Params, before: Carry, look: Look, key: Key | None) -> tuple[Array, Carry]:
        before = restart(cell, params["cell"], before, look.fresh)
        after, y = cell.step(params["cell"], before, call(below, params["trunk"], look.obs))
        return call(head, params["head"], y, key), after

    return Model(init, apply, head.stochastic, below.host and head.host), Actor(carry, step)
