"""The truth for finite problems: dynamic programming in float64 NumPy (S&B chapters 3 and 4).

An `MDP` holds its tables, a `Chain` is what a policy π makes of it (over states for V, over pairs for Q), and every
other quantity is a linear solve on the chain. γ = 1 is allowed where episodes are certain to end, refused elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

import numpy as np

from rlnut.errors import RlnutError, UsageError
from rlnut.truth.markov import MDP as MDP
from rlnut.truth.markov import Chain as Chain
from rlnut.truth.markov import ahead, chain, entries, going_on, mean_reward
from rlnut.truth.markov import pair_chain as pair_chain
from rlnut.truth.transition_matrices import error_bound, is_sparse, reached, restarting, solve, stationary
from rlnut.types import Array, namespace

AnyArray = TypeVar("AnyArray", bound=Array)
NEVER_ENDS = "γ = 1 is refused: episodes are not certain to end from state {state}; give γ < 1"


def uniform(mdp: MDP) -> np.ndarray:
    """π(a|s) = 1/A: [S, A]."""
    return np.full((mdp.states, mdp.actions), 1 / mdp.actions)


def epsilon_soft(policy: AnyArray, epsilon: Array | float, allowed: Array | None = None) -> AnyArray:
    """(1 − ε) π + ε · uniform over the allowed actions (None: all), of NumPy or JAX arrays (S&B 5.4): [..., A].

    epsilon: one number, or any shape that broadcasts with π, such as [N, 1].
    """
    may = namespace(policy).ones_like(policy) if allowed is None else allowed
    return cast(AnyArray, (1 - epsilon) * policy + epsilon * (may / may.sum(-1, keepdims=True)))


def check_gamma(gamma: float) -> float:
    """0 <= γ <= 1, else UsageError."""
    if not 0 <= gamma <= 1:
        raise UsageError(f"γ must be >= 0 and <= 1, got {gamma}")
    return float(gamma)


def reachable(process: Chain) -> np.ndarray:
    """States that an episode can be in, bool [S]; a state that only ends episodes is not among them."""
    return reached(process.P, process.start > 0)


def ends(process: Chain) -> np.ndarray:
    """States from which the episode ends with probability 1, bool [S]."""
    return ~reached(process.P.T, ~_can_end(process))


def _can_end(process: Chain) -> np.ndarray:
    return reached(process.P.T, process.P.sum(1) < 1 - 1e-12)


def values(process: Chain, gamma: float) -> np.ndarray:
    """v = (I − γP)⁻¹ r (S&B 4.4): [S]. With γ = 1, NaN where nothing is defined and no episode can be.

    Raises UsageError if γ = 1 and an episode that can happen is not certain to end.
    """
    return solve_chain(process, process.r, check_gamma(gamma), gamma)


def value_error(process: Chain, v: np.ndarray, gamma: float) -> float:
    """A bound on max |v − v_π| over states whose episodes end (γ < 1: all), whatever v [S] comes from.

    It is ‖r + γPv − v‖∞ / (1 − γ), or for γ = 1 that residual times about the longest mean episode.
    """
    known = ends(process) if gamma == 1 else np.ones(len(v), bool)
    return error_bound(process.P[known][:, known], process.r[known], v[known], gamma)


def solve_chain(process: Chain, r: np.ndarray, gamma: float, discount: float) -> np.ndarray:
    """x = r + discount·P x where x is defined: [S]; γ = 1 is what decides whether it must be proper."""
    known = np.ones(len(r), bool)
    if gamma == 1:
        known = ends(process)
        if (lost := reachable(process) & ~known).any():
            raise UsageError(NEVER_ENDS.format(state=int(np.argmax(lost))))
    x = np.full(len(r), np.nan)
    x[known] = solve(process.P[known][:, known], r[known], discount)
    return x


def action_values(mdp: MDP, v: np.ndarray, gamma: float) -> np.ndarray:
    """Q(s, a) = Σ p (R + γ v(s')) (S&B 4.6): [S, A]; a NaN of v counts only where it can be reached."""
    on = going_on(mdp)
    later = ahead(on, np.nan_to_num(v))
    later[ahead(on, np.isnan(v).astype(float)) > 0] = np.nan
    return mean_reward(mdp) + gamma * later


def limited(mdp: MDP, steps: int, policy: np.ndarray | None = None, gamma: float = 1.0) -> np.ndarray:
    """What the next `steps` steps pay, discounted by γ: under π [S, A], or (None) the most that any policy can: [S].

    It is the expected return inside a time limit; the best policy may look at the clock (S&B 3.3, 4.3).
    """
    r, on = mean_reward(mdp), going_on(mdp)
    v = np.zeros(len(r))
    for _ in range(steps):
        Q = r + gamma * ahead(on, v)
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
    return seen if also is None else reached(chain(mdp, policy).P, seen)


def _entered_last(mdp: MDP, seen: np.ndarray) -> np.ndarray:
    """States that an episode can end in, or that do nothing else: bool [S]."""
    row, successor, p, _, done = entries(mdp)
    state = row // mdp.actions
    stays = successor[(p == 1) & (done == 1) & (successor == state)]
    found = np.bincount(stays, minlength=mdp.states) == mdp.actions
    found[successor[(p * done > 0) & seen[state]]] = True
    return found


def visits(process: Chain) -> np.ndarray:
    """On-policy distribution μ [S] (S&B 9.2, 9.3): the long-run share of time, a new episode following each end.

    With several recurrent classes each has the weight with which the start leads to it.
    """
    seen = reachable(process)
    P, start = restarting(process.P, process.start, seen)
    mu = np.zeros(len(process.r))
    mu[seen] = stationary(P, start, int(seen.sum()))
    return mu


def discounted_visits(process: Chain, gamma: float) -> np.ndarray:
    """d = (1 − γ) start (I − γP̃)⁻¹ with restarts P̃ [S], for γ < 1; γ -> 1 gives `visits`.

    Restarts add multiples of `start`, so it is start (I − γP)⁻¹ made to sum to 1.
    """
    if not 0 <= check_gamma(gamma) < 1:
        raise UsageError("the discounted state distribution needs γ < 1; use visits for γ = 1")
    found = solve(process.P, process.start, gamma, left=True)
    return found / found.sum()


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
    r, on = mean_reward(mdp), going_on(mdp)
    even = chain(mdp, uniform(mdp))
    seen = reachable(even)
    if gamma == 1 and (lost := seen & ~_can_end(even)).any():
        raise UsageError(NEVER_ENDS.format(state=int(np.argmax(lost))))
    known = seen | ends(even) if gamma == 1 else np.ones(len(r), bool)
    scale = gamma / (1 - gamma) if gamma < 1 else 1.0
    limit = 1e4 * len(r) * max(1.0, float(np.abs(r).max())) if gamma == 1 else np.inf
    v = np.zeros(len(r))
    for step in range(1, most + 1):
        Q = r + gamma * ahead(on, v)
        new = Q.max(1)
        if (high := known & (np.abs(new) > limit)).any():
            if (high & seen).any():
                raise UsageError(NEVER_ENDS.format(state=int(np.argmax(high & seen))))
            known &= seen
        error = scale * float(np.abs(new - v)[known].max())
        v, height = new, float(np.abs(new[known]).max())
        if error <= max(tolerance, 4 * np.finfo(float).eps * scale * height):  # the rounding of the sums themselves
            Q = r + gamma * ahead(on, v)
            policy = greedy_table(Q) if gamma < 1 else _progressing(mdp, Q)
            v[~known], Q[~known] = np.nan, np.nan
            return Optimum(v, Q, policy, step, error)
    raise RlnutError(f"value iteration did not converge in {most} sweeps: last error {error:.3g}")


def _progressing(mdp: MDP, Q: np.ndarray) -> np.ndarray:
    """γ = 1: of the greedy actions one that leads nearer to the end, since the others may circle for ever."""
    best, on = ties(Q), going_on(mdp)
    ending = ahead(on, np.ones(len(Q))) < 1 - 1e-12
    near = np.zeros(len(Q), bool)
    choice = np.argmax(best, 1)
    while True:
        nearer = best & (ending | (ahead(on, near.astype(float)) > 0))
        new = nearer.any(1) & ~near
        if not new.any():
            return np.eye(Q.shape[1])[choice]
        choice = np.where(new, np.argmax(nearer, 1), choice)
        near |= new


def policy_iteration(mdp: MDP, gamma: float, most: int = 10_000) -> Optimum:
    """Evaluate and be greedy until no action is better (S&B 4.3).

    γ = 1, and a large problem, whose rewards are many policies away, start from the policy of value iteration.
    """
    swept = check_gamma(gamma) == 1 or is_sparse(mdp.P)
    policy = value_iteration(mdp, gamma).policy if swept else None
    policy = greedy_table(mean_reward(mdp)) if policy is None else policy
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
    raise RlnutError(f"policy iteration did not converge in {most} policies")
