"""Options as frozen dataclass fields that know their own help text and range; importing this costs nothing.

    @dataclass(frozen=True)
    class DQN(Settings):
        lr: float = setting(1e-3, "step size α of Adam", above=0)

Python (`DQN(lr=...)` is checked), the command line (`--lr`), the saved config and the documentation use one definition:
`help(DQN)`, a notebook's tooltip and the site list the options of a class with their texts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import numbers
import types
import typing
from abc import ABCMeta
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from rlnut.errors import UsageError, unknown
from rlnut.other_names import own_option

Options = dict[str, Any]  # some fields of a config, by name
MOST = 256  # values of one setting: a network of more layers does not end compiling
LARGEST = {int: 2**31 - 1, float: 3e38}  # what the device's int32 and float32 hold, where a setting says no other bound


def setting(
    default: object,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
    words: Mapping[str, float] | None = None,
) -> Any:
    """A dataclass field with its comment and its range: low <= x <= high, above < x < below (each of a tuple).

    words: what may be written in the place of a number, and for which: {"all": 0}.
    """
    limits = {"low": low, "above": above, "high": high, "below": below}
    return field(default=default, metadata={"help": help, "choices": choices, "words": words or {}, **limits})


def changed(config: type, name: str, default: object) -> Any:
    """The option `name` of a config with another default; its help, choices and range stay."""
    (known,) = (f for f in fields(config) if f.name == name)
    return field(default=default, metadata=known.metadata)


class ClassDoc:
    """The docstring of a config, with its options under what the author wrote; made when somebody asks for it."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __get__(self, instance: object, owner: type) -> str:
        text = inspect.cleandoc(self.text) if self.text else f"Settings of {owner.__name__}."
        if "__dataclass_fields__" not in vars(owner):  # not a dataclass yet
            return text
        kind = type_texts(owner)
        lines = [f"    {f.name} ({kind[f.name]}): {option_text(f)}" for f in fields(owner)]
        return "\n".join([text, "", "Options:", *lines, ""])


if typing.TYPE_CHECKING:
    _Options = type  # checkers see the dataclass's own constructor
else:

    class _Options(ABCMeta):
        # other libraries' names of options are understood when a config is made: DQN(learning_rate=1e-3)
        __doc__ = type.__dict__["__doc__"]  # `help` reads the docstring of a class through its metaclass

        def __call__(cls, *args: Any, **given: Any) -> Any:
            return super().__call__(*args, **own_names(cls, given) if undecorated(cls) is None else given)

        @property
        def __signature__(cls) -> inspect.Signature:
            whole = inspect.signature(cls.__init__)
            return whole.replace(parameters=list(whole.parameters.values())[1:])


@dataclass(frozen=True)
class Settings(metaclass=_Options):
    """Base of every config: checks types and ranges when it is made."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # `type` documents that a descriptor may stand here, typeshed does not
        cls.__doc__ = ClassDoc(vars(cls).get("__doc__"))  # type: ignore[assignment]
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # kept: dataclass would show every field

    def __post_init__(self) -> None:
        if (loose := undecorated(type(self))) is not None:
            raise UsageError(f"{loose} is no option yet: put @dataclass(frozen=True) in front of its class")
        hints = kinds(type(self))
        for f in fields(self):
            object.__setattr__(self, f.name, _checked(f, hints[f.name], getattr(self, f.name)))

    def __repr__(self) -> str:
        """The options that differ from their defaults: `DQN(lr=0.0003)`."""
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"{type(self).__name__}({', '.join(given)})"

    def replace(self, **changes: Any) -> typing.Self:
        """A copy with some fields changed; other libraries' names of them are understood, unknown names refused."""
        return dataclasses.replace(self, **own_names(type(self), changes))


def own_names(kind: type[Settings], given: Options) -> Options:
    """The options of `kind` that were given, by its own names (learning_rate: lr); UsageError for unknown names."""
    allowed = [f.name for f in fields(kind)]
    what = f"{kind.__name__.removesuffix('Settings')} option"
    return renamed(given, allowed, lambda name: unknown(what, name, allowed))


def renamed(given: Options, allowed: Collection[str], refused: Callable[[str], UsageError]) -> Options:
    """What was given, by the names in `allowed`; refused: the error for a name that means none of them."""
    known: Options = {}
    for name, value in given.items():
        ours = own_option(name, allowed)
        if ours is None:
            raise refused(name)
        if ours in known or (ours != name and ours in given):
            raise UsageError(f"{name} is another name of {ours}: give one of them")
        known[ours] = value
    return known


def undecorated(cls: type) -> str | None:
    """Class.name of a `setting` of a class that was not made a dataclass; None: there is none."""
    found = ((base, name) for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, Field))
    return next((f"{base.__name__}.{name}" for base, name in found), None)


