"""The truth for finite problems: dynamic programming in float64 NumPy (S&B chapters 3 and 4).

An `MDP` holds its tables, a `Chain` is what a policy π makes of it (over states for V, over pairs for Q), and every
other quantity is a linear solve on the chain. γ = 1 is allowed where episodes are certain to end, refused elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

import numpy as np

from rlnut.errors import RlnutError, UsageError
from rlnut.types import Array, namespace

AnyArray = TypeVar("AnyArray", bound=Array)
NEVER_ENDS = "γ = 1 is refused: episodes are not certain to end from state {state}; give γ < 1"


class MDP(NamedTuple):
    """A finite Markov decision process. Termination belongs to the transition, as in Gymnasium's toy-text `P`."""

    P: np.ndarray  # [S, A, S] p(s'|s, a), each row sums to 1
    R: np.ndarray  # [S, A, S] expected reward of the transition
    done: np.ndarray  # [S, A, S] probability that the transition terminates the episode
    start: np.ndarray  # [S] distribution of the first state


class Chain(NamedTuple):
    """A Markov reward process: v = r + γ P v. An episode ends with probability 1 − Σ P(s, ·)."""

    P: np.ndarray  # [S, S] probability of going on to s' (rows sum to at most 1)
    r: np.ndarray  # [S] expected reward of one step
    start: np.ndarray  # [S]


def uniform(mdp: MDP) -> np.ndarray:
    """π(a|s) = 1/A: [S, A]."""
    S, A, _ = mdp.P.shape
    return np.full((S, A), 1 / A)


def epsilon_soft(policy: AnyArray, epsilon: Array | float, allowed: Array | None = None) -> AnyArray:
    """(1 − ε) π + ε · uniform over the allowed actions (None: all), of NumPy or JAX arrays (S&B 5.4): [..., A].

    epsilon: one number, or any shape that broadcasts with π, such as [N, 1].
    """
    may = namespace(policy).ones_like(policy) if allowed is None else allowed
    return cast(AnyArray, (1 - epsilon) * policy + epsilon * (may / may.sum(-1, keepdims=True)))


def chain(mdp: MDP, policy: np.ndarray) -> Chain:
    """The chain over states under π [S, A]: P = Σ_a π(a|s) p(s'|s, a), r = Σ_a π(a|s) Σ_s' p R."""
    P = np.einsum("sa,sat->st", policy, mdp.P * (1 - mdp.done))
    return Chain(P, np.einsum("sa,sa->s", policy, _reward(mdp)), mdp.start)


def pair_chain(mdp: MDP, policy: np.ndarray) -> Chain:
    """The chain over pairs (s, a), numbered s·A + a, so that its values are Q_π."""
    S, A, _ = mdp.P.shape
    P = np.einsum("sat,tb->satb", mdp.P * (1 - mdp.done), policy).reshape(S * A, S * A)
    return Chain(P, _reward(mdp).reshape(-1), (mdp.start[:, None] * policy).reshape(-1))


def _reward(mdp: MDP) -> np.ndarray:
    return np.einsum("sat,sat->sa", mdp.P, mdp.R)


def check_gamma(gamma: float) -> float:
    """0 <= γ <= 1, else UsageError."""
    if not 0 <= gamma <= 1:
        raise UsageError(f"γ must be >= 0 and <= 1, got {gamma}")
    return float(gamma)


