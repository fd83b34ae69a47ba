"""DQN, PQN and their variants as one composition; the config says which pieces (`make_…`), and here they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rlnut.agents.default_networks import network_of_options
from rlnut.agents.recurrent_values import recurrent_values
from rlnut.errors import UsageError
from rlnut.learner.agent import Actor, Agent, feed_forward, value_agent
from rlnut.learner.explore import (
    Exploration,
    boltzmann_actions,
    epsilon_greedy,
    exponential_schedule,
    linear_schedule,
    noisy_weights,
)
from rlnut.learner.readout import Readout, categorical, classes, hl_gauss, quantiles, scalar, two_hot
from rlnut.learner.spec import Spec
from rlnut.networks.architectures import mlp, trunk
from rlnut.networks.heads import at_midpoints, dueling, implicit
from rlnut.networks.layers import dense, noisy_dense, serial
from rlnut.networks.recurrent_networks import CELLS
from rlnut.regression.core import regression
from rlnut.regression.losses import huber, squared
from rlnut.types import Model, Network

if TYPE_CHECKING:
    from rlnut.agents.deep_settings import Deep


def composed(config: Deep, spec: Spec, network: Network | None = None) -> Agent:
    """The agent that the pieces of a config make; `network` takes the place of the default MLP or CNN.

    DQN: Q-learning with replay and target network, δ = r + γ v(s') − q(s, a), v from θ⁻ (Mnih et al. 2015).
    PQN: y = λ-return of max_a q under the weights of the round's start (Gallici et al. 2024).
    """
    readout = config.make_readout(spec)
    model, actor = config.make_model(spec, network, readout)
    explore, target = config.make_exploration(spec), config.make_target()
    return value_agent(
        regression(
            model,
            config.make_loss(readout),
            config.make_optimizer(),
            config.make_penalty(),
            config.make_output_penalty(readout),
        ),
        config.make_problem(model, readout, target),
        explore,
        config.make_memory(actor),
        config.make_pace(),
        actor,
        host=model.host and explore.key is None,
        readout=readout,
        target=target,
        label=config.make_label(actor, readout),
        keep=config.make_keep(),
        lr=config.lr,
    )


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


def value_model_of(config: Deep, spec: Spec, network: Network | None, readout: Readout) -> tuple[Model, Actor]:
    """(stored observations [B, ...] -> outputs [B, A, *readout.shape], how it acts).

    `network` takes the place of the MLP or CNN. Noise is in the hidden layers and the head, of a recurrent network in
    the head only: there it need not be held over a window.
    """
    if network is not None and config.explore == "noisy":
        raise UsageError("a network of your own brings its own layers: explore noisy needs the default one")
    layer = noisy_dense(config.noisy_sigma) if config.explore == "noisy" else dense
    body_of = partial(network_of_options, config, spec, network, norm=config.layer_norm)
    norm = config.layer_norm and network is None
    width = config.hidden[-1] if config.hidden else 0
    if config.memory != "none":
        below = serial(spec.encoder, trunk(body_of(config.hidden[:-1]), width, norm, config.activation))
        above = outputs_of(config, spec, mlp((), layer=layer), readout, layer, norm)
        head = above[0] if len(above) == 1 else serial(*above)
        return recurrent_values(below, CELLS[config.memory](config.memory_size), head, width, config.memory_size)
    body = body_of(config.hidden[:-1] if config.loss == "iqn" else config.hidden, layer=layer)
    model = serial(spec.encoder, *outputs_of(config, spec, body, readout, layer, norm))
    return model, feed_forward(model)


def outputs_of(
    config: Deep, spec: Spec, body: Network, readout: Readout, layer: Callable[..., Model], norm: bool
) -> list[Model]:
    """The layers from what `body` sees to the outputs [B, A, *readout.shape]."""
    if config.loss == "iqn":
        width, n, centre = config.hidden[-1], config.atoms, config.dueling
        head = implicit(body, width, n, centre=centre, layer=layer, norm=norm, activation_name=config.activation)
        return [head((spec.actions,))]
    body = body if config.dueling == "none" else dueling(body, config.dueling)
    if config.loss == "quantile":
        return [body((spec.actions, config.atoms)), at_midpoints(config.atoms)]
    return [body((*spec.choices, *readout.shape))]


def exploration_of(config: Deep, choices: tuple[int, ...]) -> Exploration:
    """How to act while learning: what `explore` says; choices: (A,), or (D, K) for D groups."""
    if config.explore == "noisy":
        return noisy_weights()
    if config.explore == "boltzmann":
        return boltzmann_actions(config.temperature, choices)
    schedule = linear_schedule if config.epsilon_schedule == "linear" else exponential_schedule
    epsilon = schedule(config.epsilon_start, config.epsilon_end, config.epsilon_steps)
    return epsilon_greedy(epsilon, choices[-1], config.epsilon_spread, choices[:-1])
