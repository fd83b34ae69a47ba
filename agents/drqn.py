"""DRQN: DQN whose network carries a memory through time (Hausknecht & Stone 2015), on windows with burn-in.

carry, y = cell(carry, trunk(s)),     q(s, ·) = head(y),     carry = start where an episode begins
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents.default_networks import default_network
from rlnut.agents.dqn import q_agent, readout_of
from rlnut.learner.agent import Actor, Agent
from rlnut.learner.sequence_replay import windows
from rlnut.learner.spec import Spec
from rlnut.networks.architectures import mlp, trunk
from rlnut.networks.heads import dueling
from rlnut.networks.layers import serial
from rlnut.networks.recurrent_networks import CELLS, restart, scan
from rlnut.types import Array, Carry, Key, Look, Model, Network, Params, Window, call

if TYPE_CHECKING:
    from rlnut.agents.drqn_settings import DRQN, RecurrentPQN


def recurrent_values(
    config: DRQN | RecurrentPQN, spec: Spec, network: Network | None, shape: tuple[int, ...]
) -> tuple[Model, Actor]:
    """(model over windows -> outputs [B·L, *shape], actor over single steps), of the same parameters.

    `network` takes the place of the trunk: it is asked for its last hidden layer.
    """
    body = network or default_network(spec, config.hidden[:-1], norm=config.layer_norm)
    below = serial(spec.encoder, trunk(body, config.hidden[-1], config.layer_norm and network is None))
    cell = CELLS[config.memory](config.memory_size)
    linear = mlp(())
    head = (linear if config.dueling == "none" else dueling(linear, config.dueling))(shape)

    def init(key: Key, obs: Array) -> Params:
        keys = jax.random.split(key, 3)
        wide, deep = jnp.zeros((1, config.hidden[-1])), jnp.zeros((1, config.memory_size))
        return {"trunk": below.init(keys[0], obs), "cell": cell.init(keys[1], wide), "head": head.init(keys[2], deep)}

    def apply(params: Params, x: Window) -> Array:
        rows, steps = x.begin.shape
        features = call(below, params["trunk"], x.obs.reshape(rows * steps, *x.obs.shape[2:]))
        _, y = scan(cell, params["cell"], features.reshape(rows, steps, -1), begin=x.begin, carry=x.carry)
        wanted = jnp.take_along_axis(y, x.at[..., None], axis=1)
        return call(head, params["head"], wanted.reshape(-1, y.shape[-1]))

    def carry(envs: int) -> Carry:
        return cell.start({"u": np.zeros(0, np.float32)}, envs)  # zeros of the type of u

    def step(params: Params, before: Carry, look: Look, key: Key | None) -> tuple[Array, Carry]:
        before = restart(cell, params["cell"], before, look.fresh)
        after, y = cell.step(params["cell"], before, call(below, params["trunk"], look.obs))
        return call(head, params["head"], y), after

    return Model(init, apply, host=below.host and head.host), Actor(carry, step)


def drqn(config: DRQN, spec: Spec, network: Network | None = None) -> Agent:
    """Q-learning on windows of experience; all else is DQN's."""
    readout = readout_of(config, spec)
    model, actor = recurrent_values(config, spec, network, (*spec.choices, *readout.shape))
    memory = windows(config.replay, config.sequence, config.burn_in, config.n_step, actor.carry)
    return q_agent(config, spec, readout, model, memory, actor, config.sequence)
