"""Prediction speed: the sweep of S&B figure 7.2 beside a plain Python loop, and LSTD over a long stream.

    python benchmarks/td_walk.py [--runs 100] [--rows 1000000] [--features 100]

Prints the wall time of the whole sweep (n = 1 … 512, 11 step sizes, compilation included), episodes per second of both
sides and their ratio, and the time of LSTD(0). The two sides are measured one after the other in the same process.
"""

from __future__ import annotations

import argparse
import time

import jax
import numpy as np

from rlnut.agents import lstd
from rlnut.agents.td import Rows
from rlnut.book import figure_7_2
from rlnut.sweeps import table


def plain_loop(episodes: int, n: int, alpha: float, seed: int) -> None:
    """n-step TD on the 19-state walk, one step after another (S&B 7.1)."""
    rng = np.random.default_rng(seed)
    v = np.zeros(21)
    for _ in range(episodes):
        states, rewards, t, T = [10], [0.0], 0, 10**9
        while True:
            if t < T:
                s = states[-1] + (1 if rng.random() < 0.5 else -1)
                states.append(s)
                rewards.append(float((s == 20) - (s == 0)))
                if s in (0, 20):
                    T = t + 1
            tau = t - n + 1
            if tau >= 0:
                G = sum(rewards[tau + 1 : min(tau + n, T) + 1])
                if tau + n < T:
                    G += v[states[tau + n]]
                v[states[tau]] += alpha * (G - v[states[tau]])
            if tau == T - 1:
                break
            t += 1


def long_stream(rows: int, features: int, states: int = 1000) -> tuple[tuple, Rows]:
    """A random stream over `states` states with Gaussian features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((states, features))
    s = rng.integers(0, states, (rows + 1, 1)).astype(np.int32)
    ones, off = np.ones((rows, 1), np.float32), np.zeros((rows, 1), bool)
    reward = rng.standard_normal((rows, 1)).astype(np.float32)
    half = 0.9 * ones
    zero = np.zeros((rows, 1), np.int32)
    return (X, X, np.zeros(features)), Rows(s[:-1], s[1:], s[1:], reward, half, half, half, half, ones, off, ones, zero)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=100)
    args = parser.parse_args()
    began = time.perf_counter()
    page = figure_7_2(0, args.runs)
    sweep = time.perf_counter() - began
    began = time.perf_counter()
    figure_7_2(0, args.runs)
    warm = time.perf_counter() - began
    episodes = sum(len(curve.x) for curve in page.curves) * args.runs * 10
    began = time.perf_counter()
    plain_loop(300, 4, 0.4, 0)
    plain = 300 / (time.perf_counter() - began)
    print(f"jax {jax.__version__}: whole sweep {sweep:.1f} s with compilation, {episodes / sweep:,.0f} episodes/s")
    print(f"again, compiled: {warm:.1f} s, {episodes / warm:,.0f} episodes/s")
    print(f"plain Python loop (n = 4): {plain:,.0f} episodes/s; ratio {episodes / warm / plain:.0f}")
    parts, rows = long_stream(args.rows, args.features)
    began = time.perf_counter()
    lstd.lstd(table, parts, rows, 0.0, np.zeros(args.features), 1)
    print(f"LSTD(0), {args.rows:,} rows, {args.features} features: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