def kinds(cls: type) -> dict[str, tuple[type, bool, bool]]:
    """Field name -> (scalar type, may it be None, is it a tuple of them)."""
    return {name: _kind(hint) for name, hint in typing.get_type_hints(cls).items()}


def type_texts(cls: type) -> dict[str, str]:
    """Option -> its type as it is written in Python."""
    try:
        found = kinds(cls)
    except NameError:  # a type that is imported for type checkers only: as it is written
        return {f.name: str(f.type) for f in fields(cls)}
    return {name: _type_text(*found[name]) for name in (f.name for f in fields(cls))}


def _type_text(scalar: type, optional: bool, many: bool) -> str:
    return (f"tuple[{scalar.__name__}, ...]" if many else scalar.__name__) + (" | None" if optional else "")


def allowed_text(f: Field) -> str:
    """Which values an option takes: its choices, or its range; empty: any of its type."""
    if choices := f.metadata.get("choices"):
        return ", ".join(choices)
    return " and ".join(range_texts(f.metadata))


def option_text(f: Field) -> str:
    """The help text of an option, with its default and the values that it takes."""
    allowed = allowed_text(f)
    default = "required" if f.default is dataclasses.MISSING else f"default {f.default!r}"
    return f"{f.metadata.get('help', '')} ({default}{'; ' if allowed else ''}{allowed})".lstrip()


def range_texts(limits: typing.Mapping[str, float | None]) -> list[str]:
    """The bounds of a range in words: [">= 0", "< 1"]."""
    signs = (("low", ">="), ("above", ">"), ("high", "<="), ("below", "<"))
    return [f"{sign} {limits[word]}" for word, sign in signs if limits.get(word) is not None]


def _kind(hint: Any) -> tuple[type, bool, bool]:
    optional = False
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        args = [a for a in typing.get_args(hint) if a is not type(None)]
        optional, hint = len(args) < len(typing.get_args(hint)), args[0]
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], optional, True
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    return hint, optional, False


def _checked(f: dataclasses.Field, kind: tuple[type, bool, bool], value: object) -> object:
    scalar, optional, many = kind
    if value is None and optional:
        return None
    if many:
        if not isinstance(value, (tuple, list)):
            raise UsageError(f"{f.name} takes several values of type {scalar.__name__}, got {value!r}")
        if len(value) > MOST:
            raise UsageError(f"{f.name} takes at most {MOST} values, got {len(value):,}")
        return tuple(_checked_scalar(f, scalar, v) for v in value)
    return _checked_scalar(f, scalar, value)


def _checked_scalar(f: dataclasses.Field, scalar: type, value: object) -> object:
    if scalar not in (bool, int, float, str):
        raise UsageError(
            f"{f.name} has type {scalar}: an option is a bool, int, float or str, or a tuple of one of them"
        )
    if isinstance(value, str) and scalar is not str:
        value = f.metadata.get("words", {}).get(value, value)
    value = _number(scalar, value)
    if not isinstance(value, scalar) or (isinstance(value, bool) and scalar is not bool):
        raise UsageError(f"{f.name} must be of type {scalar.__name__}, got {value!r}")
    if _is_number(value):
        _check_range(f.name, value, f.metadata)
    choices = f.metadata.get("choices")
    if choices is not None and value not in choices:
        raise unknown(f.name, str(value), choices)
    return value


def _is_number(value: object) -> typing.TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _number(scalar: type, value: object) -> object:
    """1 as 1.0, 1e5 as 100000, NumPy's numbers as Python's; anything else as it is."""
    if _is_number(value):
        with contextlib.suppress(OverflowError, ValueError):  # int(nan), int(inf), float(10**400)
            if scalar is float:
                return float(value)
            if scalar is int and int(value) == value:
                return int(value)
    return value


def whole_number(name: str, value: object, low: int, below: int | None = None) -> int:
    """An argument that is no field of a config: low <= value < below, or UsageError."""
    number = _number(int, value)
    if not isinstance(number, int) or isinstance(number, bool) or number < low or (below and number >= below):
        raise UsageError(f"{name} must be a whole number >= {low}{f' and < {below}' if below else ''}, got {value!r}")
    return number


def _check_range(name: str, value: float, limits: typing.Mapping[str, float | None]) -> None:
    low, above, high, below = (limits.get(k) for k in ("low", "above", "high", "below"))
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, got {value!r}")
    largest = LARGEST[type(value)]
    low = -largest if low is None and above is None and value < -largest else low
    high = largest if high is None and below is None and value > largest else high
    good = (
        (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
        and (below is None or value < below)
    )
    if not good:
        broken = range_texts({"low": low, "above": above, "high": high, "below": below})
        raise UsageError(f"{name} must be {' and '.join(broken)}, got {value!r}")
