"""What can happen in a finite problem, as a list for each state and action: the law behind the mean tables of an `MDP`.

Two outcomes may share a successor and differ in reward or in ending, so this says more than P, R and done do:
environments draw from it, and the laws of returns and the TD error are computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlnut.errors import UsageError
from rlnut.truth.dynamic_programming import MDP
from rlnut.types import Array


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
    S, A, _ = mdp.P.shape
    chance = np.concatenate([mdp.P * (1 - mdp.done), mdp.P * mdp.done], -1)  # going on, then ending
    K = int((chance > 0).sum(-1).max())
    order = np.argsort(~(chance > 0), axis=-1, kind="stable")[..., :K]
    below = cumulative(np.take_along_axis(chance, order, -1))
    reward = np.take_along_axis(np.concatenate([mdp.R, mdp.R], -1), order, -1)
    spread = np.zeros((S, A)) if noise is None else noise
    return Outcomes(below, (order % S).astype(np.int32), reward, order >= S, spread, cumulative(mdp.start))


def from_lists(P: Mapping[int, Mapping[int, Sequence[tuple]]], start: np.ndarray) -> Outcomes:
    """The outcomes of Gymnasium's P[s][a] = [(probability, s', reward, terminated), ...], in its order, none merged.

    Raises UsageError if the probabilities of a pair do not sum to 1; start [S].
    """
    S, A = len(P), len(P[0])
    K = max(len(P[s][a]) for s in range(S) for a in range(A))
    padded = [[[*P[s][a], *[(0, s, 0, False)] * (K - len(P[s][a]))] for a in range(A)] for s in range(S)]
    chance, successor, reward, ends = np.moveaxis(np.array(padded, float), -1, 0)
    total = chance.sum(-1, keepdims=True)
    if (bad := np.abs(total[..., 0] - 1) > 1e-6).any():
        s, a = np.argwhere(bad)[0]
        raise UsageError(f"P must sum to 1 in each row, got {total[s, a, 0]:g} at [{s}, {a}]")
    below = cumulative(chance / total)
    return Outcomes(below, successor.astype(np.int32), reward, ends.astype(bool), np.zeros((S, A)), cumulative(start))


def chances(law: Outcomes) -> np.ndarray:
    """The probability of each outcome: [S, A, K]."""
    return np.diff(law.below, axis=-1, prepend=0)


def means(law: Outcomes, start: np.ndarray) -> MDP:
    """The MDP of the law: p(s'|s, a), the mean reward and the chance of ending given s, a, s'; start [S]."""
    S, A, _ = law.below.shape
    chance = chances(law)
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
