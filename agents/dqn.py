"""DQN and its variants as one composition; the config says which pieces."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from rlnut.agent import Agent, Pace, value_agent
from rlnut.agents.configs import DQN
from rlnut.bellman import double_value, greedy_value, q_problem
from rlnut.envs.spaces import Spec, default_network, value_model
from rlnut.explore import epsilon_greedy, linear_schedule
from rlnut.losses import huber, squared
from rlnut.memory import replay
from rlnut.regression import regression
from rlnut.types import Array, Network, Params


def dqn(config: DQN, spec: Spec, network: Network | None = None) -> Agent:
    """Q-learning with replay and target network: δ = r + γ v(s') − q(s, a), v from θ⁻ (Mnih et al. 2015).

    `network` takes the place of the default MLP or CNN.
    """
    model = value_model(spec, network or default_network(spec, config.hidden))
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.adam(config.lr))
    core = regression(model, huber() if config.loss == "huber" else squared, optimizer)
    problem = q_problem(model.apply, double_value if config.double else greedy_value)
    epsilon = linear_schedule(config.epsilon_start, config.epsilon_end, config.epsilon_steps)

    def sync(params: Params, target: Params, updates: Array) -> Params:
        return jax.tree.map(lambda p, t: jnp.where(updates % config.target_every == 0, p, t), params, target)

    explore = epsilon_greedy(epsilon, spec.actions)
    memory = replay(config.replay, config.n_step)
    pace = Pace(config.learning_starts, config.train_every, config.gradient_steps, config.batch)
    return value_agent(core, problem, explore, memory, sync, pace, model.host)
