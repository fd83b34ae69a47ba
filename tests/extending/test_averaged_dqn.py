"""Averaged-DQN (Anschel et al. 2017) as a user writes it: v(s') from the mean of the q values of K earlier networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.environments import OnHost, vector_of
from helpers.resuming import check_resumes_bit_for_bit

import rlnut
from rlnut.control.host_loop import host_loop
from rlnut.control.native_loop import native_loop
from rlnut.learner.agent import TargetNetwork
from rlnut.learner.bellman import Apply, greedy_policy, q_problem
from rlnut.settings import setting
from rlnut.types import Array, Transition, Tree

pytestmark = pytest.mark.usefixtures("shared_programs")


@dataclass(frozen=True)
class AveragedDQN(rlnut.DQN):
    """Averaged-DQN: after every `target_every` updates θ takes the place of the oldest of K networks."""

    double: bool = setting(False, "the online net selects the next action, the mean evaluates it")
    networks: int = setting(3, "earlier networks whose values are averaged", low=1)

    def make_target(self) -> TargetNetwork:
        def init(params: Tree) -> Tree:
            return jax.tree.map(lambda p: jnp.repeat(p[None], self.networks, 0), params)

        def update(params: Tree, ring: Tree, updates: Array) -> Tree:
            place = updates // self.target_every % self.networks
            due = updates % self.target_every == 0
            return jax.tree.map(lambda p, r: jnp.where(due, r.at[place].set(p), r), params, ring)

        def read(apply: Apply) -> Apply:
            return lambda ring, x, key: jax.vmap(apply, (0, None, None))(ring, x, key).mean(0)

        return TargetNetwork(init, update, read)


SMALL: dict[str, Any] = {"hidden": (8,), "batch": 8, "learning_starts": 32, "replay": 300, "lr": 1e-2, "gamma": 0.5}


def test_the_ring_and_the_target_by_hand() -> None:
    """θ after update u is u; two networks, one pushed every second update; two actions of values θ and 10 − θ."""
    target = AveragedDQN(networks=2, target_every=2).make_target()
    ring = target.init(jnp.array(0.0))
    rings = []
    for u in range(1, 9):
        ring = target.update(jnp.array(float(u)), ring, jnp.int32(u))
        rings.append(sorted(np.asarray(ring).tolist()))
    assert rings == [[0, 0], [0, 2], [0, 2], [2, 4], [2, 4], [4, 6], [4, 6], [6, 8]]

    def apply(theta: Array, x: Any, key: Any) -> Array:
        return jnp.stack([theta * x[:, 0], 10 - theta * x[:, 0]], -1)

    problem = q_problem(apply, greedy_policy, stochastic=False, read=target.read)
    one = jnp.ones((1, 1))
    no = jnp.zeros(1, bool)
    seen = Transition(one, jnp.array([0]), jnp.array([1.0]), jnp.array([0.5]), one, no, ~no)
    # at 2 and 6 the means are 4 and 6; at 8 and 6 they are 7 and 3; the mean of the maxima would be 7 and 7
    for held, v in (([2.0, 6.0], 6.0), ([8.0, 6.0], 7.0)):
        batch = problem(jnp.array(0.0), jnp.array(held), seen, jax.random.key(0))
        np.testing.assert_allclose(batch.y, [1 + 0.5 * v])


def test_one_network_is_dqn() -> None:
    """K = 1: the newest copy alone, which is what the periodic target is, to rounding."""
    words: dict[str, Any] = {"steps": 400, "final_episodes": 1, "quiet": True}
    averaged = rlnut.train(AveragedDQN(**SMALL), "CartPole-v1", **words)
    periodic = rlnut.train(rlnut.DQN(**SMALL, double=False), "CartPole-v1", **words)
    single = rlnut.train(AveragedDQN(**SMALL, networks=1), "CartPole-v1", **words)
    obs = np.array([[0.1, 0.2, 0.0, -0.1]])
    np.testing.assert_allclose(single.q(obs), periodic.q(obs), rtol=1e-4)
    assert not np.allclose(averaged.q(obs), periodic.q(obs), rtol=1e-3)


@pytest.mark.parametrize(("name", "q"), [("Delay", {0.0: [0.5], 1.0: [1.0]}), ("Limit", {0.0: [2.0]})])
def test_it_learns_a_probe(name: str, q: dict[float, list[float]]) -> None:
    config = AveragedDQN(**SMALL | {"hidden": (32,), "target_every": 20, "n_step": 1})
    run = rlnut.train(config, f"rlnut/Probe{name}-v0", steps=2_000, final_episodes=1, quiet=True)
    for obs, values in q.items():
        np.testing.assert_allclose(run.q([obs]), values, atol=0.1)


NATIVE = pytest.param({"native": True, "normalise": True}, id="native, normalised", marks=pytest.mark.slow)


@pytest.mark.parametrize("words", [pytest.param({}, id="host"), NATIVE])
def test_it_resumes_bit_for_bit(words: dict[str, Any], tmp_path: Path) -> None:
    check_resumes_bit_for_bit(AveragedDQN(**SMALL | {"target_every": 10}), tmp_path, **words)


def test_the_compiled_loop_gives_the_numbers_of_the_host_loop() -> None:
    vector = vector_of("FrozenLake-v1", 3)
    agent = AveragedDQN(**SMALL | {"target_every": 10}).build(vector.spec)._replace(host=False)
    native, host = native_loop(agent, vector, 0.5, 150), host_loop(agent, OnHost(vector), 0.5)
    ours, theirs = native.start(7), host.start(7)
    while ours.steps < 400:
        ours, _ = native.advance(ours, 400)
    while theirs.steps < 400:
        theirs, _ = host.advance(theirs)
    np.testing.assert_array_equal(ours.agent.memory.action, theirs.agent.memory.action)
    for a, b in zip(jax.tree.leaves(ours.agent.target), jax.tree.leaves(theirs.agent.target), strict=True):
        assert a.shape[0] == 3 and not np.array_equal(a[0], a[1])
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
