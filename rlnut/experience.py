"""Experience for prediction: what a behaviour b lives through, [T, N] for N independent runs, before anything learns.

Values do not change what happens, so the same stream serves every method, step size and λ. `simulate` plays a finite
problem in one compiled loop; `play` steps a Gymnasium environment on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.envs.tabular import Outcomes, draw, first, outcomes
from rlnut.errors import RlnutError
from rlnut.finite import Finite
from rlnut.returns import fold
from rlnut.types import Array, Key, Transition

CHUNK = 2**20  # random numbers drawn at once
MOST_ROWS = 2 * 10**8  # T · N of one stream


class Experience(NamedTuple):
    """A stream of transitions and what off-policy learning needs to know of each."""

    step: Transition  # [T, N]; a row that is not valid carries no experience
    rho: Array  # [T, N] π(a|s)/b(a|s)
    taken: Array  # [T, N] π(a|s)
    episode: Array  # int32 [T, N] number of the row's episode
    second: tuple[Array, Array]  # (γ(1 − terminated)ρ, next_obs) of a second, independent try from the same state


def simulate(
    finite: Finite,
    policy: np.ndarray,
    behaviour: np.ndarray,
    gamma: float,
    key: Key,
    runs: int,
    episodes: int | None = None,
    steps: int | None = None,
) -> Experience:
    """N runs of `episodes` episodes each (all rows until the longest is through), or of `steps` steps.

    A new episode begins at the start distribution. Raises RlnutError if episodes do not end within reason.
    """
    table = Outcomes(*(jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in outcomes(finite)))
    cumulative = np.cumsum(behaviour, 1)
    cumulative[cumulative > 1 - 1e-12] = 1
    ratio = policy / np.where(behaviour > 0, behaviour, 1)
    odds = (jnp.asarray(cumulative, jnp.float32), jnp.asarray(ratio, jnp.float32), jnp.asarray(policy, jnp.float32))
    chunk = max(1, min(steps or 1024, CHUNK // (8 * runs)))
    key, start_key = jax.random.split(key)
    carry = (first(table, jax.random.uniform(start_key, (runs,))), jnp.zeros(runs, jnp.int32))
    parts: list[Experience] = []
    rows = 0
    while rows < (steps or MOST_ROWS // runs):
        key, chunk_key = jax.random.split(key)
        carry, part = _chunk(table, odds, gamma, carry, chunk_key, chunk, runs, finite.noise is not None)
        parts.append(jax.tree.map(np.asarray, part))
        rows += chunk
        if episodes is not None and int(carry[1].min()) >= episodes:
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


@partial(jax.jit, static_argnums=(5, 6, 7))
def _chunk(
    table: Outcomes, odds: tuple, gamma: float, carry: tuple, key: Key, rows: int, runs: int, noisy: bool
) -> tuple[tuple, Experience]:
    below, ratio, chance = odds
    u_key, z_key = jax.random.split(key)
    u = jax.random.uniform(u_key, (rows, 5, runs))
    z = jax.random.normal(z_key, (rows, 2, runs)) if noisy else jnp.zeros((rows, 2, 1))

    def one(carry: tuple, random: tuple) -> tuple[tuple, Experience]:
        (s, episode), (u, z) = carry, random

        def attempt(u_action: Array, u_outcome: Array, noise: Array) -> tuple:
            action = (below[s] <= u_action[:, None]).sum(-1)
            return action, draw(table, s, action, u_outcome, noise)

        action, after = attempt(u[0], u[1], z[0])
        other, again = attempt(u[2], u[3], z[1])
        end = after.ended
        discount = jnp.where(end, 0.0, gamma)
        step = Transition(s, action, after.reward, discount, after.position, end, jnp.ones(runs, bool))
        twice = (jnp.where(again.ended, 0.0, gamma) * ratio[s, other], again.position)
        row = Experience(step, ratio[s, action], chance[s, action], episode, twice)
        return (jnp.where(end, first(table, u[4]), after.position), episode + end), row

    return jax.lax.scan(one, carry, (u, z))


def play(
    make: Callable[[], Any], act: Callable[[Any, np.random.Generator], int], gamma: float, steps: int, seed: int
) -> Experience:
    """`steps` steps of one Gymnasium environment [T, 1] under a policy: on-policy, ρ = 1."""
    env, rng = make(), np.random.default_rng(seed)
    rows: list[tuple] = []
    obs, _ = env.reset(seed=seed)
    episode = 0
    for _ in range(steps):
        action = act(obs, rng)
        following, reward, terminated, truncated, _ = env.step(action)
        end = terminated or truncated
        rows.append((np.asarray(obs), action, reward, gamma * (not terminated), np.asarray(following), end, episode))
        episode += end
        obs = env.reset()[0] if end else following
    env.close()
    before, actions, rewards, discounts, after, ends, numbers = (np.stack(x)[:, None] for x in zip(*rows, strict=True))
    ones = np.ones((steps, 1), np.float32)
    step = Transition(
        before,
        actions,
        rewards.astype(np.float32),
        discounts.astype(np.float32),
        after,
        ends,
        np.ones((steps, 1), bool),
    )
    return Experience(step, ones, ones, numbers.astype(np.int32), (step.discount, after))


def folded(stream: Experience, n: int) -> Experience:
    """The stream of n-step transitions, n = rows for Monte Carlo; ρ becomes the product over the steps (S&B 7.9)."""
    step = stream.step
    end = np.asarray(step.end) | ~np.asarray(step.valid)
    # windows are folded by NumPy, which compiles nothing for each n; whole episodes by one compiled pass
    run = fold if n < len(end) else jax.jit(fold, static_argnums=3)
    many = run(np.asarray(step.reward), np.asarray(step.discount), end, n)
    rho = np.asarray(stream.rho)
    if (rho != 1).any():
        rho = np.asarray(run(np.zeros_like(rho), rho, end, n).discount)
    last = np.asarray(many.last)
    following = np.take_along_axis(
        np.asarray(step.next_obs), last.reshape(last.shape + (1,) * (step.next_obs.ndim - 2)), 0
    )
    kept = step._replace(reward=many.reward, discount=many.discount, next_obs=following)
    return stream._replace(step=kept, rho=rho)
