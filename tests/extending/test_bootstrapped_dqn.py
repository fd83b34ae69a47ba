"""Bootstrapped DQN (Osband et al. 2016) as a user writes it: K heads, each with its own targets and its own data.

One head acts through an episode, drawn anew where one begins; a transition is learned from by the heads whose mask,
drawn once when it is stored, is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.environments import Counter, OnHost, vector_of
from helpers.resuming import check_resumes_bit_for_bit

import rlnut
from rlnut.control.host_loop import Run, host_loop, one_row
from rlnut.control.native_loop import native_loop
from rlnut.envs.functional import FuncVector, func_vector
from rlnut.envs.probes import ProbeEnv
from rlnut.envs.spaces import read_spaces
from rlnut.learner.agent import KeepFn, TargetNetwork
from rlnut.learner.bellman import BellmanProblem
from rlnut.learner.explore import EpisodeExploration, greedy, nothing_random
from rlnut.learner.readout import Readout, mixed, same
from rlnut.learner.replay import replay
from rlnut.learner.spec import Spec
from rlnut.regression.core import regression
from rlnut.settings import setting
from rlnut.types import Array, Batch, Key, Look, Model, Params, Transition, call

pytestmark = pytest.mark.usefixtures("shared_programs")


@dataclass(frozen=True)
class BootstrappedDQN(rlnut.DQN):
    """Bootstrapped DQN (Osband et al. 2016); greedily it acts on the mean of the heads."""

    heads: int = setting(4, "values of an action, each learned from data of its own", low=2)
    share: float = setting(0.5, "chance that a head learns from a transition", above=0, high=1)

    def make_readout(self, spec: Spec) -> Readout:
        def loss(outputs: Array, y: Array) -> Array:  # [B, K], [B, K, 2] targets and masks
            return 0.5 * (y[..., 1] * (outputs - y[..., 0]) ** 2).sum(-1)

        def surprise(outputs: Array, y: Array) -> Array:
            return (y[..., 1] * jnp.abs(outputs - y[..., 0])).mean(-1)

        def target(reward: Array, discount: Array, v: Array) -> Array:
            return reward[:, None] + discount[:, None] * v

        def mean(outputs: Array) -> Array:
            return outputs.mean(-1)

        return Readout((self.heads,), mean, same, target, loss, lambda y: y[..., 0].mean(-1), surprise, mixed)

    def make_problem(self, model: Model, readout: Readout, target: TargetNetwork | None) -> BellmanProblem:
        def problem(params: Params, frozen: Params, seen: Transition, key: Key) -> Batch:
            online, q = call(model, params, seen.next_x), call(model, frozen, seen.next_x)  # [B, A, K]
            values = jnp.moveaxis(online if self.double else q, -1, 0)  # [K, B, A]
            mask = None if seen.next_mask is None else jnp.broadcast_to(seen.next_mask, values.shape)
            best = greedy(values, mask).T
            v = jnp.take_along_axis(q, best[:, None], 1)[:, 0]
            y = readout.target(seen.reward, seen.discount, v)
            return Batch(seen.x, jnp.stack([y, seen.kept], -1), index=jnp.asarray(seen.action, jnp.int32))

        return problem

    def make_keep(self) -> KeepFn:
        def masks(key: Key, seen: Transition) -> Array:
            return jax.random.bernoulli(key, self.share, (*seen.reward.shape, self.heads)).astype(jnp.float32)

        return masks

    def make_exploration(self, spec: Spec) -> EpisodeExploration:
        def draw(key: Key, steps: Array, envs: int) -> Array:
            return jax.random.randint(key, (len(steps), envs), 0, self.heads)

        def select(q: Array, mask: Array | None, noise: Array, head: Array) -> tuple[Array, Array]:
            return greedy(q[np.arange(len(head)), :, head], mask), head

        return EpisodeExploration(draw, same, select, nothing_random, read=same)


SMALL: dict[str, Any] = {"hidden": (8,), "batch": 8, "learning_starts": 32, "replay": 300, "lr": 1e-2, "gamma": 0.5}


def lookup(actions: int, heads: int) -> Model:
    """Outputs [B, A, K] of numbered observations [B, 1] by a table θ [S, A, K]."""
    return Model(lambda key, x: jnp.zeros((2, actions, heads)), lambda table, x: table[x[:, 0].astype(jnp.int32)])


def test_the_targets_of_every_head_by_hand() -> None:
    """Two heads disagree about the best action in state 1: online 0 and 1, where θ⁻ says 10 and 40."""
    config = BootstrappedDQN(heads=2)
    spec = read_spaces(ProbeEnv("Both"))
    problem = config.make_problem(lookup(2, 2), config.make_readout(spec), None)
    online = jnp.array([[[0.0, 0.0], [0.0, 0.0]], [[3.0, 1.0], [2.0, 5.0]]])  # [S, A, K]
    frozen = jnp.array([[[0.0, 0.0], [0.0, 0.0]], [[10.0, 20.0], [30.0, 40.0]]])
    rows = 3
    seen = Transition(
        obs=jnp.zeros((rows, 1)), action=jnp.array([1, 0, 0]), reward=jnp.array([1.0, 1.0, 1.0]),
        discount=jnp.array([0.5, 0.0, 0.5]), next_obs=jnp.ones((rows, 1)), end=jnp.zeros(rows, bool),
        valid=jnp.ones(rows, bool), next_mask=jnp.array([[True, True], [True, True], [False, True]]),
        kept=jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),
    )  # fmt: skip
    batch = problem(online, frozen, seen, jax.random.key(0))
    np.testing.assert_allclose(batch.y[..., 0], [[6, 21], [1, 1], [16, 21]])
    np.testing.assert_array_equal(batch.y[..., 1], seen.kept)
    loss = config.make_readout(spec).loss
    outputs = jnp.array([[5.0, 100.0], [0.0, 3.0], [7.0, 20.0]])
    np.testing.assert_allclose(loss(outputs, batch.y), [0.5, 0.5 + 2.0, 0.5])
    slope = jax.grad(lambda o: loss(o, batch.y).sum())(outputs)
    np.testing.assert_allclose(slope, [[-1, 0], [-1, 2], [0, -1]])  # where the mask is 0 a head learns nothing


def test_a_penalty_sees_all_heads_of_all_actions_and_the_masks() -> None:
    """One step of gradient descent by hand: what the masks leave of δ at the action, and a penalty ½ m₀ Σ q² of all."""
    loss = BootstrappedDQN(heads=2).make_readout(read_spaces(ProbeEnv("Both"))).loss

    def penalty(outputs: Array, batch: Batch) -> Array:
        return 0.5 * batch.y[:, 0, 1] * (outputs**2).sum((1, 2))

    core = regression(lookup(2, 2), loss, optax.sgd(1.0), output_penalty=penalty)
    table = jnp.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    fit = core.init(jax.random.key(0), jnp.zeros((2, 1)))._replace(params=table)
    y = jnp.array([[[5.0, 1.0], [9.0, 0.0]], [[5.0, 0.0], [9.0, 1.0]]])  # [B, K, 2] targets and masks
    after, metrics = core.update(fit, Batch(jnp.array([[0.0], [1.0]]), y, index=jnp.array([0, 1])))
    change = np.array([[[4.0 - 1, -2], [-3, -4]], [[0, 0], [0, 1.0]]]) / 2
    np.testing.assert_allclose(after.params, table + change, rtol=1e-6)
    np.testing.assert_allclose(metrics["cost"], (0.5 * 4**2 + 0.5 * 30 + 0.5 * 1) / 2, rtol=1e-6)


def steps_of(run: Run, loop: Any, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(does an episode begin [N], the head that acted [N]) for `count` rounds of one step."""
    for _ in range(count):
        fresh = np.asarray(run.look.fresh).copy()
        run, _ = loop.advance(run, run.steps + 1)
        yield fresh, np.asarray(run.carry.explore).copy()


