"""Experience for prediction: steps of a behaviour policy b, [T, N] for N independent runs, before anything learns.

Values do not change what happens, so the same stream serves every method, step size and λ. `simulate` plays a finite
problem in one compiled loop; `play.play` steps a Gymnasium environment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.envs.tabular import Outcomes, draw_outcome, first, outcomes
from rlnut.errors import RlnutError
from rlnut.learner.returns import Folded, fold
from rlnut.truth.finite import Finite
from rlnut.types import Array, Key, Transition, discount_of, transition

CHUNK = 2**20  # random numbers drawn at once
MOST_ROWS = 2 * 10**8  # T · N of one stream


class Experience(NamedTuple):
    """A stream of transitions and what off-policy learning needs to know of each."""

    step: Transition  # [T, N]; a row that is not valid carries no experience
    rho: Array  # [T, N] π(a|s)/b(a|s)
    taken: Array  # [T, N] π(a|s)
    episode: Array  # int32 [T, N] number of the row's episode
    second: tuple[Array, Array]  # (γ(1 − terminated)ρ, next_obs) of a second, independent try from the same state
    next_action: Array  # int32 [T, N] what b does at next_obs: the next row's action where the episode goes on
    next_rho: Array  # [T, N] its ρ
    next_policy: Array | None = None  # [T, N, ...] π(·|s'), where Q needs it and no table holds it
    second_policy: Array | None = None  # the same at the second try's successor


def simulate(
    finite: Finite,
    policy: np.ndarray,
    behaviour: np.ndarray,
    gamma: float,
    key: Key,
    runs: int,
    episodes: int | None = None,
    steps: int | None = None,
    pairs: bool = False,
    most: int = MOST_ROWS,
) -> Experience:
    """N runs of `episodes` episodes each (all rows until the longest is through), or of `steps` steps.

    A new episode begins at the start distribution. With `pairs` the second try takes the same action, and its ρ is 1.
    Raises RlnutError if episodes do not end within `most` rows, or within reason.
    """
    table = Outcomes(*(jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in outcomes(finite)))
    cumulative = np.cumsum(behaviour, 1)
    cumulative[cumulative > 1 - 1e-12] = 1
    ratio = policy / np.where(behaviour > 0, behaviour, 1)
    odds = (jnp.asarray(cumulative, jnp.float32), jnp.asarray(ratio, jnp.float32), jnp.asarray(policy, jnp.float32))
    chunk = max(1, min(steps or 1024, CHUNK // (8 * runs)))
    key, start_key = jax.random.split(key)
    u = jax.random.uniform(start_key, (2, runs))
    s0 = first(table, u[0])
    carry = (s0, _choose(odds[0], s0, u[1]), jnp.zeros(runs, jnp.int32))
    parts: list[Experience] = []
    rows = 0
    longest = steps or max(1, min(most, MOST_ROWS) // runs)
    while rows < longest:
        key, chunk_key = jax.random.split(key)
        carry, part = _chunk(table, odds, gamma, carry, chunk_key, chunk, runs, finite.noise is not None, pairs)
        parts.append(jax.tree.map(np.asarray, part))
        rows += chunk
        if episodes is not None and int(carry[2].min()) >= episodes:
            break
    else:
        if episodes is not None:
            raise RlnutError(f"{episodes} episodes did not end within {rows:,} steps: give --steps instead")
    whole: Experience = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    if episodes is None:
        return jax.tree.map(lambda x: x[:steps], whole)
    valid = whole.episode < episodes
    last = int(np.flatnonzero(valid.any(1)).max()) + 1
    return jax.tree.map(lambda x: x[:last], whole._replace(step=whole.step._replace(valid=valid)))


def require_finite(stream: Experience, title: str) -> Experience:
    """The stream as it is; RlnutError if a reward or an observation in it is NaN or infinite.

    Otherwise bad data would look like a method that diverges.
    """
    step = stream.step
    parts = (("reward of", step.reward), ("observation after", step.next_obs), ("observation before", step.obs))
    for what, values in parts:
        array = np.asarray(values)
        if np.issubdtype(array.dtype, np.floating) and (bad := ~np.isfinite(array)).any():
            t, run, *_ = np.argwhere(bad)[0]
            raise RlnutError(f"{title}: the {what} step {t + 1} of run {run + 1} is {array[bad][0]}; it must be finite")
    return stream


def _choose(below: Array, s: Array, u: Array) -> Array:
    """Actions for u ~ U[0, 1), from cumulative probabilities `below` [S, A]."""
    return (below[s] <= u[:, None]).sum(-1).astype(jnp.int32)


@partial(jax.jit, static_argnums=(5, 6, 7, 8))
def _chunk(
    table: Outcomes, odds: tuple, gamma: float, carry: tuple, key: Key, rows: int, runs: int, noisy: bool, pairs: bool
) -> tuple[tuple, Experience]:
    below, ratio, chance = odds
    u_key, z_key = jax.random.split(key)
    u = jax.random.uniform(u_key, (rows, 6, runs))
    z = jax.random.normal(z_key, (rows, 2, runs)) if noisy else jnp.zeros((rows, 2, 1))

    def one(carry: tuple, random: tuple) -> tuple[tuple, Experience]:
        (s, action, episode), (u, z) = carry, random
        after = draw_outcome(table, s, action, u[0], z[0])
        other = action if pairs else _choose(below, s, u[1])
        again = draw_outcome(table, s, other, u[2], z[1])
        end = after.ended
        step = transition(s, action, after.reward, after.position, end, False, gamma)
        twice = (discount_of(gamma, again.ended) * (1.0 if pairs else ratio[s, other]), again.position)
        following = _choose(below, after.position, u[3])
        row = Experience(
            step, ratio[s, action], chance[s, action], episode, twice, following, ratio[after.position, following]
        )
        s0 = first(table, u[4])
        now = jnp.where(end, s0, after.position)
        return (now, jnp.where(end, _choose(below, s0, u[5]), following), episode + end), row

    return jax.lax.scan(one, carry, (u, z))


def folded_experience(
    stream: Experience, n: int, correction: str = "ordinary", pairs: bool = False, mean: bool = True
) -> Experience:
    """The stream of n-step transitions, n = rows for Monte Carlo; `rho` becomes the gain of the whole return.

    V, "ordinary": G = Σ γᵏ r + γⁿ v(s_{t+n}), gain Π ρ_k (S&B 5.5, 7.9); "importance", per decision: G = ρ_t (r + γ G')
    (S&B 5.14), gain 1. Q (`pairs`): ρ_t is left out (7.11), and the last ρ' stays with q(s', a') if that is sampled
    (not `mean`). Rows are windows of their own episode only.
    """
    step = stream.step
    end = np.asarray(step.end) | ~np.asarray(step.valid)
    reward, discount, rho = (np.asarray(x) for x in (step.reward, step.discount, stream.rho))
    # windows are folded by NumPy, which compiles nothing for each n; whole episodes by one compiled pass
    run = fold if n < len(end) else jax.jit(fold, static_argnums=3)
    plain = run(reward, discount, end, n)
    last = np.asarray(plain.last)
    total, factor, gain = np.asarray(plain.reward), np.asarray(plain.discount), np.ones_like(rho)

    def pick(x: Array) -> np.ndarray:
        x = np.asarray(x)
        return np.take_along_axis(x, last.reshape(last.shape + (1,) * (x.ndim - 2)), 0)

    if (rho != 1).any() and correction != "none":
        zero = np.zeros_like(rho)
        if correction == "ordinary":
            gain = _later(run, zero, rho, end, n)[1] if pairs else np.asarray(run(zero, rho, end, n).discount)
        elif pairs:
            R, D = _later(run, rho * reward, rho * discount, end, n)
            going_on = last > np.arange(len(end))[:, None]
            total = reward + np.where(going_on, discount * R, 0)
            factor = np.where(going_on, discount * D, discount)
        else:
            total, factor = (np.asarray(x) for x in run(rho * reward, rho * discount, end, n)[:2])
    if pairs and not mean and correction != "none":
        factor = factor * pick(stream.next_rho)
    next_mask = None if step.next_mask is None else pick(step.next_mask)
    kept = step._replace(reward=total, discount=factor, next_obs=pick(step.next_obs), next_mask=next_mask)
    policy = None if stream.next_policy is None else pick(stream.next_policy)
    return stream._replace(step=kept, rho=gain, next_action=pick(stream.next_action), next_policy=policy)


def _later(
    run: Callable[..., Folded], reward: np.ndarray, discount: np.ndarray, end: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """The fold of the next row, of n − 1 steps, in the same episode: 0 and 1 where there is none."""
    if n == 1:
        return np.zeros_like(reward), np.ones_like(discount)
    many = run(reward, discount, end, n - 1)
    alone = end.copy()
    alone[-1] = True
    later = [np.roll(np.asarray(x), -1, 0) for x in many[:2]]
    return np.where(alone, 0, later[0]), np.where(alone, 1, later[1])
