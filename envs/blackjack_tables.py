"""Blackjack-v1 as a finite problem, exactly (S&B example 5.1): infinite deck, the dealer draws to 17, γ = 1.

An observation (sum, dealer's card, usable ace) hides one thing: a soft 21 may have been dealt (a natural) or drawn. So
there are ten states more than observations, the naturals, which show the same as a drawn soft 21 and are worth more.
All that a learner can say of that observation is the mean over both under the policy (`Finite.observe`).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from rlnut.truth.finite import Finite
from rlnut.truth.outcomes import Outcomes, cumulative, means

SHAPE = (32, 11, 2)  # sum, dealer's card, usable ace: Gymnasium's Tuple space
SHOWN = int(np.prod(SHAPE))
DECK = np.array([0, *[1 / 13] * 9, 4 / 13])  # chance of a card of 1 … 10
STICK, HIT = 0, 1


def state(total: int, dealer: int, usable: int, natural: bool = False) -> int:
    """The number of a state; naturals come after the SHOWN observations."""
    return SHOWN + dealer - 1 if natural else int(np.ravel_multi_index((total, dealer, usable), SHAPE))


def draw_card(total: int, usable: int, card: int) -> tuple[int, int]:
    """(sum, usable ace) after one more card; an ace counts 11 as long as that is not bust."""
    pips = total - 10 * usable + card
    soft = int((usable or card == 1) and pips + 10 <= 21)
    return pips + 10 * soft, soft


@cache
def dealer_ends(total: int, usable: int) -> tuple[float, ...]:
    """Chances of the dealer's score [22], 0 for bust, from a hand that goes on below 17."""
    ends = np.zeros(22)
    if total >= 17:
        ends[total if total <= 21 else 0] = 1
    else:
        for card in range(1, 11):
            ends += DECK[card] * np.array(dealer_ends(*draw_card(total, usable, card)))
    return tuple(ends)


def stick(total: int, dealer: int, natural: bool, sab: bool, bonus: bool) -> dict[float, float]:
    """Reward -> chance of sticking: cmp(player, dealer); `sab`: a natural wins unless the dealer has one too."""
    hole = draw_card(0, 0, dealer)
    natural_too = DECK[10] * (dealer == 1) + DECK[1] * (dealer == 10)
    law = {-1.0: 0.0, 0.0: 0.0, 1.0: 0.0}
    for score, chance in enumerate(_after_hole(hole)):
        law[float(np.sign(total - score))] += chance
    if natural and sab:
        return {0.0: natural_too, 1.0: 1 - natural_too}
    if natural and bonus:
        law[1.5] = law.pop(1.0)
    return law


def _after_hole(hand: tuple[int, int]) -> np.ndarray:
    """The dealer always has a second card, then draws to 17."""
    return sum(DECK[card] * np.array(dealer_ends(*draw_card(*hand, card))) for card in range(1, 11))


def stick_on(least: int) -> np.ndarray:
    """The policy that sticks on sums >= `least` and hits below: [S, 2]. S&B example 5.1 has 20."""
    total = np.r_[np.unravel_index(np.arange(SHOWN), SHAPE)[0], np.full(10, 21)]
    return np.eye(2)[np.where(total >= least, STICK, HIT)]


def blackjack(sab: bool = True, natural: bool = False) -> Finite:
    """Tables, law, and the policy of S&B example 5.1; `sab` and `natural` (1.5 for one) as in Gymnasium."""
    S = SHOWN + 10
    chance, reward = np.zeros((2, S, 2, 10))
    successor, ends = np.full((S, 2, 10), state(22, 0, 0), np.int32), np.ones((S, 2, 10), bool)
    chance[..., 0] = 1  # what cannot be: over at once, shown as a hand that is bust
    hands = [(t, 0, False) for t in range(4, 22)] + [(t, 1, False) for t in range(12, 22)] + [(21, 1, True)]
    for dealer in range(1, 11):
        for total, usable, dealt in hands:
            s = state(total, dealer, usable, dealt)
            paid = stick(total, dealer, dealt, sab, natural)
            chance[s, STICK], successor[s, STICK] = 0, s
            chance[s, STICK, : len(paid)], reward[s, STICK, : len(paid)] = list(paid.values()), list(paid)
            for card in range(1, 11):
                t, soft = draw_card(total, usable, card)
                successor[s, HIT, card - 1], ends[s, HIT, card - 1] = state(t, dealer, soft), t > 21
                chance[s, HIT, card - 1], reward[s, HIT, card - 1] = DECK[card], -1.0 * (t > 21)
    start = np.zeros(S)
    for dealer, one, two in np.ndindex(11, 11, 11):
        t, soft = draw_card(*draw_card(0, 0, one), two)
        if DECK[dealer] * DECK[one] * DECK[two] > 0:
            start[state(t, dealer, soft, natural=t == 21)] += DECK[dealer] * DECK[one] * DECK[two]
    law = Outcomes(cumulative(chance), successor, reward, ends, np.zeros((S, 2)), cumulative(start))
    observe = np.r_[np.arange(SHOWN), [state(21, dealer, 1) for dealer in range(1, 11)]]
    played = np.unique([observe[state(t, dealer, u)] for t, u, _ in hands for dealer in range(1, 11)])
    features = (observe[:, None] == played).astype(float)  # a table over what can be seen
    shown = np.unravel_index(observe, SHAPE)
    parts = enumerate(zip(*shown, strict=True))
    labels = tuple(f"({t}, {d}, {u})" + (" dealt" if s >= SHOWN else "") for s, (t, d, u) in parts)
    table = Finite(means(law, start), 1.0, stick_on(20), features=features, law=law)
    return table._replace(observe=observe, shown=shown, labels=labels)
