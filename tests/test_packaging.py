"""What a stranger installs: the wheel's contents, cheap imports, one copy of every class, public names that resolve."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import rlnut

ROOT = Path(__file__).resolve().parents[1]
CHECKOUT = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="these tests run away from a checkout")
INSIDE = sorted({init.parent.name for init in (ROOT / "rlnut").glob("*/__init__.py")} - {"agents", "envs"})
PACKAGES = {"rlnut": "rlnut", "rlnut/agents": "agents", "rlnut/envs": "envs"} | {
    f"rlnut/{n}": f"rlnut/{n}" for n in INSIDE
}


def run(program: str, cwd: Path) -> str:
    """What a fresh Python says."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy of the checkout without a network."""
    try:
        enough = int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        enough = False
    if not enough:
        pytest.skip("no setuptools >= 77 here to build with (the test extra brings it)")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("rlnut", "agents", "envs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        str(out),
    ]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    assert path.name == f"rlnut-{rlnut.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        yield archive


@CHECKOUT
def test_wheel_holds_every_file_and_nothing_else_at_the_top(wheel: zipfile.ZipFile):
    names = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    wanted = {f"{inside}/{file.name}" for inside, folder in PACKAGES.items() for file in (ROOT / folder).glob("*.py")}
    assert names == wanted | {"rlnut/py.typed"}


@CHECKOUT
def test_wheel_says_what_it_needs(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = wheel.read(name).decode()
    assert f"\nVersion: {rlnut.__version__}\n" in metadata and "\nRequires-Python: >=3.11\n" in metadata
    needed = [line.split(":", 1)[1].strip() for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    plain = [line for line in needed if "extra ==" not in line]
    assert any(line.startswith("gymnasium[classic-control]") for line in plain)
    assert not any(word in line for line in needed for word in ("torch", "tensorflow", "flax"))
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert "rlnut = rlnut.cli:main" in wheel.read(name.replace("METADATA", "entry_points.txt")).decode()


@CHECKOUT
def test_every_subpackage_is_declared():
    """A new subpackage that is not named in pyproject.toml would be missing from the wheel."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    assert project["project"]["version"] == rlnut.__version__
    found = {"rlnut", "rlnut.agents", "rlnut.envs"}
    for package, folder in (("rlnut", "rlnut"), ("rlnut.agents", "agents"), ("rlnut.envs", "envs")):
        for init in (ROOT / folder).glob("*/__init__.py"):
            found.add(f"{package}.{init.parent.name}")
    assert set(project["tool"]["setuptools"]["packages"]) == found


@CHECKOUT
def test_the_links_that_serve_the_checkout():
    for name in ("agents", "envs"):
        assert os.readlink(ROOT / "rlnut" / name) == f"../{name}"


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
        assert getattr(rlnut, name) is not None
        submodule = importlib.util.find_spec(f"rlnut.{name}")
        assert submodule is None, f"rlnut.{name} is a module too: importing it would hide the name"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rlnut.nothing
    for package in ("rlnut.agents", "rlnut.envs"):
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name)


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
