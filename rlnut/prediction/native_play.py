"""Experience of an environment's functional twin, N runs side by side, compiled: what `play` does on the host."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut.envs.functional import FuncVector, Lanes, func_vector
from rlnut.envs.twins import twin
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.behaviour import sample
from rlnut.learner.spec import Spec
from rlnut.prediction.play import MOST_STEPS, Players
from rlnut.prediction.simulate import Experience
from rlnut.runtime.wrappers import time_limit
from rlnut.types import Array, Key, Look, transition

CHUNK = 2**16  # steps of all runs at a visit to the device


class Drawn(NamedTuple):
    """What the behaviour does in N environments; see `play.Decision`."""

    action: Array  # [N] or [N, D]
    taken: Array  # [N]
    rho: Array  # [N]
    policy: Array  # [N, A] or [N, D, K]
    missing: Array  # bool []: b never does what π does


class Playing(NamedTuple):
    """Where the runs are: a pytree."""

    lanes: Lanes
    look: Look
    drawn: Drawn
    episode: Array  # int32 [N]


def native_vector(example: gym.Env, spec: Spec, runs: int, players: Players) -> FuncVector:
    """N copies of the twin; UsageError where there is none, or where a policy cannot act in JAX."""
    if players.behaviour.traced is None or players.target.traced is None:
        raise UsageError("--native needs policies that act on the device: uniform, or the folder of a run, and ε")
    return func_vector(twin(example), runs, time_limit(example), spec.acts.choice)


def play_native(
    vector: FuncVector,
    players: Players,
    gamma: float,
    seed: int,
    steps: int | None = None,
    episodes: int | None = None,
    pairs: bool = False,
) -> Experience:
    """[T, N]: as `play.play`, without second tries. Raises RlnutError where episodes do not end."""
    n = vector.num_envs
    key = jax.random.key(seed)
    most = steps or MOST_STEPS
    size = max(1, min(most, CHUNK // n))
    playing: Playing = jax.jit(partial(_begin, vector, players))(key)
    advance = jax.jit(partial(_advance, vector, players, gamma, pairs, size))
    parts: list[Experience] = []
    for first in range(0, most, size):
        playing, (part, missing) = advance(playing, jax.random.fold_in(key, first + 1))
        if players.corrected and bool(missing.any()):
            raise UsageError("the behaviour policy never takes an action that the policy takes: choose another")
        parts.append(jax.tree.map(np.asarray, part))
        if episodes is not None and int(playing.episode.min()) >= episodes:
            break
    else:
        if episodes is not None:
            raise RlnutError(f"{episodes} episodes did not end within {most:,} steps: give --steps instead")
    whole: Experience = jax.tree.map(lambda *x: np.concatenate(x)[:most], *parts)
    if episodes is None:
        return whole
    valid = whole.episode < episodes
    last = int(np.flatnonzero(np.asarray(valid).any(1)).max()) + 1
    return jax.tree.map(lambda x: x[:last], whole._replace(step=whole.step._replace(valid=valid)))


def _drawn(players: Players, obs: Array, mask: Array | None, key: Key) -> Drawn:
    behaviour, target, _ = players
    assert behaviour.traced is not None and target.traced is not None
    b = behaviour.traced(obs, mask)
    pi = b if target is behaviour else target.traced(obs, mask)
    action = jnp.asarray(sample(b, jax.random.uniform(key, b.shape[:-1])))
    taken, acted = (
        jnp.take_along_axis(p, action[..., None], -1)[..., 0].reshape(len(obs), -1).prod(1) for p in (pi, b)
    )
    rho = taken / jnp.maximum(acted, 1e-12)
    return Drawn(action, taken, rho, pi, jnp.asarray((pi > 0) & (b == 0)).any())


def _begin(vector: FuncVector, players: Players, key: Key) -> Playing:
    lanes, look = vector.reset(jax.random.fold_in(key, 0))
    drawn = _drawn(players, look.obs, look.mask, jax.random.fold_in(key, 2**31 - 1))
    return Playing(lanes, look, drawn, jnp.zeros(vector.num_envs, jnp.int32))


def _advance(
    vector: FuncVector, players: Players, gamma: float, pairs: bool, size: int, playing: Playing, key: Key
) -> tuple[Playing, tuple[Experience, Array]]:
    """`size` steps."""

    def one(now: Playing, key: Key) -> tuple[Playing, tuple[Experience, Array]]:
        after_key, begin_key = jax.random.split(key)
        lanes, look, step = vector.step(now.lanes, jnp.asarray(now.drawn.action))
        following = _drawn(players, step.next_obs, step.next_mask, after_key)
        begun = _drawn(players, look.obs, look.mask, begin_key)
        seen = transition(
            now.look.obs, now.drawn.action, step.reward, step.next_obs, step.terminated, step.truncated, gamma,
            step.valid, mask=now.look.mask, next_mask=step.next_mask,
        )  # fmt: skip
        second: Any = (jnp.zeros_like(step.reward), step.next_obs)
        row = Experience(
            seen, now.drawn.rho, now.drawn.taken, now.episode, second, following.action, following.rho,
            following.policy if pairs else None,
        )  # fmt: skip

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(look.fresh.reshape(-1, *(1,) * (old.ndim - 1)), new, old) if old.ndim else old | new

        drawn = jax.tree.map(chosen, begun, following)
        return Playing(lanes, look, drawn, now.episode + look.fresh), (row, now.drawn.missing)

    return jax.lax.scan(one, playing, jax.random.split(key, size))
