"""Many learners at once on a functional environment: returns and lengths of their first episodes, for experiments.

Learner and environment are one compiled program, `native_loop.rounds`, vmapped over runs and over step sizes or λ.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.experimental.functional import FuncEnv
from numpy.typing import ArrayLike

from rlnut.agents.action_values import ActionValues
from rlnut.agents.online import OnlineHyper, OnlineRule, classic_agent
from rlnut.control.native_loop import first_episodes, rounds
from rlnut.envs.functional import func_vector
from rlnut.learner.behaviour import epsilon_greedy_behaviour
from rlnut.types import Array, Key


class ControlTask(NamedTuple):
    """What is learned on, and how it is explored."""

    env: FuncEnv
    values: ActionValues
    epsilon: float
    gamma: float = 1.0
    limit: int | None = None  # steps after which an episode is cut


class Episodes(NamedTuple):
    """The first episodes of every run: [*sweep, runs, episodes]."""

    returns: np.ndarray
    lengths: np.ndarray


def learn_many(
    task: ControlTask, rule: OnlineRule, seed: int, runs: int, episodes: int, **numbers: ArrayLike
) -> Episodes:
    """The first `episodes` of `runs` learners; numbers: fields of `OnlineHyper`, each may be a list to sweep."""
    names = list(numbers)
    sizes = np.broadcast_arrays(*(np.asarray(x, np.float32) for x in numbers.values()))
    swept = {name: jnp.asarray(x).ravel() for name, x in zip(names, sizes, strict=True)}
    keys = jax.random.split(jax.random.key(seed), runs)
    returns, lengths = _learn(task.env, task.values, rule, task[2:], episodes, swept, keys)
    shape = (*sizes[0].shape, runs, episodes)
    return Episodes(np.asarray(returns).reshape(shape), np.asarray(lengths).reshape(shape))


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _learn(
    env: FuncEnv,
    values: ActionValues,
    rule: OnlineRule,
    how: tuple,
    episodes: int,
    numbers: dict[str, Array],
    keys: Key,
) -> tuple[Array, Array]:
    epsilon, gamma, limit = how

    def one(numbers: dict[str, Array], key: Key) -> tuple[Array, Array]:
        agent = classic_agent(
            rule, OnlineHyper(**numbers), values, epsilon_greedy_behaviour, lambda step: jnp.float32(epsilon)
        )
        begin, one_round = rounds(agent, func_vector(env, 1, limit), gamma)
        return first_episodes(begin, one_round, key, episodes)

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(numbers, keys)
