"""Tables of the site that come from the code: options, agents, methods, rows of benchmarks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import Field, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def settings_class(name: str) -> type:
    """The config of an agent or a model, or a settings class by its own name."""
    from rlnut.agents.catalogue import AGENTS
    from rlnut.control.settings import RunSettings
    from rlnut.data.table_settings import TableSettings
    from rlnut.prediction.methods import Prediction
    from rlnut.supervised.linear_settings import LINEAR_MODELS
    from rlnut.supervised.network_settings import MODELS

    others = {"RunSettings": RunSettings, "Prediction": Prediction, "TableSettings": TableSettings}
    return (dict(AGENTS.own) | MODELS | LINEAR_MODELS | others)[name]


def cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def shown_default(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def options_table(cls: type, beyond: type | None = None) -> str:
    """Name, default, allowed values and help text of every option of a settings class."""
    from rlnut.settings import allowed_text, type_texts

    kinds = type_texts(cls)
    known = {f.name: f.default for f in fields(beyond)} if beyond is not None else {}
    chosen = [f for f in fields(cls) if known.get(f.name, fields) != f.default]

    def row(f: Field) -> str:
        allowed = allowed_text(f)
        kind = code(kinds[f.name])
        values = " ".join(map(code, allowed.split(", "))) if f.metadata.get("choices") else cell(allowed)
        text = cell(f.metadata.get("help", ""))
        return f"| {code(f.name)} | {code(shown_default(f.default))} | {kind} {values} | {text} |"

    return table("option | default | type and range | what it does", map(row, chosen))


def table(head: str, rows: Iterable[str]) -> str:
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", "|" + "---|" * columns, *rows])


def first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


def agents_table(names: Iterable[str]) -> str:
    return table("name | agent", (f"| {code(n)} | {cell(first_line(settings_class(n)))} |" for n in names))


def methods_table(names: Iterable[str]) -> str:
    from rlnut.prediction.methods import METHODS

    def row(name: str) -> str:
        method = METHODS.own[name]
        limits = "; ".join(filter(None, (method.on_policy and "on-policy only", method.linear and "linear only")))
        uses = " ".join(code(option) for option in method.uses)
        return f"| {code(name)} | {cell(method.help)} | {uses} | {limits} |"

    return table("name | method | options of its own | restrictions", map(row, names))


def benchmark_rows(names: Iterable[str]) -> str:
    """The rows of the control benchmark for these agents."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| agent | environment |"))
    rows = [line for line in text.splitlines() if line.count("|") == head.count("|") and line.startswith("| ")]
    found = [line for name in names for line in rows if line.startswith(f"| {name} | ")]
    if not found:
        raise ValueError(f"benchmarks/README.md has no row for {names}")
    return table(head.strip("| "), found)
