"""What the site takes from the code when it is built, so that pages cannot go stale; mkdocs.yml names this file.

A page has one of these comments on a line of its own, and the site has in its place:

    <!-- options: dqn -->             the options of an agent, model, `RunSettings` or `Prediction`, as a table
    <!-- options: pqn beyond dqn -->  those that the second one does not have, or has with another default
    <!-- agents: dqn c51 -->          a table of agents (methods: of prediction methods, models: of models)
    <!-- benchmark: dqn c51 -->       the rows of these agents in benchmarks/README.md
    <!-- include: FILE # HEADING -->  a section of another file (without # HEADING: all but its title)
    <!-- figure: NAME | caption -->   a figure of docs/site_figures.py (output: what the command that draws it printed)
    <!-- chapter: ohm -->            the picture of a chapter of the lecture, its claims as measured, its notebook
    <!-- chapters: all -->           a table of the chapters, each with its page and its command
    <!-- reference: PREFIX ... -->    every public name of rlnut that is defined in these modules
    <!-- help: train dqn -->          what `rlnut train dqn --help` prints

and `$$ … $$` becomes MathML, which every browser shows without a script.
"""

from __future__ import annotations

import inspect
import os
import posixpath
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parent))
from site_figures import chapter, chapters_table, draw_figures, image, output_of
from site_tables import (
    agents_table,
    benchmark_rows,
    cell,
    code,
    first_line,
    methods_table,
    options_table,
    settings_class,
    table,
)

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"].rstrip("/")
REPOSITORY = "" if ".invalid/" in ADDRESS else ADDRESS  # a placeholder is no address
SOURCE = f"{REPOSITORY}/blob/main/"  # where files are shown that are no pages of the site; without REPOSITORY: no link
COMMENT = re.compile(r"^<!-- (\w+): (.*?) -->$", re.M)
LINK = re.compile(r"(\[([^\[\]]*)\]\()([^)#\s]+)(#[^)\s]*)?\)")  # text, target, #heading


def section(path: str, heading: str) -> str:
    """A section of a file of the repository, its headings one level below the page's title; links lead to the file."""
    text = (ROOT / path).read_text()
    if heading:
        start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.M)
        if start is None:
            raise ValueError(f"{path} has no heading {heading!r}")
        depth = len(start[1])
        text = text[start.end() :]
        end = re.search(rf"^#{{1,{depth}}} ", re.sub(r"^```.*?^```", blanked, text, flags=re.M | re.S), re.M)
        text = text[: end.start()] if end else text
    else:
        text = text.partition("\n")[2]
    folder = posixpath.dirname(path)

    def absolute(found: re.Match[str]) -> str:
        if "://" in found[3]:
            return found[0]
        return in_repository(posixpath.normpath(posixpath.join(folder, found[3])), found)

    return re.sub(
        r"^```.*?^```|" + LINK.pattern, lambda m: m[0] if m[0][0] == "`" else absolute(m), text, flags=re.M | re.S
    )


def in_repository(path: str, found: re.Match[str]) -> str:
    """A link to a file of the repository; where nobody knows its address, the text of the link."""
    return f"{found[1]}{SOURCE}{path}{found[4] or ''})" if REPOSITORY else found[2]


