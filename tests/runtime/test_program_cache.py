"""The cache of compiled programs: used by the command line, never in the user's way, and never the end of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlnut.runtime import program_cache
from rlnut.runtime.program_cache import FOLDER, LEAST_TIME, SWITCH, keep_programs, programs_folder, prune

PROGRAM = """
import os, sys
from rlnut.runtime.program_cache import keep_programs
keep_programs()
import jax
counted = []
jax.monitoring.register_event_listener(lambda name, **_: counted.append(name.rpartition("/")[2]))
double = jax.jit(lambda x: 2 * x)
{before}
print(double(21), counted.count("cache_hits"), counted.count("cache_misses"))
"""


def compiled(home: Path, before: str = "", **more: str) -> tuple[str, str]:
    """What one process that compiles x -> 2x prints: result, programs found, programs kept; and its stderr."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "RLNUT_"))}
    env |= {"XDG_CACHE_HOME": str(home), "HOME": str(home), "LOCALAPPDATA": str(home), **more}
    words = [sys.executable, "-c", PROGRAM.format(before=before)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=True)
    return done.stdout.strip(), done.stderr


def programs(home: Path) -> list[Path]:
    return sorted(path for path in home.rglob("*") if path.is_file())


def test_the_second_process_finds_what_the_first_one_compiled_and_a_damaged_program_is_replaced(tmp_path: Path):
    assert compiled(tmp_path) == ("42 0 1", "")
    (kept,) = programs(tmp_path)
    whole = kept.read_bytes()
    if os.name == "posix":
        assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert compiled(tmp_path) == ("42 1 0", "")
    for damaged in (b"", whole[: len(whole) // 2], b"no program"):
        kept.write_bytes(damaged)
        assert compiled(tmp_path) == ("42 0 1", "")
        assert len(kept.read_bytes()) == pytest.approx(len(whole), rel=0.1)
    assert compiled(tmp_path) == ("42 1 0", "")


def test_a_full_disk_ends_nothing(tmp_path: Path):
    before = """
from jax._src import lru_cache
def full(self, key, value):
    (self.path / f"{key}-cache").write_bytes(value[:10])
    raise OSError(28, "No space left on device")
lru_cache.LRUCache.put = full
"""
    assert compiled(tmp_path, before) == ("42 0 1", "")
    assert programs(tmp_path) == []


def test_where_no_folder_can_be_made_everything_is_compiled(tmp_path: Path):
    (tmp_path / "file").touch()
    assert compiled(tmp_path / "file") == ("42 0 0", "")
    assert compiled(tmp_path, **{SWITCH: "off"}) == ("42 0 0", "")
    assert compiled(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false") == ("42 0 0", "")
    assert programs(tmp_path) == [tmp_path / "file"]


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a process of its own, in which JAX was not imported yet."""
    mine = {SWITCH: str(tmp_path / "programs")}
    monkeypatch.setattr(program_cache.os, "environ", mine)
    monkeypatch.setattr(program_cache.sys, "modules", {})
    monkeypatch.setattr(program_cache.warnings, "showwarning", None)
    return mine


def test_what_the_user_has_set_stays(environ: dict[str, str]):
    environ[FOLDER.upper()] = ""
    before = dict(environ)
    keep_programs()
    assert environ == before
    del environ[FOLDER.upper()]
    environ[LEAST_TIME.upper()] = "7"
    keep_programs()
    folder = Path(environ[FOLDER.upper()])
    assert folder.parent == programs_folder() == Path(environ[SWITCH]) and folder.is_dir()
    assert environ[LEAST_TIME.upper()] == "7"


@pytest.mark.skipif(os.name != "posix", reason="rights of groups and others")
@pytest.mark.parametrize("mode, used", [(0o700, True), (0o755, True), (0o775, False), (0o777, False)])
def test_machine_code_is_not_taken_from_where_others_can_write(environ: dict[str, str], mode: int, used: bool):
    keep_programs()
    folder = Path(environ.pop(FOLDER.upper()))
    folder.chmod(mode)
    keep_programs()
    assert (FOLDER.upper() in environ) == used


@pytest.mark.parametrize("bounds, left", [((1000, 100), 10), ((99, 100), 7), ((1000, 9), 6), ((0, 0), 0)])
def test_the_oldest_programs_go_when_there_are_too_many(tmp_path: Path, bounds: tuple[int, int], left: int):
    for i in range(10):
        (tmp_path / f"{i}-cache").write_bytes(bytes(10))
        os.utime(tmp_path / f"{i}-cache", (1000 - i, 1000 - i))
    prune(tmp_path, *bounds)
    assert programs(tmp_path) == [tmp_path / f"{i}-cache" for i in range(left)]


def test_called_from_python_the_command_line_leaves_jax_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import jax

    from rlnut.cli import main

    monkeypatch.delenv(FOLDER.upper(), raising=False)
    monkeypatch.setenv(SWITCH, str(tmp_path))
    config: Any = jax.config
    before = config.jax_compilation_cache_dir
    assert main(["fit", "logistic", "iris"]) == 0
    assert config.jax_compilation_cache_dir == before and FOLDER.upper() not in os.environ
    assert programs(tmp_path) == []
