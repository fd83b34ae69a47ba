"""Policies by name, as tables or as functions: whose values are learned, and who acts.

| spelling                 | policy                                                                          |
|--------------------------|---------------------------------------------------------------------------------|
| `uniform`                | every action that counts, with equal chance                                     |
| `optimal`                | the greedy policy of Q*, by dynamic programming: finite problems only           |
| `FILE.npy`               | a table [S, A] of probabilities, or [S] of actions: finite problems only        |
| `DIR`, `DIR:behaviour`   | of a run folder: the greedy policy; ε-greedy with the ε at the end of training  |
| `MODULE:FUNCTION`        | Python: an observation -> probabilities [A], or an action                       |

Each may end in `:ε`, as in `optimal:0.1`: (1 − ε) π + ε · uniform. In Python also a function, an array, or what
`rlnut.load_policy` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import gymnasium as gym
import jax
import numpy as np

from rlnut.errors import UsageError, unknown
from rlnut.prediction.masked import mask_row
from rlnut.runtime.files import is_folder, read_npy
from rlnut.runtime.modules import import_users_module
from rlnut.truth.dynamic_programming import MDP, epsilon_soft, policy_iteration
from rlnut.truth.finite import Finite, array_of, distribution
from rlnut.truth.start_states import Act, Element

if TYPE_CHECKING:
    from rlnut.learner.agent import Agent

KINDS = ("uniform", "optimal", "FILE.npy", "a run folder", "DIR:behaviour", "MODULE:FUNCTION")
Anything = TypeVar("Anything")
PolicyLike = object  # words, a table, a function, or what has q; what it is not is refused where it is read


class Chances(Protocol):
    """π(a|s) [B, A] of observations [B, ...]; `mask` [B, A] bool: allowed actions, no other has a chance."""

    def __call__(self, obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray: ...


class HasQ(Protocol):
    """A policy that is greedy on values."""

    @property
    def q(self) -> Callable[[np.ndarray], np.ndarray]: ...  # of observations [B, ...]: [B, A]


def split_softness(words: str) -> tuple[str, float]:
    """ "optimal:0.1" -> ("optimal", 0.1); without a number ε = 0."""
    base, colon, last = words.rpartition(":")
    try:
        epsilon = float(last)
    except ValueError:
        return words, 0.0
    if not colon or not 0 <= epsilon <= 1:
        raise UsageError(
            f"ε of a policy must be >= 0 and <= 1 and come after its name, as in optimal:0.1, got {words!r}"
        )
    return base, epsilon


def as_table(policy: PolicyLike, finite: Finite, gamma: float) -> np.ndarray:
    """π [S, A] of a finite problem; None: the problem's own, else uniform. Raises UsageError for what is no policy."""
    S, A, _ = finite.mdp.P.shape
    if policy is None:
        policy = "uniform" if finite.policy is None else finite.policy
    if isinstance(policy, str):
        base, epsilon = split_softness(policy)
        if base == "uniform":
            return epsilon_soft(np.zeros((S, A)), 1.0, finite.allowed)
        found = _optimal(finite, gamma) if base == "optimal" else None
        table = as_table(_named(base), finite, gamma) if found is None else found
        return epsilon_soft(table, epsilon, finite.allowed) if epsilon else table
    if hasattr(policy, "q"):
        policy = _greedy(policy, 0.0, (S, A))(np.arange(S) if finite.shown is None else finite.shown, finite.allowed)
    elif callable(policy):
        seen = range(S) if finite.shown is None else zip(*(part.tolist() for part in finite.shown), strict=True)
        policy = np.stack([_row(policy(obs), A, obs) for obs in seen])
    table = _table(policy, S, A)
    if finite.allowed is not None:
        _check_allowed(table, finite.allowed, np.arange(S))
    return table


def _optimal(finite: Finite, gamma: float) -> np.ndarray:
    """The best policy [S, A] of allowed actions: a forbidden one is taken for the first allowed one of its state."""
    mdp, allowed = finite.mdp, finite.allowed
    if allowed is None:
        return policy_iteration(mdp, gamma).policy
    first = allowed.argmax(1)
    number = np.where(allowed, np.arange(allowed.shape[1]), first[:, None])  # [S, A] the action that is meant
    state = np.arange(len(first))[:, None]
    meant = MDP(mdp.P[state, number], mdp.R[state, number], mdp.done[state, number], mdp.start)
    best = policy_iteration(meant, gamma).policy
    found = np.zeros_like(best)
    np.add.at(found, (np.broadcast_to(state, number.shape), number), best)
    return found


