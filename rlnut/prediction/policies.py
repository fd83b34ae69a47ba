"""Policies by name, as tables or as functions: the one to evaluate, and the behaviour policy.

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
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from rlnut.errors import UsageError, unknown
from rlnut.runtime.files import is_folder, read_npy
from rlnut.runtime.modules import import_users_module
from rlnut.truth.dynamic_programming import MDP, epsilon_soft, policy_iteration
from rlnut.truth.finite import Finite, array_of, distribution
from rlnut.truth.transition_matrices import is_sparse

if TYPE_CHECKING:
    from rlnut.control.policy import Policy

KINDS = ("uniform", "optimal", "FILE.npy", "a run folder", "DIR:behaviour", "MODULE:FUNCTION")
PolicyLike = object  # words, a table, a function, or what has q; what it is not is refused where it is read


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
    S, A = finite.mdp.states, finite.mdp.actions
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
        policy = _greedy(policy, finite, (S, A))
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
    at = (state * mdp.actions + number).reshape(-1) if is_sparse(mdp.P) else (state, number)
    meant = MDP(mdp.P[at], mdp.R[at], mdp.done[at], mdp.start)
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
        raise UsageError(f"a policy must return an action 0 … {A - 1} or {A} probabilities, got {answer!r} at {at}")
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
    """The policy of a run folder, ε-soft."""

    policy: Policy
    epsilon: float

    @property
    def q(self) -> Callable[[object], np.ndarray]:
        """Its values."""
        return self.policy.q


def saved(folder: str, behaviour: bool = False, trust: bool = False) -> Saved:
    """The greedy policy of a run folder, or the ε-greedy one that its training ended with; trust: see `load_policy`."""
    from rlnut.control.run_folder import Recipe, trained_policy

    greedy = trained_policy(folder, trust=trust)
    epsilon = getattr(Recipe(folder, trust=trust).config, "epsilon_end", None) if behaviour else 0.0
    if epsilon is None:
        raise UsageError(f"the run in {folder} did not act ε-greedily: there is no {folder}:behaviour")
    return Saved(greedy, float(epsilon))


class NamedPolicy(NamedTuple):
    """A policy for an environment without tables, before it is known how the environment is read."""

    policy: PolicyLike  # a `Policy`, an object with q, a function; None: uniform; else it is refused later
    epsilon: float = 0.0  # so much of the uniform policy is mixed in


def named_policy(policy: PolicyLike, name: str) -> NamedPolicy:
    """What a word or a Python object stands for on the environment `name`. UsageError for what needs tables."""
    if isinstance(policy, NamedPolicy):
        return policy
    base, epsilon = split_softness(policy) if isinstance(policy, str) else (policy, 0.0)
    if base in ("optimal",) or (isinstance(base, str) and base.endswith(".npy")):
        why = "the optimal policy cannot be computed" if base == "optimal" else "a table [S, A] has no rows"
        raise UsageError(f"{why} for {name}: it has no tables P and R")
    found = None if isinstance(base, str) and base == "uniform" else _named(base) if isinstance(base, str) else base
    if isinstance(found, Saved):
        return NamedPolicy(found.policy, 1 - (1 - epsilon) * (1 - found.epsilon))
    return NamedPolicy(found, epsilon)


def trusted(policy: str | None) -> str | Saved | None:
    """The policy of a run folder that may import what it names; other spellings as they are."""
    base, epsilon = split_softness(policy or "")
    folder = base.removesuffix(":behaviour")
    if not folder or not is_folder(Path(folder)):
        return policy
    found = saved(folder, folder != base, trust=True)
    return found._replace(epsilon=1 - (1 - epsilon) * (1 - found.epsilon))


def _greedy(policy: HasQ, finite: Finite, shape: tuple[int, int]) -> np.ndarray:
    """Greedy on `policy.q` in every state, or as a saved policy is ε-greedy: [S, A]."""
    S, mask = shape[0], finite.allowed
    try:
        q = np.asarray(policy.q(np.arange(S) if finite.shown is None else finite.shown))
    except UsageError as error:
        raise UsageError(f"the saved policy is of another environment: {error}") from None
    if q.shape != shape:
        raise UsageError(f"the saved policy has values {list(q.shape)}, this problem needs {list(shape)}")
    if mask is not None:
        q = np.where(mask.any(-1, keepdims=True), np.where(mask, q, -np.inf), q)
    best = np.eye(q.shape[-1])[q.argmax(-1)]
    epsilon = getattr(policy, "epsilon", 0.0)
    return epsilon_soft(best, epsilon, mask) if epsilon else best
