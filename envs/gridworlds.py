"""Gridworlds of S&B chapter 6: windy gridworld (6.5) and the cliff (6.6). States are numbered row by row."""

from __future__ import annotations

import numpy as np

from rlnut.truth.dynamic_programming import MDP
from rlnut.truth.finite import Finite

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left, as in Gymnasium's CliffWalking
DIAGONALS = ((-1, 1), (1, 1), (1, -1), (-1, -1))
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)


def windy_gridworld(king: bool = False, stay: bool = False) -> Finite:
    """Windy gridworld (S&B example 6.5): 7 × 10, up/right/down/left, reward −1, wind blows up, γ = 1.

    `king` adds the diagonals (up-right, down-right, down-left, up-left), `stay` a ninth action (exercise 6.9).
    """
    rows, columns, goal = 7, 10, (3, 7)
    moves = MOVES + (DIAGONALS if king else ()) + (((0, 0),) if stay else ())
    P = np.zeros((rows, columns, len(moves), rows, columns))
    for r, c in np.ndindex(rows, columns):
        for action, (dr, dc) in enumerate(moves):
            to = (np.clip(r + dr - WIND[c], 0, rows - 1), np.clip(c + dc, 0, columns - 1))
            P[(r, c, action, *(goal if (r, c) == goal else to))] = 1
    return _grid(P, (3, 0), goal, np.full(P.shape, -1.0))


def cliff(rows: int = 4, columns: int = 12) -> Finite:
    """Cliff walking (S&B example 6.6): reward −1, stepping into the cliff −100 and back to the start, γ = 1."""
    start, goal = (rows - 1, 0), (rows - 1, columns - 1)
    P = np.zeros((rows, columns, 4, rows, columns))
    R = np.full(P.shape, -1.0)
    for r, c in np.ndindex(rows, columns):
        for action, (dr, dc) in enumerate(MOVES):
            to = (int(np.clip(r + dr, 0, rows - 1)), int(np.clip(c + dc, 0, columns - 1)))
            to = goal if (r, c) == goal else to
            if to[0] == rows - 1 and 0 < to[1] < columns - 1:
                to = start
                R[(r, c, action, *start)] = -100
            P[(r, c, action, *to)] = 1
    return _grid(P, start, goal, R)


def _grid(P: np.ndarray, start: tuple[int, int], goal: tuple[int, int], R: np.ndarray) -> Finite:
    """[rows, columns, A, rows, columns] tables -> a problem that ends on entering the goal."""
    shape, actions = P.shape[:2], P.shape[2]
    S = shape[0] * shape[1]
    P, R = P.reshape(S, actions, S), R.reshape(S, actions, S).copy()
    first, last = np.ravel_multi_index(start, shape), np.ravel_multi_index(goal, shape)
    R[last] = 0
    done = np.zeros_like(P)
    done[..., last] = 1
    return Finite(MDP(P, R, done, np.eye(S)[first]), 1.0, shape=shape)
