"""`--env-arg NAME=VALUE`: text as a value of the type that the environment's constructor takes.

| the constructor's default (or annotation) | understood                                                        |
|--------------------------------------------|-------------------------------------------------------------------|
| bool                                       | true, false, yes, no, on, off in any case; 1, 0                   |
| int, float                                 | 5, 5_000, 1e3 (an int where it is whole), 0.5, inf                |
| str                                        | the text itself; 'quoted' text without its quotes                 |
| list, tuple, dict                          | JSON and Python: [1, 2], (1, 2), 1,2, {"a": 1}                    |
| None, or not known                         | the above, as Python, JSON or YAML spell it; else text            |

None and null are None, but where only a bool or a number is taken. What does not fit is refused.
"""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from collections.abc import Callable, Sequence

import gymnasium as gym

from rlnut.envs.make import EnvName
from rlnut.envs.names import creator_of, resolve_name
from rlnut.errors import UsageError, unknown
from rlnut.runtime.modules import import_users_module

SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NOTHING = ("none", "null", "~")
OF_GYMNASIUM = ("max_episode_steps",)  # arguments of `gymnasium.make` itself
SIMPLE: tuple[type, ...] = (bool, int, float, str, list, tuple, dict)


class _Text(str):
    """Text that was in no quotes: it may be meant as something else."""


def environment(name: str, words: Sequence[str] = ()) -> EnvName:
    """The environment of a name and of arguments NAME=VALUE as on the command line; UsageError for what is wrong."""
    found = resolve_name(name)
    known, open_ended = parameters(found)
    arguments: dict[str, object] = {}
    for word in words:
        argument, equals, text = word.partition("=")
        if not equals or not argument.isidentifier():
            raise UsageError(f"--env-arg takes NAME=VALUE, got {word!r}")
        if argument in arguments:
            raise UsageError(f"--env-arg {argument} is given twice")
        if argument not in known and not open_ended:
            raise unknown(f"argument of {found}", argument, known)
        allowed, default = known.get(argument, ((), inspect.Parameter.empty))
        arguments[argument] = _value(argument, text, allowed, default)
    return EnvName(found, arguments)


# name -> the types that it takes (none: not known), its default
Parameters = dict[str, tuple[tuple[type, ...], object]]


def parameters(name: str) -> tuple[Parameters, bool]:
    """The arguments of a registered environment's constructor, and whether it takes others, too."""
    spec = gym.registry[name.rpartition(":")[2]]
    if spec.entry_point is None:
        return {}, True
    try:
        creator = creator_of(spec)
    except Exception:  # whatever a user's module does; making the environment says what is missing
        return {}, True
    known, open_ended = _signature(creator)
    source = spec.kwargs.get("source")
    if open_ended and isinstance(source, str) and ":" in source:  # our tables: options go to the function of that name
        module, _, function = source.partition(":")
        inner, open_ended = _signature(getattr(import_users_module(module), function))
        known = {**inner, **known}
    for argument, value in spec.kwargs.items():
        annotated = known[argument][0] if argument in known else ()
        known[argument] = ((*annotated, *_types(type(value), value)), value)
    for argument in OF_GYMNASIUM:
        known.setdefault(argument, ((int,), spec.max_episode_steps))
    return known, open_ended


def _signature(creator: Callable[..., object]) -> tuple[Parameters, bool]:
    try:
        found = list(inspect.signature(creator).parameters.values())
    except (TypeError, ValueError):
        return {}, True
    try:
        hints = typing.get_type_hints(creator.__init__ if isinstance(creator, type) else creator)  # type: ignore[misc]
    except Exception:  # annotations may name what is not there
        hints = {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {p.name: (_types(hints.get(p.name), p.default), p.default) for p in found if p.kind in kinds}
    return named, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found)


def _types(hint: object, default: object) -> tuple[type, ...]:
    """The simple types of an annotation, and of the default; () where one of them is not known."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    options = typing.get_args(hint) if union else (hint,)
    found = []
    for option in options:
        kind = typing.get_origin(option) or option
        if kind is typing.Literal:
            found += [type(value) for value in typing.get_args(option)]
        elif isinstance(kind, type) and kind in (*SIMPLE, types.NoneType):
            found.append(kind)
        elif hint is not None:
            return ()
    if default is not inspect.Parameter.empty:
        if default is not None and not isinstance(default, SIMPLE):
            return ()
        found.append(type(default))
    return () if set(found) <= {types.NoneType} else tuple(dict.fromkeys(found))


def _value(name: str, text: str, allowed: tuple[type, ...], default: object) -> object:
    """The value that `text` means for an argument of these types; UsageError if it is none of them."""
    if not allowed:
        return _unknown_type(name, text)
    word = text.strip().lower()
    if word in NOTHING and not (set(allowed) <= {bool, int, float}):
        return None
    if bool in allowed:
        if word in SWITCHES:
            return SWITCHES[word]
        if int not in allowed and word in ("0", "1"):
            return word == "1"
    read = _read(text)
    if type(read) in allowed and not isinstance(read, _Text):
        return read
    if int in allowed and isinstance(read, float) and read.is_integer():
        return int(read)
    if float in allowed and type(read) is int:
        return float(read)
    if isinstance(read, (list, tuple)) and not {list, tuple}.isdisjoint(allowed):
        return tuple(read) if tuple in allowed else list(read)
    if str in allowed:
        return text
    shown = "" if default in (inspect.Parameter.empty, None) else f" (default {default!r})"
    wanted = " or ".join(kind.__name__ for kind in allowed if kind is not types.NoneType)
    raise UsageError(f"--env-arg {name} takes {wanted}{shown}, got {text!r}")


def _unknown_type(name: str, text: str) -> object:
    """What `text` means where nothing says what is wanted; yes, no, on and off could be text or a switch."""
    word = text.strip().lower()
    if word in NOTHING:
        return None
    if word in ("yes", "no", "on", "off"):
        switch = "true" if SWITCHES[word] else "false"
        both = f"write {name}={switch} or {name}='\"{text}\"'"
        raise UsageError(f"--env-arg {name}={text} may be a switch or text: {both}")
    if word in SWITCHES:
        return SWITCHES[word]
    read = _read(text)
    return str(read) if isinstance(read, _Text) else read


def _read(text: str) -> object:
    """JSON or a Python literal; what is neither is `_Text`."""
    for reader in (json.loads, ast.literal_eval):
        try:
            return reader(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return float(text) if text.strip().lower().lstrip("+-") in ("inf", "nan", "infinity") else _Text(text)
