"""The greedy policy of learned action values: act, ask for q(s, ·), evaluate.

Importing this needs neither JAX nor Gymnasium: a policy that is loaded acts by NumPy (`loaded_policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.learner.actions import Actions
from rlnut.learner.reading import Mismatch
from rlnut.settings import whole_number

if TYPE_CHECKING:
    import gymnasium as gym

    from rlnut.control.evaluate import Evaluation, Evaluator, LearnedRewards
    from rlnut.control.exact import ExactValue
    from rlnut.control.exporting import Format
    from rlnut.control.settings import RunSettings
    from rlnut.envs.make import EnvLike
    from rlnut.learner.agent import Agent, Carry
    from rlnut.learner.config import AgentConfig
    from rlnut.learner.spec import Choice, Spec
    from rlnut.portable.program import Program
    from rlnut.types import Array, Look, Network, Params

FRESH = 2**30  # number of an evaluation that no training ever used
BLOCK = 2**21  # numbers of one-hot observations that are looked at together
MASK = "action_mask"  # the part of an observation (`envs.masks`)
NEAR = 1e-5  # relative difference of two actions' values that the size of a batch may turn


class PolicyOrigin(NamedTuple):
    """From what the agent of a policy can be made again."""

    config: AgentConfig
    training: RunSettings
    network: Network | None

    @property
    def learned(self) -> LearnedRewards:
        """What q estimates."""
        from rlnut.control.evaluate import LearnedRewards

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
        from rlnut.control.evaluate import Player
        from rlnut.control.host_loop import actor

        self.agent, self.spec, self.params, self.env, self.origin = agent, spec, params, env, origin
        self._q, place = actor(agent.q, agent.host)
        self._placed = place(params)
        self.player = Player(agent.carry, self._act, self._carried_values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.name}: {self.spec.saw})"

    def q(self, obs: object) -> np.ndarray:
        """Action values q(s, ·): one observation -> [A], N of them -> [N, A]; each counts as the first of an episode.

        Of D decoupled choices [D, K] and [N, D, K].
        """
        batch, single = self._read(obs)
        values = self.values(batch)
        return values[0] if single else values

    def _read(self, obs: object) -> tuple[np.ndarray, bool]:
        """Observations as `spec` stores them, [N, ...], and whether it was a single one."""
        from rlnut.envs.spaces import read_given

        try:
            return read_given(self.spec, obs)
        except Mismatch as error:
            raise UsageError(f"the policy of {self.spec.name} was given {error}") from None

    def values(self, stored: np.ndarray) -> np.ndarray:
        """The same of N observations as `spec` stores them, [N, ...]."""
        from rlnut.types import Look

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
        from rlnut.control.host_loop import actor
        from rlnut.types import Look

        batch, single = self._read(obs)
        ask, place = actor(self.agent.distribution, self.agent.host)
        look = Look(batch, np.ones(len(batch), bool))
        found = ReturnDistribution(*ask(place(self.params), self.agent.carry(len(batch)), look))
        return ReturnDistribution(found.values[0], found.probabilities[0]) if single else found

    def __reduce__(self) -> tuple[Callable[..., Policy], tuple[object, ...]]:
        """What it was made from: so that a policy can be pickled."""
        if self.origin is None:
            raise TypeError("this policy does not know how its agent was made, so it cannot be pickled")
        import jax

        spec = (self.spec.observation_space, self.spec.action_space, self.spec.acts.choice, self.spec.name)
        return _made_again, (self.origin, spec, jax.device_get(self.params), self.env)

    def _carried_values(self, carry: Carry, look: Look) -> tuple[np.ndarray, Carry]:
        return self._q(self._placed, carry, look)

    def _act(self, carry: Carry, look: Look) -> tuple[np.ndarray, Carry]:
        values, carry = self._q(self._placed, carry, look)
        return np.asarray(greedy_of(values, look.mask)), carry

    def greedy_choices(
        self, stored: np.ndarray, mask: np.ndarray | None = None, lanes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Greedy actions [S] in N = S first observations as `spec` stores them, and their q [S], of one choice of A.

        Equal actions are resolved as in an evaluation of `lanes` episodes side by side: a batch of another size rounds
        in another way, so where two actions are nearly equal, batches of that size are asked.
        """
        from rlnut.control.evaluate import LANES
        from rlnut.learner.explore import allowed

        lanes = LANES if lanes is None else lanes
        size = min(len(stored), max(lanes, BLOCK // len(stored))) if self.agent.host else lanes
        values = self._in_batches(stored, size)
        best, second = np.sort(allowed(values, mask), -1)[:, [-1, -2]].T if values.shape[-1] > 1 else (values[:, 0], 0)
        near = np.abs(best - second) <= NEAR * np.maximum(1, np.abs(best))
        if size != lanes and near.any():
            values[near] = self._in_batches(stored[near], lanes)
        actions = greedy_of(values, mask)
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
        q, acts = self.q(obs), self._acts
        if mask is None and isinstance(obs, dict):
            mask = obs.get(MASK)
        return acts.command(greedy_of(q, mask_of(acts, mask, q.shape[: q.ndim - len(acts.choices)])))

    @property
    def _acts(self) -> Actions:
        return self.spec.acts

    def portable(self) -> tuple[Program, Mapping[str, np.ndarray], str, Actions]:
        """q(s, ·) as a program and its weights, the environment's name, and the actions.

        NotPortable (an RlnutError) where q has no such form.
        """
        import jax

        from rlnut.control.forward import program_of

        program = program_of(self.agent, self.spec, self.params)
        named = jax.tree_util.tree_leaves_with_path(self.params)
        weights = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in named}
        return program, program.fitting(weights, "the policy"), self.spec.name, self.spec.acts

    def export(self, path: str | Path, format: Format | None = None) -> Path:
        """Write q(s, ·) to `path`: observations [batch, ...] -> q [batch, A], for any number of rows.

        format: "onnx" (needs rlnut[onnx]), or "jax", the serialised StableHLO of `jax.export`; None: what the ending
        .onnx or .jax says. Encoding and normalisation are inside. An observation of several parts has an input for each
        ("observation.key"), one that is a single array "observation".
        """
        from rlnut.control.exporting import export

        return export(self, path, format)

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
        from rlnut.control.evaluate import LANES
        from rlnut.control.exact import ExactEvaluator

        if self.origin is None:
            raise UsageError("this policy does not know the γ that it was learned with, so it has no exact value")
        evaluator = evaluator_of(self.env if env is None else env, self.spec, LANES)
        try:
            return ExactEvaluator(evaluator, self.agent, self.origin.learned)(self)
        finally:
            evaluator.close()


def greedy_of(q: np.ndarray, mask: Array | None) -> np.ndarray:
    """argmax_a q(s, a) over the allowed actions: [..., A] -> [...]."""
    return np.asarray((q if mask is None else np.where(mask, q, -np.inf)).argmax(-1))


def mask_of(acts: Actions, mask: Any, lead: tuple[int, ...]) -> np.ndarray | None:
    """A mask, or N of them (`lead` = (N,)), as [A] or [N, A] bool; None: all. UsageError if it is none."""
    if mask is None:
        may = acts.allowed()
        return np.broadcast_to(may, (*lead, *may.shape)) if acts.padded else None
    try:
        rows = [acts.allowed(one) for one in (mask if lead else [mask])]
    except (ValueError, TypeError) as error:
        raise UsageError(f"mask is not one of {acts.saw}: {error}") from None
    if lead and len(rows) != lead[0]:
        raise UsageError(f"mask must have {lead[0]} rows, one for each observation, got {len(rows)}")
    if not all(row.any(-1).all() for row in rows):
        raise UsageError("mask allows no action")
    return np.stack(rows) if lead else rows[0]


def _made_again(
    origin: PolicyOrigin, spaces: tuple[gym.Space, gym.Space, Choice, str], params: Params, env: EnvLike
) -> Policy:
    from rlnut.control.preprocessing import prepared_spec
    from rlnut.envs.spaces import spec_of

    spec = prepared_spec(spec_of(*spaces), origin.training)
    return Policy(origin.config.build(spec, origin.network), spec, params, env, origin)


def evaluator_of(env: EnvLike, spec: Spec, episodes: int, learned: LearnedRewards | None = None) -> Evaluator:
    """An evaluator on new copies of `env`, which must be what `spec` sees; learned: what q estimates."""
    from rlnut.control.evaluate import Evaluator
    from rlnut.control.plan import check_episodes
    from rlnut.envs.make import ENDLESS, maker
    from rlnut.envs.spaces import read_spaces
    from rlnut.runtime.wrappers import time_limit

    check_episodes(episodes)
    evaluator = Evaluator(maker(env), spec, episodes, None, learned)
    if time_limit(evaluator.envs[0]) is None:
        evaluator.limit = ENDLESS
    other = read_spaces(evaluator.envs[0], spec.acts.choice)
    if (other.shape, other.dtype, other.choices) != (spec.shape, spec.dtype, spec.choices):
        evaluator.close()
        raise UsageError(f"the policy was trained on [{spec.saw}], this environment is [{other.saw}]")
    return evaluator
