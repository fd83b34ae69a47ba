"""PQN: regress Q on λ-returns of the newest rollout, nothing else (Gallici et al. 2024); with a memory or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import optax

from rlnut.agents.dqn import exploration, readout_of, value_network
from rlnut.agents.drqn import recurrent_values
from rlnut.learner.agent import Agent, Pace, feed_forward, value_agent
from rlnut.learner.bellman import labelled
from rlnut.learner.lambda_targets import along, each_alone, q_lambda_labels
from rlnut.learner.rollout import rollout
from rlnut.learner.spec import Spec
from rlnut.regression.core import regression
from rlnut.types import Array, Look, Network, Params, call

if TYPE_CHECKING:
    from rlnut.agents.dqn_settings import PQN
    from rlnut.agents.drqn_settings import RecurrentPQN


def _remembers(config: PQN) -> TypeGuard[RecurrentPQN]:
    return config.recurrent


def pqn(config: PQN, spec: Spec, network: Network | None = None) -> Agent:
    """y = λ-return of max_a q under the weights of the round's start; layer norm does what a target network did.

    `network` takes the place of the default MLP or CNN.
    """
    readout, explore = readout_of(config, spec), exploration(config, spec.choices)
    length = 0
    if _remembers(config):
        model, actor = recurrent_values(config, spec, network, (*spec.choices, *readout.shape))
        length = config.sequence

        def step(params: Params, carry: Any, look: Look) -> tuple[Array, Any]:
            outputs, carry = actor.step(params, carry, look, None)
            return readout.q(outputs), carry

        values = along(step)
    else:
        model = value_network(config, spec, network, readout)
        actor = feed_forward(model)
        values = each_alone(lambda params, obs: readout.q(call(model, params, obs)))
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.radam(config.lr))
    updates, window = config.epochs * config.minibatches, max(1, length)
    return value_agent(
        regression(model, readout.loss, optimizer),
        labelled(readout),
        explore,
        rollout(config.rollout, config.epochs, length),
        Pace(config.rollout, config.rollout, updates, config.rollout // config.minibatches // window, window),
        actor,
        host=model.host and explore.key is None,
        readout=readout,
        label=q_lambda_labels(values, config.lam),
    )
