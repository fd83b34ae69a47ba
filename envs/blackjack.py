"""Blackjack-v1 as pure functions: an infinite deck, the dealer draws to 17 (S&B example 5.1).

The cards to come are an argument of `play`, so the same cards can be dealt here and in Gymnasium's environment.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.states import RowsOf
from rlnut.types import Array, Key

MOST = 10  # cards that a dealer of two can draw: A A | A A A A 6 A A A A, then one more


class Hand(NamedTuple):
    """Cards held: a pytree of int32 []."""

    pips: Array  # their sum, an ace counting 1
    aces: Array
    cards: Array


class Game(NamedTuple):
    """The state of a game."""

    player: Hand
    dealer: Hand
    shown: Array  # the dealer's first card
    reward: Array  # [] float32 of the step that led here
    ended: Array  # [] bool

    @property
    def at(self) -> RowsOf:
        """For `state.at[rows].set(others)`."""
        return RowsOf(self)


def add(hand: Hand, card: Array, takes: Array | bool = True) -> Hand:
    """The hand with one card more, if it `takes` it."""
    more = Hand(hand.pips + card, hand.aces + (card == 1), hand.cards + 1)
    return Hand(*(jnp.where(takes, new, old) for new, old in zip(more, hand, strict=True)))


def usable(hand: Hand) -> Array:
    """May an ace count 11 without going bust?"""
    return (hand.aces > 0) & (hand.pips + 10 <= 21)


def total(hand: Hand) -> Array:
    """The best sum."""
    return hand.pips + 10 * usable(hand)


def natural(hand: Hand) -> Array:
    """An ace and a ten, dealt."""
    return (hand.cards == 2) & (total(hand) == 21)


def hand_value(hand: Hand) -> Array:
    """What is compared in the end: 0 for a hand that is bust."""
    return jnp.where(total(hand) > 21, 0, total(hand))


class Blackjack(FuncEnv):
    """Actions 0 stick, 1 hit; the observation is (sum, dealer's card, usable ace) as in Gymnasium."""

    def __init__(self, sab: bool = True, natural: bool = False) -> None:
        self.sab, self.natural = sab, natural
        self.observation_space = spaces.Tuple([spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)])
        self.action_space = spaces.Discrete(2)
        super().__init__()

    def get_default_params(self, **kwargs: object) -> None:
        """No parameters."""

    def deal(self, rng: Key, cards: int) -> Array:
        """Cards [cards] int32: 1 … 9 with chance 1/13 each, 10 with 4/13."""
        return jnp.minimum(jax.random.randint(rng, (cards,), 1, 14), 10)

    def initial(self, rng: Key, params: None = None) -> Game:
        """Two cards each."""
        cards, empty = self.deal(rng, 4), Hand(*(jnp.zeros((), jnp.int32) for _ in range(3)))
        dealer, player = add(add(empty, cards[0]), cards[1]), add(add(empty, cards[2]), cards[3])
        return Game(player, dealer, cards[0], jnp.zeros(()), jnp.zeros((), bool))

    def play(self, table: Game, action: Array, cards: Array) -> Game:
        """One step with the `MOST` cards that lie on top of the deck."""
        hit = action == 1
        player, dealer = add(table.player, cards[0], hit), table.dealer
        for card in cards:
            dealer = add(dealer, card, ~hit & (total(dealer) < 17))
        outcome = jnp.sign(hand_value(player) - hand_value(dealer)).astype(jnp.float32)
        if self.sab:
            outcome = jnp.where(natural(player) & ~natural(dealer), 1.0, outcome)
        elif self.natural:
            outcome = jnp.where(natural(player) & (outcome == 1), 1.5, outcome)
        bust = total(player) > 21
        return Game(player, dealer, table.shown, jnp.where(hit, jnp.where(bust, -1.0, 0.0), outcome), ~hit | bust)

    def transition(self, state: Game, action: Array, rng: Key, params: None = None) -> Game:
        """One step."""
        return self.play(state, action, self.deal(rng, MOST))

    def observation(self, state: Game, rng: Key, params: None = None) -> tuple[Array, Array, Array]:
        """(the player's sum, the dealer's first card, usable ace)."""
        return total(state.player), state.shown, usable(state.player).astype(jnp.int32)

    def reward(self, state: Game, action: Array, next_state: Game, rng: Key, params: None = None) -> Array:
        """Of the step to `next_state`."""
        return next_state.reward

    def terminal(self, state: Game, rng: Key, params: None = None) -> Array:
        """Is the game over?"""
        return state.ended
