"""N environments side by side: the only place that knows about auto-reset, seeds of episodes and time limits.

Whatever the environment does at an episode's end, a `Step` says the same: the reward, `terminated` and `truncated`
apart, the true successor `next_obs` (never a reset observation), and `obs`, what to act on next.

`EnvList` steps Gymnasium environments one by one and resets each episode from a seed of its own, so a run can be
saved and resumed exactly: the running episodes are played again from their seeds. `GymVector` takes any
`gymnasium.vector.VectorEnv` in its own autoreset mode; its episodes start anew when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from rlnut.envs.contract import CheckedVector, made
from rlnut.envs.masks import MASK, Info, vector_masks_in_info
from rlnut.envs.spaces import AS_IT_SUITS, read_spaces
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Choice, Spec

# Of each environment the number of its episode, its actions and how many of them count
Mark = tuple[list[int], list[tuple[list[Any], int]]]


class Step(NamedTuple):
    """One step of N environments."""

    obs: np.ndarray  # [N, ...] to act on next: after an end, of the next episode
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool: the episode ended in a terminal state
    truncated: np.ndarray  # [N] bool: it was cut (a time limit); its value goes on
    next_obs: np.ndarray  # [N, ...] the true successor
    valid: np.ndarray  # [N] bool: False where the step was only a reset
    next_mask: np.ndarray | None = None  # [N, A] bool: actions allowed at next_obs; None = all


def allowed_actions(info: Info, spec: Spec, over: bool = False) -> np.ndarray:
    """info["action_mask"] as [A] or [D, K] bool; all True where the episode is over, or nothing is said of one step."""
    try:
        mask = spec.acts.allowed(info.get(MASK))
    except (ValueError, TypeError) as error:
        raise RlnutError(f"{spec.name}: info['action_mask'] is not a mask of {spec.acts.saw}: {error}") from None
    if not mask.any(-1).all():
        if not over:
            raise RlnutError(f"{spec.name}: info['action_mask'] allows no action, and the episode is not over")
        return spec.acts.allowed()
    return mask


def late_mask(spec: Spec) -> NoReturn:
    """A mask that was not announced: memories were made without masks."""
    raise RlnutError(
        f"{spec.name}: step() gave info['action_mask'], and the first reset() gave none: give it in every reset,"
        " all ones where nothing is forbidden"
    )


def episode_seed(seed: int, env: int, episode: int) -> int:
    """The reset seed of one episode: of the run, the environment's place and the episode's number, nothing else.

    Below 2³¹, so that it fits the C int of a simulator.
    """
    return int(np.random.SeedSequence([seed, env, episode]).generate_state(1)[0] % 2**31)


def where_rows(rows: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """`new` [N, ...] in the rows [N], `old` in the others."""
    return np.where(rows.reshape(-1, *(1,) * (old.ndim - 1)), new, old)


class HostVector:
    """Common to both: `reset` starts all episodes, `step` takes actions counted from 0."""

    spec: Spec
    num_envs: int
    stored: str = ""  # why a replay keeps whole stacks of frames, for people
    mask: np.ndarray | None = None  # [N, A] bool: actions allowed now, after `reset` or `step`; None = all
    raw: Sequence[object] | None = None  # [N] what to act on now, as the environments gave it; None: not known
    next_raw: Sequence[object] | None = None  # the same of the true successors of the last step

    @property
    def masked(self) -> bool:
        """Do the environments say in info["action_mask"] which actions are allowed? Known after `reset`."""
        return self.mask is not None

    def reset(self, seed: int) -> np.ndarray:
        """Start N episodes: observations [N, ...]."""
        raise NotImplementedError

    def step(self, action: np.ndarray) -> Step:
        """Take one action [N] in each environment."""
        raise NotImplementedError

    def mark(self) -> Mark | None:
        """Where the environments are, for a `snapshot` of it that is taken later; costs next to nothing."""
        return None

    def snapshot(self, mark: Mark | None = None) -> dict[str, np.ndarray]:
        """Arrays from which `restore` makes the environments of now, or of a `mark`, again; empty: cannot be done."""
        return {}

    def restore(self, seed: int, saved: dict[str, np.ndarray]) -> np.ndarray:
        """Undo the pause: the observations [N, ...] at the snapshot; RlnutError if they cannot be had again."""
        raise RlnutError("these environments cannot be restored")

    def close(self) -> None:
        """Release the environments."""


class EnvList(HostVector):
    """N Gymnasium environments, made by `make`, stepped one by one; one seed for each episode.

    `every`: the bounds of observations are looked at in every step, not only at first; `spec`: what is known of the
    environments already.
    """

    raw: list[object]
    next_raw: list[object]

    def __init__(
        self,
        make: Callable[[], gym.Env],
        num_envs: int,
        choice: Choice = AS_IT_SUITS,
        every: bool = False,
        spec: Spec | None = None,
    ) -> None:
        self.envs = [made(make, every) for _ in range(num_envs)]
        self.num_envs = num_envs
        self.spec = read_spaces(self.envs[0].env, choice) if spec is None else spec
        self.shape = (num_envs, *self.spec.shape)
        self.valid, self.never = np.ones(num_envs, bool), np.zeros(num_envs, bool)  # the same in every step
        for flags in (self.valid, self.never):
            flags.setflags(write=False)

    def reset(self, seed: int) -> np.ndarray:
        self.seed = seed
        self.mask = None
        self.raw, self.next_raw = [None] * self.num_envs, [None] * self.num_envs
        self.episodes = [-1] * self.num_envs
        self.actions: list[list[Any]] = [[] for _ in self.envs]  # of the running episodes
        return np.stack([self._start(i) for i in range(self.num_envs)])

    def _start(self, i: int) -> np.ndarray:
        self.episodes[i] += 1
        self.actions[i] = []
        obs, info = self.envs[i].reset(seed=episode_seed(self.seed, i, self.episodes[i]))
        if self.mask is None and (MASK in info or self.spec.acts.padded):
            self.mask = np.ones((self.num_envs, *self.spec.choices), bool)
        if self.mask is not None:
            self.mask[i] = allowed_actions(info, self.spec)
        self.raw[i] = obs
        return self.spec.read(obs)

    def step(self, action: np.ndarray) -> Step:
        spec = self.spec
        next_obs = np.empty(self.shape, spec.dtype)
        next_mask = self.mask = None if self.mask is None else self.mask.copy()
        numbers = action.tolist() if isinstance(action, np.ndarray) else action
        given: list[object] = []
        reward: list[float] = []
        over: list[bool] = []
        cut: list[bool] = []
        for i, command in enumerate(spec.commands(action)):
            raw, gain, terminated, truncated, info = self.envs[i].step(command)
            given.append(raw)
            reward.append(gain)
            over.append(terminated)
            cut.append(truncated)
            next_obs[i] = spec.read(raw)
            self.actions[i].append(numbers[i])
            if next_mask is not None:
                next_mask[i] = allowed_actions(info, spec, terminated)
            elif MASK in info:
                late_mask(spec)
        self.raw = self.next_raw = given
        rewards = np.array(reward, np.float32)
        if True not in over and True not in cut:
            return Step(next_obs, rewards, self.never, self.never, next_obs, self.valid, next_mask)
        obs, self.raw = next_obs.copy(), given.copy()
        self.mask = None if next_mask is None else next_mask.copy()
        for i in range(self.num_envs):
            if over[i] or cut[i]:
                obs[i] = self._start(i)
        return Step(obs, rewards, np.array(over), np.array(cut), next_obs, self.valid, next_mask)

    def mark(self) -> Mark:
        return list(self.episodes), [(actions, len(actions)) for actions in self.actions]

    def snapshot(self, mark: Mark | None = None) -> dict[str, np.ndarray]:
        episodes, running = self.mark() if mark is None else mark
        lengths = [length for _, length in running]
        played = np.array([a for actions, length in running for a in actions[:length]], np.int32)
        played = played.reshape(-1, *self.spec.choices[:-1])
        return {"episodes": np.array(episodes), "lengths": np.array(lengths), "actions": played}

    def restore(self, seed: int, saved: dict[str, np.ndarray]) -> np.ndarray:
        if not saved:
            raise RlnutError("the environments of this run could not be saved")
        obs = self.reset(seed)
        self.episodes = [int(e) - 1 for e in saved["episodes"]]
        played = np.split(saved["actions"].reshape(-1, *self.spec.choices[:-1]), np.cumsum(saved["lengths"])[:-1])
        for i, actions in enumerate(played):
            obs[i] = self._start(i)
            for a in self.spec.commands(actions):
                raw, _, terminated, truncated, info = self.envs[i].step(a)
                if terminated or truncated:
                    raise RlnutError("an episode that was running ends when it is played again from its seed")
                obs[i], self.raw[i] = self.spec.read(raw), raw
                if self.mask is not None:
                    self.mask[i] = allowed_actions(info, self.spec)
            self.actions[i] = list(actions)
        return obs

    def close(self) -> None:
        for env in self.envs:
            env.close()


class GymVector(HostVector):
    """Any `gymnasium.vector.VectorEnv`, in any of the three autoreset modes."""

    def __init__(self, envs: gym.vector.VectorEnv, choice: Choice = AS_IT_SUITS) -> None:
        self.envs = CheckedVector(vector_masks_in_info(envs))
        self.num_envs = envs.num_envs
        self.spec = read_spaces(envs, choice)
        self.mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if not isinstance(self.mode, AutoresetMode):
            raise UsageError(f"unknown autoreset mode {self.mode!r} in the environment's metadata")

    def reset(self, seed: int) -> np.ndarray:
        first = episode_seed(seed, 0, 0) % (2**31 - self.num_envs)  # environment i is given first + i
        raw, info = self.envs.reset(seed=first)
        self.ended = np.zeros(self.num_envs, bool)
        self.mask = self._masks(info, self.ended) if MASK in info or self.spec.acts.padded else None
        return self.spec.read(raw)

    def _masks(self, info: Info, over: np.ndarray) -> np.ndarray:
        """Masks [N, ...]; `info["_action_mask"]` has the rows that were given, and in the others all is allowed."""
        masks = info.get(MASK, ())
        given = info.get(f"_{MASK}", np.ones(self.num_envs, bool)) if MASK in info else np.zeros(self.num_envs, bool)
        rows = [{MASK: masks[i]} if given[i] else {} for i in range(self.num_envs)]
        return np.stack([allowed_actions(row, self.spec, bool(o)) for row, o in zip(rows, over, strict=True)])

    def step(self, action: np.ndarray) -> Step:
        raw, reward, terminated, truncated, info = self.envs.step(self.spec.command(action))
        obs = self.spec.read(raw)
        end = terminated | truncated
        next_obs, valid = obs, np.ones(self.num_envs, bool)
        if self.mask is None and MASK in info:
            late_mask(self.spec)
        next_mask = self.mask = None if self.mask is None else self._masks(info, end)
        if self.mode == AutoresetMode.NEXT_STEP:  # this step only reset the environments that ended before it
            valid = ~self.ended
            terminated, truncated = terminated & valid, truncated & valid
            self.ended = end & valid
        elif end.any() and self.mode == AutoresetMode.SAME_STEP:
            next_obs = obs.copy()
            for i in np.flatnonzero(end):
                next_obs[i] = self.spec.read(self.envs.final(info, int(i)))
            if next_mask is not None:  # `info` is of the next episode
                next_mask = where_rows(end, self._masks(info.get("final_info", {}), end), next_mask)
        elif end.any():  # DISABLED: resetting is left to the caller
            fresh, info = self.envs.reset(options={"reset_mask": end})
            obs = self.spec.read(fresh)
            if self.mask is not None:
                self.mask = where_rows(end, self._masks(info, end), self.mask)
        return Step(obs, reward.astype(np.float32), terminated, truncated, next_obs, valid, next_mask)

    def close(self) -> None:
        self.envs.close()


def host_vector(
    envs: gym.vector.VectorEnv | Callable[[], gym.Env], num_envs: int = 1, choice: Choice = AS_IT_SUITS
) -> HostVector:
    """A vector environment of the user's as it is, or N environments from a function that makes one."""
    if isinstance(envs, gym.vector.VectorEnv):
        return GymVector(envs, choice)
    return EnvList(envs, num_envs, choice)