@pytest.mark.parametrize("native", [False, True])
def test_one_head_acts_through_an_episode_and_each_environment_has_its_own(native: bool) -> None:
    vector = func_vector(Counter(), 4, limit=4)  # episodes of 3 or 4 steps
    config = BootstrappedDQN(**SMALL, train_every=4)  # a round of one step of four environments
    agent = config.build(vector.spec)
    loop = native_loop(agent, vector, 0.5, 1) if native else host_loop(agent, OnHost(vector), 0.5)
    seen = list(steps_of(loop.start(3), loop, 200))
    fresh, heads = np.stack([f for f, _ in seen]), np.stack([h for _, h in seen])
    assert fresh[0].all() and 40 < fresh[:, 0].sum() < 70
    kept = heads[1:] == heads[:-1]
    assert kept[~fresh[1:]].all()
    begun = heads[fresh]  # about 230 draws of one of four
    counts = np.bincount(begun, minlength=4)
    assert (np.abs(counts - len(begun) / 4) < 4 * np.sqrt(len(begun) * 3 / 16)).all()  # four standard deviations
    assert np.abs(kept[fresh[1:]].mean() - 0.25) < 0.12  # a new draw is the same head once in four times
    assert any(len(set(row)) > 1 for row in heads)


def test_the_head_that_acts_is_greedy_on_its_own_values() -> None:
    config = BootstrappedDQN(heads=3)
    agent = config.build(read_spaces(ProbeEnv("Both")), lambda shape: lookup(2, 3))
    table = jnp.array([[[0.0, 1.0, 5.0], [1.0, 0.0, 4.0]], [[0.0, 2.0, 0.0], [9.0, 0.0, 3.0]]])
    params = agent.init(jax.random.key(0), one_row(read_spaces(ProbeEnv("Both")), 3, carry=agent.carry(3))).fit.params
    params = jax.tree.map(lambda leaf: table if leaf.shape == table.shape else leaf, params)
    obs, noise = np.array([[0.0], [0.0], [1.0]], np.float32), np.array([1, 2, 0])
    carry: Any = agent.carry(3)
    look = Look(obs, np.array([True, True, True]))
    action, carry = agent.act(params, carry, look, noise)
    np.testing.assert_array_equal(carry.explore, [1, 2, 0])
    np.testing.assert_array_equal(action, [0, 0, 1])
    action, carry = agent.act(params, carry, look._replace(fresh=np.array([False, True, False])), np.array([2, 0, 2]))
    np.testing.assert_array_equal(carry.explore, [1, 0, 0])
    np.testing.assert_array_equal(action, [0, 1, 1])
    mask = np.array([[True, True], [True, False], [True, False]])
    np.testing.assert_array_equal(agent.act(params, carry, Look(obs, np.zeros(3, bool), mask), noise)[0], [0, 0, 0])
    np.testing.assert_allclose(agent.q(params, carry, look)[0], [[2, 5 / 3], [2, 5 / 3], [2 / 3, 4]], rtol=1e-6)