def _check_allowed(chances: np.ndarray, allowed: np.ndarray, at: np.ndarray) -> None:
    """UsageError for a policy [B, A] that takes an action which is forbidden where others are allowed."""
    if (bad := (chances > 0) & ~allowed.astype(bool) & allowed.any(1, keepdims=True)).any():
        k, a = np.argwhere(bad)[0]
        raise UsageError(f"the policy takes action {a} at {at[k]}, where it is forbidden")


def _table(policy: PolicyLike, S: int, A: int) -> np.ndarray:
    array = array_of("policy", policy)
    if array.shape == (S,) and array.dtype.kind in "iu":
        if not ((array >= 0) & (array < A)).all():
            raise UsageError(f"actions of a policy must be 0 … {A - 1}, got {array.min()} … {array.max()}")
        return np.eye(A)[array]
    return distribution("policy", array, {"[S, A]": (S, A)})


def _row(answer: object, A: int, at: object) -> np.ndarray:
    """What a policy function answered, as probabilities [A]."""
    array = array_of(f"the policy's answer at {at}", answer)
    if array.ndim == 0 and array.dtype.kind in "iu" and 0 <= array < A:
        return np.eye(A)[int(array)]
    if array.shape != (A,):
        raise UsageError(
            f"a policy must answer with an action 0 … {A - 1} or with {A} probabilities, got {answer!r} at {at}"
        )
    return distribution(f"the policy's answer at {at}", array, {"[A]": (A,)})


def _named(base: str) -> PolicyLike:
    """What stands behind a word that is not `uniform` or `optimal`: a table, a function, or a saved run with q."""
    if base.endswith(".npy"):
        return read_npy(base)
    folder, colon, last = base.rpartition(":")
    if colon and last == "behaviour":
        return saved(folder, behaviour=True)
    if is_folder(Path(base)):
        return saved(base)
    if colon:
        return _imported(folder, last)
    raise unknown("policy", base, KINDS)


def _imported(module: str, name: str) -> Callable[..., object]:
    """A function of the user's, from a module that Python finds, or one in the working folder."""
    try:
        found = getattr(import_users_module(module), name)
    except Exception as error:  # whatever the user's module does when it is imported
        raise UsageError(f"policy {module}:{name} cannot be imported: {error}") from None
    if not callable(found):
        raise UsageError(f"policy {module}:{name} is not a function")
    return found


class Saved(NamedTuple):
    """The policy of a run folder."""

    q: Callable[[np.ndarray], np.ndarray]  # observations [B, ...] -> [B, A]
    epsilon: float
    act: Callable[..., np.ndarray] | None = None  # (observation, mask) -> the greedy action as the environment takes it
    agent: Agent | None = None


def saved(folder: str, behaviour: bool = False, trust: bool = False) -> Saved:
    """The greedy policy of a run folder, or the ε-greedy one that its training ended with; trust: see `load_policy`."""
    from rlnut.control.run_folder import Recipe, load_policy

    greedy = load_policy(folder, trust=trust)
    epsilon = getattr(Recipe(folder, trust=trust).config, "epsilon_end", None) if behaviour else 0.0
    if epsilon is None:
        raise UsageError(f"the run in {folder} did not act ε-greedily: there is no {folder}:behaviour")
    return Saved(greedy.q, float(epsilon), greedy.act, greedy.agent)


def trusted(policy: str | None) -> str | Saved | None:
    """The policy of a run folder that may import what it names; other spellings as they are."""
    base, epsilon = split_softness(policy or "")
    folder = base.removesuffix(":behaviour")
    if not folder or not is_folder(Path(folder)):
        return policy
    found = saved(folder, folder != base, trust=True)
    return found._replace(epsilon=1 - (1 - epsilon) * (1 - found.epsilon))


