"""PQN: regress Q on λ-returns of the newest rollout, nothing else (Gallici et al. 2024)."""

from __future__ import annotations

import optax

from rlnut.agent import Agent, Pace, feed_forward, value_agent
from rlnut.agents.configs_deep import PQN
from rlnut.agents.dqn import exploration, readout_of, value_network
from rlnut.bellman import labelled
from rlnut.envs.spaces import Spec
from rlnut.regression import regression
from rlnut.rollout import q_lambda_labels, rollout
from rlnut.types import Network, call


def pqn(config: PQN, spec: Spec, network: Network | None = None) -> Agent:
    """y = λ-return of max_a q under the weights of the round's start; layer norm does what a target network did.

    `network` takes the place of the default MLP or CNN.
    """
    readout, explore = readout_of(config, spec), exploration(config, spec.choices)
    model = value_network(config, spec, network, readout)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.radam(config.lr))
    updates = config.epochs * config.minibatches
    return value_agent(
        regression(model, readout.loss, optimizer),
        labelled(readout),
        explore,
        rollout(config.rollout, config.epochs),
        Pace(config.rollout, config.rollout, updates, config.rollout // config.minibatches),
        feed_forward(model),
        host=model.host and explore.key is None,
        readout=readout,
        label=q_lambda_labels(lambda params, obs: readout.q(call(model, params, obs)), config.lam),
    )
