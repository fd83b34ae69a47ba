"""`--env-arg NAME=VALUE`, `--wrap NAME,ARG=VALUE`: text as a value of the type that the constructor takes.

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
import re
import types
import typing
from collections.abc import Callable, Sequence

from rlnut.envs.atari import preprocessing
from rlnut.envs.make import EnvName
from rlnut.envs.names import creator_of, registration_of, resolve_name
from rlnut.envs.wrapping import WrapperRecipe, find_wrapper
from rlnut.errors import UsageError, unknown
from rlnut.runtime.modules import import_users_module

SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NOTHING = ("none", "null", "~")
OF_GYMNASIUM = ("max_episode_steps",)  # arguments of `gymnasium.make` itself
SIMPLE: tuple[type, ...] = (bool, int, float, str, list, tuple, dict)


class _Text(str):
    """Text that was in no quotes: it may be meant as something else."""


def environment(name: str, words: Sequence[str] = (), wraps: Sequence[str] = ()) -> EnvName:
    """The environment of the command line: a name, arguments NAME=VALUE, wrappers; UsageError for what is wrong."""
    found = resolve_name(name)
    arguments = _arguments(words, *parameters(found), found, "--env-arg ") if words else {}
    if wraps:
        return EnvName(found, arguments, tuple(map(wrapper, wraps)))
    return EnvName(found, *preprocessing(found, arguments))


def wrapper(text: str) -> WrapperRecipe:
    """`--wrap NAME[,ARGUMENT=VALUE…]`: a wrapper of Gymnasium, or MODULE:CLASS; UsageError for what is wrong."""
    name, *words = _parts(text)
    known, open_ended = _signature(find_wrapper(name))
    first = next(iter(known), None)  # the environment
    known = {argument: found for argument, found in known.items() if argument != first}
    return WrapperRecipe(name, _arguments(words, known, open_ended, name, f"--wrap {name},"))


def _parts(text: str) -> list[str]:
    """Between the commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += 0 if quote else (letter in "([{") - (letter in ")]}")
        if letter == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _arguments(words: Sequence[str], known: Parameters, open_ended: bool, of: str, option: str) -> dict[str, object]:
    """Arguments NAME=VALUE of the constructor of `of`; option: what stands before one on the command line."""
    arguments: dict[str, object] = {}
    for word in words:
        argument, equals, text = word.partition("=")
        if not equals or not argument.isidentifier():
            raise UsageError(f"{option.rstrip(', ')} takes NAME=VALUE, got {word!r}")
        if argument in arguments:
            raise UsageError(f"{option}{argument} is given twice")
        if argument not in known and not open_ended:
            raise unknown(f"argument of {of}", argument, known)
        allowed, default = known.get(argument, ((), inspect.Parameter.empty))
        arguments[argument] = _value(f"{option}{argument}", text, allowed, default)
    return arguments


# name -> the types that it takes (none: not known), its default
Parameters = dict[str, tuple[tuple[type, ...], object]]


def parameters(name: str) -> tuple[Parameters, bool]:
    """The arguments of a registered environment's constructor, and whether it takes others, too."""
    spec = registration_of(name)
    if spec is None or spec.entry_point is None:
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
    raise UsageError(f"{name} takes {wanted}{shown}, got {text!r}")


def _unknown_type(name: str, text: str) -> object:
    """What `text` means where nothing says what is wanted; yes, no, on and off could be text or a switch."""
    word = text.strip().lower()
    if word in NOTHING:
        return None
    if word in ("yes", "no", "on", "off"):
        argument = re.split("[ ,]", name)[-1]
        switch = "true" if SWITCHES[word] else "false"
        both = f"write {argument}={switch} or {argument}='\"{text}\"'"
        raise UsageError(f"{name}={text} may be a switch or text: {both}")
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