def _reached(edges: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Which nodes can be reached from `sources` (bool [S]) along `edges` (bool [S, S]), themselves included."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    S = len(edges)
    graph = np.zeros((S + 1, S + 1), bool)
    graph[:S, :S], graph[S, :S] = edges, sources
    order = breadth_first_order(csr_array(graph), S, return_predecessors=False)
    found = np.zeros(S + 1, bool)
    found[order] = True
    return found[:S]


def reachable(process: Chain) -> np.ndarray:
    """States that an episode can be in, bool [S]; a state that only ends episodes is not among them."""
    return _reached(process.P > 0, process.start > 0)


def ends(process: Chain) -> np.ndarray:
    """States from which the episode ends with probability 1, bool [S]."""
    return ~_reached((process.P > 0).T, ~_can_end(process))


def _can_end(process: Chain) -> np.ndarray:
    return _reached((process.P > 0).T, process.P.sum(1) < 1 - 1e-12)


def values(process: Chain, gamma: float) -> np.ndarray:
    """v = (I − γP)⁻¹ r (S&B 4.4): [S]. With γ = 1, NaN where nothing is defined and no episode can be.

    Raises UsageError if γ = 1 and an episode that can happen is not certain to end.
    """
    return solve_chain(process, process.r, check_gamma(gamma), gamma)


def solve_chain(process: Chain, r: np.ndarray, gamma: float, discount: float) -> np.ndarray:
    """x = r + discount·P x where x is defined: [S]; γ = 1 is what decides whether it must be proper."""
    known = np.ones(len(r), bool)
    if gamma == 1:
        known = ends(process)
        if (lost := reachable(process) & ~known).any():
            raise UsageError(NEVER_ENDS.format(state=int(np.argmax(lost))))
    x = np.full(len(r), np.nan)
    P = process.P[np.ix_(known, known)]
    x[known] = np.linalg.solve(np.eye(len(P)) - discount * P, r[known])
    return x


def action_values(mdp: MDP, v: np.ndarray, gamma: float) -> np.ndarray:
    """Q(s, a) = Σ p (R + γ v(s')) (S&B 4.6): [S, A]; a NaN of v counts only where it can be reached."""
    going_on = mdp.P * (1 - mdp.done)
    later = np.einsum("sat,t->sa", going_on, np.nan_to_num(v))
    later[(going_on[..., np.isnan(v)] > 0).any(-1)] = np.nan
    return _reward(mdp) + gamma * later


def limited(mdp: MDP, steps: int, policy: np.ndarray | None = None, gamma: float = 1.0) -> np.ndarray:
    """What the next `steps` steps pay, discounted by γ: under π [S, A], or (None) the most that any policy can: [S].

    It is the expected return inside a time limit; the best policy may look at the clock (S&B 3.3, 4.3).
    """
    r, going_on = _reward(mdp), mdp.P * (1 - mdp.done)
    v = np.zeros(len(r))
    for _ in range(steps):
        Q = r + gamma * (going_on @ v)
        v = Q.max(1) if policy is None else (policy * Q).sum(1)
    return v


def true_values(mdp: MDP, policy: np.ndarray, gamma: float, also: np.ndarray | None = None) -> np.ndarray:
    """V_π as a report shows it, [S]: 0 in a state that only ends episodes, NaN in one that cannot be reached.

    `also` is a second policy [S, A] (the behaviour b) whose states count as reached.
    """
    process = chain(mdp, policy)
    seen = occupied(mdp, policy, also)
    v = values(process._replace(start=seen / seen.sum()), gamma)
    return np.where(seen, v, np.where(_entered_last(mdp, seen), 0.0, np.nan))


def occupied(mdp: MDP, policy: np.ndarray, also: np.ndarray | None = None) -> np.ndarray:
    """States where an episode under π, or under either of two policies, can still go on: bool [S]."""
    acts = policy if also is None else also
    seen = reachable(chain(mdp, acts))
    return seen if also is None else _reached(chain(mdp, policy).P > 0, seen)


def _entered_last(mdp: MDP, seen: np.ndarray) -> np.ndarray:
    return (mdp.P[seen] * mdp.done[seen] > 0).any((0, 1)) | ((mdp.done == 1) & (mdp.P == 1)).all(1).diagonal()


def visits(process: Chain) -> np.ndarray:
    """On-policy distribution μ [S] (S&B 9.2, 9.3): the long-run share of time, a new episode following each end.

    With several recurrent classes each has the weight with which the start leads to it.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    seen = reachable(process)
    P = process.P + np.outer(1 - process.P.sum(1), process.start)
    P = P[np.ix_(seen, seen)]
    _, label = connected_components(csr_array(P > 0), connection="strong")
    found = np.zeros(len(P))
    leaves = np.array([(P[label == c][:, label != c] > 0).any() for c in range(label.max() + 1)])
    passing = leaves[label]
    time = np.linalg.solve(np.eye(passing.sum()) - P[passing][:, passing].T, process.start[seen][passing])
    arriving = process.start[seen] + time @ P[passing]
    for c in np.flatnonzero(~leaves):
        inside = P[label == c][:, label == c]
        # the ones add the equation Σ μ = 1 to μ(I − P) = 0 and make it regular
        share = np.linalg.solve(np.eye(len(inside)) - inside.T + 1, np.ones(len(inside)))
        found[label == c] = share * arriving[label == c].sum()
    mu = np.zeros(len(process.r))
    mu[seen] = np.clip(found, 0, None) / found.sum()
    return mu


def discounted_visits(process: Chain, gamma: float) -> np.ndarray:
    """d = (1 − γ) start (I − γP̃)⁻¹ with restarts P̃ [S], for γ < 1; γ -> 1 gives `visits`."""
    if not 0 <= check_gamma(gamma) < 1:
        raise UsageError("the discounted state distribution needs γ < 1; use visits for γ = 1")
    P = process.P + np.outer(1 - process.P.sum(1), process.start)
    return (1 - gamma) * np.linalg.solve(np.eye(len(P)) - gamma * P.T, process.start)


class Optimum(NamedTuple):
    """What `policy_iteration` and `value_iteration` find."""

    V: np.ndarray  # [S]
    Q: np.ndarray  # [S, A]
    policy: np.ndarray  # [S, A] deterministic, greedy
    steps: int  # sweeps or policies tried
    error: float  # bound on max |V − V*|; γ = 1: the last change, no bound exists in general


def ties(Q: np.ndarray, near: float = 1e-9) -> np.ndarray:
    """Which actions are greedy up to the relative difference `near`: bool [S, A]."""
    top = Q.max(1, keepdims=True)
    return np.greater_equal(Q, top - near * np.maximum(1, np.abs(top)))


def greedy_table(Q: np.ndarray) -> np.ndarray:
    """The greedy policy [S, A]; of equal actions the first."""
    return np.eye(Q.shape[1])[ties(Q, 1e-12).argmax(1)]


def value_iteration(mdp: MDP, gamma: float, tolerance: float = 1e-12, most: int = 1_000_000) -> Optimum:
    """v <- max_a Σ p (R + γ v(s')) from v = 0 (S&B 4.10) until the error is below `tolerance`.

    γ < 1: ‖v − V*‖∞ <= γ/(1 − γ) ‖Δv‖∞. γ = 1: until v stands still; UsageError if it grows without end where an
    episode can be, NaN where that happens elsewhere.
    """
    gamma = check_gamma(gamma)
    r, going_on = _reward(mdp), mdp.P * (1 - mdp.done)
    even = chain(mdp, uniform(mdp))
    seen = reachable(even)
    if gamma == 1 and (lost := seen & ~_can_end(even)).any():
        raise UsageError(NEVER_ENDS.format(state=int(np.argmax(lost))))
    known = seen | ends(even) if gamma == 1 else np.ones(len(r), bool)
    scale = gamma / (1 - gamma) if gamma < 1 else 1.0
    limit = 1e4 * len(r) * max(1.0, float(np.abs(r).max())) if gamma == 1 else np.inf
    v = np.zeros(len(r))
    for step in range(1, most + 1):
        Q = r + gamma * (going_on @ v)
        new = Q.max(1)
        if (high := known & (np.abs(new) > limit)).any():
            if (high & seen).any():
                raise UsageError(NEVER_ENDS.format(state=int(np.argmax(high & seen))))
            known &= seen
        error = scale * float(np.abs(new - v)[known].max())
        v, height = new, float(np.abs(new[known]).max())
        if error <= max(tolerance, 4 * np.finfo(float).eps * scale * height):  # the rounding of the sums themselves
            Q = r + gamma * (going_on @ v)
            policy = greedy_table(Q) if gamma < 1 else _progressing(mdp, Q)
            v[~known], Q[~known] = np.nan, np.nan
            return Optimum(v, Q, policy, step, error)
    raise RlnutError(f"value iteration did not settle in {most} sweeps: last error {error:.3g}")


def _progressing(mdp: MDP, Q: np.ndarray) -> np.ndarray:
    """γ = 1: of the greedy actions one that leads nearer to the end, since the others may circle for ever."""
    best, going_on = ties(Q), mdp.P * (1 - mdp.done)
    near = np.zeros(len(Q), bool)
    choice = np.argmax(best, 1)
    while True:
        ahead = best & ((going_on.sum(2) < 1 - 1e-12) | ((going_on > 0) & near).any(2))
        new = ahead.any(1) & ~near
        if not new.any():
            return np.eye(Q.shape[1])[choice]
        choice = np.where(new, np.argmax(ahead, 1), choice)
        near |= new


def policy_iteration(mdp: MDP, gamma: float, most: int = 10_000) -> Optimum:
    """Evaluate and be greedy until no action is better (S&B 4.3). γ = 1 starts from value iteration's policy."""
    policy = greedy_table(_reward(mdp)) if check_gamma(gamma) < 1 else value_iteration(mdp, gamma).policy
    # of the linear solve, relative: what 1/(1 − γ) magnifies is a constant, which Q(s, a) − Q(s, a') does not feel
    noise = 1e-12 if gamma < 1 else 1e-10
    for step in range(1, most + 1):
        V = values(chain(mdp, policy), gamma)
        Q = action_values(mdp, V, gamma)
        held = np.take_along_axis(Q, policy.argmax(1)[:, None], 1)[:, 0]
        gain = np.nan_to_num(Q.max(1) - held) > noise * np.maximum(1, np.abs(np.nan_to_num(held)))
        if not gain.any():
            residual = float(np.nan_to_num(np.abs(Q.max(1) - V)).max())
            return Optimum(V, Q, policy, step, residual / (1 - gamma) if gamma < 1 else residual)
        policy = np.where(gain[:, None], greedy_table(Q), policy)
    raise RlnutError(f"policy iteration did not settle in {most} policies")
