"""What is installed: the wheel's contents, checkouts with and without links, cheap imports, types that editors see."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import rlnut

ROOT = Path(__file__).resolve().parents[1]
CHECKOUT = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="these tests run away from a checkout")
LINKS = ("agents", "envs")  # rlnut/agents leads to agents/
COPY = "0+unknown"  # the version of a copy without Git: pyproject.toml
if (ROOT / "pyproject.toml").exists():
    COPY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["fallback-version"]
BUILD = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check"]


def fresh(words: list[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own that finds what is installed only; `more` are environment variables."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(words, cwd=cwd, env=clean | more, capture_output=True, text=True, check=False)


def run(program: str, cwd: Path, **more: str) -> str:
    """What a fresh Python prints."""
    done = fresh([sys.executable, "-W", "error", "-c", program], cwd, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def checkout(folder: Path, links: bool) -> Path:
    """A copy of this checkout; without links Git and zip files leave small text files in their place."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore", ".git_archival.txt"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    for name in ("rlnut", *LINKS):
        ignored = shutil.ignore_patterns("__pycache__", *(LINKS if name == "rlnut" else ()))
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in LINKS:
        if links:
            (folder / "rlnut" / name).symlink_to(f"../{name}", target_is_directory=True)
        else:
            (folder / "rlnut" / name).write_text(f"../{name}")
    return folder


