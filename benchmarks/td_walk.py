"""Prediction speed: the sweep of S&B figure 7.2 beside plain Python loops, LSTD over a long stream, TD(λ) over tiles.

    python benchmarks/td_walk.py [--runs 100] [--rows 1000000] [--features 100]

Prints the wall time of the whole figure (n = 1 … 512, 11 step sizes, compilation included) and of its sweep alone,
episodes per second of both sides and their ratios, the time of LSTD(0), and steps per second of TD(.9) with 8 tilings
of 8 × 8 and of 110 × 110 tiles (648 and 98,568 weights), by lists of active features and by whole arrays. The sides are
measured one after the other in the same process, the plain loops before and after the sweep.
The sweep uses every core, as the figure does; the loops use one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import lstd, td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td import TDRows
from rlnut.book.sweeps import sweep
from rlnut.book.walks import figure_7_2
from rlnut.envs.walks import random_walk
from rlnut.features.tiles import tile_coding
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import Experience, simulate
from rlnut.prediction.snapshots import LearningTask, snapshots
from rlnut.prediction.td_rows import make_rows, table

STEPS = [2**k for k in range(10)]  # n of the figure


def walk(rng: np.random.Generator) -> tuple[list[int], list[float]]:
    """States and rewards of one episode of the 19-state walk."""
    states, rewards = [10], [0.0]
    while states[-1] not in (0, 20):
        states.append(states[-1] + (1 if rng.random() < 0.5 else -1))
        rewards.append(float((states[-1] == 20) - (states[-1] == 0)))
    return states, rewards


def n_step_loop(episodes: int, alpha: float = 0.1) -> None:
    """n-step TD, one step after another (S&B 7.1), every n of the figure in turn."""
    rng, v = np.random.default_rng(0), np.zeros(21)
    for episode in range(episodes):
        n = STEPS[episode % len(STEPS)]
        states, rewards = walk(rng)
        T = len(states) - 1
        for tau in range(T):
            G = sum(rewards[tau + 1 : min(tau + n, T) + 1]) + (v[states[tau + n]] if tau + n < T else 0.0)
            v[states[tau]] += alpha * (G - v[states[tau]])


def td_lambda_loop(episodes: int, lam: float = 0.8, alpha: float = 0.1) -> None:
    """TD(λ) with accumulating traces (S&B 12.2)."""
    rng, v = np.random.default_rng(0), np.zeros(21)
    for _ in range(episodes):
        states, rewards = walk(rng)
        z = np.zeros(21)
        for s, after, r in zip(states, states[1:], rewards[1:], strict=False):
            z *= lam
            z[s] += 1
            v += alpha * (r + v[after] - v[s]) * z


def rate(loop: Callable[[int], None], episodes: int = 300) -> float:
    """Episodes per second."""
    began = time.perf_counter()
    loop(episodes)
    return episodes / (time.perf_counter() - began)


def sweep_7_2(stream: Experience, episodes: int) -> int:
    """Every n and α of the figure over a stream; the number of episodes learned from."""
    alphas, X = np.linspace(0, 1, 11), np.eye(19)

    def curve(n: int) -> None:
        rows = make_rows(stream, METHODS["nstep"], Prediction(episodes=episodes, n=n), None, False, episodes)
        sweep(METHODS["nstep"], (X, X, np.zeros(19)), rows, alphas, 0.0, 0.0, episodes, jax.random.key(0))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # as the figure does
        list(pool.map(curve, STEPS))
    return len(STEPS) * len(alphas) * stream.rho.shape[1] * episodes


def long_stream(rows: int, features: int, states: int = 1000) -> tuple[tuple, TDRows]:
    """A random stream over `states` states with Gaussian features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((states, features))
    s = rng.integers(0, states, (rows + 1, 1)).astype(np.int32)
    ones, off = np.ones((rows, 1), np.float32), np.zeros((rows, 1), bool)
    reward = rng.standard_normal((rows, 1)).astype(np.float32)
    half = 0.9 * ones
    zero = np.zeros((rows, 1), np.int32)
    return (X, X, np.zeros(features)), TDRows(
        s[:-1], s[1:], s[1:], reward, half, half, half, half, ones, off, ones, zero
    )


def tile_rate(tiles: int, steps: int, lists: bool) -> float:
    """Steps per second of TD(.9), γ = .9, over a walk in the unit square, compiled."""
    rng = np.random.default_rng(0)
    place = np.abs((np.cumsum(rng.normal(0, 0.02, (steps + 1, 1, 2)), 0) + 1) % 2 - 1).astype(np.float32)
    phi = tile_coding([0.0, 0.0], [1.0, 1.0], 8, tiles)
    ones, off, zero = np.ones((steps, 1), np.float32), np.zeros((steps, 1), bool), np.zeros((steps, 1), np.int32)
    D = 0.9 * ones
    rows = TDRows(place[:-1], place[1:], place[1:], place[:-1, :, 0], D, D, D, D, ones, off, ones, zero)
    active = phi.active
    assert active is not None
    start = jnp.zeros(phi.dim)
    task = LearningTask(
        METHODS["td-lambda"], lambda: td.over_features(lambda s: phi(s[None])[0], start), (), rows, 0.01, 0.9, 0.0
    )
    if lists:
        few = lambda s: (active(s[None])[0], jnp.ones(8))  # noqa: E731
        length = sparse.list_length(rows, 0.9) or 0
        task = task._replace(few=sparse.SparseForm(lambda: sparse.Active(start, few, few), (), length, 8))
    times = [time.perf_counter() for _ in snapshots(task, 5, jax.random.key(0))]
    return 0.8 * steps / (times[-1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=100)
    args = parser.parse_args()
    began = time.perf_counter()
    figure_7_2(0, args.runs)
    print(f"jax {jax.__version__}: figure 7.2 with compilation {time.perf_counter() - began:.1f} s")
    problem = random_walk(19)
    stream = simulate(problem, problem.policy, problem.policy, 1.0, jax.random.key(0), args.runs, episodes=10)
    loops = {"n-step TD": n_step_loop, "TD(.8)": td_lambda_loop}
    plain = {name: [rate(loop)] for name, loop in loops.items()}
    sweep_7_2(stream, 10)
    began = time.perf_counter()
    ours = sum(sweep_7_2(stream, 10) for _ in range(5)) / (time.perf_counter() - began)
    print(f"the sweep alone, compiled: {ours:,.0f} episodes/s")
    for name, loop in loops.items():
        plain[name].append(rate(loop))
        mean = np.mean(plain[name])
        print(f"plain Python loop, {name}: {mean:,.0f} episodes/s; ratio {ours / mean:.0f}")
    parts, rows = long_stream(args.rows, args.features)
    began = time.perf_counter()
    lstd.lstd(table, parts, rows, 0.0, np.zeros(args.features), 1)
    print(f"LSTD(0), {args.rows:,} rows, {args.features} features: {time.perf_counter() - began:.1f} s")
    for tiles in (8, 110):
        for lists in (True, False):
            steps = 200_000 if lists or tiles == 8 else 10_000
            how = "active features" if lists else "whole arrays"
            print(f"TD(.9), 8 tilings of {tiles} × {tiles}, {how}: {tile_rate(tiles, steps, lists):,.0f} steps/s")


if __name__ == "__main__":
    main()
