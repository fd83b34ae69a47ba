"""Finite problems as tables, `MDP`, and what a policy makes of them, `Chain`; as arrays or as sparse rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlnut.truth.transition_matrices import Matrix, action_mean, is_sparse


class MDP(NamedTuple):
    """A finite Markov decision process. Termination belongs to the transition, as in Gymnasium's toy-text `P`.

    The tables are arrays [S, A, S], or where these would be too large SciPy's `csr_array`s [S·A, S] with the same
    entries in all three; every function here takes both.
    """

    P: Matrix  # p(s'|s, a), each row sums to 1
    R: Matrix  # expected reward of the transition
    done: Matrix  # probability that the transition terminates the episode
    start: np.ndarray  # [S] distribution of the first state

    @property
    def states(self) -> int:
        """S."""
        return len(self.start)

    @property
    def actions(self) -> int:
        """A."""
        return int(self.P.shape[0]) // self.states if is_sparse(self.P) else int(self.P.shape[1])


class Chain(NamedTuple):
    """A Markov reward process: v = r + γ P v. An episode ends with probability 1 − Σ P(s, ·)."""

    P: Matrix  # [S, S] probability of going on to s' (rows sum to at most 1)
    r: np.ndarray  # [S] expected reward of one step
    start: np.ndarray  # [S]


def chain(mdp: MDP, policy: np.ndarray) -> Chain:
    """The chain over states under π [S, A]: P = Σ_a π(a|s) p(s'|s, a), r = Σ_a π(a|s) Σ_s' p R."""
    on = going_on(mdp)
    P = action_mean(policy) @ on if is_sparse(on) else np.einsum("sa,sat->st", policy, on)
    return Chain(P, np.einsum("sa,sa->s", policy, mean_reward(mdp)), mdp.start)


def pair_chain(mdp: MDP, policy: np.ndarray) -> Chain:
    """The chain over pairs (s, a), numbered s·A + a, so that its values are Q_π."""
    on, pairs = going_on(mdp), policy.size
    sparse = is_sparse(on)
    P = on @ action_mean(policy) if sparse else np.einsum("sat,tb->satb", on, policy).reshape(pairs, pairs)
    return Chain(P, mean_reward(mdp).reshape(-1), (mdp.start[:, None] * policy).reshape(-1))


def entries(mdp: MDP) -> tuple[np.ndarray, ...]:
    """(s·A + a, s', p, R, done) of every transition in the tables, row by row: five arrays [J]."""
    if is_sparse(mdp.P):
        row = np.repeat(np.arange(mdp.P.shape[0]), np.diff(mdp.P.indptr))
        return row, mdp.P.indices, mdp.P.data, mdp.R.data, mdp.done.data
    P, R, done = (x.reshape(-1, mdp.states) for x in mdp[:3])
    at = np.nonzero(P)
    return *at, P[at], R[at], done[at]


def going_on(mdp: MDP) -> Matrix:
    """p(s'|s, a) (1 − done): [S, A, S], or sparse [S·A, S]."""
    if not is_sparse(mdp.P):
        return mdp.P * (1 - mdp.done)
    on = mdp.P.copy()
    on.data *= 1 - mdp.done.data
    on.eliminate_zeros()
    return on


def ahead(on: Matrix, v: np.ndarray) -> np.ndarray:
    """Σ_s' p v(s'): [S, A]."""
    return np.asarray((on @ v).reshape(len(v), -1))


def mean_reward(mdp: MDP) -> np.ndarray:
    """E[R | s, a]: [S, A]."""
    if not is_sparse(mdp.P):
        return np.einsum("sat,sat->sa", mdp.P, mdp.R)
    row, _, p, reward, _ = entries(mdp)
    return np.bincount(row, p * reward, mdp.P.shape[0]).reshape(mdp.states, -1)
