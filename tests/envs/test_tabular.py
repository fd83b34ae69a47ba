"""Finite environments: Gymnasium's contract, the functional form beside it, and draws that follow the tables."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlnut.envs
from rlnut.envs.garnet import garnet
from rlnut.envs.probes import PROBES, ProbeState
from rlnut.envs.tabular import Outcomes, Tabular, TabularFunc, draw_outcome, from_env, outcomes, read
from rlnut.envs.walks import random_walk
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import time_limit
from rlnut.truth.finite import Finite, make_mdp


@pytest.mark.parametrize("name", rlnut.envs.FINITE)
def test_passes_gymnasiums_check(name: str) -> None:
    env: Any = gymnasium.make(f"rlnut/{name}")
    check_env(env.unwrapped, skip_render_check=True)
    assert (env.spec.max_episode_steps is None) == (env.unwrapped.finite.mdp.done.max() > 0)


@pytest.mark.parametrize("name", PROBES)
def test_probes_and_their_functional_form_agree(name: str) -> None:
    """From each start and with each action: observations, rewards and ends side by side, limits apart."""
    env: Any = gymnasium.make(f"rlnut/Probe{name}-v0")
    check_env(env.unwrapped, skip_render_check=True)
    func, key = env.unwrapped.func, jax.random.key(0)
    probe = env.unwrapped.probe
    assert time_limit(env) == (None if probe.terminates else probe.length)
    for start in probe.observations:
        for action in range(probe.actions):
            env.reset(seed=0)
            env.unwrapped.start = start
            state = ProbeState(jnp.float32(start), jnp.int32(0), jnp.zeros(()))
            for _ in range(probe.length):
                after = func.transition(state, action, key)
                obs, reward, terminated, _, _ = env.step(action)
                assert np.array_equal(func.observation(after, key), obs)
                assert float(func.reward(state, action, after, key)) == reward
                assert bool(func.terminal(after, key)) == terminated
                state = after
    starts = {float(func.initial(k).start) for k in jax.random.split(key, 20)}
    assert starts == set(probe.observations)


def test_draw_follows_the_table_on_numpy_and_jax() -> None:
    """Three outcomes of one pair, one of them a transition that ends with chance 1/4: cumulative .3, .6, .9, 1."""
    P = np.array([[[0.3, 0.3, 0.4]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])
    mdp = make_mdp(P, np.array([[[1.0, 2.0, 3.0]], [[1.0] * 3], [[1.0] * 3]]))
    mdp.done[0, 0, 2] = 0.25
    table = outcomes(Finite(mdp))
    u = np.array([0.0, 0.29, 0.31, 0.59, 0.61, 0.89, 0.91, 0.9999999])
    zeros = np.zeros(len(u), np.int32)
    for kind in (np, jnp):
        after = draw_outcome(
            Outcomes(*map(kind.asarray, table)), kind.asarray(zeros), kind.asarray(zeros), kind.asarray(u), u
        )
        assert after.position.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
        assert after.reward.tolist() == [1, 1, 2, 2, 3, 3, 3, 3]
        assert after.ended.tolist() == [False] * 6 + [True] * 2


def test_functional_and_gymnasium_form_have_the_same_law() -> None:
    """2,000 jumps of the 1000-state walk from its middle: mean 0 and variance (2·100² + 3·100 + 1)/6 in both."""
    finite = random_walk(1000, 100)
    func = TabularFunc(finite)
    env = Tabular(finite)
    keys = jax.random.split(jax.random.key(0), 2000)
    state = func.initial(keys[0])
    jumps = jax.jit(jax.vmap(lambda k: func.transition(state, jax.random.bernoulli(k).astype(int), k).position))(keys)
    rng, host = np.random.default_rng(0), []
    env.reset(seed=0)
    for _ in range(2000):
        env.state = 499
        host.append(env.step(int(rng.integers(2)))[0])
    variance = (2 * 100**2 + 3 * 100 + 1) / 6
    for landed in (np.array(jumps), np.array(host)):
        z = landed - 499.0
        assert abs(z.mean()) < 4 * np.sqrt(variance / 2000)
        assert abs((z**2).mean() / variance - 1) < 4 * np.sqrt((9 / 5 - 1) / 2000)


def test_functional_episode_under_scan() -> None:
    """One jitted scan: rewards only at ends, −1 left and +1 right, and the last state keeps its number."""
    func = TabularFunc(random_walk(5))

    def step(state, key):
        a_key, s_key, r_key = jax.random.split(key, 3)
        after = func.transition(state, jax.random.randint(a_key, (), 0, 2), s_key)
        fresh = func.initial(r_key)
        return jax.tree.map(lambda x, y: jnp.where(after.ended, x, y), fresh, after), after

    _, path = jax.jit(lambda k: jax.lax.scan(step, func.initial(k), jax.random.split(k, 500)))(jax.random.key(1))
    ended, reward, position = (np.asarray(x) for x in (path.ended, path.reward, path.position))
    assert ended.sum() > 20
    assert set(zip(position[ended].tolist(), reward[ended].tolist(), strict=True)) == {(0, -1.0), (4, 1.0)}
    assert (reward[~ended] == 0).all()


def test_tables_of_a_toy_text_environment_come_back() -> None:
    """Tabular(FrozenLake) has FrozenLake's own transitions."""
    lake: Any = gymnasium.make("FrozenLake-v1")
    ours = Tabular(lake)
    for s, actions in lake.unwrapped.P.items():
        for a, listed in actions.items():
            for _, successor, reward, ends in listed:
                chance = sum(p for p, t, _, d in listed if (t, d) == (successor, ends))
                assert ours.finite.mdp.P[s, a, successor] == pytest.approx(chance)
                assert (ours.finite.mdp.R[s, a, successor], ours.finite.mdp.done[s, a, successor]) == (reward, ends)


def test_garnets_repeat_by_seed_and_differ_between_seeds() -> None:
    one, same, other = garnet(seed=3).mdp, garnet(seed=3).mdp, garnet(seed=4).mdp
    assert np.array_equal(one.P, same.P) and np.array_equal(one.R, same.R)
    assert not np.array_equal(one.P, other.P)
    assert ((one.P > 0).sum(-1) == 3).all() and np.allclose(one.P.sum(-1), 1)


def test_maximisation_bias_masks_and_noise() -> None:
    env: Any = gymnasium.make("rlnut/MaximisationBias-v0")
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1] + [0] * 8
    assert env.step(0)[:3] == (1, 0.0, False)
    rewards = []
    for i in range(400):
        env.reset(seed=i)
        env.step(0)
        rewards.append(env.step(i % 10)[1])
    assert abs(np.mean(rewards) + 0.1) < 4 / 20 and 0.8 < np.std(rewards) < 1.2


def test_sources_are_read_or_refused() -> None:
    assert read(make_mdp(np.ones((1, 1, 1)), np.ones((1, 1)))).gamma is None
    assert from_env(gymnasium.make("CartPole-v1")) is None
    with pytest.raises(UsageError, match="no table P"):
        read(gymnasium.make("CartPole-v1"))
    with pytest.raises(UsageError, match=r"module:function"):
        Tabular("nothing")
    with pytest.raises(UsageError, match="one of 0 … 1"):
        env = gymnasium.make("rlnut/RandomWalk5-v0").unwrapped
        env.reset(seed=0)
        env.step(7)
