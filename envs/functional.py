"""N functional environments side by side: what `vector.py` does on the host, as pure functions for compiled loops.

Auto-reset is inside: a `Step` holds the true successor, and the `Look` beside it what to act on next, after an end of
the next episode. A time limit truncates. Every draw is made from the base key, the count of steps and the lane.

    vector = func_vector(CartPole(), 8, limit=500)
    lanes, look = vector.reset(key)
    lanes, look, step = vector.step(lanes, action)      # in jit, vmap, scan
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.experimental.functional import FuncEnv
from jax import Array

from rlnut.envs.masks import MASK, Info
from rlnut.envs.spaces import AS_IT_SUITS, env_title, read_spaces
from rlnut.envs.vector import Step
from rlnut.errors import RlnutError
from rlnut.learner.reading import Mismatch, observation_reader
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.keys import fast_key
from rlnut.types import Key, Look, Tree


class Lanes(NamedTuple):
    """The state of N environments: a pytree."""

    state: Tree  # the FuncEnv's own, [N, ...]
    key: Key  # [] every draw is made from it and `tick`
    tick: Array  # [] int32, steps so far
    time: Array  # [N] int32, steps of the running episodes


class Outcome(NamedTuple):
    """One step of one environment, before anything is reset."""

    state: Tree
    obs: Tree  # as the environment gives it
    reward: Array
    terminated: Array
    truncated: Array  # by the environment itself: `state_info(state)["truncated"]`
    mask: Tree | None  # `state_info(state)["action_mask"]`, as the environment gives it, or None


class FuncVector(NamedTuple):
    """Built by `func_vector`: pure functions."""

    reset: Callable[[Key], tuple[Lanes, Look]]
    step: Callable[[Lanes, Array], tuple[Lanes, Look, Step]]  # actions [N] counted from 0
    spec: Spec
    num_envs: int
    masked: bool  # actions may be forbidden


def begin(env: FuncEnv, key: Key) -> Outcome:
    """The first state of an episode."""
    state = env.initial(jax.random.fold_in(key, 0))
    return _outcome(env, state, key, jnp.zeros(()))


def advance(env: FuncEnv, state: Tree, action: Array, key: Key) -> Outcome:
    """One step."""
    after = env.transition(state, action, jax.random.fold_in(key, 0))
    return _outcome(env, after, key, env.reward(state, action, after, jax.random.fold_in(key, 2)))


def _outcome(env: FuncEnv, state: Tree, key: Key, reward: Array) -> Outcome:
    info = env.state_info(state)
    obs = env.observation(state, jax.random.fold_in(key, 1))
    terminated, truncated = env.terminal(state, jax.random.fold_in(key, 3)), info.get("truncated", False)
    check_outcome(env, obs, reward, terminated, truncated)
    mask = info.get(MASK, obs.get(MASK) if isinstance(obs, dict) else None)
    ended, cut = jnp.asarray(terminated, bool), jnp.asarray(truncated, bool)
    return Outcome(state, obs, jnp.asarray(reward, jnp.float32), ended, cut, mask)


def check_outcome(env: FuncEnv, obs: Tree, reward: Array, terminated: Array, truncated: Array | bool) -> None:
    """RlnutError for shapes and types that are not those of one step: found while a program is traced, at no cost."""
    flags = ("terminal", terminated), ('state_info["truncated"]', truncated)
    for name, given, kinds, wanted in (("reward", reward, "biuf", "number"), *((*f, "biu", "bool") for f in flags)):
        array = jnp.asarray(given)
        if array.shape != () or array.dtype.kind not in kinds:
            found = f"{array.dtype}{list(array.shape)}"
            raise RlnutError(f"{env_title(env)}: {name} returned {found}; it must be one {wanted}")
    try:
        observation_reader(env.observation_space, values=False)(jax.tree.map(_blank, obs))
    except Mismatch as error:
        raise RlnutError(f"{env_title(env)}: observation returned {error}") from None


def _blank(part: Array) -> np.ndarray:
    """Zeros in its shape and type."""
    array = jnp.asarray(part)
    return np.zeros(array.shape, array.dtype)


def func_vector(env: FuncEnv, num_envs: int, limit: int | None = None, choice: Choice = AS_IT_SUITS) -> FuncVector:
    """N copies of `env`, episodes cut after `limit` steps; UsageError for spaces that a learner cannot serve."""
    spec = read_spaces(env, choice)
    lane = jnp.arange(num_envs)

    def rows(mask: Tree | None) -> Any:
        """Masks of N environments as [N, A] or [N, D, K]."""
        if mask is None:
            return jnp.broadcast_to(spec.acts.allowed(), (num_envs, *spec.choices)) if spec.acts.padded else None
        mask = jax.vmap(lambda one: spec.acts.allowed(one, jnp))(mask)
        over = ~mask.any(-1).reshape(num_envs, -1).all(1)  # nothing is allowed after an end: nothing is asked there
        return jnp.where(over.reshape(-1, *(1,) * (mask.ndim - 1)), jnp.asarray(spec.acts.allowed()), mask)

    def keys(key: Key, tick: Array) -> Key:
        return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, tick), lane)

    def reset(key: Key) -> tuple[Lanes, Look]:
        key = fast_key(key)
        first = jax.vmap(lambda k: begin(env, k))(keys(key, jnp.int32(0)))
        lanes = Lanes(first.state, key, jnp.int32(1), jnp.zeros(num_envs, jnp.int32))
        return lanes, Look(spec.read(first.obs, jnp), jnp.ones(num_envs, bool), rows(first.mask))

    def step(lanes: Lanes, action: Array) -> tuple[Lanes, Look, Step]:
        draws = keys(lanes.key, lanes.tick)
        after: Any = jax.vmap(lambda s, a, k: advance(env, s, a, k))(lanes.state, spec.command(action, jnp), draws)
        seen, next_mask = spec.read(after.obs, jnp), rows(after.mask)
        time = lanes.time + 1
        truncated = after.truncated if limit is None else after.truncated | (time >= limit)
        end = after.terminated | truncated
        going_on = after.state, seen, next_mask

        def begun() -> tuple[Tree, Array, Any]:
            fresh = jax.vmap(lambda k: begin(env, jax.random.fold_in(k, 4)))(keys(lanes.key, lanes.tick))
            return jax.tree.map(
                lambda new, old: jnp.where(end.reshape(-1, *(1,) * (old.ndim - 1)), new, old),
                (fresh.state, spec.read(fresh.obs, jnp), rows(fresh.mask)),
                going_on,
            )

        # most steps end no episode, and draw no first states; under vmap both branches are computed, as they must be
        state, obs, mask = jax.lax.cond(end.any(), begun, lambda: going_on)
        valid: Any = jnp.ones(num_envs, bool)
        taken = Step(obs, after.reward, after.terminated, truncated, seen, valid, next_mask)
        return Lanes(state, lanes.key, lanes.tick + 1, jnp.where(end, 0, time)), Look(obs, end, mask), taken

    masked = spec.acts.padded or jax.eval_shape(lambda: begin(env, jax.random.key(0))).mask is not None
    return FuncVector(reset, step, spec, num_envs, masked)


class FuncGym(gym.Env):
    """A FuncEnv as a Gymnasium environment, so that it is evaluated, and trained on, like any other.

    >>> import gymnasium
    >>> from rlnut.envs.classic_control import CartPole
    >>> gymnasium.register("mine/CartPole-v0", lambda: FuncGym(CartPole()), max_episode_steps=500)
    >>> gymnasium.make("mine/CartPole-v0").reset(seed=0)[0].shape
    (4,)
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's own form

    def __init__(self, func: FuncEnv) -> None:
        self.func = func
        self.observation_space, self.action_space = func.observation_space, func.action_space
        self._compile()

    def _compile(self) -> None:
        self._begin = jax.jit(partial(begin, self.func))
        self._advance = jax.jit(partial(advance, self.func))

    def __getstate__(self) -> dict[str, object]:
        """All but the compiled functions, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name not in ("_begin", "_advance")}

    def __setstate__(self, saved: dict[str, object]) -> None:
        vars(self).update(saved)
        self._compile()

    def __deepcopy__(self, memo: dict[int, object]) -> FuncGym:
        """Luck of its own; what never changes, and the compiled functions, are shared."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        twin._np_random = copy.deepcopy(self._np_random, memo)
        return twin

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Tree, Info]:
        """Start an episode."""
        super().reset(seed=seed)
        self.key = jax.random.key(int(self.np_random.integers(2**32)))
        self.count = 0
        first = self._begin(jax.random.fold_in(self.key, 0))
        self.state = first.state
        return jax.tree.map(np.asarray, first.obs), self._info(first)

    def step(self, action: int | Array) -> tuple[Tree, float, bool, bool, Info]:
        """One step."""
        self.count += 1
        after = self._advance(self.state, jnp.asarray(action), jax.random.fold_in(self.key, self.count))
        self.state = after.state
        obs = jax.tree.map(np.asarray, after.obs)
        return obs, float(after.reward), bool(after.terminated), bool(after.truncated), self._info(after)

    def _info(self, outcome: Outcome) -> Info:
        return {} if outcome.mask is None else {MASK: jax.tree.map(lambda m: np.asarray(m, np.int8), outcome.mask)}
