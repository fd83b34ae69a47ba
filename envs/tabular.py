"""Every finite environment is this one, made from tables: a Gymnasium environment with pure functions behind it.

`Outcomes` lists for each state and action what can happen; `draw_outcome` picks one with a uniform number, on NumPy or
JAX arrays of any shape. `TabularFunc` is the functional form (safe in jit, vmap and scan), `Tabular` the Gymnasium one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.masks import MASK, Info, MasksInInfo, masks_in_info
from rlnut.envs.states import RowsOf
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import changing_wrappers
from rlnut.truth.dynamic_programming import MDP
from rlnut.truth.finite import Finite, from_toy_text, load_npz, outcomes
from rlnut.truth.outcomes import Outcomes
from rlnut.types import Array, Key


def from_env(env: gym.Env) -> Finite | None:
    """The tables of a Gymnasium environment: ours (`.finite`), toy-text (`.P`) or Blackjack; None if it has none.

    None too where a wrapper, or a subclass with a `reset` or `step` of its own, may change what the tables say, and for
    Taxi's fickle passenger, who is not in them.
    """
    inner: Any = env.unwrapped
    if changing_wrappers(env) or _changed(type(inner)):
        return None
    if isinstance(found := getattr(inner, "finite", None), Finite):
        return found
    if type(inner).__name__ == "BlackjackEnv" and type(inner).__module__.startswith("gymnasium.envs."):
        from rlnut.envs.blackjack_tables import blackjack

        return blackjack(inner.sab, inner.natural)
    table, start = getattr(inner, "P", None), getattr(inner, "initial_state_distrib", None)
    if not isinstance(table, dict) or start is None or getattr(inner, "fickle_passenger", False):
        return None
    shape = getattr(inner, "shape", (getattr(inner, "nrow", 0), getattr(inner, "ncol", 0)))
    lies = tuple(int(n) for n in shape) if np.prod(shape) == len(table) else ()
    return _with_masks(from_toy_text(table, start)._replace(shape=lies), env)


def _changed(kind: type[gym.Env]) -> bool:
    """Is it a subclass of one of Gymnasium's or of our environments, and steps in another way?"""
    known = next((base for base in kind.__mro__ if base.__module__.startswith(("gymnasium.envs.", __name__))), kind)
    return any(getattr(kind, name) is not getattr(known, name) for name in ("reset", "step"))


def _with_masks(found: Finite, env: gym.Env) -> Finite | None:
    """The tables with the actions that are allowed in each state; None if masks are given that no table tells."""
    masks: Any = getattr(env.unwrapped, MASK, None)  # Taxi's takes a state
    if callable(masks) and not isinstance(masks_in_info(env), MasksInInfo):
        return found._replace(allowed=np.stack([masks(s) for s in range(found.mdp.states)]).astype(bool))
    told = isinstance(masks_in_info(env), MasksInInfo) or MASK in env.reset(seed=0)[1]
    return None if told else found


class TabularState(NamedTuple):
    """The functional environment's state: a pytree."""

    position: Array  # int32 []
    reward: Array  # [] of the step that led here
    ended: Array  # bool []

    @property
    def at(self) -> RowsOf:
        """For `state.at[rows].set(others)`."""
        return RowsOf(self)


def draw_outcome(table: Outcomes, state: Array, action: Array, u: Array, z: Array) -> TabularState:
    """One step from (s, a) for u ~ U[0, 1) and z ~ N(0, 1), all of one shape."""
    k = (table.below[state, action] <= u[..., None]).sum(-1)
    reward = table.reward[state, action, k] + table.noise[state, action] * z
    return TabularState(table.successor[state, action, k], reward, table.ends[state, action, k])


def first(table: Outcomes, u: Array) -> Array:
    """The first state of an episode for u ~ U[0, 1)."""
    return (table.start <= u[..., None]).sum(-1).astype(np.int32)


