"""PQN: regress Q on λ-returns of the newest rollout, nothing else (Gallici et al. 2024); with a memory or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optax

from rlnut.agents.dqn import exploration, readout_of, value_network
from rlnut.agents.drqn import recurrent_values
from rlnut.learner.agent import Actor, Agent, Pace, feed_forward, value_agent
from rlnut.learner.bellman import labelled
from rlnut.learner.lambda_targets import Values, along, each_alone, q_lambda_labels
from rlnut.learner.readout import Readout
from rlnut.learner.rollout import rollout
from rlnut.learner.spec import Spec
from rlnut.regression.core import regression
from rlnut.types import Array, Carry, Look, Model, Network, Params, call

if TYPE_CHECKING:
    from rlnut.agents.dqn_settings import PQN, OnPolicy
    from rlnut.agents.drqn_settings import RecurrentPQN


def pqn(config: PQN, spec: Spec, network: Network | None = None) -> Agent:
    """y = λ-return of max_a q under the weights of the round's start; layer norm does what a target network did.

    `network` takes the place of the default MLP or CNN.
    """
    readout = readout_of(config, spec)
    model = value_network(config, spec, network, readout)
    values = each_alone(lambda params, obs: readout.q(call(model, params, obs)))
    return on_policy_agent(config, spec, readout, model, feed_forward(model), values)


def recurrent_pqn(config: RecurrentPQN, spec: Spec, network: Network | None = None) -> Agent:
    """The same along the memory of a recurrent layer, learned from windows of the round."""
    readout = readout_of(config, spec)
    model, actor = recurrent_values(config, spec, network, (*spec.choices, *readout.shape))

    def step(params: Params, carry: Carry, look: Look) -> tuple[Array, Carry]:
        outputs, carry = actor.step(params, carry, look, None)
        return readout.q(outputs), carry

    return on_policy_agent(config, spec, readout, model, actor, along(step), config.sequence)


def on_policy_agent(
    config: OnPolicy, spec: Spec, readout: Readout, model: Model, actor: Actor, values: Values, sequence: int = 0
) -> Agent:
    """What PQN does with any network, way to act and values; sequence: steps of a window, 0: rows are learned alone."""
    explore = exploration(config, spec.choices)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.radam(config.lr))
    updates, window = config.epochs * config.minibatches, max(1, sequence)
    return value_agent(
        regression(model, readout.loss, optimizer),
        labelled(readout),
        explore,
        rollout(config.rollout, config.epochs, sequence),
        Pace(config.rollout, config.rollout, updates, config.rollout // config.minibatches // window, window),
        actor,
        host=model.host and explore.key is None,
        readout=readout,
        label=q_lambda_labels(values, config.lam),
    )
