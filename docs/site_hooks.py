"""What the site takes from the code when it is built, so that pages cannot go stale; mkdocs.yml names this file.

A page has one of these comments on a line of its own, and the site has in its place:

    <!-- options: dqn -->             the options of an agent, model, `RunSettings` or `Prediction`, as a table
    <!-- options: pqn beyond dqn -->  those that the second one does not have, or has with another default
    <!-- agents: dqn c51 -->          a table of agents (methods: of prediction methods, models: of models)
    <!-- benchmark: dqn c51 -->       the rows of these agents in benchmarks/README.md
    <!-- include: FILE # HEADING -->  a section of another file (without # HEADING: all but its title)
    <!-- figure: NAME | caption -->   a figure that a command of FIGURES draws (output: what that command printed)
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
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import Field, fields
from pathlib import Path
from types import ModuleType

from rlnut.demos import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "docs" / "figures"
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"].rstrip("/")
REPOSITORY = "" if ".invalid/" in ADDRESS else ADDRESS  # a placeholder is no address
SOURCE = f"{REPOSITORY}/blob/main/"  # where files are shown that are no pages of the site; without REPOSITORY: no link
COMMENT = re.compile(r"^<!-- (\w+): (.*?) -->$", re.M)
LINK = re.compile(r"(\[([^\[\]]*)\]\()([^)#\s]+)(#[^)\s]*)?\)")  # text, target, #heading

# name of a figure -> (command, the picture that it leaves); its output is kept beside it
FIGURES = {
    "dqn-cartpole": ("train dqn CartPole-v1 --out OUT", "curve.png"),
    "pqn-cartpole": ("train pqn CartPole-v1 --native --out OUT", "curve.png"),
    "sarsa-lambda-car": ("train sarsa-lambda MountainCar-v0 --out OUT", "curve.png"),
    "td-lambda-walk": ("predict td-lambda rlnut/RandomWalk19-v0 --lam 0.8 --out OUT", "values.png"),
    "lstd-walk": ("predict lstd rlnut/RandomWalk19-v0 --out OUT", "values.png"),
    "sb-7.2": ("figure 7.2 --out OUT/figure.png", "figure.png"),
    "sb-11.5": ("figure 11.5 --out OUT/figure.png", "figure.png"),
    "sb-12.3": ("figure 12.3 --out OUT/figure.png", "figure.png"),
} | {f"demo-{name}": (f"demo {name} --out OUT/figure.png", "figure.png") for name in CHAPTERS}


def figure(name: str) -> Path:
    """The picture NAME.png in docs/figures, made if it is not there; beside it NAME.txt, what the command printed."""
    command, picture = FIGURES[name]
    target, work = MADE / f"{name}.png", MADE / f"{name}.out"
    if target.exists():
        return target
    shutil.rmtree(work, ignore_errors=True)
    MADE.mkdir(exist_ok=True)
    if "OUT/" in command:
        work.mkdir()
    words = [sys.executable, "-m", "rlnut", *command.replace("OUT", str(work)).split()]
    env = os.environ | {"MPLBACKEND": "Agg"}
    found = subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        raise RuntimeError(f"rlnut {command} failed:\n{found.stdout}")
    (MADE / f"{name}.txt").write_text(found.stdout.replace(str(work), "OUT"))
    shutil.copy(work / picture, target)
    shutil.rmtree(work)
    return target


def shown_command(name: str) -> str:
    """The command of a figure as a user types it."""
    words = FIGURES[name][0].replace(" --out OUT/figure.png", "").replace(" --out OUT", "")
    return f"rlnut {words}"


def printed(name: str) -> str:
    """What the command of a figure printed, with the place where it wrote without --out."""
    figure(name)
    text = (MADE / f"{name}.txt").read_text().rstrip()
    return text.replace("OUT/figure.png", f"{name}.png").replace("OUT", default_folder(name))


def output_of(name: str) -> str:
    """The command of a figure and what it printed, as a block."""
    return f"```console\n$ {shown_command(name)}\n{printed(name)}\n```"


def default_folder(name: str) -> str:
    """The folder that a training run has without --out."""
    words = [*FIGURES[name][0].split(), ""]
    return f"runs/{words[1]}-{words[2].replace('/', '-')}-seed0"


def chapter(name: str, up: str) -> str:
    """The picture of a chapter, its claims with their numbers, all that it printed, its notebook and its source."""
    key = f"demo-{name}"
    text = printed(key)
    claims = [f"- {cell(claim)}" for claim in re.findall(r"^  holds: (.*)$", text, re.M)]
    if not claims:
        raise ValueError(f"rlnut {FIGURES[key][0]} printed no claim")
    everything = "\n".join(f"    {line}" for line in output_of(key).splitlines())
    return "\n".join(
        (
            "## The picture\n",
            image(f"{key} | {CHAPTERS[name][0].upper()}{CHAPTERS[name][1:]}.", up),
            "\n## Claims, with the numbers measured when this page was built\n",
            *claims,
            f'\n??? note "Everything that the command printed"\n\n{everything}\n',
            f"[This page as a notebook]({name}.ipynb) · the chapter's code: "
            f"[rlnut/demos/{name}.py](../../rlnut/demos/{name}.py)",
        )
    )


def chapters_table() -> str:
    rows = (f"| [{name}]({name}.md) | {cell(line)} | `rlnut demo {name}` |" for name, line in CHAPTERS.items())
    return table("chapter | what it shows | command", rows)


def settings_class(name: str) -> type:
    """The config of an agent or a model, or a settings class by its own name."""
    from rlnut.agents.catalogue import AGENTS
    from rlnut.control.settings import RunSettings
    from rlnut.prediction.methods import Prediction
    from rlnut.supervised.linear_settings import LINEAR_MODELS
    from rlnut.supervised.network_settings import MODELS

    others = {"RunSettings": RunSettings, "Prediction": Prediction}
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


def image(words: str, up: str) -> str:
    name, _, caption = (part.strip() for part in words.partition("|"))
    return f"![{caption}]({up}figures/{figure(name).name})\n\n*{caption} Made by `{shown_command(name)}`.*"


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
    """Draw the figures before MkDocs looks which files there are, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(figure, FIGURES):
            pass


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
