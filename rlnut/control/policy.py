"""The greedy policy of learned action values: act, ask for q(s, ·), evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np

from rlnut.control.evaluate import LANES, Evaluation, Evaluator, LearnedRewards, Player
from rlnut.control.exact import ExactEvaluator, ExactValue
from rlnut.control.host_loop import actor
from rlnut.control.plan import check_episodes
from rlnut.control.preprocessing import prepared_spec
from rlnut.control.settings import RunSettings
from rlnut.envs.make import ENDLESS, EnvLike, maker
from rlnut.envs.masks import MASK
from rlnut.envs.reading import Mismatch
from rlnut.envs.spaces import read_given, read_spaces, spec_of
from rlnut.errors import UsageError
from rlnut.learner.agent import Agent, Carry
from rlnut.learner.config import AgentConfig
from rlnut.learner.explore import allowed, greedy
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.wrappers import time_limit
from rlnut.settings import whole_number
from rlnut.types import Look, Network, Params

FRESH = 2**30  # number of an evaluation that no training ever used
BLOCK = 2**21  # numbers of one-hot observations that are looked at together
NEAR = 1e-5  # relative difference of two actions' values that the size of a batch may turn


class PolicyOrigin(NamedTuple):
    """From what the agent of a policy can be made again."""

    config: AgentConfig
    training: RunSettings
    network: Network | None

    @property
    def learned(self) -> LearnedRewards:
        """What q estimates."""
        return LearnedRewards(self.config.gamma, self.training.reward_scale, self.training.reward_clip)


class ReturnDistribution(NamedTuple):
    """The distributions of the return that a distributional agent has learned for each action."""

    values: np.ndarray  # [..., A, m]
    probabilities: np.ndarray  # [..., A, m]

    @property
    def mean(self) -> np.ndarray:
        """q [..., A]."""
        return (self.values * self.probabilities).sum(-1)


class Policy:
    """The greedy policy of learned action values: π(s) = argmax_a q_θ(s, a)."""

    def __init__(
        self, agent: Agent, spec: Spec, params: Params, env: EnvLike, origin: PolicyOrigin | None = None
    ) -> None:
        self.agent, self.spec, self.params, self.env, self.origin = agent, spec, params, env, origin
        self._q, place = actor(agent.q, agent.host)
        self._placed = place(params)
        self.player = Player(agent.carry, self._act, self._carried_values)

    def q(self, obs: object) -> np.ndarray:
        """Action values q(s, ·): one observation -> [A], N of them -> [N, A]; each counts as the first of an episode.

        Of D decoupled choices [D, K] and [N, D, K].
        """
        try:
            batch, single = read_given(self.spec, obs)
        except Mismatch as error:
            raise UsageError(f"the policy of {self.spec.name} was given {error}") from None
        values = self.values(batch)
        return values[0] if single else values

    def values(self, stored: np.ndarray) -> np.ndarray:
        """The same of N observations as `spec` stores them, [N, ...]."""
        return self._q(self._placed, self.agent.carry(len(stored)), Look(stored, np.ones(len(stored), bool)))[0]

    def distribution(self, obs: object) -> ReturnDistribution:
        """The learned distribution of returns: one observation -> [A, m], N of them -> [N, A, m]; its mean is q.

        UsageError for an agent that learns the mean only.
        """
        if self.agent.distribution is None:
            raise UsageError(
                "this agent learns the mean of the return, not its distribution; c51, qr-dqn, iqn and rainbow learn it,"
                " and other agents with a network with --loss c51, quantile or iqn"
            )
        try:
            batch, single = read_given(self.spec, obs)
        except Mismatch as error:
            raise UsageError(f"the policy of {self.spec.name} was given {error}") from None
        ask, place = actor(self.agent.distribution, self.agent.host)
        look = Look(batch, np.ones(len(batch), bool))
        found = ReturnDistribution(*ask(place(self.params), self.agent.carry(len(batch)), look))
        return ReturnDistribution(found.values[0], found.probabilities[0]) if single else found

    def __reduce__(self) -> tuple[Callable[..., Policy], tuple[object, ...]]:
        """What it was made from: so that a policy can be pickled."""
        if self.origin is None:
            raise TypeError("this policy does not know how its agent was made, so it cannot be pickled")
        spec = (self.spec.observation_space, self.spec.action_space, self.spec.acts.choice, self.spec.name)
        return _made_again, (self.origin, spec, jax.device_get(self.params), self.env)

    def _carried_values(self, carry: Carry, look: Look) -> tuple[np.ndarray, Carry]:
        return self._q(self._placed, carry, look)

    def _act(self, carry: Carry, look: Look) -> tuple[np.ndarray, Carry]:
        values, carry = self._q(self._placed, carry, look)
        return np.asarray(greedy(values, look.mask)), carry

    def greedy_choices(
        self, stored: np.ndarray, mask: np.ndarray | None = None, lanes: int = LANES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Greedy actions [S] in N = S first observations as `spec` stores them, and their q [S], of one choice of A.

        Equal actions are resolved as in an evaluation of `lanes` episodes side by side: a batch of another size rounds
        in another way, so where two actions are nearly equal, batches of that size are asked.
        """
        size = min(len(stored), max(lanes, BLOCK // len(stored))) if self.agent.host else lanes
        values = self._in_batches(stored, size)
        best, second = np.sort(allowed(values, mask), -1)[:, [-1, -2]].T if values.shape[-1] > 1 else (values[:, 0], 0)
        near = np.abs(best - second) <= NEAR * np.maximum(1, np.abs(best))
        if size != lanes and near.any():
            values[near] = self._in_batches(stored[near], lanes)
        actions = np.asarray(greedy(values, mask))
        return actions, np.take_along_axis(values, actions[:, None], -1)[:, 0].astype(np.float64)

    def _in_batches(self, stored: np.ndarray, size: int) -> np.ndarray:
        """q(s, ·) of all, `size` observations at a time: the last batch begins again with the first ones."""
        rows = np.arange(-(-len(stored) // size) * size) % len(stored)
        parts = [self.values(stored[part]) for part in np.split(rows, len(rows) // size)]
        return np.concatenate(parts)[: len(stored)]

    def act(self, obs: object, mask: object = None) -> np.ndarray:
        """The greedy action in the environment's format, for one observation or N; each counts as an episode's first.

        mask: which actions are allowed, as `info["action_mask"]` has it (N observations: N of them); without it a part
        "action_mask" of the observation is used.
        """
        q = self.q(obs)
        if mask is None and isinstance(obs, dict):
            mask = obs.get(MASK)
        return self.spec.command(greedy(q, self._allowed(mask, q.shape[: q.ndim - len(self.spec.choices)])))

    def _allowed(self, mask: Any, lead: tuple[int, ...]) -> np.ndarray | None:
        """A mask, or N of them, as [A] or [N, A] bool; UsageError if it is none."""
        if mask is None:
            may = self.spec.acts.allowed()
            return np.broadcast_to(may, (*lead, *may.shape)) if self.spec.acts.padded else None
        try:
            rows = [self.spec.acts.allowed(one) for one in (mask if lead else [mask])]
        except (ValueError, TypeError) as error:
            raise UsageError(f"mask is not one of {self.spec.acts.saw}: {error}") from None
        if lead and len(rows) != lead[0]:
            raise UsageError(f"mask must have {lead[0]} rows, one for each observation, got {len(rows)}")
        if not all(row.any(-1).all() for row in rows):
            raise UsageError("mask allows no action")
        return np.stack(rows) if lead else rows[0]

    def evaluate(
        self, episodes: int = 20, seed: int = 0, env: EnvLike | None = None, number: int = FRESH
    ) -> Evaluation:
        """Play `episodes` new episodes in the real environment with the greedy policy."""
        episodes, seed = whole_number("episodes", episodes, 1), whole_number("seed", seed, 0, 2**32)
        chosen = self.env if env is None else env
        evaluator = evaluator_of(chosen, self.spec, episodes, self.origin and self.origin.learned)
        try:
            return evaluator(self.player, seed, number)
        finally:
            evaluator.close()

    def evaluate_exactly(self, env: EnvLike | None = None) -> ExactValue:
        """The exact value of the policy, computed from the tables of its environment.

        UsageError where there are no tables of the states that it observes, and for a recurrent policy.
        """
        if self.origin is None:
            raise UsageError("this policy does not know the γ that it was learned with, so it has no exact value")
        evaluator = evaluator_of(self.env if env is None else env, self.spec, LANES)
        try:
            return ExactEvaluator(evaluator, self.agent, self.origin.learned)(self)
        finally:
            evaluator.close()


def _made_again(
    origin: PolicyOrigin, spaces: tuple[gym.Space, gym.Space, Choice, str], params: Params, env: EnvLike
) -> Policy:
    spec = prepared_spec(spec_of(*spaces), origin.training)
    return Policy(origin.config.build(spec, origin.network), spec, params, env, origin)


def evaluator_of(env: EnvLike, spec: Spec, episodes: int, learned: LearnedRewards | None = None) -> Evaluator:
    """An evaluator on new copies of `env`, which must be what `spec` sees; learned: what q estimates."""
    check_episodes(episodes)
    evaluator = Evaluator(maker(env), spec, episodes, None, learned)
    if time_limit(evaluator.envs[0]) is None:
        evaluator.limit = ENDLESS
    other = read_spaces(evaluator.envs[0], spec.acts.choice)
    if (other.shape, other.dtype, other.choices) != (spec.shape, spec.dtype, spec.choices):
        evaluator.close()
        raise UsageError(f"the policy was trained on [{spec.saw}], this environment is [{other.saw}]")
    return evaluator
