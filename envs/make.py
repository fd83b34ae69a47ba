"""Environments by name, or as instances: made again any number of times, with errors of one line.

What is kept of an instance: the registered name, the arguments of its constructor, its time limit, and its wrappers
with the arguments they were made with. Attributes that were changed after construction (`env.unwrapped.gravity = 3`)
cannot be seen, and are not kept: pass a function that makes the environment.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NotRequired, TypedDict

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from rlnut.envs.atari import preprocessing
from rlnut.envs.names import creator_of, one_line, registration_of, resolve_name
from rlnut.envs.wrapping import (
    Arguments,
    WrapperRecipe,
    WrapperRecord,
    equal,
    of_record,
    same_layer,
    short,
    shown_wrapper,
    wrapper_recipe,
)
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.wrappers import layers
from rlnut.truth.finite import Finite

NOT_THE_ENVIRONMENT = ("render_mode", "disable_env_checker", "num_envs", "vectorization_mode", "vector_kwargs")
ENDLESS = 10_000  # steps after which an evaluation of an environment without a time limit gives up
FUNCTION = "pass a function that makes it"
LOOKING_ON = ("PassiveEnvChecker", "OrderEnforcing", "HumanRendering", "RenderCollection")  # added by gymnasium.make
VECTOR_PLAIN = ("RecordEpisodeStatistics", "DictInfoToList", "HumanRendering", "RecordVideo")


class EnvRecord(TypedDict):
    """An environment in config.json."""

    id: str
    kwargs: Arguments
    wrappers: NotRequired[list[WrapperRecord]]  # innermost first
    not_kept: NotRequired[list[str]]  # what a file cannot hold


@dataclass(frozen=True)
class EnvName:
    """An environment that can be made any number of times: registered name, arguments, wrappers (innermost first)."""

    id: str
    kwargs: Arguments = field(default_factory=dict)
    wrappers: tuple[WrapperRecipe, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not isinstance(self.kwargs, dict):
            raise UsageError(f"an environment is a name and a dict of arguments, got {self.id!r} and {self.kwargs!r}")

    def __str__(self) -> str:
        """`FrozenLake-v1(is_slippery=False) with the wrapper TransformReward`, for people."""
        return shown_environment(self.record())

    def make(self, render_mode: str | None = None) -> gym.Env:
        """A new environment; UsageError for a wrong name or argument, RlnutError for one that fails."""
        name = resolve_name(self.id)
        arguments: Arguments = self.kwargs if render_mode is None else self.kwargs | {"render_mode": render_mode}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Gymnasium's advice on versions; the spaces are checked by us
                env = gym.make(registration_of(name) or name, disable_env_checker=True, **arguments)
        except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv, ModuleNotFoundError) as error:
            raise UsageError(f"{self.id}: {one_line(error)}") from None
        except gym.error.DependencyNotInstalled as error:
            ours = "box2d" in str(error).lower()  # an extra of ours has all of it
            advice = 'pip install "rlnut[box2d]"' if ours else one_line(error)
            raise UsageError(f"{self.id} needs a package that is not installed: {advice}") from None
        except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
            raise UsageError(f"{self.id} cannot be made with {self.kwargs}: {one_line(error)}") from None
        except (KeyboardInterrupt, RlnutError):
            raise
        except BaseException as error:  # whatever a user's environment raises, SystemExit too: one line, with its kind
            raise RlnutError(f"{self.id} cannot be made: {type(error).__name__}: {one_line(error)}") from error
        return self._wrapped(env)

    def _wrapped(self, env: gym.Env) -> gym.Env:
        """`env` inside its wrappers; UsageError in the name of the one that cannot be made."""
        for wrapper in self.wrappers:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    env = wrapper.around(env)
            except RlnutError:
                raise
            except gym.error.DependencyNotInstalled as error:
                advice = 'pip install "rlnut[atari]"' if "opencv" in str(error) else one_line(error)
                raise UsageError(f"{wrapper} needs a package that is not installed: {advice}") from None
            except Exception as error:
                raise UsageError(f"{self.id} cannot be wrapped in {wrapper}: {one_line(error)}") from None
        return env

    def record(self) -> EnvRecord:
        """For config.json; `not_kept` names what a file cannot hold, so that the environment has to be given again."""
        kept: Arguments = {}
        missing: list[str] = []
        around: list[WrapperRecord] = []
        for wrapper in self.wrappers:
            if (one := wrapper.record()) is not None:
                around.append(one)
            else:
                missing.append(f"the wrapper {wrapper.find().__name__}")
        for name, value in self.kwargs.items():
            try:
                json.dumps(value, allow_nan=False)
                kept[name] = value
            except (TypeError, ValueError):
                missing.append(f"the argument {name}")
        found: EnvRecord = {"id": self.id, "kwargs": kept}
        if around:
            found["wrappers"] = around
        return {**found, "not_kept": missing} if missing else found

    @property
    def registration(self) -> EnvSpec | None:
        """What the registry says of the name."""
        return registration_of(resolve_name(self.id))

    @property
    def time_limit(self) -> int | None:
        """Steps after which an episode is cut, if the registration or an argument says so."""
        spec = self.registration
        given = self.kwargs.get("max_episode_steps")
        limit = given if given is not None else spec.max_episode_steps if spec else None
        return None if limit == -1 else limit  # -1 is how Gymnasium is told to leave the limit out

    @property
    def threshold(self) -> float | None:
        """The mean return from which the environment counts as solved, if its registration says so."""
        spec = self.registration
        return spec.reward_threshold if spec else None


EnvLike = str | EnvName | Finite | gym.Env | gym.vector.VectorEnv | Callable[[], gym.Env]


def shown_environment(record: EnvRecord | None) -> str:
    """What `EnvName.record` holds, for people; None: an environment without a name."""
    if record is None:
        return "an environment of your own"
    arguments = ", ".join(f"{name}={short(value)}" for name, value in record["kwargs"].items())
    around = " and ".join([*map(shown_wrapper, record.get("wrappers", ())), *record.get("not_kept", ())])
    return record["id"] + (f"({arguments})" if arguments else "") + (f" with {around}" if around else "")


def named_in(record: EnvRecord | None) -> EnvName | None:
    """The environment that `EnvName.record` holds; None: there is none, or a file cannot hold it."""
    if not record or record.get("not_kept"):
        return None
    return EnvName(record["id"], record["kwargs"], tuple(map(of_record, record.get("wrappers", ()))))


def env_name(env: EnvLike) -> EnvName | None:
    """The name, arguments and wrappers behind an environment, if it was made from a registered name.

    None for a function and for what is not registered; UsageError for wrappers that cannot be made again.
    """
    if isinstance(env, EnvName):
        return replace(env, id=resolve_name(env.id))
    if isinstance(env, str):
        name = resolve_name(env)
        return EnvName(name, *preprocessing(name, {}))
    if isinstance(env, Finite):
        return EnvName("rlnut/Tabular-v0", {"source": env})
    if isinstance(env, gym.Env):
        return _of_instance(env)
    return _of_vector(env) if isinstance(env, gym.vector.VectorEnv) else None


def maker(env: EnvLike) -> Callable[[], gym.Env]:
    """A function that makes the environment again; UsageError for one that exists only once."""
    name = env_name(env)
    if name is not None:
        return name.make
    if isinstance(env, gym.vector.VectorEnv):
        return _makes_one(env)
    if callable(env) and not isinstance(env, gym.Env):
        from rlnut.envs.contract import new_env

        return partial(new_env, env)
    if not isinstance(env, gym.Env):
        raise UsageError(f"an environment is a name, an instance or a function that makes one, got {short(env)}")
    raise UsageError(f"an environment that is not registered cannot be made twice: {FUNCTION}")


def _of_instance(env: gym.Env) -> EnvName | None:
    base = env.unwrapped
    spec = base.spec
    registered = gym.registry.get(spec.id) if isinstance(spec, EnvSpec) else None
    if spec is None or registered is None or registered.entry_point != spec.entry_point:
        return None
    chain = _chain(env)
    kwargs = _given(spec, registered)
    limit = next((layer._max_episode_steps for layer in chain if isinstance(layer, TimeLimit)), None)
    limited = kwargs if limit == registered.max_episode_steps else kwargs | {"max_episode_steps": limit or -1}
    if len(chain) == 1 + (limit is not None) and creator_of(spec) is type(base):
        return EnvName(spec.id, limited)  # nothing but the environment, and perhaps its time limit
    for arguments in (limited, kwargs | {"max_episode_steps": -1}):
        made = EnvName(spec.id, arguments).make()
        start = _chain(made)
        made.close()
        if len(start) <= len(chain) and all(map(same_layer, start, chain)):
            return _checked(EnvName(spec.id, arguments, tuple(map(_recipe, chain[len(start) :]))), chain)
    raise UsageError(f"{spec.id}: this instance differs from what its registered name makes: {FUNCTION}")


def _given(spec: EnvSpec, registered: EnvSpec) -> Arguments:
    """The arguments that are not the registered ones, without those that change only how it is shown."""
    usual = registered.kwargs
    same = {name for name in spec.kwargs if name in usual and equal(usual[name], spec.kwargs[name])}
    return {k: v for k, v in spec.kwargs.items() if k not in same and k not in NOT_THE_ENVIRONMENT}


def _checked(name: EnvName, chain: list[gym.Env]) -> EnvName:
    """The name, if what it makes has the layers `chain`, with the same arguments; else UsageError."""
    made = name.make()
    found = _chain(made)
    made.close()
    if len(found) != len(chain) or not all(map(same_layer, found, chain)):
        raise UsageError(f"{name} comes out differently when it is made again: {FUNCTION}")
    return name


def _chain(env: gym.Env) -> list[gym.Env]:
    """The environment and its wrappers, innermost first, without those that only look on."""
    return [layer for layer in reversed(layers(env)) if type(layer).__name__ not in LOOKING_ON]


def _recipe(layer: gym.Env) -> WrapperRecipe:
    if (found := wrapper_recipe(layer)) is None:
        raise UsageError(
            f"the wrapper {type(layer).__name__} does not record its arguments (gymnasium.utils.RecordConstructorArgs),"
            f" so the wrapped environment cannot be made again: {FUNCTION}"
        )
    return found


def _of_vector(env: gym.vector.VectorEnv) -> EnvName | None:
    """Of N environments the first; None where only their function is known, or wrappers are around them all."""
    inner, changed = _inside(env)
    if changed:
        return None
    functions, envs = _parts(inner)
    if functions or envs:
        first = functions[0]() if functions else envs[0]
        try:
            return _of_instance(first)
        except UsageError:
            return None  # `maker` says why, or takes the function
        finally:
            if functions:
                first.close()
    spec = inner.spec
    registered = gym.registry.get(spec.id) if isinstance(spec, EnvSpec) else None
    if spec is None or registered is None:
        return None
    kwargs = _given(spec, registered)
    if registered.max_episode_steps != spec.max_episode_steps:
        kwargs["max_episode_steps"] = spec.max_episode_steps or -1
    return EnvName(spec.id, kwargs)


def _makes_one(env: gym.vector.VectorEnv) -> Callable[[], gym.Env]:
    """The function that made the first of N environments; UsageError if there is none, or wrappers around them all."""
    inner, changed = _inside(env)
    if changed:
        raise UsageError(
            f"{changed[0]} wraps the whole VectorEnv, so single episodes cannot be played on the same environment:"
            " give eval_env=, or wrap each environment instead"
        )
    functions, envs = _parts(inner)
    if functions:
        return functions[0]
    if envs:
        return maker(envs[0])
    raise UsageError(f"this {type(inner).__name__} is not registered and has no env_fns: give eval_env=")


def _parts(env: gym.vector.VectorEnv) -> tuple[Sequence[Callable[[], gym.Env]], Sequence[gym.Env]]:
    """The functions that made N environments, if they are still there, and the environments, if they are here."""
    functions, envs = getattr(env, "env_fns", ()), getattr(env, "envs", ())
    return functions if isinstance(functions, (list, tuple)) else (), envs if isinstance(envs, (list, tuple)) else ()


def _inside(env: gym.vector.VectorEnv) -> tuple[gym.vector.VectorEnv, list[str]]:
    """The vector environment inside its wrappers, and those of them that may change what it does."""
    changed = []
    while isinstance(env, gym.vector.VectorWrapper):
        if (name := type(env).__name__) not in VECTOR_PLAIN:
            changed.append(name)
        env = env.env
    return env, changed
