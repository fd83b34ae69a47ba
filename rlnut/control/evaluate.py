"""Greedy evaluation on environments of its own: fresh episodes, each from a seed of its own, none cut short by us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.envs.contract import made
from rlnut.envs.masks import MASK, Info
from rlnut.envs.vector import allowed_actions, episode_seed
from rlnut.learner.agent import Carry
from rlnut.learner.spec import Spec
from rlnut.types import Look

LANES = 10  # episodes played side by side


class Player(NamedTuple):
    """A policy as an evaluation asks it."""

    carry: Callable[[int], Carry]  # what N lanes carry before their first step
    act: Callable[[Carry, Look], tuple[np.ndarray, Carry]]  # (carry, look) -> action [N], counted from 0, carry


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of whole episodes."""

    returns: list[float]
    lengths: list[int]
    cut: int  # episodes given up because the environment has no end of its own

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float | None:
        """Standard deviation of the returns over episodes (n − 1); None for one episode, which has none."""
        return sample_std(self.returns)

    @property
    def ci95(self) -> tuple[float, float] | None:
        """95 % interval of the mean: percentiles of 10,000 bootstrap resamples of the episodes; None of one."""
        from scipy.stats import bootstrap

        if len(self.returns) < 2:
            return None
        if len(set(self.returns)) == 1:
            return self.returns[0], self.returns[0]
        data = (np.asarray(self.returns),)
        found = bootstrap(data, np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0))
        return float(found.confidence_interval.low), float(found.confidence_interval.high)


def sample_std(numbers: Sequence[float]) -> float | None:
    """Standard deviation (n − 1); None for fewer than two numbers."""
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def mean_and_std(mean: float, std: float | None, digits: str = ".4g") -> str:
    """ "20.5 ± 3.1", or the mean alone where there is no deviation."""
    return f"{mean:{digits}}" + ("" if std is None else f" ± {std:{digits}}")


class Evaluator:
    """Plays a policy on environments that are kept from one evaluation to the next."""

    def __init__(self, make: Callable[[], gym.Env], spec: Spec, episodes: int, limit: int | None) -> None:
        self.envs = [made(make) for _ in range(min(episodes, LANES))]
        self.spec, self.episodes, self.limit = spec, episodes, limit

    def __call__(self, player: Player, seed: int, number: int) -> Evaluation:
        """Episode k starts from the seed of (seed, number, k), whatever was played before."""
        lanes = len(self.envs)
        returns, lengths = [0.0] * self.episodes, [0] * self.episodes
        # the episode in each lane; lane i plays i, i + lanes, ...: none is chosen by length
        playing = list(range(lanes))
        fresh, carry = np.ones(lanes, bool), player.carry(lanes)
        mask = np.ones((lanes, *self.spec.choices), bool) if self.spec.acts.padded else None  # None: all is allowed
        obs, infos = (list(part) for part in zip(*(self._reset(i, seed, number, i) for i in playing), strict=True))
        cut = 0
        while any(k < self.episodes for k in playing):
            mask = self._masks(mask, infos)
            action, carry = player.act(carry, Look(np.stack(obs), fresh, mask))
            commands = self.spec.commands(action)
            fresh = np.zeros(lanes, bool)
            for i, k in enumerate(playing):
                if k >= self.episodes:
                    continue
                following, reward, terminated, truncated, info = self.envs[i].step(commands[i])
                returns[k] += reward
                lengths[k] += 1
                over = terminated or truncated
                endless = not over and self.limit is not None and lengths[k] >= self.limit
                cut += endless
                if over or endless:
                    playing[i], fresh[i] = k + lanes, True
                    if playing[i] < self.episodes:
                        obs[i], infos[i] = self._reset(i, seed, number, playing[i])
                else:
                    obs[i], infos[i] = self.spec.read(following), info
        return Evaluation(returns, lengths, cut)

    def _reset(self, lane: int, seed: int, number: int, k: int) -> tuple[np.ndarray, Info]:
        obs, info = self.envs[lane].reset(seed=episode_seed(seed, 2**31 + number, k))
        return self.spec.read(obs), info

    def _masks(self, mask: np.ndarray | None, infos: list[Info]) -> np.ndarray | None:
        """Which actions are allowed in each lane; None as long as no environment has given a mask."""
        if mask is None and not any(MASK in info for info in infos):
            return None
        return np.stack([allowed_actions(info, self.spec) for info in infos])

    def close(self) -> None:
        """Release the environments."""
        for env in self.envs:
            env.close()
