"""What a distributional agent has learned of returns, beside the returns that its greedy policy then gets."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, SupportsFloat

import gymnasium as gym
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.control.maps import described_run
from rlnut.control.policy import Policy, ReturnDistribution, evaluator_of
from rlnut.control.result import Trained
from rlnut.envs.contract import made
from rlnut.envs.make import EnvLike, maker
from rlnut.envs.masks import MASK, Info
from rlnut.envs.meanings import action_names
from rlnut.envs.vector import allowed_actions, episode_seed
from rlnut.errors import UsageError
from rlnut.learner.config import AgentConfig
from rlnut.runtime.plotting import (
    BLUE,
    GREY,
    ORANGE,
    caption,
    heading,
    legend_above,
    map_frame,
    new_figure,
    styled,
)
from rlnut.runtime.wrappers import lift_time_limits, time_limit

STATES, ROLLOUTS = 3, 40  # start states, and greedy episodes from each
TRIED = 20  # resets in which different start states are looked for
TAIL = 1e-3  # a return is cut when what follows weighs less than this
NUMBER = 2**30 + 1  # number of an evaluation that nothing else uses
MOST = 12  # actions that are drawn


class StartReturns(NamedTuple):
    """One start state: what was learned of its returns, and what came of it."""

    obs: object  # as the environment gives it
    learned: ReturnDistribution  # [A, m]
    action: int  # the greedy one
    realised: np.ndarray  # [R] discounted returns of greedy episodes from there


class FromStart(gym.Wrapper):
    """Every episode begins in the state of one reset and goes on with luck of its own; its discounted return is kept.

    γ < 1: episodes run on beyond time limits, until what follows weighs less than TAIL; γ = 1: within them.
    """

    def __init__(self, env: gym.Env, start: int, gamma: float, scale: float, returns: list[float]) -> None:
        super().__init__(env)
        self.start, self.gamma, self.scale, self.returns = start, gamma, scale, returns
        self.horizon = np.inf if gamma == 1 else max(1.0, np.ceil(np.log(TAIL) / np.log(max(gamma, 1e-9))))
        if gamma < 1 and time_limit(env) is not None:
            lift_time_limits(env)
        self.total, self.weight, self.time = 0.0, 1.0, 0

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        """The same start, another future."""
        given = self.env.reset(seed=self.start)
        self.env.unwrapped.np_random = np.random.default_rng(seed)
        self.total, self.weight, self.time = 0.0, 1.0, 0
        return given

    def step(self, action: object) -> tuple[object, SupportsFloat, bool, bool, Info]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.total += self.weight * self.scale * float(reward)
        self.weight, self.time = self.weight * self.gamma, self.time + 1
        truncated = truncated or self.time >= self.horizon
        if terminated or truncated:
            self.returns.append(self.total)
        return obs, reward, terminated, truncated, info


def start_returns(policy: Policy, states: int = STATES, rollouts: int = ROLLOUTS, seed: int = 0) -> list[StartReturns]:
    """Learned and realised returns of up to `states` different start states.

    Rewards are in the units that were learned from (`reward_scale`). UsageError for an agent that learns no
    distribution, and for clipped rewards, whose returns are others.
    """
    origin = policy.origin
    if origin is None or origin.training.reward_clip is not None:
        why = "learned from clipped rewards" if origin else "does not say its γ"
        raise UsageError(f"returns cannot be compared with what was learned: this agent {why}")
    if policy.agent.distribution is None:
        policy.distribution(None)  # says which agents learn one
    gamma, scale = origin.config.gamma, origin.training.reward_scale
    return [
        _from_start(policy, start, gamma, scale, rollouts, seed) for start in _different_starts(policy, states, seed)
    ]


class Start(NamedTuple):
    """A start state: the seed of a reset that leads there."""

    number: int
    obs: object
    allowed: np.ndarray | None  # bool [A]


def _different_starts(policy: Policy, states: int, seed: int) -> list[Start]:
    """Start states that show different observations, of the first resets."""
    env = made(maker(policy.env))
    found: list[Start] = []
    seen: set[bytes] = set()
    try:
        for k in range(TRIED):
            number = episode_seed(seed, NUMBER, k)
            obs, info = env.reset(seed=number)
            key = policy.spec.read(obs).tobytes()
            if key not in seen and len(found) < states:
                found.append(Start(number, obs, allowed_actions(info, policy.spec) if MASK in info else None))
            seen.add(key)
    finally:
        env.close()
    return found


def _from_start(policy: Policy, start: Start, gamma: float, scale: float, rollouts: int, seed: int) -> StartReturns:
    learned = policy.distribution(start.obs)
    q = learned.mean if start.allowed is None else np.where(start.allowed, learned.mean, -np.inf)
    returns: list[float] = []

    def begun() -> gym.Env:
        return FromStart(maker(policy.env)(), start.number, gamma, scale, returns)

    evaluator = evaluator_of(begun, policy.spec, rollouts)
    try:
        evaluator(policy.player, seed, NUMBER)
    finally:
        evaluator.close()
    return StartReturns(start.obs, learned, int(q.argmax()), np.array(returns))


@styled()
def return_distributions(
    run: Policy | Trained | str | Path,
    states: int = STATES,
    rollouts: int = ROLLOUTS,
    env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
    seed: int = 0,
) -> Figure:
    """Learned distributions of returns of each action in a few start states, and realised returns of the greedy one.

    run, env, agent, trust: as in `maps.value_maps`. UsageError for an agent that learns the mean of the return only.
    """
    policy, facts, title = described_run(run, env, agent, trust)
    found = start_returns(policy, states, rollouts, seed)
    example = maker(policy.env)()
    try:
        names = action_names(example, policy.spec)[0]
    finally:
        example.close()
    figure = new_figure(11, 0.9 + 3.0 * len(found))
    grid = figure.subplots(len(found), 2, squeeze=False)
    for i, (row, one) in enumerate(zip(grid, found, strict=True)):
        _each_action(row[0], one, names)
        _against_realised(row[1], one, names)
        row[0].set_title(f"start state {_shown(one.obs)}")
        low, high = _range(one)
        for axis in row:
            axis.set_xlim(low, high)
        if i == 0:
            legend_above(row[1])
        if i == len(found) - 1:
            for axis in row:
                axis.set_xlabel("discounted return" + ("" if not _scaled(policy) else ", scaled as it was learned"))
    heading(figure, f"Distributions of returns of {title}")
    caption(figure, *facts, f"{rollouts} greedy episodes from each start state")
    return figure


def _scaled(policy: Policy) -> bool:
    return policy.origin is not None and policy.origin.training.reward_scale != 1


def _range(one: StartReturns) -> tuple[float, float]:
    """What all but the thinnest tails lie in, and all that was realised."""
    ends = [weighted_quantile(one.learned.values[a], one.learned.probabilities[a], np.array([0.002, 0.998]))
            for a in range(len(one.learned.values))]  # fmt: skip
    low, high = min([*np.ravel(ends), *one.realised]), max([*np.ravel(ends), *one.realised])
    room = 0.08 * (high - low) or 0.5
    return float(low - room), float(high + room)


def weighted_quantile(values: np.ndarray, probabilities: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The least values [F] with at least `fractions` [F] of the probability at or below: values, probabilities [m]."""
    order = np.argsort(values)
    below = np.cumsum(probabilities[order])
    at = np.searchsorted(below, fractions * below[-1] - 1e-9)
    return values[order][np.minimum(at, len(values) - 1)]