def built(source: Path, out: Path, *words: str) -> Path:
    """The wheel that `python -m build` leaves in `out`."""
    for module in ("build", "hatchling", "hatch_vcs", "hatch_fancy_pypi_readme"):
        pytest.importorskip(module, reason=f"{module} is not installed (the test extra brings it)")
    done = subprocess.run(
        [*BUILD, *words, "--outdir", str(out), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def files(wheel: Path) -> list[str]:
    """What a wheel installs, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")]


@pytest.fixture(scope="module")
def with_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("links"), True)


@pytest.fixture(scope="module")
def without_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("nolinks"), False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, with_links: Path) -> Path:
    """The wheel, built without a network from the sdist of a copy of the checkout; the sdist lies beside it."""
    return built(with_links, tmp_path_factory.mktemp("dist"))


@CHECKOUT
def test_wheel_holds_every_file_once_and_nothing_else_at_the_top(wheel: Path, without_links: Path, tmp_path: Path):
    inside = {path.relative_to(ROOT) for path in (ROOT / "rlnut").glob("[!_]*/**/*.py")}
    inside = {path for path in inside if path.parts[1] not in LINKS} | {
        path.relative_to(ROOT) for path in (ROOT / "rlnut").glob("*.py")
    }
    wanted = {path.as_posix() for path in inside} | {"rlnut/py.typed"}
    wanted |= {f"rlnut/{path.relative_to(ROOT).as_posix()}" for name in LINKS for path in (ROOT / name).rglob("*.py")}
    assert len(wanted) > 150
    assert sorted(files(wheel)) == sorted(wanted)
    assert wheel.name == f"rlnut-{COPY}-py3-none-any.whl"
    assert sorted(files(built(without_links, tmp_path, "--wheel"))) == sorted(wanted)


@CHECKOUT
def test_sdist_holds_every_file_of_the_checkout_once(wheel: Path, with_links: Path):
    (path,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members)  # links would be lost or refused where there are none
    names = {member.name.partition("/")[2] for member in members}
    held = {found.relative_to(with_links).as_posix() for found in with_links.rglob("*") if found.is_file()}
    assert names == {n for n in held if not n.startswith(("rlnut/agents/", "rlnut/envs/"))} | {"PKG-INFO"}


@CHECKOUT
def test_wheel_states_what_it_needs(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
        assert f"\nVersion: {COPY}\n" in metadata and "\nRequires-Python: >=3.11\n" in metadata
        needed = [line.split(":", 1)[1].strip() for line in metadata.splitlines() if line.startswith("Requires-Dist")]
        plain = [line for line in needed if "extra ==" not in line]
        assert any(line.startswith("gymnasium[classic-control]") for line in plain)
        assert not any(word in line for line in needed for word in ("torch", "tensorflow", "flax"))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        assert "rlnut = rlnut.cli:main" in archive.read(name.replace("METADATA", "entry_points.txt")).decode()


@CHECKOUT
def test_a_checkout_without_links_finds_its_packages(without_links: Path, tmp_path: Path):
    """As a path (an editable install is one) from elsewhere, and from its own root."""
    program = (
        "import sys, rlnut.agents, rlnut.envs.make as make, rlnut.cli\n"
        "assert rlnut.DQN is rlnut.agents.DQN\n"
        "assert not {'agents', 'envs'} & set(sys.modules)\n"
        "print(rlnut.agents.__file__, make.__file__)"
    )
    wanted = [str(without_links / "agents" / "__init__.py"), str(without_links / "envs" / "make.py")]
    assert run(program, tmp_path, PYTHONPATH=str(without_links)).split() == wanted
    assert run(program, without_links).split() == wanted


@CHECKOUT
@pytest.mark.skipif((ROOT / "rlnut" / "agents").is_file(), reason="a checkout without links: the test above is for it")
def test_the_links_of_the_checkout():
    for name in LINKS:
        assert os.readlink(ROOT / "rlnut" / name) == f"../{name}"


@CHECKOUT
@pytest.mark.parametrize("name", LINKS)
def test_a_second_copy_of_the_packages_is_refused(name: str):
    """The root of a checkout is on the path of an editable install, so `import agents` would find something."""
    said = run(f"try: import {name}\nexcept ImportError as error: print(error)", ROOT)
    assert said == f"{name} is imported as rlnut.{name}\n"


SCRIPT = """\
import rlnut
import rlnut.agents
import rlnut.envs
from rlnut.agents import PQN
from rlnut.envs.vector import EnvList

reveal_type(rlnut.DQN(double=True))
reveal_type(rlnut.agents.DQN().gamma)
reveal_type(PQN().lam)
reveal_type(EnvList.num_envs)
rlnut.load_policy(3.5)
reveal_type(rlnut.PQN().lam)
rlnut.Finite.from_arrays([[[1]]], [[0]], gama=1)
rlnut.DQN(loss="hubre")
rlnut.train("dqn", "CartPole-v1", lr=1e-3, steps=100, optimizer="lion", quiet=True)
rlnut.train("dqn", "CartPole-v1", stepss=100)
rlnut.train("dqn", "CartPole-v1", optimizer="adamm")
rlnut.DQN(learning_rate=1e-3)
reveal_type(rlnut.train("dqn", "CartPole-v1").steps)
"""
TYPES = {
    7: "DQN",
    8: "float",
    9: "float",
    10: "int",
    12: "float",
    19: "int",
}  # line -> the last part of the revealed type


def checked_by_mypy(script: Path, python: Path, cache: Path) -> tuple[dict[int, str], list[int]]:
    """Line -> revealed type, and the lines with errors."""
    words = ["-m", "mypy", "--python-executable", str(python), "--cache-dir", str(cache), "--output", "json"]
    done = fresh([sys.executable, *words, script.name], script.parent)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert found, done.stdout + done.stderr
    revealed = {row["line"]: row["message"] for row in found if "Revealed" in row["message"]}
    return revealed, [row["line"] for row in found if row["severity"] == "error"]


def checked_by_pyright(script: Path, python: Path, cache: Path) -> tuple[dict[int, str], list[int]]:
    """The same of (based)pyright, the checker behind many editors."""
    words = ["-m", "basedpyright", "--pythonpath", str(python), "--outputjson", script.name]
    done = fresh([sys.executable, *words], script.parent)
    found = [row | {"line": row["range"]["start"]["line"] + 1} for row in json.loads(done.stdout)["generalDiagnostics"]]
    revealed = {row["line"]: row["message"] for row in found if row["severity"] == "information"}
    return revealed, [row["line"] for row in found if row["severity"] == "error"]


CHECKERS = {"mypy": checked_by_mypy, "basedpyright": checked_by_pyright}


@CHECKOUT
@pytest.mark.parametrize("install", ["editable", "wheel"])
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_see_the_types_of_an_installed_package(
    checker: str, install: str, wheel: Path, with_links: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """A user's script away from the checkout: every import resolves, types are seen, a wrong argument is found."""
    pytest.importorskip(checker, reason=f"{checker} is not installed (the dev extra brings it)")
    if install == "editable":
        hook = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
        subprocess.run([sys.executable, "-c", hook], cwd=with_links, check=True, capture_output=True)
        (wheel,) = tmp_path.glob("*.whl")
        assert files(wheel) == ["_rlnut.pth"]  # a plain path: no import hook, which no checker follows
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # what pip does with a pure wheel
    parent = Path(importlib.util.find_spec("numpy").origin).parents[1]  # type: ignore[union-attr, arg-type]
    (site / "z_dependencies.pth").write_text(str(parent))
    script = tmp_path / "mine" / "script.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    cache = tmp_path_factory.getbasetemp() / "types"
    revealed, wrong = CHECKERS[checker](script, python, cache)
    assert {line: said.rstrip('"').rsplit(".", 1)[-1].split('"')[-1] for line, said in revealed.items()} == TYPES
    assert wrong == [11, 13, 14, 16, 17, 18]


def test_version_is_the_installed_one():
    assert version("rlnut") == rlnut.__version__


def test_import_is_cheap(tmp_path: Path):
    said = run("import sys, rlnut; print(*sorted(sys.modules))", tmp_path).split()
    assert "rlnut" in said
    assert not {"jax", "jaxlib", "numpy", "gymnasium", "matplotlib", "optax", "scipy"} & set(said)


def test_config_modules_need_no_jax(tmp_path: Path):
    run(
        "import sys, rlnut.agents.catalogue, rlnut.supervised.network_settings, rlnut.control.settings\n"
        "import rlnut.settings, rlnut.errors\n"
        "assert not {'jax', 'gymnasium', 'matplotlib'} & set(sys.modules)",
        tmp_path,
    )


def test_every_public_name_resolves():
    assert len(set(rlnut.__all__)) == len(rlnut.__all__) and dir(rlnut) == sorted(rlnut.__all__)
    for name in rlnut.__all__:
        found = getattr(rlnut, name)
        submodule = importlib.util.find_spec(f"rlnut.{name}")
        same = found is sys.modules.get(f"rlnut.{name}")
        assert found is not None
        assert submodule is None or same, f"rlnut.{name} is a module too: importing it would hide the name"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rlnut.nothing
    for package in ("rlnut.agents", "rlnut.envs"):
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name)


@pytest.mark.parametrize("name", ["agents", "envs", "oracle", "sklearn"])
def test_submodules_are_imported_when_first_used(name: str, tmp_path: Path):
    if name == "sklearn":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed (the test extra brings it)")
    run(
        "import sys, rlnut\n"
        f"assert 'rlnut.{name}' not in sys.modules and {name!r} in dir(rlnut)\n"
        f"assert rlnut.{name} is sys.modules['rlnut.{name}']",
        tmp_path,
    )


def test_type_checkers_see_every_public_name():
    """The imports for type checkers are the names that are imported when first used, from the same modules."""
    tree = ast.parse(Path(str(rlnut.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rlnut")
        for alias in node.names
        if alias.asname == alias.name  # `as` says that it is meant for others
    }
    assert {*seen, "__version__"} == set(rlnut.__all__)
    assert seen == {n: f"rlnut.{rlnut._HOME[n]}" if n in rlnut._HOME else "rlnut" for n in seen}


MADE = (
    "assert not {'jax', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    "env = gymnasium.make('rlnut/RandomWalk19-v0')\n"
    "assert env.reset(seed=0)[0] == 9, env\n"  # the middle of 19 states
    "assert not any(type(finder).__name__ == '_WaitsForGymnasium' for finder in sys.meta_path)\n"
)
ORDERS = {
    "gymnasium first": "import sys, gymnasium, rlnut\n",
    "rlnut first": "import sys, rlnut, gymnasium\n",
    "looked for before": (
        "import sys, rlnut, importlib.util\n"
        "assert importlib.util.find_spec('gymnasium') and importlib.util.find_spec('nothing_of_this_name') is None\n"
        "import gymnasium\n"
    ),
    "a part of it": "import sys, rlnut, gymnasium.spaces, gymnasium\n",
}


@pytest.mark.parametrize("order", ORDERS)
def test_gymnasium_makes_our_environments_once_both_are_imported(order: str, tmp_path: Path):
    run(ORDERS[order] + MADE, tmp_path)


@CHECKOUT
@pytest.mark.parametrize("order", ["gymnasium first", "rlnut first"])
def test_the_wheel_registers_its_environments(order: str, wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    here = f"assert rlnut.__file__.startswith({str(tmp_path)!r}), rlnut.__file__\n"
    run(ORDERS[order] + here + MADE, tmp_path, PYTHONPATH=str(tmp_path / "site"))


def test_without_gymnasium_nothing_changes(tmp_path: Path):
    """What Python says of a missing package is its own error."""
    said = run(
        "import sys, rlnut\n"
        "sys.path[:] = [place for place in sys.path if 'site-packages' not in place]\n"
        "try: import gymnasium\n"
        "except ModuleNotFoundError as error: print(error)",
        tmp_path,
    )
    assert said == "No module named 'gymnasium'\n"


@CHECKOUT
def test_one_copy_of_every_class_wherever_python_starts(tmp_path: Path):
    """From the root of the checkout and from elsewhere: the same files, the same classes, nothing called `agents`."""
    program = (
        "import sys, rlnut, rlnut.agents, rlnut.envs, rlnut.agents.catalogue as configs\n"
        "import rlnut.envs.make as make\n"
        "assert rlnut.DQN is rlnut.agents.DQN is configs.DQN\n"
        "assert 'agents' not in sys.modules and 'envs' not in sys.modules\n"
        "from pathlib import Path\n"
        "print(rlnut.DQN.__module__, make.EnvName.__module__, Path(configs.__file__).resolve())"
    )
    here, elsewhere = run(program, ROOT), run(program, tmp_path)
    assert here.split()[:2] == elsewhere.split()[:2] == ["rlnut.agents.dqn_settings", "rlnut.envs.make"]
    assert here.split()[2] == str(ROOT / "agents" / "catalogue.py")


def test_types_are_shipped():
    assert rlnut.__file__ is not None
    assert (Path(rlnut.__file__).parent / "py.typed").exists()


def test_training_loads_nothing_that_only_figures_and_exact_values_need():
    """Before its first step: what is not needed costs every run its import."""
    code = (
        "import sys, rlnut\n"
        "for look in rlnut.training('dqn', 'CartPole-v1', steps=1100, quiet=True):\n"
        "    if look.step: break\n"
        "print(*sorted({'jax', 'scipy', 'matplotlib', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["jax"]
