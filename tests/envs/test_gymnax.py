"""gymnax environments behind our interfaces: beside gymnax's own step, and with ends and limits kept apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.envs.functional import func_vector
from rlnut.envs.make import EnvName
from rlnut.envs.twins import twin
from rlnut.errors import UsageError

gymnax = pytest.importorskip("gymnax")


def test_steps_are_those_of_gymnax() -> None:
    """Catch and Breakout from the same states, with the same keys and actions, up to their first ends."""
    for name in ("Catch-bsuite", "Breakout-MinAtar"):
        func: Any = twin(EnvName(f"gymnax/{name}").make())
        env, params = gymnax.make(name)
        obs, inner = env.reset_env(jax.random.key(0), params)
        state = func.initial(jax.random.key(0))
        step, ours = jax.jit(env.step_env, static_argnums=()), jax.jit(func.transition)
        for t in range(12):
            key, action = jax.random.key(t), jnp.int32(t % 3)
            obs, inner, reward, terminated, _ = step(key, inner, action, params)
            state = ours(state, action, key)
            np.testing.assert_array_equal(func.observation(state, key), obs)
            assert (float(func.reward(state, action, state, key)), bool(state.terminated)) == (reward, terminated)
            assert not state.truncated
            if terminated:
                break
        assert name != "Catch-bsuite" or terminated


def test_a_limit_of_gymnaxs_truncates_and_does_not_terminate() -> None:
    env = EnvName("gymnax/CartPole-v1", {"max_steps_in_episode": 5}).make()
    vector = func_vector(twin(env), 1)
    lanes, _ = vector.reset(jax.random.key(0))
    step = jax.jit(vector.step)
    for t in range(1, 6):
        lanes, look, taken = step(lanes, jnp.array([t % 2]))
        assert (bool(taken.terminated[0]), bool(taken.truncated[0]), bool(look.fresh[0])) == (False, t == 5, t == 5)
    env.reset(seed=0)
    assert [env.step(t % 2)[2:4] for t in range(5)] == [(False, False)] * 4 + [(False, True)]


def test_wrong_words_are_one_line() -> None:
    with pytest.raises(UsageError, match="gymnax/Catch-bsuite"):
        EnvName("gymnax/Catch-bsuite", {"width": 3}).make()
    with pytest.raises(UsageError, match="gymnax/Breakout-MinAtar"):
        EnvName("gymnax/Breakout").make()