def _each_action(axis: Axes, one: StartReturns, names: list[str]) -> None:
    """A row for each action: its distribution as a density of atoms, or its quantiles one by one, and its mean q."""
    map_frame(axis)
    count = min(len(names), MOST)
    for a in range(count):
        values, chances = one.learned.values[a], one.learned.probabilities[a]
        colour = ORANGE if a == one.action else BLUE
        if np.ptp(chances) == 0:  # quantiles: each stands for as much
            axis.vlines(values, a - 0.32, a + 0.32, color=colour, lw=1, alpha=0.7)
        else:
            height = -0.75 * chances / chances.max()  # upwards: the first action is above
            width = np.diff(values).mean() * 0.9
            axis.bar(values, height, width, bottom=a + 0.38, color=colour, alpha=0.75)
        axis.plot(one.learned.mean[a], a + 0.38, "D", color="white", markeredgecolor="black", markersize=5)
    axis.set_yticks(range(count), names[:count])
    axis.set_ylim(count - 0.5, -0.5)
    axis.set_ylabel("action (\N{WHITE DIAMOND} mean q)")


def _against_realised(axis: Axes, one: StartReturns, names: list[str]) -> None:
    """The distribution function of the greedy action, learned and realised, and both means."""
    values, chances = one.learned.values[one.action], one.learned.probabilities[one.action]
    order = np.argsort(values)
    real = np.sort(one.realised)
    share = np.arange(1, len(real) + 1) / len(real)
    axis.step(np.r_[real[0], real], np.r_[0, share], where="post", color=GREY, lw=4, alpha=0.6, label="realised")
    axis.step(values[order], np.cumsum(chances[order]), where="post", color=ORANGE, label="learned")
    mean, q = float(real.mean()), float(one.learned.mean[one.action])
    axis.axvline(mean, color=GREY, lw=1.5, ls=":", label="mean realised")
    axis.axvline(q, color=ORANGE, lw=1.5, ls="--", label="q")
    axis.set(
        ylabel="probability of at most", title=f"{names[one.action]}: q = {q:.3g}, realised {mean:.3g}", ylim=(0, 1.03)
    )


def _shown(obs: object) -> str:
    """An observation in a few characters."""
    if isinstance(obs, np.ndarray) and obs.size > 8:
        return f"of shape {list(obs.shape)}"
    text = ", ".join(f"{x:.3g}" for x in np.ravel(obs)) if isinstance(obs, np.ndarray) else str(obs)
    return text if len(text) <= 50 else text[:49] + "…"