def blanked(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def public() -> dict[str, object]:
    """Every public name of rlnut and what it is; a module whose extra is not installed: its name."""
    import rlnut

    found: dict[str, object] = {}
    for name in rlnut.__all__:
        try:
            found[name] = getattr(rlnut, name)
        except rlnut.RlnutError:
            found[name] = None
    return found


def home(name: str, thing: object) -> str:
    """module.Name where a public name is defined; of a module its own name."""
    if thing is None or isinstance(thing, ModuleType):
        return f"rlnut.{name}"
    return f"{getattr(thing, '__module__', 'rlnut')}.{getattr(thing, '__qualname__', name)}"


GROUPS = {  # page of the reference -> the modules whose public names it has, and whose settings
    "control": ("rlnut.control", "rlnut.comparison", "rlnut.envs", "rlnut.runtime"),
    "agents": ("rlnut.agents",),
    "prediction": ("rlnut.prediction", "rlnut.truth", "rlnut.features"),
    "supervised": ("rlnut.supervised", "rlnut.networks", "rlnut.data", "rlnut.linear_models"),
    "oracle": ("rlnut.oracle",),
    "sklearn": ("rlnut.sklearn",),
}


def group_of(name: str, thing: object) -> str:
    """The page of the reference that a public name is on; what belongs to no other page is on `core`."""
    where = home(name, thing)
    return next((page for page, found in GROUPS.items() if where.startswith(found)), "core")


def reference(page: str) -> str:
    """Every public name of a page: settings with their options, everything else from its docstring."""
    from rlnut.settings import Settings

    blocks = []
    for name, thing in sorted(public().items()):
        if name == "__version__" or group_of(name, thing) != page:
            continue
        if page in ("oracle", "sklearn"):  # one block for the module, written in the page
            continue
        if isinstance(thing, type) and issubclass(thing, Settings):
            blocks.append(f"### {name}\n\n`rlnut.{name}`: {first_line(thing)}\n\n{options_table(thing)}")
        elif isinstance(thing, ModuleType):
            blocks.append(f"### {name}\n\n`rlnut.{name}`: {first_line(thing)}")
        elif inspect.isclass(thing) or inspect.isfunction(thing):
            blocks.append(f"::: {home(name, thing)}")
        else:
            blocks.append(f"### {name}\n\n`rlnut.{name}`")
    return "\n\n".join(blocks)


def names_table() -> str:
    """Every public name with the page that has it."""
    rows = []
    for name, thing in sorted(public().items()):
        line = "the installed version" if name == "__version__" else cell(first_line(thing) if thing else "")
        page = group_of(name, thing)
        rows.append(f"| {code('rlnut.' + name)} | {line} | [{page}]({page}.md) |")
    return table("name | what it is | page", rows)


def help_of(words: str) -> str:
    """What `rlnut WORDS --help` prints."""
    env = os.environ | {"COLUMNS": "110"}
    command = [sys.executable, "-m", "rlnut", *words.split(), "--help"]
    return (
        f"```text\n{subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout}```"
    )


def options_of(words: str) -> str:
    name, _, other = words.partition(" beyond ")
    return options_table(settings_class(name), settings_class(other) if other else None)


def expand(markdown: str, up: str = "") -> str:
    """A page with its comments replaced; up: "../" for a page in a folder of docs."""
    words: dict[str, Callable[[str], str]] = {
        "options": options_of,
        "agents": lambda text: agents_table(text.split()),
        "models": lambda text: agents_table(text.split()),
        "methods": lambda text: methods_table(text.split()),
        "benchmark": lambda text: benchmark_rows(text.split()),
        "include": lambda text: section(*(part.strip() for part in text.partition(" # ")[::2])),
        "figure": lambda text: image(text, up),
        "output": output_of,
        "chapter": lambda text: chapter(text, up),
        "chapters": lambda text: chapters_table(),
        "reference": reference,
        "names": lambda text: names_table(),
        "help": help_of,
    }
    return COMMENT.sub(lambda found: words[found[1]](found[2]), markdown)


def with_math(markdown: str) -> str:
    """`$$ … $$` as MathML."""
    from latex2mathml.converter import convert

    return re.sub(
        r"\$\$(.+?)\$\$", lambda m: f"\n<div class=equation>{convert(m[1].strip(), display='block')}</div>\n", markdown,
        flags=re.S,
    )  # fmt: skip


def on_pre_build(config: object) -> None:
    """Draw the figures before MkDocs looks which files there are."""
    draw_figures()


def on_page_markdown(markdown: str, page: object, config: object, files: object) -> str:
    """Called by MkDocs for every page; links to files that are no pages lead to the repository."""
    path = page.file.src_uri  # type: ignore[attr-defined]
    markdown = with_math(expand(markdown, "../" * path.count("/")))

    def outside(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), found[3]))
        if "://" in found[3] or target.startswith("docs/") or not (ROOT / target).exists():
            return found[0]
        return in_repository(target, found)

    return LINK.sub(outside, markdown)
