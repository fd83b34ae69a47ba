"""N environments side by side: the only place that knows about auto-reset, seeds of episodes and time limits.

Whatever the environment does at an episode's end, a `Step` says the same: the reward, `terminated` and `truncated`
apart, the true successor `next_obs` (never a reset observation), and `obs`, what to act on next.

`EnvList` steps Gymnasium environments one by one and resets each episode from a seed of its own, so a run can be
saved and gone on with exactly: the running episodes are played again from their seeds. `GymVector` serves any
`gymnasium.vector.VectorEnv` in its own autoreset mode; its episodes start anew when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from rlnut.envs.spaces import Spec, read_spaces
from rlnut.errors import RlnutError, UsageError


class Step(NamedTuple):
    """One step of N environments."""

    obs: np.ndarray  # [N, ...] to act on next: after an end, of the next episode
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool: the episode ended in a terminal state
    truncated: np.ndarray  # [N] bool: it was cut (a time limit); its value goes on
    next_obs: np.ndarray  # [N, ...] the true successor
    valid: np.ndarray  # [N] bool: False where the step was only a reset
    next_mask: np.ndarray | None = None  # [N, A] bool: actions allowed at next_obs; None = all


def episode_seed(seed: int, env: int, episode: int) -> int:
    """The reset seed of one episode: of the run, the environment's place and the episode's number, nothing else."""
    return int(np.random.SeedSequence([seed, env, episode]).generate_state(1)[0])


class HostVector:
    """Common to both: `reset` starts all episodes, `step` takes actions counted from 0."""

    spec: Spec
    num_envs: int
    mask: np.ndarray | None = None  # [N, A] bool: actions allowed now, after `reset` or `step`; None = all

    def reset(self, seed: int) -> np.ndarray:
        """Start N episodes: observations [N, ...]."""
        raise NotImplementedError

    def step(self, action: np.ndarray) -> Step:
        """Take one action [N] in each environment."""
        raise NotImplementedError

    def snapshot(self) -> dict[str, np.ndarray]:
        """Arrays from which `restore` makes the same environments again; empty if that cannot be done."""
        return {}

    def restore(self, seed: int, saved: dict[str, np.ndarray]) -> np.ndarray:
        """Undo the pause: the observations [N, ...] at the snapshot; RlnutError if they cannot be had again."""
        raise RlnutError("these environments cannot be restored")

    def close(self) -> None:
        """Release the environments."""


class EnvList(HostVector):
    """N Gymnasium environments, made by `make`, stepped one by one; one seed for each episode."""

    def __init__(self, make: Callable[[], gym.Env], num_envs: int) -> None:
        self.envs = [make() for _ in range(num_envs)]
        self.num_envs = num_envs
        self.spec = read_spaces(self.envs[0])

    def reset(self, seed: int) -> np.ndarray:
        self.seed = seed
        self.episodes = [-1] * self.num_envs
        self.actions: list[list[int]] = [[] for _ in self.envs]  # of the running episodes
        return np.stack([self._start(i) for i in range(self.num_envs)])

    def _start(self, i: int) -> np.ndarray:
        self.episodes[i] += 1
        self.actions[i] = []
        obs, _ = self.envs[i].reset(seed=episode_seed(self.seed, i, self.episodes[i]))
        return np.asarray(obs, self.spec.dtype)

    def step(self, action: np.ndarray) -> Step:
        n, first = self.num_envs, self.spec.first_action
        reward, terminated, truncated = np.empty(n, np.float32), np.empty(n, bool), np.empty(n, bool)
        next_obs = np.empty((n, *self.spec.shape), self.spec.dtype)
        obs = next_obs
        for i, env in enumerate(self.envs):
            a = int(action[i])
            next_obs[i], reward[i], terminated[i], truncated[i], _ = env.step(a + first)
            self.actions[i].append(a)
            if terminated[i] or truncated[i]:
                obs = obs.copy() if obs is next_obs else obs
                obs[i] = self._start(i)
        if obs is not next_obs:
            running = ~(terminated | truncated)
            obs[running] = next_obs[running]
        return Step(obs, reward, terminated, truncated, next_obs, np.ones(n, bool))

    def snapshot(self) -> dict[str, np.ndarray]:
        lengths = [len(actions) for actions in self.actions]
        played = np.array([a for actions in self.actions for a in actions], np.int32)
        return {"episodes": np.array(self.episodes), "lengths": np.array(lengths), "actions": played}

    def restore(self, seed: int, saved: dict[str, np.ndarray]) -> np.ndarray:
        if not saved:
            raise RlnutError("the environments of this run could not be saved")
        self.seed = seed
        self.episodes = [int(e) - 1 for e in saved["episodes"]]
        self.actions = [[] for _ in self.envs]
        obs = np.stack([self._start(i) for i in range(self.num_envs)])
        played = np.split(saved["actions"], np.cumsum(saved["lengths"])[:-1])
        for i, actions in enumerate(played):
            for a in actions:
                obs[i], _, terminated, truncated, _ = self.envs[i].step(int(a) + self.spec.first_action)
                if terminated or truncated:
                    raise RlnutError("an episode that was running ends when it is played again from its seed")
            self.actions[i] = [int(a) for a in actions]
        return obs

    def close(self) -> None:
        for env in self.envs:
            env.close()


class GymVector(HostVector):
    """Any `gymnasium.vector.VectorEnv`, in any of the three autoreset modes."""

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        self.envs = envs
        self.num_envs = envs.num_envs
        self.spec = read_spaces(envs)
        self.mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if not isinstance(self.mode, AutoresetMode):
            raise UsageError(f"unknown autoreset mode {self.mode!r} in the environment's metadata")

    def reset(self, seed: int) -> np.ndarray:
        obs, _ = self.envs.reset(seed=episode_seed(seed, 0, 0) % 2**31)
        self.ended = np.zeros(self.num_envs, bool)
        return np.array(obs, self.spec.dtype)

    def step(self, action: np.ndarray) -> Step:
        obs, reward, terminated, truncated, info = self.envs.step(np.asarray(action) + self.spec.first_action)
        obs = np.array(obs, self.spec.dtype)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        end = terminated | truncated
        next_obs, valid = obs, np.ones(self.num_envs, bool)
        if self.mode == AutoresetMode.NEXT_STEP:  # this step only reset the environments that ended before it
            valid = ~self.ended
            terminated, truncated = terminated & valid, truncated & valid
            self.ended = end & valid
        elif end.any() and self.mode == AutoresetMode.SAME_STEP:
            next_obs = obs.copy()
            for i in np.flatnonzero(end):
                next_obs[i] = self._final(info, int(i))
        elif end.any():  # DISABLED: resetting is left to the caller
            fresh, _ = self.envs.reset(options={"reset_mask": end})
            obs = np.array(fresh, self.spec.dtype)
        return Step(obs, np.array(reward, np.float32), terminated, truncated, next_obs, valid)

    def _final(self, info: dict[str, Any], i: int) -> Any:
        if "final_obs" not in info:
            raise RlnutError("the vector environment resets in the same step but gives no info['final_obs']")
        return info["final_obs"][i]

    def close(self) -> None:
        self.envs.close()


def host_vector(envs: gym.vector.VectorEnv | Callable[[], gym.Env], num_envs: int = 1) -> HostVector:
    """A vector environment of the user's as it is, or N environments from a function that makes one."""
    if isinstance(envs, gym.vector.VectorEnv):
        return GymVector(envs)
    return EnvList(envs, num_envs)
