"""What `reset` and `step` of an environment must give, checked wherever one is stepped on the host.

| what         | must be                                                                                        |
|--------------|------------------------------------------------------------------------------------------------|
| reset        | called with `seed`, returns (observation, info)                                                |
| step         | returns (observation, reward, terminated, truncated, info)                                     |
| reward       | one finite real number                                                                         |
| two flags    | True or False (0 and 1 pass)                                                                   |
| info         | a dict                                                                                         |
| observation  | of its space: structure, shape, type, all numbers finite; whole numbers within their range     |

Whatever breaks this raises one `RlnutError` that names the environment, the call, what came and what must come; so does
any exception of the environment's own, `SystemExit` included. Numbers outside a Box's bounds are only reported, once.
Observations are copied, so an environment may use its buffers again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import gymnasium as gym
from gymnasium import spaces

from rlnut.envs.masks import Info, VectorStep, masks_in_info
from rlnut.envs.spaces import env_title
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.reading import (
    LARGEST,
    Mismatch,
    in_words,
    observation_reader,
    outside_bounds,
    read_flag,
    read_flags,
    read_number,
    read_numbers,
)
from rlnut.runtime.log import say

T = TypeVar("T")
FIRST = 100  # steps of an environment in which the bounds of its observations are looked at, and every reset
FIVE = "(observation, reward, terminated, truncated, info)"
RESET = "reset(self, *, seed=None, options=None)"
_reported: set[str] = set()


class CheckedEnv(gym.Wrapper):
    """An environment whose `reset` and `step` are checked; `every`: bounds too, in every step."""

    def __init__(self, env: gym.Env, every: bool = False) -> None:
        super().__init__(env)
        self.name = env_title(env)
        self.read = observation_reader(env.observation_space)
        self.every = every
        self.episode, self.time, self.before = 0, 0, 0  # number of the episode, its steps, the steps before it
        self.watching = True  # the bounds are looked at in every step
        self.beyond: str | None = None  # the first number outside its bounds

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        """Start an episode."""
        self.episode += 1
        self.before, self.time = self.before + self.time, 0
        try:
            given = self.env.reset(seed=seed, options=options) if options is not None else self.env.reset(seed=seed)
        except (KeyboardInterrupt, RlnutError):
            raise
        except BaseException as error:  # a user's environment, and what ends it may be SystemExit
            self._failed("reset", error)
        try:
            obs, info = _two(given)
            obs = self.read(obs)
        except Mismatch as error:
            raise RlnutError(f"{self.name}: {self._call('reset')} returned {error}") from None
        if self.beyond is None:
            self._look(obs, "reset")
        return obs, info

    def step(self, action: object) -> tuple[object, float, bool, bool, Info]:
        """One step."""
        self.time += 1
        try:
            given = self.env.step(action)
        except (KeyboardInterrupt, RlnutError):
            raise
        except BaseException as error:
            self._failed("step", error)
        try:
            if type(given) is not tuple or len(given) != 5 or type(given[4]) is not dict:
                _five(given)
            obs, reward, terminated, truncated, info = given
            if type(reward) is not float or not -LARGEST <= reward <= LARGEST:
                reward = read_number(reward)
            if terminated is not True and terminated is not False:
                terminated = read_flag("terminated", terminated)
            if truncated is not True and truncated is not False:
                truncated = read_flag("truncated", truncated)
            obs = self.read(obs)
        except Mismatch as error:
            raise RlnutError(f"{self.name}: {self._call('step')} returned {error}") from None
        if self.watching:
            self._look(obs, "step")
            self.watching = self.beyond is None and (self.every or self.before + self.time < FIRST)
        return obs, reward, terminated, truncated, info

    def close(self) -> None:
        """Release the environment; a failure here loses nothing, so it is only reported."""
        _closing(self.env.close, self.name)

    def _call(self, call: str) -> str:
        if call == "reset":
            return f"reset() of episode {self.episode:,}"
        return f"step() number {self.before + self.time:,} (step {self.time:,} of episode {self.episode:,})"

    def _failed(self, call: str, error: BaseException) -> NoReturn:
        if call == "reset" and isinstance(error, TypeError) and (lacks := _lacking(self.unwrapped.reset)):
            raise RlnutError(f"{self.name}: reset() takes no {lacks}; it must be defined as {RESET}") from error
        raise RlnutError(f"{self.name}: {self._call(call)} raised {_said(error)}") from error

    def _look(self, obs: object, call: str) -> None:
        if (found := outside_bounds(self.env.observation_space, obs)) is not None:
            self.beyond = f"{self.name}: {self._call(call)} returned {found}"
            report_once(self.name, self.beyond)


class CheckedVector(gym.vector.VectorWrapper):
    """The same for a vector environment: rewards and flags [N], observations [N, ...]."""

    def __init__(self, env: gym.vector.VectorEnv) -> None:
        super().__init__(env)
        self.name = env_title(env)
        self.read = observation_reader(env.single_observation_space, (env.num_envs,))
        self.read_one = observation_reader(env.single_observation_space)
        self.total = 0

    def reset(self, *, seed: Any = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start N episodes, or those of `options["reset_mask"]`."""
        try:
            obs, info = _two(self._called("reset", lambda: self.env.reset(seed=seed, options=options)))
            obs = self.read(obs)
        except Mismatch as error:
            raise RlnutError(f"{self.name}: reset() returned {error}") from None
        self._look(obs, "reset()")
        return obs, info

    def step(self, actions: object) -> VectorStep:
        """One step of each."""
        self.total += 1
        try:
            given = _five(self._called(f"step() number {self.total:,}", lambda: self.env.step(actions)))
            reward = read_numbers(given[1], self.num_envs)
            flags = [read_flags(name, x, self.num_envs) for name, x in zip(FLAGS, given[2:4], strict=True)]
            obs = self.read(given[0])
        except Mismatch as error:
            raise RlnutError(f"{self.name}: step() number {self.total:,} returned {error}") from None
        if self.total <= FIRST:
            self._look(obs, f"step() number {self.total:,}")
        return obs, reward, *flags, given[4]

    def final(self, info: Info, i: int) -> object:
        """The last observation of environment i, from info["final_obs"]: of those that reset in the same step."""
        if "final_obs" not in info:
            raise RlnutError(
                f"{self.name}: the vector environment resets in the same step but gives no info['final_obs']"
            )
        try:
            return self.read_one(info["final_obs"][i])
        except (TypeError, IndexError, KeyError):
            given = in_words(info["final_obs"])
            raise RlnutError(
                f"{self.name}: info['final_obs'] must hold {self.num_envs} observations, got {given}"
            ) from None
        except Mismatch as error:
            raise RlnutError(f"{self.name}: step() number {self.total:,} returned info['final_obs'] {error}") from None

    def close(self, **kwargs: object) -> None:
        """Release the environments."""
        _closing(self.env.close, self.name)

    def _called(self, call: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except (KeyboardInterrupt, RlnutError):
            raise
        except BaseException as error:
            raise RlnutError(f"{self.name}: {call} raised {_said(error)}") from error

    def _look(self, obs: object, call: str) -> None:
        if (found := outside_bounds(self.single_observation_space, obs)) is not None:
            report_once(self.name, f"{self.name}: {call} returned {found}")


FLAGS = ("terminated", "truncated")


def made(make: Callable[[], gym.Env], every: bool = False) -> CheckedEnv:
    """A new environment from a function that makes one, checked in each call."""
    return CheckedEnv(masks_in_info(new_env(make)), every)


def new_env(make: Callable[[], gym.Env]) -> gym.Env:
    """What `make` makes; RlnutError for whatever it raises, UsageError if it is no environment."""
    try:
        return checked_kind(make())
    except (KeyboardInterrupt, RlnutError):
        raise
    except BaseException as error:
        name = getattr(make, "__qualname__", type(make).__name__)
        raise RlnutError(f"the environment cannot be made: {name}() raised {_said(error)}") from error


def checked_kind(env: object) -> gym.Env:
    """The environment as it is; UsageError for what is none."""
    if not isinstance(env, gym.Env):
        raise UsageError(f"a function that makes an environment must return a gymnasium.Env, got {in_words(env)}")
    for name in ("observation_space", "action_space"):
        if not isinstance(space := getattr(env, name, None), spaces.Space):
            raise UsageError(f"{env_title(env)}: {name} must be a gymnasium.Space, got {in_words(space)}")
    return env


def _two(given: object) -> tuple[object, Info]:
    """(observation, info) of a reset."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise Mismatch(f"{in_words(given)}; it must return (observation, info)")
    if not isinstance(given[1], dict):
        raise Mismatch(f"{in_words(given[1])} as info; it must return (observation, info) with a dict")
    return given[0], given[1]


def _five(given: object) -> Sequence[Any]:
    """(observation, reward, terminated, truncated, info) of a step."""
    if not isinstance(given, tuple | list) or len(given) != 5:
        values = f"{len(given)} values" if isinstance(given, tuple | list) else in_words(given)
        old = " (4 values with `done` are the API of Gym before 0.26)" if values == "4 values" else ""
        raise Mismatch(f"{values}; it must return {FIVE}{old}")
    if not isinstance(given[4], dict):
        raise Mismatch(f"{in_words(given[4])} as info; it must be a dict")
    return given


def _lacking(reset: Callable[..., object]) -> str:
    """The arguments that `reset` should take and does not, as words."""
    try:
        parameters = inspect.signature(reset).parameters
    except (TypeError, ValueError):
        return ""
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return ""
    return " and no ".join(f"`{name}`" for name in ("seed", "options") if name not in parameters)


def _said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")


def _closing(close: Callable[[], object], name: str) -> None:
    """Call `close`; whatever it raises is reported and goes no further."""
    try:
        close()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        report_once(f"{name} close", f"{name}: close() raised {_said(error)}")


def report_once(key: str, line: str) -> None:
    """A warning for people, once in a process for each `key`."""
    if key not in _reported:
        _reported.add(key)
        say(f"warning: {line}")
