"""Agents and methods by name: those of rlnut, those that a program registers, and those of installed packages.

A package offers them by entry points (`[project.entry-points."rlnut.agents"]`), which are read where a name is not
known otherwise, or all names are asked for; what one names is imported when it is used. MODULE:NAME, typed by the user,
needs no registration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rlnut.errors import REFERENCE, UsageError, near_misses, unknown
from rlnut.runtime.modules import import_users_module

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
NAME = re.compile(r"\w[\w.+-]*")


class Registry(Mapping[str, T], Generic[T]):
    """Name -> agent or method; the names of rlnut come first. `check(thing, said)` raises UsageError for another type.

    `kind`: what they are, for messages; `group`: the entry points of packages.
    """

    def __init__(self, kind: str, group: str, own: Mapping[str, T], check: Callable[[Any, str], T]) -> None:
        self.kind, self.group, self.check = kind, group, check
        self.own: dict[str, T] = dict(own)
        self.added: dict[str, T] = {}  # registered, or of a package and used already

    def register(self, name: str, thing: T) -> None:
        """Give `thing` a name; UsageError for one that is taken. The same definition may come again (a notebook)."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UsageError(f"the name of an {self.kind} is letters, digits, '-', '_' and '.', got {name!r:.60}")
        thing = self.check(thing, name)
        known = self.known().get(name)
        again = known is not None and name in self.added and definition(known) == definition(thing)
        if not again and (known is not None or name in self._installed()):
            raise UsageError(f"the {self.kind} name {name!r} is taken: it is {self._owner(name)}; choose another name")
        self.added[name] = thing

    def known(self) -> dict[str, T]:
        """Those of rlnut and those that were registered or used, without a look at installed packages: cheap."""
        return self.own | self.added

    def name_of(self, thing: T) -> str | None:
        """The name of what is known."""
        return next((name for name, known in self.known().items() if known is thing), None)

    def find(self, name: str, *, other: object = None) -> T:
        """What a name or MODULE:NAME stands for; `other` is the word beside it, as in `unknown`."""
        if name in self:
            return self[name]
        if is_reference(name) and not (other is not None and other in self):
            return self.imported(name)
        raise unknown(self.kind, name, self, other=other)

    def defined(self, reference: str) -> T | None:
        """What is registered, or offered by an installed package, and was defined as MODULE:NAME; None: nothing is."""
        for thing in self.added.values():
            if definition(thing) == reference:
                return thing
        return next((self[name] for name, entry in self._installed().items() if entry.value == reference), None)

    def imported(self, reference: str) -> T:
        """What MODULE:NAME stands for, of a module that Python finds or one in the working folder."""
        return self.check(users_object(reference, self.kind), reference)

    def __getitem__(self, name: str) -> T:
        if (found := self.known().get(name)) is not None:
            return found
        entry = self._installed()[name]
        package = entry.dist.name if entry.dist is not None else entry.value
        try:
            thing = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the package does when it is imported, SystemExit too
            text = " ".join(str(error).split())[:300]
            raise UsageError(
                f"the {self.kind} {name!r} of the package {package} cannot be loaded: {type(error).__name__}: {text}"
            ) from None
        self.added[name] = self.check(thing, f"{name} of the package {package}")
        return self.added[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.own or name in self.added or name in self._installed())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.own, *self.added, *self._installed()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _installed(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages by name; a name of rlnut stays what it is."""
        from importlib.metadata import entry_points  # not at the top: it takes as long as the rest of `--help`

        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, entry)
        return {name: entry for name, entry in found.items() if name not in self.own}

    def _owner(self, name: str) -> str:
        if name in self.own:
            return "rlnut's"
        if name in self.added:
            return definition(self.added[name]) or "registered already"
        return f"of an installed package, {self._installed()[name].value}"


def definition(thing: object) -> str:
    """module:Name of a class; of other things what they are."""
    return f"{thing.__module__}:{thing.__qualname__}" if isinstance(thing, type) else repr(thing)


def same_definition(a: str, b: str) -> bool:
    """Are two classes the same by their module:Name? A script that is run is the module `__main__`."""
    (one, _, x), (other, _, y) = a.partition(":"), b.partition(":")
    return x == y and (one == other or "__main__" in (one, other))


def is_reference(word: object) -> bool:
    """Does the word have the form MODULE:NAME?"""
    return isinstance(word, str) and REFERENCE.fullmatch(word) is not None


def users_object(reference: str, kind: str) -> object:
    """What MODULE:NAME names, which the user has typed or trusts; UsageError in one line if it cannot be had."""
    module, _, path = reference.partition(":")
    try:
        found: object = import_users_module(module)
    except Exception as error:  # whatever the user's module does when it is imported
        text = " ".join(str(error).split())[:300]
        raise UsageError(f"the {kind} {reference} cannot be imported: {type(error).__name__}: {text}") from None
    for part in path.split("."):
        if not hasattr(found, part):
            near = near_misses(part, [name for name in dir(found) if not name.startswith("_")])
            hint = f": did you mean {' or '.join(near)}?" if near else ""
            where = getattr(found, "__name__", module)
            raise UsageError(f"the {kind} {reference} cannot be imported: {where} has no {part!r}{hint}")
        found = getattr(found, part)
    return found
