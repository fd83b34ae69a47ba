"""The order of the packages: imports go down, inside functions too; no circles; one name, one thing; short files."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="these tests run away from a checkout")

# From the ground up: a package may import itself and what stands on lower floors (CONTRIBUTING.md draws it).
FLOORS = (
    "other_names",
    "types errors oracle choices",
    "settings",
    "gradient_settings",
    "portable",
    "runtime",
    "networks regression linear_models truth",
    "features learner data",
    "envs",
    "agents supervised",
    "control",
    "comparison",
    "sweeps",
    "prediction",
    "book sklearn demos",
    "commands",
    "cli",
    "__main__",
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names.split()}
# The entry points, which turn a name into an agent; everything else in rlnut.control takes what it is given.
KNOW_AGENTS = {f"rlnut.control.{name}" for name in ("training", "recipe", "repeat", "run_folder")}


def modules() -> dict[str, Path]:
    """Every module by its name, from the folders where the files really are."""
    found = {}
    for folder, prefix in (("rlnut", "rlnut"), ("agents", "rlnut.agents"), ("envs", "rlnut.envs")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if folder == "rlnut" and inside.parts[0] in ("agents", "envs"):
                continue
            parts = inside.with_suffix("").parts
            found[".".join((prefix, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


MODULES = modules()


def package(module: str) -> str:
    """rlnut.learner.agent -> learner; rlnut itself -> ''."""
    return module.partition(".")[2].partition(".")[0]


def imported(path: Path, typing: bool = False) -> Iterator[tuple[str, bool]]:
    """(module of ours, imported inside a function) for every import of a file; for types only if `typing`."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            return
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rlnut":
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else str(node.module)), inside
        elif isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names if alias.name.split(".")[0] == "rlnut")
        inside = inside or isinstance(node, (ast.FunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return walk(ast.parse(path.read_text()), False)


def test_every_package_has_its_floor_and_says_what_lives_there():
    assert {package(module) for module in MODULES} - {""} == set(FLOOR)
    for module, path in MODULES.items():
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert len(said.split("\n")[0]) > 20, f"{module} does not say what it is for"


@pytest.mark.parametrize("module", [module for module in MODULES if module != "rlnut"])
def test_imports_only_go_down(module: str):
    for target, _ in imported(MODULES[module], typing=True):
        above, below = package(module), package(target)
        assert target != "rlnut" or FLOOR[above] >= FLOOR["book"], f"{module} imports rlnut, which is above everything"
        assert target == "rlnut" or above == below or FLOOR[above] > FLOOR[below], (
            f"{module} (floor {FLOOR[above]}) imports {target} (floor {FLOOR[below]})"
        )


def test_no_circle_of_modules_not_even_a_lazy_one():
    ties = {module: {target for target, _ in imported(path)} - {module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for target in sorted(ties.get(module, ())):
                visit(target, (*way, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_only_the_entry_points_of_control_know_agents():
    for module, path in MODULES.items():
        if package(module) == "control" and module not in KNOW_AGENTS:
            known = [target for target, _ in imported(path, typing=True) if package(target) == "agents"]
            assert not known, f"{module} imports {known}"


# Names that several modules have on purpose: one meaning, asked for by the thing itself.
PROTOCOLS = {
    "chapter": "rlnut.demos.",  # what every chapter of the lecture has
    "draw": "rlnut.demos.",
    "configure": "rlnut.commands.",  # what every command has
    "run": "rlnut.commands.",
    "check": "rlnut.commands.",
}


def test_one_public_name_means_one_thing():
    """No two public classes or functions of one name; an oracle's slow twin has the name of what it defines."""
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("_"):
                continue
            if not module.startswith(PROTOCOLS.get(node.name, "nothing")) and module != "rlnut.oracle":
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_files_are_short():
    """About 300 lines: a longer file is asking to be two."""
    long = {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 310}
    assert not long


def test_the_map_in_contributing_lists_every_file():
    listed = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = {part.split("\n")[0]: part for part in listed.split("\n### ")}
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            continue
        folder = path.parent.relative_to(ROOT).as_posix()
        (section,) = (part for title, part in sections.items() if title.startswith(f"`{folder}/`"))
        assert f"| `{path.name}` |" in section, f"{module} is not in the map of CONTRIBUTING.md"


def test_no_two_test_files_have_one_name():
    """Tests are imported by their name alone, so a second file of a name would be an error for pytest."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