class TabularFunc(FuncEnv):
    """A finite problem as pure functions `initial`, `transition`, `observation`, `reward`, `terminal`."""

    def __init__(self, finite: Finite) -> None:
        import jax.numpy as jnp

        S, A = finite.mdp.states, finite.mdp.actions
        self.finite = finite
        single = (np.asarray(x, np.float32 if x.dtype == np.float64 else x.dtype) for x in outcomes(finite))
        self.table = Outcomes(*(jnp.asarray(x) for x in single))
        self.allowed = None if finite.allowed is None else jnp.asarray(finite.allowed, bool)
        self.observation_space, self.action_space = gym.spaces.Discrete(S), gym.spaces.Discrete(A)
        super().__init__()

    def get_default_params(self, **kwargs: object) -> None:
        """No parameters."""

    def initial(self, rng: Key, params: None = None) -> TabularState:
        """The first state of an episode."""
        import jax
        import jax.numpy as jnp

        return TabularState(first(self.table, jax.random.uniform(rng)), jnp.zeros(()), jnp.zeros((), bool))

    def transition(self, state: TabularState, action: Array, rng: Key, params: None = None) -> TabularState:
        """One step."""
        import jax

        u_key, z_key = jax.random.split(rng)
        return draw_outcome(self.table, state.position, action, jax.random.uniform(u_key), jax.random.normal(z_key))

    def observation(self, state: TabularState, rng: Key, params: None = None) -> Array:
        """The state's number."""
        return state.position

    def reward(
        self, state: TabularState, action: Array, next_state: TabularState, rng: Key, params: None = None
    ) -> Array:
        """The reward of the step to `next_state`."""
        return next_state.reward

    def terminal(self, state: TabularState, rng: Key, params: None = None) -> Array:
        """Did the step that led here terminate the episode?"""
        return state.ended

    def state_info(self, state: TabularState, params: None = None) -> dict[str, Array]:
        """`action_mask` [A] where not all actions count."""
        return {} if self.allowed is None else {"action_mask": self.allowed[state.position]}


def read(source: object, **options: object) -> Finite:
    """A `Finite` from one, an MDP, an `.npz` path, a Gymnasium environment with tables, or "module:function"."""
    if isinstance(source, Finite):
        return source
    if isinstance(source, MDP):
        return Finite(source)
    if isinstance(source, gym.Env):
        if (found := from_env(source)) is None:
            raise UsageError(f"{source} has no table P of transition probabilities")
        return found
    if str(source).endswith(".npz"):
        return load_npz(str(source))
    module, _, name = str(source).partition(":")
    if not name:
        raise UsageError(f"a finite problem is an .npz file, an MDP or 'module:function', got {source!r}")
    import psutil

    largest = max((value for value in options.values() if isinstance(value, int)), default=0)
    if 16 * largest**2 > psutil.virtual_memory().available:  # P [S, A, S] of two actions
        raise UsageError(f"tables of {largest:,} states do not fit into memory")
    return getattr(import_module(module), name)(**options)


class Tabular(gym.Env):
    """A finite problem as a Gymnasium environment: Discrete states and actions, `info["action_mask"]` where not all
    actions count. `finite` holds its tables, `func` its functional form.

    >>> import gymnasium, rlnut.envs
    >>> env = gymnasium.make("rlnut/RandomWalk5-v0")
    >>> env.reset(seed=0)[0]
    2
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(self, source: object, render_mode: str | None = None, **options: object) -> None:
        self.finite = read(source, **options)
        self.render_mode = render_mode
        S, A = self.finite.mdp.states, self.finite.mdp.actions
        self.observation_space, self.action_space = gym.spaces.Discrete(S), gym.spaces.Discrete(A)
        self._table = outcomes(self.finite)

    @property
    def func(self) -> TabularFunc:
        """The functional form, for compiled loops."""
        return TabularFunc(self.finite)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[int, Info]:
        """Start an episode."""
        super().reset(seed=seed)
        self.state = int(first(self._table, np.asarray(self.np_random.random())))
        return self.state, self._info()

    def step(self, action: int) -> tuple[int, float, bool, bool, Info]:
        """One step; tables know no time limit, so nothing is truncated here."""
        if not self.action_space.contains(action):
            raise UsageError(f"action must be one of 0 … {self.finite.mdp.actions - 1}, got {action!r}")
        u = np.asarray(self.np_random.random())
        z = np.asarray(self.np_random.standard_normal() if self.finite.noise is not None else 0.0)
        after = draw_outcome(self._table, np.asarray(self.state), np.asarray(action), u, z)
        self.state = int(after.position)
        return self.state, float(after.reward), bool(after.ended), False, self._info()

    def _info(self) -> Info:
        allowed = self.finite.allowed
        return {} if allowed is None else {"action_mask": allowed[self.state].astype(np.int8)}

    def render(self) -> str | None:
        """The state's number, and its place where states lie in a grid."""
        if self.render_mode is None:
            return None
        place = np.unravel_index(self.state, self.finite.shape) if self.finite.shape else ()
        return f"state {self.state}" + (f" at {tuple(int(i) for i in place)}" if place else "")
