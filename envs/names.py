"""Names of environments: the one place that says which registered environment a name means."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, find_highest_version, load_env_creator, parse_env_id

from rlnut.errors import UsageError, unknown
from rlnut.runtime.modules import import_users_module


def resolve_name(name: str) -> str:
    """The registered name that `name` means: the latest version if it has none; UsageError if there is none.

    "MODULE:NAME" imports the module, which registers the name; it is kept in the answer unless the environment is of
    Gymnasium or ours, for whose names no import is needed. Where it registers none, NAME is its class or function.
    """
    if name.startswith("gymnax/"):
        from rlnut.envs.gymnax import register

        register()
    module, _, bare = name.rpartition(":")
    if not module:
        return _registered(bare, name)
    try:
        imported = import_users_module(module)
    except Exception as error:  # whatever the user's module does when it is imported
        raise UsageError(f"{name}: cannot import {module}: {one_line(error)}") from None
    own = vars(imported).get(bare)
    try:
        found = _registered(bare, name)
    except UsageError:
        if own is None:
            raise _not_in(imported, bare, name) from None
        return _of_module(own, name)
    entry = gym.registry[found].entry_point
    if not (isinstance(entry, str) and entry.split(".")[0].split(":")[0] in ("gymnasium", "rlnut")):
        return f"{module}:{found}"
    return found if own is None else _of_module(own, name)  # a class CartPole is not Gymnasium's CartPole-v1


def registration_of(name: str) -> EnvSpec | None:
    """The registration of what `resolve_name` answered."""
    return gym.registry.get(name) or gym.registry.get(name.rpartition(":")[2])


def _of_module(own: Any, name: str) -> str:
    """`name` as it is, registered by itself: the class or function of a module, which makes the environment."""
    if not callable(own) or (isinstance(own, type) and not issubclass(own, gym.Env)):
        what = "a class that is not a gymnasium.Env" if isinstance(own, type) else f"of type {type(own).__name__}"
        raise UsageError(f"{name} is {what}; give a class of environments or a function that makes one")
    known = gym.registry.get(name)
    if known is None or known.entry_point is not own:
        gym.registry[name] = EnvSpec(name, entry_point=own)
    return name


def _not_in(module: ModuleType, bare: str, name: str) -> UsageError:
    found = [k for k, v in vars(module).items() if isinstance(v, type) and issubclass(v, gym.Env)]
    own = [k for k in found if vars(module)[k].__module__ == module.__name__ and not k.startswith("_")]
    return unknown("environment", name, [*gym.registry, *(f"{name.removesuffix(bare)}{k}" for k in own)])


def _registered(bare: str, name: str) -> str:
    if bare.startswith("ALE/"):
        from rlnut.envs.atari import register_games

        register_games(name)
    if bare in gym.registry:
        return bare
    try:
        space, stem, version = parse_env_id(bare)
    except gym.error.Error:
        raise unknown("environment", name, gym.registry) from None
    highest = find_highest_version(space, stem)
    if highest is not None and version is None:
        return f"{bare}-v{highest}"
    others = [known for known, spec in gym.registry.items() if (spec.namespace, spec.name) == (space, stem)]
    if others:
        raise UsageError(f"unknown environment {name!r}: there is {', '.join(sorted(others))}")
    raise unknown("environment", name, gym.registry)


def creator_of(spec: EnvSpec) -> Callable[..., gym.Env | gym.vector.VectorEnv]:
    """The class or function that makes a registered environment; raises what importing it raises."""
    entry: Any = spec.entry_point
    return entry if callable(entry) else load_env_creator(entry)


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__} {text}" if isinstance(error, KeyError) or not text else text
