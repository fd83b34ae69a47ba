"""Greedy evaluation in separate environments: new episodes, each with its own seed, played to their end.

What q says of the start of an episode is compared with what the episode then gives, the over-estimation of van Hasselt
et al. (2016, figure 3): the mean over episodes of

    q(s₀, a₀) − Gᵧ,    Gᵧ = Σ_{t<T} γᵗ r_{t+1} + γᵀ q(s_T, a_T) [the episode was cut at T],    a = argmax q

A time limit hides the rest of an episode, so q's own value stands in for it, as it does where the learner bootstraps;
Gᵧ is all realised where γᵀ is small or episodes terminate. Rewards are those that are learned from: q estimates sums
of clip(scale · r), so q is divided by the scale, and r is clip(scale · r)/scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.envs.contract import made
from rlnut.envs.masks import MASK, Info
from rlnut.envs.vector import allowed_actions, episode_seed
from rlnut.learner.agent import Carry
from rlnut.learner.explore import greedy
from rlnut.learner.spec import Spec
from rlnut.runtime.log import readable_number
from rlnut.types import Look

LANES = 10  # episodes played side by side


class Player(NamedTuple):
    """A policy as an evaluation asks it."""

    carry: Callable[[int], Carry]  # what N lanes carry before their first step
    act: Callable[[Carry, Look], tuple[np.ndarray, Carry]]  # (carry, look) -> action [N], counted from 0, carry
    # (carry, look) -> q(s, ·) [N, A] or [N, D, K], carry; None: it has no values, only actions
    q: Callable[[Carry, Look], tuple[np.ndarray, Carry]] | None = None

    def decide(self, carry: Carry, look: Look, worth: bool) -> tuple[np.ndarray, np.ndarray | None, Carry]:
        """(action [N], q(s, action) [N] if that is wanted and known, carry); of D decoupled choices their mean q."""
        if self.q is None or not worth:
            action, carry = self.act(carry, look)
            return action, None, carry
        values, carry = self.q(carry, look)
        action = np.asarray(greedy(values, look.mask))
        taken = np.take_along_axis(values, action[..., None], -1)
        return action, taken.reshape(len(taken), -1).mean(1, dtype=np.float64), carry


class LearnedRewards(NamedTuple):
    """What q estimates: sums, discounted by γ, of the rewards clip(scale · r, ±clip)."""

    gamma: float
    scale: float = 1.0
    clip: float | None = None

    def of(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards as they are learned from, in the environment's units: clip(scale · r)/scale."""
        return rewards if self.clip is None else np.clip(rewards * self.scale, -self.clip, self.clip) / self.scale

    def discounted(self, rewards: list[float]) -> float:
        """Σ γᵗ r_{t+1} of rewards that follow one another, in the environment's units."""
        return float(self.of(np.array(rewards)) @ self.gamma ** np.arange(len(rewards)))


class MeanWithInterval(NamedTuple):
    """A mean, and half the width of its 95 % interval (Student's t); NaN of one number, which has none."""

    mean: float
    half_width: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """mean ± half the width."""
        low, high = self.mean - self.half_width, self.mean + self.half_width
        return (low, high) if np.isfinite((low, high)).all() else None


OVERESTIMATION = ("q_start", "return_discounted", "overestimation", "overestimation_half_width")  # in metrics.csv


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of whole episodes, and what q said of them."""

    returns: list[float]
    lengths: list[int]
    cut: int  # episodes given up because the environment has no end of its own
    q_start: tuple[float, ...] = ()  # q(s₀, a₀) of each episode, in units of reward; (): not known
    discounted: tuple[float, ...] = ()  # its discounted return Gᵧ, see above

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

    @property
    def overestimation(self) -> MeanWithInterval | None:
        """How much more q promised at the start of an episode than the episode gave; None where q is not known."""
        if not self.q_start:
            return None
        with np.errstate(invalid="ignore"):
            return student_interval(np.array(self.q_start) - np.array(self.discounted))

    @property
    def columns(self) -> dict[str, float]:
        """OVERESTIMATION for the log; {} where q is not known."""
        if (found := self.overestimation) is None:
            return {}
        means = float(np.mean(self.q_start)), float(np.mean(self.discounted))
        return dict(zip(OVERESTIMATION, (*means, *found), strict=True))

    @property
    def record(self) -> dict[str, object]:
        """The same for a file: "overestimation" with its mean, its 95 % interval, and what it is the difference of."""
        if (found := self.overestimation) is None:
            return {}
        means = {"mean": found.mean} | {name: self.columns[name] for name in OVERESTIMATION[:2]}
        known = {name: number if np.isfinite(number) else None for name, number in means.items()}
        return {"overestimation": known | {"ci95": found.interval}}


def sample_std(numbers: Sequence[float]) -> float | None:
    """Standard deviation (n − 1); None for fewer than two numbers."""
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def student_interval(numbers: np.ndarray) -> MeanWithInterval:
    """The mean of n numbers and half its 95 % interval, t_{n−1} s/√n."""
    n = len(numbers)
    if n < 2:
        return MeanWithInterval(float(np.mean(numbers)), float("nan"))
    with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges
        mean, spread = float(np.mean(numbers)), float(np.std(numbers, ddof=1))
    return MeanWithInterval(mean, student_t(n - 1) * spread / n**0.5)


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t, to a part in 800 (Abramowitz & Stegun 1964, 26.7.5): SciPy is slow to import."""
    if freedom < 3:
        return 12.706205 if freedom == 1 else 4.302653
    z, n = 1.959964, freedom
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / n + second / n**2 + third / n**3 + fourth / n**4


