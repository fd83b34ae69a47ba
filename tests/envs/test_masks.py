"""Forbidden actions: never taken, never bootstrapped from, and no −∞ in what is learned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from helpers.environments import Counter

import rlnut
from rlnut.agents.catalogue import DQN
from rlnut.control.host_loop import host_loop
from rlnut.control.native_loop import native_loop
from rlnut.envs.functional import FuncGym, func_vector
from rlnut.envs.vector import EnvList
from rlnut.learner.explore import boltzmann_actions, epsilon_greedy, linear_schedule, noisy_weights

CONFIG = DQN(hidden=(8,), batch=8, learning_starts=32, replay=300, epsilon_end=0.5, epsilon_steps=100)


@pytest.mark.parametrize("name", ["epsilon-greedy", "boltzmann", "noisy"])
def test_no_forbidden_action_in_a_hundred_thousand_draws(name: str) -> None:
    """Random values, the forbidden ones the largest, random masks that leave at least one of five actions."""
    explore = {
        "epsilon-greedy": epsilon_greedy(linear_schedule(0.5, 0.5, 1), 5),
        "boltzmann": boltzmann_actions(1.0, (5,)),
        "noisy": noisy_weights(),
    }[name]
    rng = np.random.default_rng(0)
    mask = rng.random((100_000, 5)) < 0.4
    mask[np.arange(len(mask)), rng.integers(5, size=len(mask))] = True
    q = np.where(mask, rng.normal(size=mask.shape), 1e3).astype(np.float32)
    noise = jax.tree.map(lambda a: np.asarray(a)[0], explore.draw(jax.random.key(0), jnp.zeros(1), len(mask)))
    chosen = np.asarray(explore.select(q, mask, noise))
    assert mask[np.arange(len(mask)), chosen].all()
    assert len(np.unique(chosen)) == 5


@pytest.mark.parametrize("native", [True, False])
def test_masks_reach_acting_memory_and_targets(native: bool) -> None:
    """What was done was allowed; the mask in memory is that of its observation; weights stay numbers."""
    if native:
        vector: Any = func_vector(Counter(), 2, limit=9)
    else:
        vector = EnvList(lambda: TimeLimit(FuncGym(Counter()), 9), 2)
    agent = CONFIG.build(vector.spec)
    loop = native_loop(agent, vector, 0.9, 100) if native else host_loop(agent, vector, 0.9)
    run = loop.start(0)
    while run.steps < 200:
        run, _ = loop.advance(run, 200)
    memory = run.agent.memory
    began, age = np.asarray(memory.begins), np.asarray(memory.obs)[..., 1]
    allowed = np.stack([age != 2, age != 3], -1)
    np.testing.assert_array_equal(np.asarray(memory.mask)[began], allowed[began])
    taken = np.take_along_axis(allowed, np.asarray(memory.action)[..., None], -1)[..., 0]
    assert taken[began].all() and began.sum() > 100 and (age[began] == 2).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.agent.fit.params))


def test_taxis_masks_are_honoured_in_evaluation() -> None:
    """A policy that likes forbidden actions best is not asked to take them."""
    run = rlnut.train(
        CONFIG, "Taxi-v4", steps=64, quiet=True, native=True, num_envs=2, final_episodes=1, eval_episodes=1
    )
    obs = np.array([0])
    first = np.asarray(run.policy.q(obs))
    assert np.isfinite(first).all() and first.shape == (1, 6)
