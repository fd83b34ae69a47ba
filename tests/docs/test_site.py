"""The documentation site: every block of Python runs, every link leads somewhere, nothing public is missing.

`mkdocs build --strict` itself needs the extra `docs`; what it takes from the code is tried here without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.cli import COMMANDS, parse
from rlnut.prediction.methods import METHODS
from rlnut.supervised.linear_settings import LINEAR_MODELS
from rlnut.supervised.network_settings import MODELS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "index.md").exists(), reason="these tests run away from a checkout")
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)
PYTHON = {name: [text for kind, more, text in BLOCK.findall(page) if kind == "python" and "notest" not in more]
          for name, page in PAGES.items() if name != "extending.md" and not name.startswith("lecture/")}  # fmt: skip
# (extending.md and the chapters of the lecture have tests of their own)
QUICK = ("howto/oracle.md", "supervised.md")  # by default only these: the others train or predict


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(hooks: ModuleType) -> dict[str, str]:
    """Every page as MkDocs gets it, but for figures and the output of commands."""
    with pytest.MonkeyPatch.context() as patch:
        figures = sys.modules["site_figures"]
        patch.setattr(figures, "figure", lambda name: Path(f"{name}.png"))
        patch.setattr(figures, "printed", lambda name: f"{name}: a title\n  holds: a claim")
        patch.delenv(figures.SWITCH, raising=False)
        patch.setattr(hooks, "help_of", lambda words: f"help of {words}")
        return {name: hooks.expand(text, "../" * name.count("/")) for name, text in PAGES.items()}


def shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, predictions and policies with few steps and episodes, whatever a page asks for."""
    train, training, repeat, resume, predict = rlnut.train, rlnut.training, rlnut.repeat, rlnut.resume, rlnut.predict
    few: dict[str, Any] = {"eval_every": 10_000, "eval_episodes": 1, "final_episodes": 1}

    def short(run: Any, steps: int) -> Any:
        def called(*args: Any, **options: Any) -> Any:
            return run(*args, **options | few | {"steps": steps, "quiet": True})

        return called

    monkeypatch.setattr(rlnut, "train", short(train, 1100), raising=False)
    monkeypatch.setattr(rlnut, "training", short(training, 1100), raising=False)
    monkeypatch.setattr(rlnut, "repeat", repeat, raising=False)
    monkeypatch.setattr(rlnut, "resume", lambda *args, **more: resume(*args, **more | {"steps": 1300}), raising=False)
    monkeypatch.setattr(
        rlnut, "predict", lambda *args, **more: predict(*args, **more | {"steps": min(more.get("steps", 500), 500)}),
        raising=False,
    )  # fmt: skip