def _greedy(policy: HasQ, epsilon: float, shape: tuple[int, int] | None = None) -> Chances:
    """ε-greedy on q: `policy.q` of observations [B, ...]."""
    epsilon = max(epsilon, getattr(policy, "epsilon", 0.0))

    def chances(obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        try:
            q = np.asarray(policy.q(obs))
        except UsageError as error:
            raise UsageError(f"the saved policy is of another environment: {error}") from None
        if shape is not None and q.shape != shape:
            raise UsageError(f"the saved policy has values {list(q.shape)}, this problem needs {list(shape)}")
        if mask is not None:
            q = np.where(mask.any(-1, keepdims=True), np.where(mask, q, -np.inf), q)
        best = np.eye(q.shape[-1])[q.argmax(-1)]
        return epsilon_soft(best, epsilon, mask) if epsilon else best

    return chances


class HostPolicy(NamedTuple):
    """A policy on an environment without tables."""

    act: Act  # (observation, rng) -> the environment's action
    chances: Chances | None  # None: actions are continuous, so there is no ρ and no Q
    first: int = 0  # the environment's number of action 0


def on_env(policy: PolicyLike, space: gym.Space, name: str) -> HostPolicy:
    """A policy for an action space; None: uniform. Raises UsageError for what needs tables."""
    if isinstance(policy, HostPolicy):
        return policy
    if not isinstance(space, gym.spaces.Discrete):
        return _continuous(policy, space, name)
    A, first = int(space.n), int(space.start)
    base, epsilon = split_softness(policy) if isinstance(policy, str) else (policy, 0.0)
    if base in ("optimal",) or (isinstance(base, str) and base.endswith(".npy")):
        why = "the optimal policy cannot be computed" if base == "optimal" else "a table [S, A] has no rows"
        raise UsageError(f"{why} for {name}: it has no tables P and R")
    if base is None or (isinstance(base, str) and base == "uniform"):
        return _uniform(A, first)
    found = _named(base) if isinstance(base, str) else base
    chances: Chances
    if hasattr(found, "q"):
        chances = _greedy(_memoryless(found), 0.0)
    elif callable(found):

        def chances(obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
            answers = np.stack([_row(found(o), A, o) for o in obs])
            if mask is not None:
                _check_allowed(answers, mask, obs)
            return answers
    else:
        raise UsageError(f"a policy for {name} is a word or a function of an observation, got {type(found).__name__}")

    def probabilities(obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        return epsilon_soft(chances(obs, mask), epsilon, mask) if epsilon else chances(obs, mask)

    def act(obs: Element, rng: np.random.Generator) -> int:
        mask = mask_row(obs, A)
        row = np.cumsum(probabilities(np.asarray(obs)[None], None if mask is None else mask[None])[0])
        return first + min(int(np.searchsorted(row, rng.random() * row[-1], side="right")), A - 1)

    return HostPolicy(act, probabilities, first)


def _uniform(A: int, first: int) -> HostPolicy:
    """Every allowed action with equal chance."""

    def act(obs: Element, rng: np.random.Generator) -> int:
        mask = mask_row(obs, A)
        return first + int(rng.integers(A) if mask is None else rng.choice(np.flatnonzero(mask)))

    def chances(obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        return epsilon_soft(np.zeros((len(obs), A)), 1.0, mask)

    return HostPolicy(act, chances, first)


def _memoryless(policy: Anything) -> Anything:
    """The policy; UsageError for one that carries something through time: it is no function of the observation."""
    agent = getattr(policy, "agent", None)
    if agent is not None and jax.tree.leaves(agent.carry(1)):
        raise UsageError(
            "a recurrent policy remembers, so its values are no function of the observation: use rlnut evaluate"
        )
    return policy


def _continuous(policy: PolicyLike, space: gym.Space, name: str) -> HostPolicy:
    """Actions that are no numbers 0 … A − 1: uniform over a bounded box, or a function of the user's."""
    found = _named(policy) if isinstance(policy, str) and policy != "uniform" else policy
    if found is None or isinstance(found, str):
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            raise UsageError(f"{name}: the uniform policy needs a Discrete or a bounded Box action space, got {space}")
        low, high, kind = space.low, space.high, space.dtype
        return HostPolicy(lambda obs, rng: rng.uniform(low, high).astype(kind), None)
    if hasattr(found, "act") and hasattr(found, "q"):
        if getattr(found, "epsilon", 0.0):
            raise UsageError(f"{name} has actions {space}: only the greedy policy of a run is known, not an ε-soft one")
        player = _memoryless(found)
        return HostPolicy(lambda obs, rng: player.act(np.asarray(obs), getattr(obs, "mask", None)), None)
    if not callable(found) or hasattr(found, "q"):
        raise UsageError(f"{name} has actions {space}: its policy must be a function of an observation")
    return HostPolicy(lambda obs, rng: found(obs), None)
