"""Docstrings as Markdown: examples (`>>> …`) become blocks of code, brackets of shapes are no links."""

from __future__ import annotations

import re
from typing import Any

import griffe


def as_markdown(text: str) -> str:
    """A docstring with fenced examples and escaped brackets."""
    parts = []
    for part in re.split(r"(\n\s*\n)", text):
        if part.lstrip().startswith(">>>"):
            parts.append(f"```pycon\n{part.strip()}\n```")
        elif part.startswith("    "):
            parts.append(part)
        else:
            pieces = re.split(r"(`[^`]*`)", part)  # odd ones are code
            parts.append("".join(p if i % 2 else re.sub(r"([\[\]*])", r"\\\1", p) for i, p in enumerate(pieces)))
    return "".join(parts)


class Docstrings(griffe.Extension):
    """Called by mkdocstrings for every object."""

    def on_instance(self, *, obj: griffe.Object, **more: Any) -> None:
        if isinstance(obj, griffe.Function) and obj.parent is not None:
            for decorator in obj.decorators:  # `train` has the parameters of `training`
                if found := re.match(r"with_signature_of\((\w+)\)", str(decorator.value)):
                    other = obj.parent.members[found[1]]
                    assert isinstance(other, griffe.Function)
                    obj.parameters = other.parameters
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
