"""Wrappers that are made again: `FrameStackObservation` of Gymnasium by name, others as MODULE:CLASS.

Names are looked up when an environment is made, so a file may name a wrapper without anything being imported.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
from functools import reduce
from typing import Any, NamedTuple, TypedDict

import gymnasium as gym
from gymnasium import wrappers
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit

from rlnut.errors import UsageError, unknown
from rlnut.runtime.registry import is_reference, users_object

Arguments = dict[str, Any]  # of a constructor: name -> value
ACTING = ("RecordVideo", "HumanRendering")  # of Gymnasium: they write files or open windows


class WrapperRecord(TypedDict):
    """A wrapper in config.json."""

    name: str
    kwargs: Arguments


class WrapperRecipe(NamedTuple):
    """A wrapper that can be made again: its class or its name, and the arguments of its constructor."""

    kind: type[gym.Wrapper] | str
    kwargs: Arguments

    def __str__(self) -> str:
        """`FrameStackObservation(stack_size=4)`."""
        return shown_wrapper({"name": self.name or self.find().__name__, "kwargs": self.kwargs})

    @property
    def name(self) -> str | None:
        """The name by which it is found again; None: it has none, as a class inside a function."""
        return self.kind if isinstance(self.kind, str) else _name_of(self.kind)

    def find(self) -> type[gym.Wrapper]:
        """Its class, imported if it is of a module; UsageError if there is none."""
        return find_wrapper(self.kind) if isinstance(self.kind, str) else self.kind

    def around(self, env: gym.Env) -> gym.Env:
        """A new one around `env`; raises what its constructor raises."""
        return self.find()(env, **copy.deepcopy(self.kwargs))

    def record(self) -> WrapperRecord | None:
        """For config.json; None: a file cannot hold it."""
        name = self.name
        return {"name": name, "kwargs": self.kwargs} if name and all(map(_is_json, self.kwargs.values())) else None

    def names_code(self) -> str:
        """Why making it from what a file says could run code of the file's choice, or act on the machine; or empty."""
        if ":" in str(self.name):
            return f"its wrapper {self.name} would be imported"
        return f"its wrapper {self.name} writes files or opens windows" if self.name in ACTING else ""


def of_record(record: WrapperRecord) -> WrapperRecipe:
    """A wrapper as config.json names it; KeyError or TypeError for what is none."""
    name, kwargs = record["name"], record["kwargs"]
    if not isinstance(name, str) or not isinstance(kwargs, dict):
        raise TypeError(f"a wrapper is a name and its arguments, got {record!r}")
    if (kind := _own().get(name)) is not None:  # a file has lists only, and some of Gymnasium's take tuples only
        signature = inspect.signature(kind).parameters
        tuples = {argument for argument, found in signature.items() if "tuple" in str(found.annotation).lower()}
        kwargs = {k: tuple(v) if k in tuples and isinstance(v, list) else v for k, v in kwargs.items()}
    return WrapperRecipe(name, kwargs)


def shown_wrapper(record: WrapperRecord) -> str:
    """`FrameStackObservation(stack_size=4)`, for people."""
    arguments = ", ".join(f"{name}={short(value)}" for name, value in record["kwargs"].items())
    return record["name"] + (f"({arguments})" if arguments else "")


def find_wrapper(name: str) -> type[gym.Wrapper]:
    """The class of a wrapper: of Gymnasium, or MODULE:CLASS, which is imported; UsageError if there is none."""
    if is_reference(name):
        found = users_object(name, "wrapper")
    elif (found := _own().get(name)) is None:
        raise unknown("wrapper", name, _own())
    if not isinstance(found, type) or not issubclass(found, gym.Wrapper):
        raise UsageError(f"the wrapper {name} is no class of wrappers (gymnasium.Wrapper), but {short(found)}")
    return found


def wrapper_recipe(layer: gym.Env) -> WrapperRecipe | None:
    """How to make a wrapper again: with the arguments that it recorded, or with none if it takes none; else None."""
    kind = type(layer)
    assert issubclass(kind, gym.Wrapper)
    if isinstance(layer, TimeLimit):
        return WrapperRecipe(kind, {"max_episode_steps": layer._max_episode_steps})
    if isinstance(layer, RecordConstructorArgs) and hasattr(layer, "_saved_kwargs"):
        return WrapperRecipe(kind, {k: v for k, v in layer._saved_kwargs.items() if k != "env"})
    if len(inspect.signature(kind.__init__).parameters) == 2:  # self and the environment
        return WrapperRecipe(kind, {})
    return None


def same_layer(one: gym.Env, other: gym.Env) -> bool:
    """Are two wrappers of one class and with the same recorded arguments?"""
    if type(one) is not type(other):
        return False
    ours, theirs = (getattr(layer, "_saved_kwargs", {}) for layer in (one, other))
    return ours.keys() == theirs.keys() and all(equal(ours[name], theirs[name]) for name in ours)


def equal(one: Any, other: object) -> bool:
    """Equal as far as can be told: what compares by identity only, as a generator or an object, by its type."""
    try:
        same = one == other
        if getattr(same, "shape", ()) != ():
            return bool(same.all())
        by_identity = type(one).__eq__ is object.__eq__ and not callable(one)
        return bool(same) or (by_identity and type(one) is type(other))
    except (ValueError, TypeError):
        return type(one) is type(other) and repr(one) == repr(other)


def short(value: object) -> str:
    """A value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _own() -> dict[str, type[gym.Wrapper]]:
    """The wrappers of Gymnasium by name."""
    found = {name: getattr(wrappers, name) for name in wrappers.__all__ if name in vars(wrappers)}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, gym.Wrapper)}


def _name_of(kind: type[gym.Wrapper]) -> str | None:
    if _own().get(kind.__name__) is kind:
        return kind.__name__
    start: object = sys.modules.get(kind.__module__)
    found = reduce(lambda thing, part: getattr(thing, part, None), kind.__qualname__.split("."), start)
    return f"{kind.__module__}:{kind.__qualname__}" if found is kind and kind.__module__ != "__main__" else None


def _is_json(value: object) -> bool:
    """Does it come out of a file as it went in, but for tuples, which become lists?"""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == _lists(value))
    except (TypeError, ValueError):
        return False


def _lists(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_lists(part) for part in value]
    return {k: _lists(part) for k, part in value.items()} if isinstance(value, dict) else value
