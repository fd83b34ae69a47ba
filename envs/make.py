"""Environments by name: `gymnasium.make` with errors of one line, and a description that can be saved with a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from rlnut.errors import RlnutError, UsageError, unknown

NOT_THE_ENVIRONMENT = ("render_mode", "disable_env_checker", "num_envs", "vectorization_mode", "vector_kwargs")
ENDLESS = 10_000  # steps after which an evaluation of an environment without a time limit gives up


@dataclass(frozen=True)
class EnvName:
    """An environment that can be made any number of times: its registered name and the arguments of its constructor."""

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not isinstance(self.kwargs, dict):
            raise UsageError(f"an environment is a name and a dict of arguments, got {self.id!r} and {self.kwargs!r}")

    def make(self, render_mode: str | None = None) -> gym.Env:
        """A new environment; UsageError for a wrong name or argument, RlnutError for one that fails."""
        if self.id.startswith("gymnax/"):
            from rlnut.envs.gymnax import register

            register()
        known = gym.registry.keys()
        if ":" not in self.id and self.id not in known and not _has_version(self.id):
            raise unknown("environment", self.id, known)
        arguments: dict[str, Any] = self.kwargs if render_mode is None else self.kwargs | {"render_mode": render_mode}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Gymnasium's advice on versions; what is served is checked by us
                return gym.make(self.id, disable_env_checker=True, **arguments)
        except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv, ModuleNotFoundError) as error:
            raise UsageError(f"{self.id}: {_line(error)}") from None
        except gym.error.DependencyNotInstalled as error:
            ours = "box2d" in str(error).lower()  # an extra of ours has all of it
            advice = 'pip install "rlnut[box2d]"' if ours else _line(error)
            raise UsageError(f"{self.id} needs a package that is not installed: {advice}") from None
        except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
            raise UsageError(f"{self.id} cannot be made with {self.kwargs}: {_line(error)}") from None
        except Exception as error:  # whatever a user's environment raises: one line, with its kind
            raise RlnutError(f"{self.id} cannot be made: {type(error).__name__}: {_line(error)}") from error

    @property
    def time_limit(self) -> int | None:
        """Steps after which an episode is cut, if the registration says so."""
        spec = gym.registry.get(self.id)
        limit = self.kwargs.get("max_episode_steps", spec.max_episode_steps if spec else None)
        return None if limit == -1 else limit  # -1 is how Gymnasium is told to leave the limit out

    @property
    def threshold(self) -> float | None:
        """The mean return from which the environment counts as solved, if its registration says so."""
        spec = gym.registry.get(self.id)
        return spec.reward_threshold if spec else None


EnvLike = str | EnvName | gym.Env | gym.vector.VectorEnv | Callable[[], gym.Env]


def env_name(env: EnvLike) -> EnvName | None:
    """The name behind an environment, if it was made from one: so that it can be made again."""
    if isinstance(env, EnvName):
        return env
    if isinstance(env, str):
        return EnvName(env)
    spec = getattr(env, "spec", None)
    if not isinstance(spec, gym.envs.registration.EnvSpec):
        return None
    registered = gym.registry.get(spec.id)
    usual = registered.kwargs if registered is not None else {}
    given = {k: v for k, v in spec.kwargs.items() if k not in usual or usual[k] != v}
    kwargs = {k: v for k, v in given.items() if k not in NOT_THE_ENVIRONMENT}
    if registered is not None and registered.max_episode_steps != spec.max_episode_steps:
        kwargs["max_episode_steps"] = spec.max_episode_steps
    return EnvName(spec.id, kwargs) if registered is not None else None


def maker(env: EnvLike) -> Callable[[], gym.Env]:
    """A function that makes the environment again; UsageError for one that exists only once."""
    name = env_name(env)
    if name is not None:
        return name.make
    if callable(env) and not isinstance(env, (gym.Env, gym.vector.VectorEnv)):
        return env
    raise UsageError("an environment that is not registered cannot be made twice: pass a function that makes it")


def _has_version(name: str) -> bool:
    """Another version of it is registered: Gymnasium's own message says which."""
    stem = name.rsplit("-v", 1)[0]
    return any(known.rsplit("-v", 1)[0] == stem for known in gym.registry)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__} {text}" if isinstance(error, KeyError) or not text else text
