"""DQN and its variants as one composition; the config says which pieces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import optax

from rlnut.agents.default_networks import default_network
from rlnut.errors import UsageError
from rlnut.learner.agent import Actor, Agent, Pace, feed_forward, periodic, polyak, value_agent
from rlnut.learner.bellman import double_policy, greedy_policy, munchausen, q_problem, soft_policy
from rlnut.learner.explore import (
    Exploration,
    boltzmann_actions,
    epsilon_greedy,
    exponential_schedule,
    linear_schedule,
    noisy_weights,
)
from rlnut.learner.prioritised_replay import prioritised
from rlnut.learner.readout import Readout, categorical, classes, hl_gauss, quantiles, scalar, two_hot
from rlnut.learner.replay import Memory, replay
from rlnut.learner.spec import Spec
from rlnut.networks.heads import at_midpoints, dueling, implicit
from rlnut.networks.layers import dense, noisy_dense, serial
from rlnut.regression.core import regression
from rlnut.regression.losses import huber, squared
from rlnut.types import Model, Network, call

if TYPE_CHECKING:
    from rlnut.agents.dqn_settings import DQN, PQN, Deep, Replayed


def readout_of(config: Deep, spec: Spec) -> Readout:
    """How outputs stand for values: what `loss` says."""
    if len(spec.choices) > 1 and (config.loss not in ("huber", "squared") or config.dueling != "none"):
        raise UsageError(
            "decoupled actions go with loss huber or squared and without dueling: their values are averaged"
        )
    if config.loss in ("quantile", "iqn"):
        return quantiles(config.atoms)
    if config.loss in ("huber", "squared"):
        return scalar(huber() if config.loss == "huber" else squared)
    low, high = config.support()
    if config.loss == "c51":
        return categorical(low, high, config.atoms)
    return classes((two_hot if config.loss == "two-hot" else hl_gauss)(low, high, config.atoms))


def value_network(config: DQN | PQN, spec: Spec, network: Network | None, readout: Readout) -> Model:
    """Stored observations [B, ...] -> outputs [B, A, *readout.shape]; `network` takes the place of the MLP or CNN."""
    if network is not None and config.explore == "noisy":
        raise UsageError("a network of your own brings its own layers: explore noisy needs the default one")
    layer = noisy_dense(config.noisy_sigma) if config.explore == "noisy" else dense
    default = partial(default_network, spec, norm=config.layer_norm, layer=layer)
    if config.loss == "iqn":
        body, width = network or default(config.hidden[:-1]), config.hidden[-1]
        norm = config.layer_norm and network is None
        head = implicit(body, width, learn=config.atoms, centre=config.dueling, layer=layer, norm=norm)
        return serial(spec.encoder, head((spec.actions,)))
    body = network or default(config.hidden)
    body = body if config.dueling == "none" else dueling(body, config.dueling)
    if config.loss == "quantile":
        return serial(spec.encoder, body((spec.actions, config.atoms)), at_midpoints(config.atoms))
    return serial(spec.encoder, body((*spec.choices, *readout.shape)))


def exploration(config: Deep, choices: tuple[int, ...]) -> Exploration:
    """How to act while learning: what `explore` says; choices: (A,), or (D, K) for D groups."""
    if config.explore == "noisy":
        return noisy_weights()
    if config.explore == "boltzmann":
        return boltzmann_actions(config.temperature, choices)
    schedule = linear_schedule if config.epsilon_schedule == "linear" else exponential_schedule
    epsilon = schedule(config.epsilon_start, config.epsilon_end, config.epsilon_steps)
    return epsilon_greedy(epsilon, choices[-1], config.epsilon_spread, choices[:-1])


def dqn(config: DQN, spec: Spec, network: Network | None = None) -> Agent:
    """Q-learning with replay and target network: δ = r + γ v(s') − q(s, a), v from θ⁻ (Mnih et al. 2015).

    `network` takes the place of the default MLP or CNN.
    """
    readout = readout_of(config, spec)
    model = value_network(config, spec, network, readout)
    memory = replay(config.replay, config.n_step)
    if config.prioritised:
        priority = (config.priority_exponent, config.priority_beta, config.priority_beta_steps)
        memory = prioritised(config.replay, config.n_step, *priority)
    return q_agent(config, spec, readout, model, memory, feed_forward(model))


def q_agent(
    config: Replayed, spec: Spec, readout: Readout, model: Model, memory: Memory, actor: Actor, window: int = 1
) -> Agent:
    """What DQN does with any network, memory (which draws `window` steps at once) and way to act."""
    explore = exploration(config, spec.choices)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.adam(config.lr))
    rule = (
        double_policy if config.double else greedy_policy if config.backup == "max" else soft_policy(config.temperature)
    )
    extra = None
    if config.backup == "munchausen":
        extra = munchausen(config.temperature, config.munchausen_share, config.munchausen_lowest)
    targets = {"periodic": periodic(config.target_every), "polyak": polyak(config.target_rate), "none": None}
    target = targets[config.target]
    return value_agent(
        regression(model, readout.loss, optimizer),
        q_problem(partial(call, model), rule, readout, extra, model.stochastic, target.read if target else None),
        explore,
        memory,
        Pace(config.learning_starts, config.train_every, config.gradient_steps, config.batch, window),
        actor,
        host=model.host and explore.key is None,
        readout=readout,
        target=target,
    )
