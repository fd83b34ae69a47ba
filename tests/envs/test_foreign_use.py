"""Our environments and policies in the hands of others: Gymnasium's functional wrappers, pickle, worker processes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.envs.functional_jax_env import FunctionalJaxEnv, FunctionalJaxVectorEnv
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.blackjack import Blackjack
from rlnut.envs.classic_control import Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum
from rlnut.envs.make import EnvName
from rlnut.envs.probes import PROBES, ProbeFunc
from rlnut.envs.recall import RecallFunc

FUNCTIONAL: dict[str, Callable[[], FuncEnv]] = {
    "CartPole": CartPole,
    "CartPole-sb": lambda: CartPole(sutton_barto_reward=True),
    "Acrobot": Acrobot,
    "MountainCar": MountainCar,
    "MountainCarContinuous": MountainCarContinuous,
    "Pendulum": Pendulum,
    "Blackjack": Blackjack,
    "Recall": lambda: RecallFunc(3),
    "RandomWalk": lambda: gym.make("rlnut/RandomWalk5-v0").unwrapped.func,  # type: ignore[attr-defined]
    "ChainWalk": lambda: gym.make("rlnut/ChainWalk4-v0").unwrapped.func,  # type: ignore[attr-defined]
    **{f"Probe{name}": partial(ProbeFunc, probe, name == "Delay") for name, probe in PROBES.items()},
}


def actions(env: FuncEnv, count: int) -> list[Any]:
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(count)]


def rows(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_gymnasiums_functional_vector_environment(name: str) -> None:
    """Each row's reward and end are those of the pure functions; episodes start anew after a time limit of 4."""
    envs, pure = FunctionalJaxVectorEnv(FUNCTIONAL[name](), 3, max_episode_steps=4), FUNCTIONAL[name]()
    envs.reset(seed=0)
    key, fresh = jax.random.key(0), 0
    reward_of, terminal = jax.jit(pure.reward), jax.jit(pure.terminal)
    for _ in range(7):
        state, over, action = envs.state, envs.prev_done, np.stack(actions(pure, 3))
        _, reward, terminated, truncated, _ = envs.step(action)
        if over.any():  # Gymnasium 1.3 leaves the other rows where they are in a step that starts some anew
            fresh += int(over.sum())
            assert not (terminated[over] | truncated[over]).any()
            continue
        for i in range(3):
            before, after = rows(state, i), rows(envs.state, i)
            np.testing.assert_allclose(reward[i], reward_of(before, action[i], after, key), rtol=1e-5, atol=1e-6)
            assert bool(terminated[i]) == bool(terminal(after, key))
    assert fresh >= 3


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_gymnasiums_functional_environment(name: str) -> None:
    func = FUNCTIONAL[name]()
    env: Any = FunctionalJaxEnv(func)
    obs, _ = env.reset(seed=0)
    obs, reward, terminated, _, _ = env.step(actions(func, 1)[0])
    assert jax.tree.map(np.shape, obs) == jax.tree.map(np.shape, func.observation_space.sample())
    assert np.isfinite(reward) and isinstance(terminated, bool)


REGISTERED = [name for name in gym.registry if name.startswith("rlnut/") and name != "rlnut/Tabular-v0"]


def walk(env: gym.Env, steps: int) -> list[Any]:
    found = []
    for i in range(steps):
        obs, reward, terminated, truncated, _ = env.step(i % int(env.action_space.n))  # type: ignore[attr-defined]
        found.append((np.asarray(obs).tolist(), reward, terminated, truncated))
        if terminated or truncated:
            env.reset()
    return found


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("again", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy], ids=["pickle", "copy"])
def test_environments_go_on_the_same_after_a_pickle_or_a_copy(name: str, again: Callable[[gym.Env], gym.Env]) -> None:
    """In the middle of an episode, and as they are made; a copy's luck is its own."""
    env = EnvName(name).make()
    env.reset(seed=3)
    walk(env, 2)
    twin = again(env)
    assert walk(twin, 12) == walk(env, 12)
    fresh = again(EnvName(name).make())
    fresh.reset(seed=3)
    assert walk(fresh, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:os.fork")
@pytest.mark.parametrize("context", ["spawn"])
def test_worker_processes(context: str) -> None:
    """The same episodes in processes of their own as side by side here."""

    def episodes(mode: str, **options: Any) -> list[np.ndarray]:
        envs = gym.make_vec("rlnut/Recall-v0", 2, vectorization_mode=mode, vector_kwargs=options)
        try:
            seen = [envs.reset(seed=0)[0]]
            for _ in range(9):
                seen.append(np.array(envs.step(np.array([0, 1]))[0]))
            return seen
        finally:
            envs.close()

    np.testing.assert_array_equal(episodes("async", context=context), episodes("sync"))
