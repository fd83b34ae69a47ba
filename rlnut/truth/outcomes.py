"""Outcomes of a finite problem, as a list for each state and action: the distribution behind the tables of an `MDP`.

Two outcomes may share a successor and differ in reward or in ending, so this says more than P, R and done do:
environments draw from it, and distributions of returns and the TD error are computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.truth.markov import MDP, entries
from rlnut.truth.transition_matrices import DENSE_TABLE
from rlnut.types import Array

MOST_NUMBERS = 2**28  # of a list of outcomes


class Outcomes(NamedTuple):
    """What can happen after (s, a): K outcomes, of which the last ones may be padding that is never drawn."""

    below: Array  # [S, A, K] cumulative probability
    successor: Array  # [S, A, K] int32
    reward: Array  # [S, A, K]
    ends: Array  # [S, A, K] bool
    noise: Array  # [S, A] standard deviation of the reward
    start: Array  # [S] cumulative probability of the first state


def cumulative(chances: np.ndarray) -> np.ndarray:
    """Running sums of probabilities over the last axis, ending at 1 exactly."""
    below = np.cumsum(chances, -1)
    below[below > 1 - 1e-12] = 1
    return below


def from_mdp(mdp: MDP, noise: np.ndarray | None = None) -> Outcomes:
    """The outcomes of positive probability, rewards fixed given s, a, s' (plus N(0, noise²)); what may end is two."""
    S, A = mdp.states, mdp.actions
    pair, successor, p, reward, done = entries(mdp)
    chance = np.concatenate([p * (1 - done), p * done])  # going on, then ending
    pair, successor, reward = (np.concatenate([x, x]) for x in (pair, successor, reward))
    over = np.arange(len(chance)) >= len(p)
    order = np.lexsort((successor, over, pair))
    order = order[chance[order] > 0]
    spread = np.zeros((S, A)) if noise is None else noise
    parts = (pair[order], chance[order], successor[order], reward[order], over[order])
    return _listed(S, A, *parts)._replace(noise=spread, start=cumulative(mdp.start))


def _listed(
    S: int, A: int, pair: np.ndarray, chance: np.ndarray, successor: np.ndarray, reward: np.ndarray, over: np.ndarray
) -> Outcomes:
    """Outcomes from J possibilities in the order of their pairs s·A + a; without a start."""
    count = np.bincount(pair, minlength=S * A)
    K = int(count.max(initial=1))
    if S * A * K > MOST_NUMBERS:
        raise UsageError(f"up to {K:,} outcomes of {S:,} states and {A:,} actions do not fit into a table")
    at = pair, np.arange(len(pair)) - (np.cumsum(count) - count)[pair]
    tables = [np.zeros((S * A, K), kind) for kind in (float, np.int32, float, bool)]
    for table, part in zip(tables, (chance, successor, reward, over), strict=True):
        table[at] = part
    chances, successors, rewards, ends = (table.reshape(S, A, K) for table in tables)
    return Outcomes(cumulative(chances), successors, rewards, ends, np.zeros((S, A)), np.zeros(S))


def from_lists(P: Mapping[int, Mapping[int, Sequence[tuple]]], start: np.ndarray) -> Outcomes:
    """The outcomes of Gymnasium's P[s][a] = [(probability, s', reward, terminated), ...], in its order, none merged.

    Raises UsageError if the probabilities of a pair do not sum to 1; start [S].
    """
    S, A = len(P), len(P[0])
    count = np.array([len(P[s][a]) for s in range(S) for a in range(A)])
    flat = np.array([x for s in range(S) for a in range(A) for outcome in P[s][a] for x in outcome], float)
    chance, successor, reward, over = flat.reshape(-1, 4).T
    pair = np.repeat(np.arange(S * A), count)
    total = np.bincount(pair, chance, S * A)
    if (bad := np.abs(total - 1) > 1e-6).any():
        s, a = divmod(int(np.argmax(bad)), A)
        raise UsageError(f"P must sum to 1 in each row, got {total[s * A + a]:g} at [{s}, {a}]")
    law = _listed(S, A, pair, chance / total[pair], successor.astype(np.int32), reward, over.astype(bool))
    return law._replace(start=cumulative(start))


def chances(law: Outcomes) -> np.ndarray:
    """The probability of each outcome: [S, A, K]."""
    return np.diff(law.below, axis=-1, prepend=0)


def means(law: Outcomes, start: np.ndarray) -> MDP:
    """The MDP of the outcomes: p(s'|s, a), the mean reward and the chance of ending given s, a, s'; start [S].

    Its tables are arrays up to DENSE_TABLE numbers, else sparse rows.
    """
    S, A, K = law.below.shape
    chance = chances(law)
    if S * A * S > DENSE_TABLE:
        from scipy.sparse import coo_array

        here = chance.reshape(-1) > 0
        at = np.repeat(np.arange(S * A), K)[here], np.asarray(law.successor).reshape(-1)[here]
        parts = (x.reshape(-1)[here] for x in (chance, chance * law.reward, chance * law.ends))
        P, R, done = (coo_array((x, at), (S * A, S)).tocsr() for x in parts)
        R.data /= P.data
        done.data = np.minimum(done.data / P.data, 1)
        return MDP(P, R, done, start)
    sums = np.zeros((3, S, A, S))
    at = (*np.indices(chance.shape)[:2], law.successor)
    for table, value in zip(sums, (chance, chance * law.reward, chance * law.ends), strict=True):
        np.add.at(table, at, value)
    P, R, done = sums
    share = np.where(P > 0, P, 1)
    return MDP(P, R / share, np.minimum(done / share, 1), start)


class Jumps(NamedTuple):
    """One step under a policy, as a flat list of J possibilities."""

    state: np.ndarray  # [J]
    chance: np.ndarray  # [J] given the state
    reward: np.ndarray  # [J] mean
    noise: np.ndarray  # [J] standard deviation of the reward
    successor: np.ndarray  # [J]
    goes_on: np.ndarray  # [J] bool


def jumps(law: Outcomes, policy: np.ndarray) -> Jumps:
    """What can happen in a step under π [S, A]; possibilities of chance 0 are left out."""
    chance = chances(law) * policy[..., None]
    noise = np.broadcast_to(np.asarray(law.noise)[..., None], chance.shape)
    seen = chance > 0
    parts: list[Array] = [chance, law.reward, noise, law.successor, ~np.asarray(law.ends)]
    return Jumps(np.nonzero(seen)[0], *(np.asarray(x)[seen] for x in parts))
