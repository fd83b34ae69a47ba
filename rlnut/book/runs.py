"""What pages of the book share: experience, weights learned from it, means and medians over runs with their errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rlnut.agents import td
from rlnut.agents.td_rules import TDRule
from rlnut.book.sweeps import sweep
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.simulate import Experience, simulate
from rlnut.prediction.td_rows import make_rows, table
from rlnut.truth.finite import Finite
from rlnut.types import Array

PAD = 2**12  # rows are filled up to a multiple of this, so that parts of a long stream share one compiled loop


def mean_and_error(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis, and its standard error (infinite for a single run)."""
    n = len(runs)
    with np.errstate(all="ignore"):
        return runs.mean(0), runs.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.full(runs.shape[1:], np.inf)


def median_and_error(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over the first axis and its standard error: half the distance of the order statistics n/2 ± √n/2."""
    n = len(runs)
    ranked = np.sort(runs, 0)
    low, high = (int(np.clip(round((n - 1) / 2 + side * np.sqrt(n) / 2), 0, n - 1)) for side in (-1, 1))
    error = (ranked[high] - ranked[low]) / 2 if n > 1 else np.full(runs.shape[1:], np.inf)
    return np.median(runs, 0), error


def book_experience(
    finite: Finite, seed: int, runs: int, episodes: int | None = None, steps: int | None = None
) -> Experience:
    """N runs of a problem's own policies for `episodes` or `steps`."""
    acting = finite.policy if finite.behaviour is None else finite.behaviour
    return simulate(finite, finite.policy, acting, finite.gamma or 1.0, jax.random.key(seed), runs, episodes, steps)


def learned_weights(
    stream: Experience,
    name: str,
    X: np.ndarray,
    w0: ArrayLike,
    alpha: ArrayLike,
    records: int,
    lam: float = 0.0,
    beta: ArrayLike | None = None,
    **given: Any,
) -> np.ndarray:
    """w [*alpha, N, records, d] of METHODS[name] on features X [S, d]; `given` are options of `Prediction`."""
    rows = make_rows(stream, METHODS[name], Prediction(**given), None, False, records)
    start = np.broadcast_to(w0, X.shape[1:])
    second = alpha if beta is None else beta
    return sweep(METHODS[name], (X, X, start), rows, alpha, lam, second, records, jax.random.key(0))


class Job(NamedTuple):
    """A method with its features and step size."""

    name: str
    X: np.ndarray
    alpha: float


def long_runs(
    finite: Finite, seed: int, runs: int, jobs: Sequence[Job], parts: int, episodes: int, records: int
) -> list[np.ndarray]:
    """w [N, parts · records, d] of each job in the course of `parts` · `episodes` episodes, all on the same experience.

    Made part by part to spare memory, for methods that carry nothing but w over the end of an episode.
    """
    w = [np.zeros((runs, job.X.shape[1])) for job in jobs]
    paths: list[list[np.ndarray]] = [[] for _ in jobs]
    for part in range(parts):
        stream = _padded(book_experience(finite, 1000 * seed + part, runs, episodes=episodes), episodes)
        rows = {
            name: make_rows(stream, METHODS[name], Prediction(episodes=episodes), None, False, records)
            for name in {job.name for job in jobs}
        }
        for k, job in enumerate(jobs):
            paths[k].append(_go_on(METHODS[job.name].rule, job.X, w[k], rows[job.name], job.alpha, records))
            w[k] = paths[k][-1][:, -1]
    return [np.concatenate(path, 1) for path in paths]


def _padded(stream: Experience, episodes: int) -> Experience:
    """Rows that are not valid behind the stream, up to a multiple of PAD."""
    more = -len(stream.episode) % PAD
    filled: Experience = jax.tree.map(lambda x: np.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1)), stream)
    filled.episode[len(filled.episode) - more :] = episodes
    return filled


@partial(jax.jit, static_argnums=(0, 5))
def _each(rule: TDRule, X: Array, w: Array, rows: td.TDRows, alpha: Array, records: int) -> Array:
    hyper = td.TDHyper(alpha, jnp.zeros(()), jnp.zeros(()))

    def one(w: Array, rows: td.TDRows) -> Array:
        alone = jax.tree.map(lambda x: x[:, None], rows)
        return td.swept_weights(rule, table, (X, X, w), alone, hyper, records, jax.random.key(0))[0]

    return jax.vmap(one, (0, 1))(w, rows)


def _go_on(rule: TDRule, X: np.ndarray, w: np.ndarray, rows: td.TDRows, alpha: float, records: int) -> np.ndarray:
    """w [N, records, d] from w [N, d]: every run from its own."""
    single = [jnp.asarray(x, jnp.float32) for x in (X, w, alpha)]
    return np.asarray(_each(rule, single[0], single[1], jax.tree.map(jnp.asarray, rows), single[2], records))