def test_masks_are_drawn_once_and_stay_with_their_transition() -> None:
    """Rewards count the steps; what is read of a row has the mask that the row had when it was stored."""
    row = one_row(read_spaces(ProbeEnv("Both")), 2)
    keep = BootstrappedDQN(heads=3, share=0.3).make_keep()
    memory = replay(100)
    seen: Any = jax.tree.map(lambda a: jnp.zeros((20, *a.shape), a.dtype), row)
    seen = seen._replace(reward=jnp.arange(40.0).reshape(20, 2), valid=jnp.ones((20, 2), bool))
    seen = seen._replace(kept=keep(jax.random.key(1), seen))
    state = memory.init(row._replace(kept=jax.ShapeDtypeStruct((2, 3), jnp.float32)), 20)
    state = memory.add(state, seen)
    found = memory.read(state, memory.draw(state, jax.random.key(2), 64))
    np.testing.assert_array_equal(found.kept, seen.kept.reshape(40, 3)[found.reward.astype(jnp.int32)])
    many: Any = jax.tree.map(lambda a: jnp.zeros((1000, *a.shape), a.dtype), row)
    assert np.abs(np.asarray(keep(jax.random.key(3), many)).mean((0, 1)) - 0.3).max() < 0.05  # four deviations: .041


def test_it_learns_a_probe_and_every_head_knows_it() -> None:
    """q = 1 where action and observation agree, else −1: of the mean, and of each head."""
    config = BootstrappedDQN(**SMALL | {"hidden": (32,), "target_every": 50})
    run = rlnut.train(config, "rlnut/ProbeBoth-v0", steps=2_000, final_episodes=5, quiet=True, num_envs=2)
    for obs, q in ((-1.0, [1, -1]), (1.0, [-1, 1])):
        np.testing.assert_allclose(run.q([obs]), q, atol=0.1)
        model, _ = config.make_model(run.policy.spec, None, config.make_readout(run.policy.spec))
        heads = call(model, run.policy.params, jnp.array([[obs]]))
        np.testing.assert_allclose(heads[0], np.array([q]).T * np.ones(4), atol=0.25)
    assert run.evaluation.mean == 1


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_it_resumes_bit_for_bit(native: bool, tmp_path: Path) -> None:
    check_resumes_bit_for_bit(BootstrappedDQN(**SMALL), tmp_path, num_envs=2, native=native)


@pytest.mark.parametrize("memory", ["none", pytest.param("gru", marks=pytest.mark.slow)])
def test_the_compiled_loop_gives_the_numbers_of_the_host_loop(memory: str) -> None:
    vector: FuncVector = vector_of("FrozenLake-v1", 3)
    options = SMALL | ({"memory": memory, "sequence": 4, "memory_size": 4, "burn_in": 2} if memory != "none" else {})
    agent = BootstrappedDQN(**options).build(vector.spec)._replace(host=False)
    native, host = native_loop(agent, vector, 0.5, 150), host_loop(agent, OnHost(vector), 0.5)
    ours, theirs = native.start(7), host.start(7)
    while ours.steps < 400:
        ours, _ = native.advance(ours, 400)
    while theirs.steps < 400:
        theirs, _ = host.advance(theirs)
    np.testing.assert_array_equal(ours.carry.explore, theirs.carry.explore)
    held, other = (getattr(run.agent.memory, "replay", run.agent.memory) for run in (ours, theirs))
    np.testing.assert_array_equal(held.action, other.action)
    np.testing.assert_array_equal(held.kept, other.kept)
    for a, b in zip(jax.tree.leaves(ours.agent.fit.params), jax.tree.leaves(theirs.agent.fit.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_vector_environment_and_an_action_mask_go_with_it() -> None:
    """Gymnasium's own vector environment, whose reset takes a step of its own."""
    vector = gym.make_vec("rlnut/ProbeBoth-v0", 2, vectorization_mode="sync")
    run = rlnut.train(BootstrappedDQN(**SMALL), vector, steps=400, final_episodes=1, quiet=True,
                      eval_env="rlnut/ProbeBoth-v0")  # fmt: skip
    assert np.isfinite(run.q([1.0])).all()
