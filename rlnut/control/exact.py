"""What a greedy policy is worth exactly, on environments that have tables: dynamic programming beside the learner.

Of the policy π that is greedy on q, equal actions resolved as the player resolves them:

    value    Σ_s p(S₀ = s) v_π(s),  v_π = r_π + γ P_π v_π        γ of the agent, no time limit
    return   Σ_{t<L} E[R_{t+1}]                                  undiscounted, L the time limit: what episodes estimate
    regret   Σ_s p(S₀ = s) (v*(s) − v_π(s)) >= 0                 v* by dynamic programming over the allowed actions
    RMSVE    √(Σ_s μ(s) (max_a q(s, a) − v_π(s))²)               μ: the share of the steps of such episodes in s

In RMSVE, q and v_π are of the rewards that are learned from, as in `control/evaluate.py`; where states look alike (two
hands of Blackjack), v_π is their mean under μ, which is the most that q can know.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import gymnasium as gym
import jax
import numpy as np

from rlnut.control.evaluate import Evaluator, LearnedRewards
from rlnut.envs.make import ENDLESS
from rlnut.envs.spaces import env_title, read_given
from rlnut.envs.tabular import from_env
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent, Carried
from rlnut.learner.reading import Mismatch
from rlnut.learner.spec import Spec
from rlnut.runtime.files import JsonObject
from rlnut.runtime.wrappers import time_limit
from rlnut.truth.dynamic_programming import policy_iteration, value_iteration
from rlnut.truth.finite import Finite, observed, outcomes, with_sparse_tables
from rlnut.truth.markov import MDP, Chain, going_on, mean_reward
from rlnut.truth.outcomes import means
from rlnut.truth.transition_matrices import Matrix, is_sparse, reached, solve

EXACT = ("exact_value", "exact_return", "regret", "rmsve")  # in metrics.csv
MOST_STATES = 2_000  # of an environment whose values are computed at each evaluation of a run
FEW_STATES = 128  # up to which powers of a matrix are cheaper than steps along it
SWEEPS = 20_000  # of value iteration for v* where γ = 1
GONE = 1e-16  # probability that an episode still runs below which its steps do not count
EQUAL = 1e-12  # relative difference of exact numbers that counts as none


class GreedyPolicy(Protocol):
    """What is judged."""

    def greedy_choices(
        self, stored: np.ndarray, mask: np.ndarray | None = None, lanes: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """(observations [S, ...] as they are stored, masks [S, A]) -> greedy actions [S], max_a q(s, a) [S].

        lanes: the size of batches in an evaluation.
        """
        ...


class ExactValue(NamedTuple):
    """What a policy is worth from the start of an episode; NaN for what is not defined (γ = 1, and no certain end)."""

    value: float  # discounted by γ, without a time limit
    expected_return: float  # undiscounted, inside the time limit
    optimal_value: float  # the most that `value` can be of any policy
    rmsve: float  # of q against the policy's value
    gamma: float
    limit: int  # L, steps of an episode
    actions: np.ndarray  # int [S] the policy
    values: np.ndarray  # [S] v_π; NaN where no episode of the policy can be
    visits: np.ndarray  # [S] expected steps of an episode inside the time limit

    @property
    def regret(self) -> float:
        """v* − v_π at the start; 0 where the difference is no more than rounding."""
        lost = self.optimal_value - self.value
        return 0.0 if abs(lost) <= EQUAL * max(1.0, abs(self.optimal_value)) else lost

    @property
    def columns(self) -> dict[str, float]:
        """EXACT for the log."""
        return dict(zip(EXACT, (self.value, self.expected_return, self.regret, self.rmsve), strict=True))

    @property
    def record(self) -> JsonObject:
        """The numbers, for a file."""
        numbers = self.columns | {"optimal_value": self.optimal_value}
        found: JsonObject = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        return found | {"gamma": self.gamma, "limit": self.limit, "states": len(self.actions)}


class ExactEvaluator:
    """Judges greedy policies by the tables of an environment; UsageError with the reason where that cannot be done.

    evaluator: what plays them; most: states at most, None: any number.
    """

    def __init__(self, evaluator: Evaluator, agent: Agent, learned: LearnedRewards, most: int | None = None) -> None:
        env, spec, self.lanes = evaluator.envs[0].env, evaluator.spec, len(evaluator.envs)
        name = env_title(env)
        if remembers(agent):
            raise UsageError(f"{name}: exact values need a policy of the present observation; a recurrent one has more")
        finite = _tables(env, name, spec, most)
        states, actions = finite.mdp.states, finite.mdp.actions
        if spec.choices != (actions,) or spec.acts.values is not None or spec.first_action:
            raise UsageError(f"{name}: its tables are of actions 0 … {actions - 1}, the policy has {spec.acts.saw}")
        self.obs, self.mask, self.observe = _shown(finite, name, spec), _allowed(finite.allowed), finite.observe
        self.pairs = np.arange(states * actions).reshape(states, actions)  # rows of the tables
        if self.mask is not None:  # what is not allowed counts as the first action that is
            self.pairs = np.where(self.mask, self.pairs, self.pairs[np.arange(states), self.mask.argmax(1)][:, None])
        finite = with_sparse_tables(finite)
        self.mdp, limit = finite.mdp, time_limit(env)
        self.gamma, self.scale, self.limit = learned.gamma, learned.scale, ENDLESS if limit is None else limit
        on = going_on(self.mdp)
        self.on: Matrix = on if is_sparse(on) else on.reshape(-1, states)
        self.rewards = np.stack([mean_reward(self.mdp).reshape(-1), _learned_rewards(finite, learned)], 1)  # [S·A, 2]
        self.optimal_value = self._optimal_value()

    @property
    def states(self) -> int:
        """S."""
        return len(self.pairs)

    def __call__(self, policy: GreedyPolicy) -> ExactValue:
        """What the policy is worth."""
        with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges
            return self._judged(*policy.greedy_choices(self.obs, self.mask, self.lanes))

    def _judged(self, actions: np.ndarray, q: np.ndarray) -> ExactValue:
        chain, seen = self._chain(actions)
        v = chain_values(chain, self.gamma)
        visits = visits_within(chain.P, chain.start, self.limit)
        share, wanted = visits / visits.sum(), v[:, 1]
        if self.observe is not None and np.isfinite(wanted).all():
            wanted = observed(wanted, share, np.unique(self.observe[seen], return_inverse=True)[1])
        rmsve = float(np.sqrt(share @ (q[seen] / self.scale - wanted) ** 2))
        values, visited = np.full(self.states, np.nan), np.zeros(self.states)
        values[seen], visited[seen] = v[:, 0], visits
        value, expected_return = float(chain.start @ v[:, 0]), float(visits @ chain.r[:, 0])
        found = value, expected_return, self.optimal_value, rmsve, self.gamma, self.limit
        return ExactValue(*found, actions, values, visited)

    def _chain(self, actions: np.ndarray) -> tuple[Chain, np.ndarray]:
        """The chain of a policy [S] over the states that its episodes can be in, with both rewards; which these are."""
        rows = self.pairs[np.arange(self.states), actions]
        P = self.on[rows]
        seen = reached(P, self.mdp.start > 0)
        return Chain(P[seen][:, seen], self.rewards[rows[seen]], self.mdp.start[seen]), seen

    def _optimal_value(self) -> float:
        """Σ_s p(S₀ = s) v*(s); NaN where dynamic programming finds none."""
        rows, S = self.pairs.reshape(-1), self.states
        mdp = self.mdp
        if self.mask is not None:
            P, R, done = (x[rows] if is_sparse(x) else x.reshape(-1, S)[rows].reshape(x.shape) for x in mdp[:3])
            mdp = MDP(P, R, done, mdp.start)
        try:
            if self.gamma < 1:
                best = policy_iteration(mdp, self.gamma)
            else:
                best = value_iteration(mdp, self.gamma, most=SWEEPS)
        except RlnutError:
            return float("nan")
        chain, _ = self._chain(best.policy.argmax(1))
        return float(chain.start @ chain_values(chain, self.gamma)[:, 0])


def exact_evaluator(evaluator: Evaluator, agent: Agent) -> ExactEvaluator | None:
    """What judges policies at each evaluation of a run, if the environment has tables for it, of few states."""
    if evaluator.learned is None:
        return None
    try:
        return ExactEvaluator(evaluator, agent, evaluator.learned, MOST_STATES)
    except UsageError:
        return None


def remembers(agent: Agent) -> bool:
    """Does what its policy does depend on more than the present observation?"""
    carry = agent.carry(1)
    return bool(jax.tree.leaves(carry.actor if isinstance(carry, Carried) else carry))


def chain_values(chain: Chain, gamma: float) -> np.ndarray:
    """v = r + γ P v of k rewards [n, k]: [n, k].

    γ = 1: states from which no episode ends are worth 0 if nothing is paid there; else nothing is defined: NaN.
    """
    if gamma < 1:
        return solve(chain.P, chain.r, gamma)
    ending = np.asarray(chain.P.sum(1)).reshape(-1) < 1 - 1e-12
    proper = reached(chain.P.T, ending)
    v = np.zeros(chain.r.shape)
    if chain.r[~proper].any():
        return np.full_like(v, np.nan)
    v[proper] = solve(chain.P[proper][:, proper], chain.r[proper], 1.0)
    return v


def visits_within(P: Matrix, start: np.ndarray, steps: int) -> np.ndarray:
    """Expected visits of each state in the first `steps` steps: Σ_{t<steps} start Pᵗ, [S]."""
    total, now = np.zeros(len(start)), start
    if len(start) <= FEW_STATES:
        power = P.toarray() if is_sparse(P) else P
        sums = np.eye(len(start))  # Σ_{t<2ᵏ} Pᵗ, while `power` is P^(2ᵏ)
        while steps:
            if steps & 1:
                total, now = total + now @ sums, now @ power
            if steps := steps >> 1:
                sums, power = sums + power @ sums, power @ power
        return total
    back = P.T.tocsr() if is_sparse(P) else P.T
    for _ in range(steps):
        total = total + now
        now = back @ now
        if now.sum() < GONE:
            break
    return total


def _tables(env: gym.Env, name: str, spec: Spec, most: int | None) -> Finite:
    """The tables of an environment of at most so many observations; UsageError where there are none."""
    if not spec.discrete or spec.low is None or spec.high is None:
        raise UsageError(f"{name}: exact values need numbered states; its observations are {spec.observed.saw}")
    if most is not None and (count := float(np.prod(spec.high - spec.low + 1.0))) > most:
        raise UsageError(f"{name}: it has {count:,.0f} observations; exact values in a run are for at most {most:,}")
    try:
        finite = from_env(env)
    except Exception as error:  # whatever a user's environment raises, and its `P` may be anything
        raise UsageError(f"{name}: its tables cannot be read: {' '.join(str(error).split())[:200]}") from None
    if finite is None:
        raise UsageError(f"{name}: exact values need tables P of transition probabilities that no wrapper changes")
    return finite


def _shown(finite: Finite, name: str, spec: Spec) -> np.ndarray:
    """What each state shows, as it is stored: [S, ...]."""
    states, space = finite.mdp.states, spec.observation_space
    same = isinstance(space, gym.spaces.Discrete) and (space.n, space.start) == (states, 0)
    try:
        if finite.shown is None and not same:
            raise Mismatch(f"the tables have {states} states")
        return read_given(spec, np.arange(states) if finite.shown is None else finite.shown)[0]
    except Mismatch as error:
        raise UsageError(f"{name}: its tables are not of its observations, {spec.observed.saw}: {error}") from None


def _allowed(mask: np.ndarray | None) -> np.ndarray | None:
    """Masks [S, A] as the player has them: where an episode is over nothing is forbidden."""
    return None if mask is None else np.where(mask.any(1, keepdims=True), mask, True).astype(bool)


def _learned_rewards(finite: Finite, learned: LearnedRewards) -> np.ndarray:
    """The mean of the rewards that are learned from, in the environment's units: [S·A]; NaN of clipped noise."""
    if learned.clip is None:
        return mean_reward(finite.mdp).reshape(-1)
    law = outcomes(finite)
    found = mean_reward(means(law._replace(reward=learned.of(np.asarray(law.reward))), finite.mdp.start)).reshape(-1)
    return np.where(np.asarray(law.noise).reshape(-1) > 0, np.nan, found)