def mean_and_std(mean: float, std: float | None, digits: str = "") -> str:
    """ "20.5 ± 3.1", or the mean alone where there is no deviation. digits: a format (none: `readable_number`)."""
    numbers = [value for value in (mean, std) if value is not None]
    return " ± ".join(f"{value:{digits}}" if digits else readable_number(value) for value in numbers)


class Cut(NamedTuple):
    """Where an episode was cut before its end."""

    episode: int
    obs: np.ndarray  # what it showed last, as it is stored
    info: Info


Cuts = dict[int, Cut]  # by lane


class Evaluator:
    """Plays a policy on environments that are kept from one evaluation to the next.

    limit: steps after which an episode is given up; None: never. learned: what q estimates; None: it is not asked.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env],
        spec: Spec,
        episodes: int,
        limit: int | None,
        learned: LearnedRewards | None = None,
    ) -> None:
        self.envs = [made(make) for _ in range(min(episodes, LANES))]
        self.spec, self.episodes, self.limit, self.learned = spec, episodes, limit, learned

    def __call__(self, player: Player, seed: int, number: int, first: int = 0) -> Evaluation:
        """Episode k starts from the seed of (seed, number, first + k), whatever was played before."""
        lanes, learned = len(self.envs), self.learned if player.q is not None else None
        returns, lengths = [0.0] * self.episodes, [0] * self.episodes
        promised, realised = [0.0] * self.episodes, [0.0] * self.episodes
        # the episode in each lane; lane i plays i, i + lanes, ...: none is chosen by length
        playing = list(range(lanes))
        rewards: list[list[float]] = [[] for _ in playing]  # of the running episodes
        fresh, carry = np.ones(lanes, bool), player.carry(lanes)
        mask = np.ones((lanes, *self.spec.choices), bool) if self.spec.acts.padded else None  # None: all is allowed
        begun = (self._reset(i, seed, number, first + i) for i in playing)
        obs, infos = (list(part) for part in zip(*begun, strict=True))
        cut = 0
        while any(k < self.episodes for k in playing):
            mask = self._masks(mask, infos)
            wanted = learned is not None and bool(fresh.any())
            action, worth, carry = player.decide(carry, Look(np.stack(obs), fresh, mask), wanted)
            if worth is not None:
                for i in np.flatnonzero(fresh).tolist():
                    if playing[i] < self.episodes:
                        promised[playing[i]] = float(worth[i])
            commands = self.spec.commands(action)
            fresh = np.zeros(lanes, bool)
            last: Cuts = {}
            for i, k in enumerate(playing):
                if k >= self.episodes:
                    continue
                following, reward, terminated, truncated, info = self.envs[i].step(commands[i])
                returns[k] += reward
                rewards[i].append(reward)
                over = terminated or truncated
                endless = not over and self.limit is not None and len(rewards[i]) >= self.limit
                cut += endless
                if not over and not endless:
                    obs[i], infos[i] = self.spec.read(following), info
                    continue
                lengths[k] = len(rewards[i])
                if learned is not None:
                    realised[k] = learned.discounted(rewards[i])
                    if not terminated:
                        last[i] = Cut(k, self.spec.read(following), info)
                rewards[i], playing[i], fresh[i] = [], k + lanes, True
                if playing[i] < self.episodes:
                    obs[i], infos[i] = self._reset(i, seed, number, first + playing[i])
            if last and learned is not None:
                worth = self._worth(player, carry, obs, mask, last)
                for i, end in last.items():
                    realised[end.episode] += learned.gamma ** lengths[end.episode] * float(worth[i]) / learned.scale
        if learned is None:
            return Evaluation(returns, lengths, cut)
        return Evaluation(returns, lengths, cut, tuple(q / learned.scale for q in promised), tuple(realised))

    def _worth(
        self,
        player: Player,
        carry: Carry,
        obs: list[np.ndarray],
        mask: np.ndarray | None,
        last: Cuts,
    ) -> np.ndarray:
        """q(s, argmax q) [N] of what was shown last, in the lanes whose episodes were cut."""
        shown = [last[i].obs if i in last else obs[i] for i in range(len(obs))]
        if mask is not None:
            mask = np.array(mask)
            for i, end in last.items():
                mask[i] = allowed_actions(end.info, self.spec, over=True)
        _, worth, _ = player.decide(carry, Look(np.stack(shown), np.zeros(len(obs), bool), mask), True)
        assert worth is not None
        return worth

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
