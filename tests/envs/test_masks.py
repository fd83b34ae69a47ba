"""Forbidden actions: never taken, never bootstrapped from, and no −∞ in what is learned."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit
from helpers.environments import Corridor, Counter

import rlnut
from rlnut.agents.catalogue import DQN
from rlnut.control.host_loop import host_loop
from rlnut.control.native_loop import native_loop
from rlnut.envs.functional import FuncGym, func_vector
from rlnut.envs.masks import masks_in_info
from rlnut.envs.vector import EnvList, host_vector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.explore import boltzmann_actions, epsilon_greedy, linear_schedule, noisy_weights

pytestmark = pytest.mark.usefixtures("shared_programs")
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


WAYS = ("info", "observation", "action_masks", "action_mask")
SHORT: dict[str, Any] = {"steps": 150, "eval_every": 75, "eval_episodes": 1, "final_episodes": 2, "quiet": True}


@pytest.mark.parametrize("told", WAYS)
def test_every_way_to_say_a_mask_counts_in_training_and_evaluation(told: str) -> None:
    """The environment raises where a forbidden action is played; q of the corridor is −5 … −1 with γ = 1."""
    config = rlnut.QLearning(gamma=1.0, lr=1.0, epsilon_end=1.0)
    if told == "observation":
        run = rlnut.train(CONFIG, lambda: Corridor(told), **SHORT)
    else:
        run = rlnut.train(config, lambda: Corridor(told), **SHORT)
        np.testing.assert_allclose(run.q(np.arange(5))[:, 0], [-5, -4, -3, -2, -1])
    assert run.evaluation.returns == [-5.0, -5.0]
    shown: Any = {"observation": 0, "action_mask": np.array([0, 1], np.int8)} if told == "observation" else 0
    assert run.policy.act(shown, None if told == "observation" else [0, 1]) == 1


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("told", ["info", "observation"])
def test_vector_environments_say_masks_in_infos_and_observations(told: str, mode: AutoresetMode) -> None:
    envs = gym.vector.SyncVectorEnv([lambda: TimeLimit(Corridor(told), 3)] * 2, autoreset_mode=mode)
    vector = host_vector(envs)
    vector.reset(0)
    for _ in range(9):
        assert vector.mask is not None and (vector.mask == [True, False]).all()
        step = vector.step(np.zeros(2, int))
        assert step.next_mask is not None and (step.next_mask[step.valid] == [True, False]).all()


def test_a_vector_environment_cannot_pass_on_a_method() -> None:
    with pytest.raises(UsageError, match=r"Corridor says by a method .* num_envs"):
        host_vector(gym.vector.SyncVectorEnv([lambda: Corridor("action_masks")] * 2))


class Sometimes(Corridor):
    """Says its mask in the first two steps of an episode only."""

    def _given(self) -> tuple[Any, dict[str, Any]]:
        obs, info = super()._given()
        return obs, info if self.place < 2 else {}

    def step(self, action: int) -> Any:
        return super().step(0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_step_without_a_mask_allows_everything(mode: AutoresetMode) -> None:
    """Two environments that are out of step: in some steps one of them says a mask, or none does."""
    envs = gym.vector.SyncVectorEnv([Sometimes, lambda: TimeLimit(Sometimes(), 3)], autoreset_mode=mode)
    vector = host_vector(envs)
    vector.reset(0)
    seen = set()
    for _ in range(12):
        assert vector.mask is not None
        places = [env.get_wrapper_attr("place") for env in envs.envs]
        for row, place in zip(vector.mask, places, strict=True):
            assert row.tolist() == [True, place >= 2]
        seen.add(tuple(place >= 2 for place in places))
        vector.step(np.zeros(2, int))
    assert len(seen) >= 3


def test_a_mask_that_comes_late_is_refused() -> None:
    class Late(Corridor):
        def _given(self) -> tuple[Any, dict[str, Any]]:
            obs, info = super()._given()
            return obs, info if self.place else {}

    for vector in (EnvList(Late, 1), host_vector(gym.vector.SyncVectorEnv([Late]))):
        vector.reset(0)
        with pytest.raises(RlnutError, match=r"the first reset.. gave none: give it in every reset"):
            vector.step(np.zeros(1, int))


def test_masks_of_several_numbers_in_a_row() -> None:
    """As sb3-contrib has them: [1, 0 | 0, 1, 1] for MultiDiscrete([2, 3])."""

    class Two(gym.Env):
        observation_space: gym.Space = gym.spaces.Discrete(1)
        action_space = gym.spaces.MultiDiscrete([2, 3])

        def action_masks(self) -> np.ndarray:
            return np.array([1, 0, 0, 1, 1], bool)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return 0, {}

    vector = EnvList(Two, 1)
    vector.reset(0)
    assert vector.mask is not None
    np.testing.assert_array_equal(vector.mask[0], [False, True, True, False, False, False])


def test_a_method_that_needs_arguments_is_not_asked() -> None:
    env = gym.make("Taxi-v3" if "Taxi-v3" in gym.registry else "Taxi-v4")
    assert masks_in_info(env) is env


@pytest.mark.parametrize(
    ("mask", "reason"), [([1, 0, 1], "shapes"), ([0, 0], "allows no action"), ("ab", "mask is not one of")]
)
def test_masks_given_to_act(mask: Any, reason: str) -> None:
    run = rlnut.train(rlnut.QLearning(gamma=1.0, lr=1.0), Corridor, **SHORT)
    assert run.policy.act(np.array([0, 1]), [[1, 0], [0, 1]]).tolist() == [0, 1]
    with pytest.raises(UsageError, match=reason):
        run.policy.act(0, mask)
    with pytest.raises(UsageError, match="mask must have 2 rows"):
        run.policy.act(np.array([0, 1]), [[1, 0]])
