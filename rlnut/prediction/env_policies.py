"""Policies on environments without tables: π(·|s) from what N environments show, and actions drawn from it.

Uniform and saved policies read stored observations, N at a time, and can act in JAX; a function of the user's is given
each observation as the environment gives it. Actions are numbered as in training (`rlnut.envs.actions`), so that ρ, Q
and masks mean the same; where nothing needs numbers, a policy may give actions of any space (`chances` None).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut.control.policy import Policy
from rlnut.envs.observations import written_back
from rlnut.envs.spaces import observing_spec, read_spaces
from rlnut.errors import UsageError
from rlnut.learner.behaviour import sample
from rlnut.learner.spec import Choice, Spec
from rlnut.prediction.policies import NamedPolicy, PolicyLike, named_policy
from rlnut.truth.dynamic_programming import epsilon_soft
from rlnut.truth.finite import array_of, distribution
from rlnut.truth.start_states import Element
from rlnut.types import Array, Look, namespace

Rngs = Sequence[np.random.Generator]  # one for each environment, so that a run does not depend on the others


class Situation(NamedTuple):
    """What N environments show a policy."""

    obs: np.ndarray  # [N, ...] as stored
    raw: Sequence[Element]  # the same as the environments gave it
    mask: np.ndarray | None = None  # [N, A] or [N, D, K] bool: allowed actions; None = all


class EnvPolicy(NamedTuple):
    """A policy on an environment."""

    spec: Spec
    chances: Callable[[Situation], np.ndarray] | None  # π [N, A], or [N, D, K] of decoupled actions; None: not numbered
    free: Callable[[Element, np.random.Generator], Element] | None = None  # the environment's own action, where None
    traced: Callable[[Array, Array | None], Array] | None = None  # π of stored observations and masks, in JAX
    pick: Callable[[float], int] | None = None  # `sample` of u where nothing is masked, if π is the same everywhere

    def decide(self, seen: Situation, rngs: Rngs, asked: np.ndarray | None = None) -> tuple[Any, np.ndarray | None]:
        """Actions [N] (or [N, D], or a list of the environment's own), and π if actions are numbered.

        Only environments that are `asked` [N] (None: all) draw a number; the actions of the others mean nothing.
        """
        _, chances, free, _, pick = self
        if chances is None:
            assert free is not None
            wanted = [True] * len(seen.raw) if asked is None else asked
            each = zip(seen.raw, rngs, wanted, strict=True)
            return [free(raw, rng) if here else None for raw, rng, here in each], None
        found = chances(seen)
        if pick is not None and seen.mask is None:
            if asked is None:
                drawn = [pick(rng.random()) for rng in rngs]
            else:
                drawn = [pick(rng.random()) if here else 0 for rng, here in zip(rngs, asked, strict=True)]
            return np.array(drawn, np.int32), found
        size = found.shape[1:-1]
        if asked is None:
            return sample(found, np.array([rng.random(size) for rng in rngs])), found
        u = [rng.random(size) if here else np.zeros(size) for rng, here in zip(rngs, asked, strict=True)]
        return sample(found, np.array(u)), found

    def at(self, stored: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """π at stored observations [B, ...], whoever met them."""
        assert self.chances is not None
        return self.chances(from_stored(self.spec, stored, mask))


def from_stored(spec: Spec, stored: np.ndarray, mask: np.ndarray | None = None) -> Situation:
    """What is stored, as the environment would show it."""
    return Situation(stored, Lazily(spec.observation_space, stored), mask)


class Lazily(Sequence):
    """Stored observations, written back one by one: few policies ask for them."""

    def __init__(self, space: gym.Space, stored: np.ndarray) -> None:
        self.space, self.stored = space, stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, i: Any) -> Any:
        return written_back(self.space, self.stored[i])


def sample_one(below: list[float], u: float) -> int:
    """`sample` of one policy, from its cumulative probabilities [A]."""
    return bisect_right(below, u * below[-1])


def chance_of(chances: np.ndarray, action: np.ndarray) -> np.ndarray:
    """π(a|s) of actions [N] or [N, D] under chances [N, A] or [N, D, K]: [N]."""
    if chances.ndim == 2:
        return chances[np.arange(len(chances)), action]
    each = np.take_along_axis(chances, np.asarray(action)[..., None], -1)[..., 0]
    return each.reshape(len(each), -1).prod(1)


def prediction_spec(example: gym.Env, choice: Choice, numbered: bool, policies: Sequence[NamedPolicy]) -> Spec:
    """How an environment is read: actions numbered as in training where `numbered`, or where there is no other way.

    Bins are those of a saved policy, if `choice` leaves them open.
    """
    chosen = [p.policy.spec.acts.choice for p in policies if isinstance(p.policy, Policy)]
    if choice == Choice() and chosen:
        choice = chosen[0]
    space, title = example.action_space, read_title(example)
    served = (gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
    if numbered or chosen or choice != Choice() or isinstance(space, served):
        return read_spaces(example, choice)
    return observing_spec(example.observation_space, space, title)


def read_title(env: gym.Env) -> str:
    """The environment's name."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def on_env(policy: PolicyLike, spec: Spec) -> EnvPolicy:
    """A policy for what `spec` reads; None: uniform. Raises UsageError for what needs tables."""
    if isinstance(policy, EnvPolicy):
        return policy
    base, epsilon = named_policy(policy, spec.name)
    if not spec.choices[-1]:
        return _free(base, epsilon, spec)
    if base is None:
        return _uniform(spec)
    if isinstance(base, Policy):
        return _softened(_saved(base, spec), epsilon, spec)
    if hasattr(base, "q"):
        greedy = EnvPolicy(spec, lambda seen: greedy_chances(_asked(base, seen, spec), _allowed(spec, seen.mask)))
        return _softened(greedy, epsilon, spec)
    if not callable(base):
        kind = type(base).__name__
        raise UsageError(f"a policy for {spec.name} is a word or a function of an observation, got {kind}")

    def chances(seen: Situation) -> np.ndarray:
        rows = np.stack([_row(base(raw), spec, raw) for raw in seen.raw])
        if seen.mask is not None and (bad := (rows > 0) & ~seen.mask).any():
            k, *a = np.argwhere(bad)[0].tolist()
            raise UsageError(f"the policy takes action {a[-1]} at {seen.raw[k]}, where it is forbidden")
        return rows

    return _softened(EnvPolicy(spec, chances), epsilon, spec)


def _softened(policy: EnvPolicy, epsilon: float, spec: Spec) -> EnvPolicy:
    """(1 − ε) π + ε · uniform over the allowed actions; of decoupled ones in each group."""
    chances, traced = policy.chances, policy.traced
    if not epsilon or chances is None:
        return policy

    def soft(seen: Situation) -> np.ndarray:
        assert chances is not None
        return epsilon_soft(chances(seen), epsilon, _allowed(spec, seen.mask))

    def soft_traced(obs: Array, mask: Array | None) -> Array:
        assert traced is not None
        return epsilon_soft(traced(obs, mask), epsilon, _allowed(spec, mask))

    return policy._replace(chances=soft, traced=None if traced is None else soft_traced)


def _allowed(spec: Spec, mask: Any) -> Any:
    """The mask; of groups with fewer choices than others what there is of them."""
    return spec.acts.allowed() if mask is None and spec.acts.padded else mask


def _uniform(spec: Spec) -> EnvPolicy:
    """Every allowed action with equal chance."""
    even = epsilon_soft(np.zeros(spec.choices), 1.0, spec.acts.allowed())
    below: list[float] = even.cumsum(-1).reshape(-1).tolist()

    @lru_cache(maxsize=8)  # of environments side by side, the same in every step
    def unmasked(count: int) -> np.ndarray:
        return np.broadcast_to(even, (count, *even.shape))

    def chances(seen: Situation) -> np.ndarray:
        return unmasked(len(seen.obs)) if seen.mask is None else seen.mask / seen.mask.sum(-1, keepdims=True)

    def traced(obs: Array, mask: Array | None) -> Array:
        if mask is None:
            return jnp.broadcast_to(jnp.asarray(even), (len(obs), *even.shape))
        return mask / mask.sum(-1, keepdims=True)

    one = len(spec.choices) == 1
    return EnvPolicy(spec, chances, traced=traced, pick=(lambda u: sample_one(below, u)) if one else None)


def greedy_chances(q: Any, mask: Any) -> Any:
    """All on the first best of the allowed actions: q [N, A] or [N, D, K]."""
    xp = namespace(q)
    q = q if mask is None else xp.where(mask, q, -xp.inf)
    return xp.eye(q.shape[-1])[q.argmax(-1)]


def _saved(policy: Policy, spec: Spec) -> EnvPolicy:
    """The greedy policy of a run; UsageError for one that carries something through time, or of another environment."""
    if jax.tree.leaves(policy.agent.carry(1)):
        raise UsageError(
            "a recurrent policy remembers, so its values are no function of the observation: use rlnut evaluate"
        )
    ours, theirs = ((s.shape, s.dtype, s.choices) for s in (spec, policy.spec))
    if ours != theirs:
        raise UsageError(
            f"the saved policy is of another environment: it was learned on [{policy.spec.saw}], {spec.name} is"
            f" [{spec.saw}]"
        )
    agent = policy.agent

    def traced(obs: Array, mask: Array | None) -> Array:
        count = len(obs)
        params = jax.tree.map(jnp.asarray, policy.params)
        q, _ = agent.q(params, agent.carry(count), Look(obs, jnp.ones(count, bool)))
        return greedy_chances(jnp.asarray(q), _allowed(spec, mask))

    def chances(seen: Situation) -> np.ndarray:
        found = greedy_chances(np.asarray(policy.values(seen.obs)), _allowed(spec, seen.mask))
        return np.asarray(found)

    return EnvPolicy(spec, chances, traced=traced)


def _asked(policy: Any, seen: Situation, spec: Spec) -> np.ndarray:
    """q(s, ·) of an object with a method q, which is given N observations as the environment gives them."""
    q = np.asarray(policy.q(side_by_side(spec.observation_space, list(seen.raw))))
    if q.shape != (shape := (len(seen.obs), *spec.choices)):
        raise UsageError(f"the policy has values {list(q.shape)}, {spec.name} needs {list(shape)}")
    return q


def side_by_side(space: gym.Space, raw: Sequence[Element]) -> Any:
    """N observations as Gymnasium's vector environments give them: arrays [N, ...], in a dict or tuple where parts."""
    if isinstance(space, gym.spaces.Dict):
        return {key: side_by_side(part, [one[key] for one in raw]) for key, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(side_by_side(part, [one[i] for one in raw]) for i, part in enumerate(space.spaces))
    if space.shape is None:  # a part that no learner is shown
        return list(raw)
    return np.stack([np.asarray(one, space.dtype) for one in raw])


def _row(answer: object, spec: Spec, at: object) -> np.ndarray:
    """What a policy function answered, as probabilities [A] or [D, K]; an action is taken for certain."""
    array = array_of(f"the policy's answer at {at}", answer)
    A = spec.actions
    if array.ndim == 0 and len(spec.choices) == 1 and array.dtype.kind in "iu" and 0 <= array < A:
        return np.eye(A)[int(array)]
    as_taken = spec.acts.values is not None and array.shape == spec.acts.shape and array.dtype.kind in "iuf"
    if as_taken and (number := action_number(array, spec)) is not None:
        return np.eye(A)[number]
    if array.shape != spec.choices:
        wanted = f"an action 0 … {A - 1}" if spec.acts.values is None else f"an action of {spec.action_space}"
        many = math.prod(spec.choices)
        raise UsageError(f"a policy must return {wanted} or {many} probabilities, got {answer!r} at {at}")
    return distribution(f"the policy's answer at {at}", array, {"[A]": spec.choices})


def action_number(action: np.ndarray, spec: Spec) -> np.ndarray | None:
    """The number [] or [D] of an action as the environment takes it; None if the learner has no such action."""
    values = np.asarray(spec.acts.values, float)
    if len(spec.choices) == 1:
        far = np.abs(values.reshape(len(values), -1) - action.reshape(1, -1)).max(-1)
    else:
        far = np.abs(values - action.reshape(-1, 1))
    return far.argmin(-1) if (far.min(-1) <= 1e-6).all() else None


def _free(base: PolicyLike, epsilon: float, spec: Spec) -> EnvPolicy:
    """Actions as the environment takes them: uniform over a bounded box, or a function of the user's."""
    space = spec.action_space
    if epsilon:
        raise UsageError(f"{spec.name}: an ε-soft policy needs numbered actions: give --bins or --actions")
    if base is None:
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            raise UsageError(
                f"{spec.name}: the uniform policy needs a Discrete, MultiDiscrete, MultiBinary or bounded Box action"
                f" space, got {space}"
            )
        low, high, kind = space.low, space.high, space.dtype
        return EnvPolicy(spec, None, lambda raw, rng: rng.uniform(low, high).astype(kind))
    if not callable(base):
        raise UsageError(f"{spec.name} has actions {space}: its policy must be a function of an observation")
    return EnvPolicy(spec, None, lambda raw, rng: base(raw))
