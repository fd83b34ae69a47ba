"""The compiled loop: the numbers of the host loop, auto-reset and time limits, masks, resume, many runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from helpers.environments import Counter, OnHost, vector_of

import rlnut
from rlnut.agents.catalogue import DQN
from rlnut.control.host_loop import host_loop
from rlnut.control.native_loop import first_episodes, native_loop, rounds
from rlnut.envs.classic_control import MountainCar
from rlnut.envs.functional import FuncGym, func_vector
from rlnut.envs.twins import twin
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import time_limit

pytestmark = pytest.mark.usefixtures("shared_programs")
SMALL = DQN(hidden=(8,), batch=8, learning_starts=32, replay=300, epsilon_steps=200, lr=1e-2)


@pytest.mark.parametrize(
    ("name", "envs"), [("FrozenLake-v1", 3), pytest.param("CartPole-v1", 2, marks=pytest.mark.slow)]
)
def test_the_compiled_loop_and_the_host_loop_give_the_same_numbers(name: str, envs: int) -> None:
    """600 steps with learning, exploration and ends of episodes: the same episodes, losses and weights."""
    vector = vector_of(name, envs)
    agent = SMALL.build(vector.spec)._replace(host=False)  # both act compiled: equal to the last bit of a comparison
    host, native = host_loop(agent, OnHost(vector), SMALL.gamma), native_loop(agent, vector, SMALL.gamma, 150)
    ours, theirs = native.start(7), host.start(7)
    told: list[Any] = []
    expected: list[Any] = []
    while ours.steps < 600:
        ours, metrics = native.advance(ours, 600)
        told += metrics
    while theirs.steps < 600:
        theirs, metrics = host.advance(theirs)
        expected += metrics
    assert ours.steps == theirs.steps and len(told) == len(expected)
    assert sum(len(m["episodes"]) for m in told) > 5
    for one, other in zip(told, expected, strict=True):
        assert one.pop("episodes") == other.pop("episodes")
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4)
    np.testing.assert_array_equal(ours.agent.memory.action, theirs.agent.memory.action)
    for a, b in zip(jax.tree.leaves(ours.agent.fit.params), jax.tree.leaves(theirs.agent.fit.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_ends_resets_limits_and_masks_by_hand() -> None:
    """Lane 0 terminates at age 3; lane 1 takes action 5 (10 at a time) and is cut after 4 steps."""
    vector = func_vector(Counter(), 2, limit=4)
    lanes, look = vector.reset(jax.random.key(0))
    assert vector.masked and look.fresh.all()
    starts = np.asarray(look.obs)[:, 0]
    assert starts[0] != starts[1]
    for t in range(1, 5):
        before = np.asarray(look.obs)
        lanes, look, step = jax.jit(vector.step)(lanes, jnp.array([1, 0]))
        age = t if t <= 3 else 1
        np.testing.assert_array_equal(step.next_obs, [[before[0, 0], age], [starts[1], 10 * t]])
        np.testing.assert_array_equal(step.reward, [age, 10 * t])
        np.testing.assert_array_equal(step.terminated, [t == 3, False])
        np.testing.assert_array_equal(step.truncated, [False, t == 4])
        np.testing.assert_array_equal(look.fresh, [t == 3, t == 4])
        np.testing.assert_array_equal(np.asarray(look.obs)[:, 1], [0 if t == 3 else age, 0 if t == 4 else 10 * t])
        np.testing.assert_array_equal(step.next_mask, [[age != 2, age != 3], [True, True]])
        np.testing.assert_array_equal(look.mask, [[age != 2, True], [True, True]])  # after an end: of the new episode
        assert (step.obs == look.obs).all()
    assert np.asarray(look.obs)[1, 0] != starts[1]


def test_a_time_limit_cuts_where_gymnasiums_does() -> None:
    """Real CartPole and its twin, both cut after 7 steps, count and end alike."""
    env = gym.make("CartPole-v1", max_episode_steps=7)
    vector = func_vector(twin(env), 1, time_limit(env))
    env.reset(seed=0)
    lanes, _ = vector.reset(jax.random.key(0))
    for t in range(1, 8):
        *_, terminated, truncated, _ = env.step(t % 2)
        lanes, _, step = vector.step(lanes, jnp.array([t % 2]))
        assert (bool(step.terminated[0]), bool(step.truncated[0])) == (terminated, truncated) == (False, t == 7)


def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    options: dict[str, Any] = {"native": True, "num_envs": 2, "quiet": True, "final_episodes": 1, "eval_episodes": 2}
    options |= {"eval_every": 160, "log_every": 80, "seed": 3}
    whole = rlnut.train(SMALL, "CartPole-v1", steps=480, out=tmp_path / "whole", **options)
    rlnut.train(SMALL, "CartPole-v1", steps=320, out=tmp_path / "parts", **options)
    parts = rlnut.resume(tmp_path / "parts", steps=480, quiet=True)
    for name in ("metrics.csv", "policy.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    assert whole.evaluation == parts.evaluation and whole.steps == parts.steps == 480
    assert (tmp_path / "whole" / "metrics.csv").read_text().count("\n") == 1 + 480 // 80


def test_many_runs_at_once_are_the_runs_one_by_one() -> None:
    """`vmap` over keys: each run's episodes are those that it has alone, and differ from the others'."""
    vector = vector_of("FrozenLake-v1", 1, is_slippery=False)
    begin, one_round = rounds(SMALL.build(vector.spec), vector, SMALL.gamma)
    keys = jax.random.split(jax.random.key(0), 3)
    returns, lengths = jax.jit(jax.vmap(lambda key: first_episodes(begin, one_round, key, 12)))(keys)
    assert returns.shape == lengths.shape == (3, 12) and (lengths > 0).all() and set(np.unique(returns)) <= {0.0, 1.0}
    assert not (lengths[0] == lengths[1]).all()
    alone = jax.jit(lambda key: first_episodes(begin, one_round, key, 12))(keys[1])
    np.testing.assert_array_equal(alone[0], returns[1])
    np.testing.assert_array_equal(alone[1], lengths[1])


@pytest.mark.slow
def test_a_functional_environment_of_ones_own_trains_both_ways() -> None:
    check_env(FuncGym(MountainCar()), skip_render_check=True)
    for native in (True, False):
        run = rlnut.train(
            SMALL, lambda: FuncGym(Counter()), steps=64, native=native, quiet=True, final_episodes=1, eval_episodes=1
        )
        assert run.q(np.zeros(2)).shape == (2,)


def test_what_cannot_be_compiled_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="no functional twin"):
        rlnut.train(SMALL, lambda: gym.make("Taxi-v4", fickle_passenger=True), native=True, quiet=True)
    with pytest.raises(UsageError, match="a VectorEnv has no functional twin"):
        rlnut.train(SMALL, gym.make_vec("CartPole-v1", 2), native=True, quiet=True)


@pytest.mark.parametrize("envs", [1, 3])
def test_the_step_of_a_number_that_is_not_finite(envs: int) -> None:
    """The compiled loop says which step it was: the seventh of each environment."""

    class Fails(Counter):
        def reward(self, state: Any, action: Any, next_state: Any, rng: Any, params: Any = None) -> Any:
            return jnp.where(state.age >= 60, jnp.nan, 1.0)

        def transition(self, state: Any, action: Any, rng: Any, params: Any = None) -> Any:
            return state._replace(age=state.age + 10)

    said = "step 7 returned" if envs == 1 else "steps 19 … 21 returned"
    with pytest.raises(rlnut.RlnutError, match=f"Fails.*: {said} a reward or observation that is NaN or infinite"):
        rlnut.train(
            rlnut.DQN(learning_starts=8, batch=4, hidden=(4,)),
            lambda: FuncGym(Fails()),
            native=True,
            num_envs=envs,
            steps=60,
            eval_episodes=1,
            final_episodes=1,
            quiet=True,
        )