def run_page(name: str, blocks: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other, as a reader would run them."""
    monkeypatch.chdir(folder)
    shortened(monkeypatch)
    space: dict[str, Any] = {"__name__": "page"}
    for i, text in enumerate(blocks):
        # a page of the documentation is our own text
        exec(compile(text, f"{name}, block {i + 1}", "exec", dont_inherit=True), space)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, blocks in PYTHON.items() if blocks])
def test_the_python_of_a_page_runs_from_its_first_block_to_its_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    there = [text for text in PYTHON[name] if "import flax" not in text or importlib.util.find_spec("flax")]
    run_page(name, there, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", QUICK)
def test_the_python_of_a_page_that_trains_nothing_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cheap = [text for text in PYTHON[name] if "rlnut.train" not in text]
    assert cheap
    run_page(name, cheap, tmp_path, monkeypatch)


def python_blocks() -> Iterator[tuple[str, str]]:
    for name, page in PAGES.items():
        for kind, _, text in BLOCK.findall(page):
            if kind == "python":
                yield name, text


def test_every_block_of_python_compiles_and_names_what_there_is():
    found = list(python_blocks())
    assert len(found) > 30
    for name, text in found:
        compile(text, name, "exec")
        for word in re.findall(r"\brlnut\.([A-Za-z_]+)\(", text):
            assert word in rlnut.__all__, f"{name}: rlnut.{word}"
        for kind, options in re.findall(r"rlnut\.(DQN|SARSALambda|QLearning)\(([^()]*)\)", text):
            known = {f.name for f in fields(getattr(rlnut, kind))}
            assert set(re.findall(r"(\w+)=", options)) <= known, f"{name}: {options}"


def commands() -> Iterator[tuple[str, str]]:
    for name, page in PAGES.items():
        for kind, _, text in BLOCK.findall(page):
            if kind in ("sh", "text"):
                yield from ((name, line.split("   #")[0]) for line in text.splitlines() if line.startswith("rlnut "))


@pytest.mark.parametrize(("name", "line"), [pair for pair in commands() if pair[0] != "extending.md"])
def test_every_command_is_one_that_the_command_line_takes(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = shlex.split(line)[1:]
    monkeypatch.chdir(tmp_path)
    for folder in re.findall(r"--out (\w+)\n", PAGES[name]):  # `predict` asks whether there is a folder of this name
        (tmp_path / folder).mkdir(exist_ok=True)
    assert words[0] in COMMANDS
    if "--help" not in words and "--config" not in words and ":" not in words[-1]:
        parse(words)  # raises UsageError for what it does not know


def test_every_command_has_its_help_in_the_reference():
    assert set(re.findall(r"^## rlnut ([\w-]+)$", PAGES["reference/cli.md"], re.M)) == set(COMMANDS)


def anchors(text: str) -> set[str]:
    """The ids that MkDocs gives the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\s-]", "", head.replace("`", "")).strip().lower() for head in heads)
    return {re.sub(r"[-\s]+", "-", head) for head in plain}


def test_every_internal_link_leads_to_a_page_and_a_heading(pages: dict[str, str], hooks: ModuleType):
    count, figures = 0, sys.modules["site_figures"].FIGURES
    for name, text in pages.items():
        for _, _, target, anchor in hooks.LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
            if "://" in target:
                ours = bool(hooks.REPOSITORY) and target.startswith(hooks.SOURCE)
                assert not ours or (ROOT / target.removeprefix(hooks.SOURCE)).exists(), f"{name}: {target}"
                continue
            where = (DOCS / name).parent / target
            if where.suffix == ".ipynb":  # made from the page of the same name
                where = where.with_suffix(".md")
            if "figures" in where.parts:
                assert where.stem in figures and where.resolve().parent == DOCS / "figures", f"{name}: {target}"
                continue
            assert where.exists(), f"{name}: {target}"
            if anchor:
                page = str(where.resolve().relative_to(DOCS))
                assert anchor[1:] in anchors(pages[page]), f"{name}: {target}{anchor}"
            count += 1
    assert count > 40


def test_every_page_is_in_the_navigation():
    nav = re.findall(r"([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    assert sorted(nav) == sorted(set(nav)) and set(nav) >= set(PAGES)
    assert all((DOCS / page).exists() for page in nav)


def test_every_agent_method_and_model_has_a_page(pages: dict[str, str]):
    def with_row(folder: str) -> set[str]:
        texts = [text for name, text in pages.items() if name.startswith(folder) and not name.endswith("index.md")]
        return {name for text in texts for name in re.findall(r"^\| `([\w-]+)` \|", text, re.M)}

    assert with_row("agents/") >= set(AGENTS.own)
    assert with_row("prediction/") >= set(METHODS.own)
    assert with_row("supervised") >= set(MODELS) | set(LINEAR_MODELS)


def test_every_option_of_an_agent_stands_on_its_page_with_its_default_and_its_text(pages: dict[str, str]):
    for name, page in (("dqn", "dqn"), ("pqn", "pqn"), ("sarsa-lambda", "classic"), ("cql", "offline")):
        for f in fields(AGENTS[name]):
            default = ",".join(map(str, f.default)) if isinstance(f.default, tuple) else str(f.default)
            rows = re.findall(rf"^\| `{f.name}` \| `?{re.escape(default)}`? \| .*$", pages[f"agents/{page}.md"], re.M)
            assert any(f.metadata["help"][:15].replace("|", "\\|") in row for row in rows), f"{page}: {f.name}"


def exists(path: str) -> bool:
    """Is this a module, or something in one?"""
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:  # its parent is no package
        module, _, name = path.rpartition(".")
        return hasattr(importlib.import_module(module), name)


def test_every_public_name_is_in_the_reference(pages: dict[str, str], hooks: ModuleType):
    index = pages["reference/index.md"]
    for name, thing in hooks.public().items():
        assert f"| `rlnut.{name}` |" in index
        page = pages[f"reference/{hooks.group_of(name, thing)}.md"]
        home = hooks.home(name, thing)
        here = (
            f"::: {home}\n" in page + "\n"
            or f"`rlnut.{name}`" in page
            or page.count(f"::: {home.rpartition('.')[0]}\n")
        )
        assert here or name == "__version__", name
    for path in re.findall(r"^::: (rlnut[\w.]*)$", "\n".join(pages.values()), re.M):
        assert exists(path), f"{path} is in the reference and does not exist"


def test_options_of_the_table_for_other_libraries_are_ours():
    rows = PAGES["howto/migrate.md"].partition("## Options of DQN")[2].partition("\n\nA wrong name")[0].splitlines()[4:]
    known = {f.name: f.default for f in fields(rlnut.DQN)}
    for row in rows:
        *_, ours, default, _ = row.split("|")
        names = [word.partition("=")[0] for word in re.findall(r"`([^`]+)`", ours)]
        assert names and set(names) <= set(known), row
        if re.fullmatch(r"[\d,.]+", default.strip()):
            assert float(default.replace(",", "")) == known[names[-1]], row


def test_a_comment_that_is_misspelled_stops_the_build(hooks: ModuleType):
    for wrong in ("options: dqnn", "benchmark: nothing", "include: README.md # No such heading", "figure: none | x"):
        with pytest.raises((KeyError, ValueError)):
            hooks.expand(f"<!-- {wrong} -->")


def test_figures_that_are_left_out_leave_their_captions(
    hooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    figures = sys.modules["site_figures"]
    monkeypatch.setattr(figures, "MADE", tmp_path)
    monkeypatch.setenv(figures.SWITCH, "off")
    figures.draw_figures()
    assert not any(tmp_path.iterdir())
    shown = hooks.expand("<!-- figure: sb-7.2 | A caption. -->\n\n<!-- output: lstd-walk -->\n\n<!-- chapter: ohm -->")
    assert "*A caption. Made by `rlnut figure 7.2`.*" in shown and "![" not in shown
    assert "$ rlnut predict lstd rlnut/RandomWalk19-v0\n" in shown and "`rlnut demo ohm`" in shown
