"""Which of a run's policies is the best, by as many episodes as it takes to tell the best few apart.

Evaluations of 20 episodes rank policies that differ by little by chance. So those that may be the best by their
evaluations are kept, and at the end of the run they play the same episodes, one evaluation's worth at a time: after
each, who is behind the first by more than chance (Student's t of the differences in the same episodes) is out. It ends
when one is left, or when the episodes are spent. Of equals, the later one is better.

Where a policy's exact return is known there is nothing to be told apart, and only the best is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rlnut.control.checkpoints import Best
from rlnut.control.evaluate import student_interval
from rlnut.control.exact import EQUAL
from rlnut.control.plan import nbytes

CONTEST = 2**30 - 2  # number of the evaluation whose episodes the best policies play
MOST_KEPT, MOST_BYTES = 4, 2**26  # policies, and their weights
MOST_EVALUATIONS = 10  # whose number of episodes a contest may take, and no more than half of those of the run
ERRORS = 3.0  # standard errors that a policy may be behind the best by its evaluation, to be kept


class ChosenBy(NamedTuple):
    """How the returned policy was chosen."""

    by: str  # "exact_return", "evaluation", or "end" (of an offline agent: the last one)
    candidates: int = 1  # that were kept to the end
    episodes: int = 0  # that they played to be told apart


def with_exact(kept: Sequence[Best], new: Best) -> tuple[Best, ...]:
    """The better of two policies whose exact returns are known; of equals the new one."""
    if kept and new.mean < kept[0].mean - EQUAL * max(1.0, abs(kept[0].mean)):
        return tuple(kept)
    return (new,)


def with_evaluated(kept: Sequence[Best], new: Best, episodes: int) -> tuple[Best, ...]:
    """The policies that may be the best by evaluations of so many episodes, the best by them first.

    The policy of a step that is evaluated again, after a pause, takes its own place.
    """
    others = [one for one in kept if one.step != new.step]
    ranked = sorted([*others, new], key=lambda one: (one.mean, one.step), reverse=True)
    first = ranked[0]

    def close(one: Best) -> bool:
        if one.std is None or first.std is None:  # of one episode, or of an earlier version
            return True
        return first.mean - one.mean <= ERRORS * ((first.std**2 + one.std**2) / episodes) ** 0.5

    most = max(1, min(MOST_KEPT, MOST_BYTES // max(1, nbytes(new.params))))
    return tuple(one for one in ranked if close(one))[:most]


def contest(
    kept: Sequence[Best], play: Callable[[Best, int], list[float]], episodes: int, evaluations: int
) -> tuple[Best, int]:
    """The best of `kept`, and how many episodes were played to find it.

    play: (policy, k) -> returns of the episodes k, ..., k + `episodes` − 1, the same for each policy; evaluations: of
    the run so far.
    """
    budget = min(MOST_EVALUATIONS, evaluations // 2)
    returns: dict[int, list[float]] = {one.step: [] for one in kept}
    alive, leader, played, first = list(kept), kept[0], 0, 0
    while len(alive) > 1 and played + len(alive) <= budget:
        for one in alive:
            returns[one.step] += play(one, first)
        played, first = played + len(alive), first + episodes
        leader = max(alive, key=lambda one: (np.mean(returns[one.step]), one.step))
        alive = [one for one in alive if one is leader or not behind(returns[one.step], returns[leader.step])]
    return leader, played * episodes


def behind(returns: list[float], leading: list[float]) -> bool:
    """Are these returns lower than the leader's of the same episodes by more than chance (95 %), or all the same?"""
    lost = student_interval(np.array(leading) - np.array(returns))
    return returns == leading or lost.mean > lost.half_width
