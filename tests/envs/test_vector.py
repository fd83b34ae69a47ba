"""N environments side by side: the three autoreset modes give the same transitions, each with its true successor."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.control.host_loop import count_episodes
from rlnut.control.round_buffer import RoundBuffer
from rlnut.envs.vector import EnvList, GymVector, HostVector, episode_seed
from rlnut.types import Look


class Counter(gym.Env[np.ndarray, np.integer]):
    """Observation (episode, time, last action); after `length` steps even episodes terminate, odd ones are cut."""

    def __init__(self, length: int = 3) -> None:
        self.observation_space = spaces.Box(-1000, 1000, (3,), np.float32)
        self.action_space = spaces.Discrete(4, start=2)
        self.length, self.episode = length, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self._obs(-1), {}

    def step(self, action):
        assert 2 <= action < 6
        self.time += 1
        over, odd = self.time >= self.length, bool(self.episode % 2)
        return self._obs(action), float(self.time + 10 * self.episode), over and not odd, over and odd, {}

    def _obs(self, action):
        return np.array([self.episode, self.time, action], np.float32)


def play(vector: HostVector, steps: int) -> list[list[tuple]]:
    """Each environment's transitions under an action that depends only on what it sees."""
    obs = vector.reset(0)
    seen: list[list[tuple[Any, ...]]] = [[] for _ in range(vector.num_envs)]
    for _ in range(steps):
        action = ((obs[:, 0] + 2 * obs[:, 1]) % vector.spec.actions).astype(int)
        step = vector.step(action)
        for i in np.flatnonzero(step.valid):
            row = (obs[i], action[i], step.reward[i], step.terminated[i], step.truncated[i], step.next_obs[i])
            seen[i].append(tuple(np.asarray(part).tolist() for part in row))
        obs = step.obs
    return seen


def gym_vector(kind: type, mode: AutoresetMode, lengths: list[int]) -> GymVector:
    return GymVector(kind([lambda n=n: Counter(n) for n in lengths], autoreset_mode=mode))


@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_three_modes_and_the_list_give_identical_transitions(lengths):
    made = iter(lengths)
    reference = play(EnvList(lambda: Counter(next(made)), len(lengths)), 12)
    for mode in AutoresetMode:
        seen = play(gym_vector(SyncVectorEnv, mode, lengths), 12)
        for ours, theirs in zip(reference, seen, strict=True):
            shared = min(len(ours), len(theirs))
            assert shared >= 6  # NEXT_STEP spends a step on each reset, so it sees fewer
            assert ours[:shared] == theirs[:shared]


def test_the_transitions_by_hand():
    """Episode 1 is cut after two steps, episode 2 terminates; a last step's successor is the last observation."""
    (rows,) = play(EnvList(lambda: Counter(2), 1), 4)
    assert [(row[0][:2], *row[2:5], row[5][:2]) for row in rows] == [
        ([1.0, 0.0], 11.0, False, False, [1.0, 1.0]),
        ([1.0, 1.0], 12.0, False, True, [1.0, 2.0]),
        ([2.0, 0.0], 21.0, False, False, [2.0, 1.0]),
        ([2.0, 1.0], 22.0, True, False, [2.0, 2.0]),
    ]  # fmt: skip
    assert [action for _, action, *_ in rows] == [1, 3, 2, 0]  # counted from 0; the environment saw start + action
    assert [after[2] for *_, after in rows] == [3.0, 5.0, 4.0, 2.0]


@pytest.mark.filterwarnings("ignore:os.fork")  # Python 3.12 on: the workers are forked, and use no JAX
def test_asynchronous_environments():
    vector = gym_vector(AsyncVectorEnv, AutoresetMode.SAME_STEP, [2, 3])
    made = iter([2, 3])
    assert play(vector, 6) == play(EnvList(lambda: Counter(next(made)), 2), 6)
    vector.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_real_environments_of_every_kind(mode):
    """CartPole under an action that fails soon: ends are terminations, and no reset observation is a successor."""
    envs = gym.make_vec("CartPole-v1", 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode})
    for rows in play(GymVector(envs), 60):
        for before, after in itertools.pairwise(rows):
            if before[3]:
                assert max(abs(before[5][0]) / 2.4, abs(before[5][2]) / 0.2095) > 1  # outside: not a reset observation
            else:
                assert before[5] == after[0]


def test_the_built_in_vector_cartpole():
    """CartPole's own vector class resets in the next step: its reset rows are not experience."""
    vector = GymVector(gym.make_vec("CartPole-v1", 4))
    assert vector.mode == AutoresetMode.NEXT_STEP
    rows = play(vector, 200)
    assert all(len(r) < 200 for r in rows)
    assert all(r[2] == 1.0 for row in rows for r in row)  # every step of CartPole is paid, a reset is not


def test_episodes_have_seeds_of_their_own():
    seeds = {episode_seed(s, i, k) for s in range(5) for i in range(5) for k in range(20)}
    assert len(seeds) == 500
    envs = EnvList(lambda: gym.make("CartPole-v1"), 4)
    first = envs.reset(7)
    assert len({tuple(row) for row in first}) == 4
    np.testing.assert_array_equal(first, envs.reset(7))
    assert not np.array_equal(first, envs.reset(8))


def test_running_episodes_are_played_again_from_their_seeds():
    envs = EnvList(lambda: gym.make("FrozenLake-v1"), 3)
    rng = np.random.default_rng(0)
    obs = envs.reset(3)
    for _ in range(57):
        obs = envs.step(rng.integers(4, size=3)).obs
    again = EnvList(lambda: gym.make("FrozenLake-v1"), 3)
    np.testing.assert_array_equal(again.restore(3, envs.snapshot()), obs)
    actions = rng.integers(4, size=(80, 3))
    for action in actions:  # and go on as one
        for a, b in zip(envs.step(action)[:6], again.step(action)[:6], strict=True):
            np.testing.assert_array_equal(a, b)


def test_experience_keeps_termination_and_truncation_apart():
    envs = EnvList(lambda: Counter(2), 1)
    look = Look(envs.reset(0), np.ones(1, bool))
    buffer = RoundBuffer(4, look)
    for t in range(4):
        step = envs.step(np.array([0]))
        buffer.write(t, look, (), np.array([0]), step)
        look = Look(step.obs, step.terminated | step.truncated)
    seen = buffer.experience(0.9)
    np.testing.assert_allclose(seen.discount[:, 0], [0.9, 0.9, 0.9, 0.0], rtol=1e-6)  # cut, then terminated
    np.testing.assert_array_equal(seen.end[:, 0], [False, True, False, True])
    returns, lengths, episodes = count_episodes(np.array([100.0]), np.array([5]), seen)
    assert [tuple(e) for e in episodes] == [(100 + 11 + 12, 7), (21 + 22, 2)]
    assert (returns[0], lengths[0]) == (0.0, 0)


def test_a_vector_environment_without_final_observations_is_refused():
    class Forgetful(SyncVectorEnv):
        def step(self, actions):
            obs, reward, terminated, truncated, info = super().step(actions)
            return obs, reward, terminated, truncated, {k: v for k, v in info.items() if "final" not in k}

    vector = GymVector(Forgetful([lambda: Counter(1)], autoreset_mode=AutoresetMode.SAME_STEP))
    vector.reset(0)
    with pytest.raises(Exception, match=r"no info\['final_obs'\]"):
        vector.step(np.array([0]))
