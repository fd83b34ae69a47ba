"""Where a run was made: versions, machine, code and commit, for config.json.

The code of rlnut is known by a checksum of all its modules, that of an agent or environment of the user's (or of a
package) by a checksum of the file that defines it, tables by that of their file. A commit is that of rlnut's checkout,
if it is one, with whether something in it is not committed, and that of the working folder. The latter is only read:
no program is started in a folder of the user's.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import gymnasium as gym

from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, EnvName, env_name
from rlnut.envs.names import creator_of
from rlnut.learner.config import AgentConfig
from rlnut.runtime.files import JsonObject
from rlnut.runtime.registry import definition
from rlnut.runtime.version import installed_version
from rlnut.runtime.workers import cores

PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "optax", "gymnasium")
SIMULATORS = ("mujoco", "ale_py", "Box2D", "gymnax", "minari")  # whose versions count where they are in use
HEX = re.compile(r"[0-9a-f]{40,64}")
LENGTH = 16  # digits of a checksum


def origin(
    asked: tuple[AgentConfig, RunSettings],
    settled: tuple[AgentConfig, RunSettings],
    env: EnvLike,
    eval_env: EnvLike | None,
    data: str,
    callbacks: Sequence[object],
) -> JsonObject:
    """What config.json says beside what decides what is learned: enough to do it again and to tell if it is the same.

    asked: settings before what follows from others was found; data: checksum of the transitions of an offline agent.
    """
    changed = [
        {f.name: getattr(a, f.name) for f in fields(a) if getattr(a, f.name) != getattr(b, f.name)}
        for a, b in zip(asked, settled, strict=True)
    ]
    found: JsonObject = {"asked": dict(zip(("config", "training"), changed, strict=True))} if any(changed) else {}
    if eval_env is not None:
        name = env_name(eval_env)
        found["eval_env"] = {} if name is None else name.record()
    if data:
        found["data"] = data
    if callbacks:
        found["callbacks"] = [_definition(one if callable(one) else type(one)) for one in callbacks]
    return found | provenance(settled[0], env)


def provenance(config: AgentConfig, env: EnvLike) -> JsonObject:
    """What config.json says of the place where a run is made."""
    return {
        "versions": versions(type(config), env),
        "machine": machine(),
        "code": code_checksums(config, env),
        "git": commits(),
    }


def versions(agent: type[AgentConfig], env: EnvLike) -> dict[str, str]:
    """Python, rlnut and what it computes with; the simulators that the modules of agent and environment import."""
    kinds = [
        kind for thing in _definers(agent, env) for kind in (thing.__mro__ if isinstance(thing, type) else (thing,))
    ]
    modules = [sys.modules.get(getattr(kind, "__module__", "")) for kind in kinds]
    used = {one.__name__ for module in modules if module for one in (module, *vars(module).values()) if _is_module(one)}
    tops = {name.partition(".")[0] for name in used}
    found = {"python": platform.python_version(), "rlnut": installed_version()}
    return found | {name: _version(name) for name in (*PACKAGES, *(name for name in SIMULATORS if name in tops))}


def _is_module(thing: object) -> TypeGuard[ModuleType]:
    return isinstance(thing, ModuleType)


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", "unknown"))


def machine() -> JsonObject:
    """What else may change the last digits of a result: the device, and how XLA was told to compute."""
    import jax

    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "cores": cores(),
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "matmul_precision": None if precision is None else str(precision),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


@cache
def _cpu() -> str:
    """Its model: XLA compiles for what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def code_checksums(config: AgentConfig, env: EnvLike) -> dict[str, str]:
    """Checksums of what decides what is learned: rlnut, and what defines an agent or environment that is not its."""
    found = {"rlnut": own_code()}
    for name, file in _sources(type(config), env):
        if not _is_ours(file):
            found[name] = _checksum(file)
    return found


@cache
def own_code() -> str:
    """A checksum of every module of rlnut."""
    total = hashlib.sha256()
    for root in _roots():
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            if root.name != "rlnut" or inside.parts[0] not in ("agents", "envs"):
                total.update(f"{root.name}/{inside.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:LENGTH]


def _roots() -> list[Path]:
    """The folders of rlnut, and of agents and envs, which stand beside it in a checkout."""
    root = Path(__file__).resolve().parents[1]
    inner = (root / name if (root / name).is_dir() else root.parent / name for name in ("agents", "envs"))
    return [root, *(path.resolve() for path in inner)]


def _is_ours(file: Path) -> bool:
    return any(root in file.parents for root in _roots())


def _definers(agent: type[AgentConfig], env: EnvLike) -> list[object]:
    """What defines the agent and the environment: classes and functions."""
    name = env_name(env)
    things: list[object] = [*agent.__mro__]
    if name is None:
        return [*things, type(env.unwrapped) if isinstance(env, (gym.Env, gym.vector.VectorEnv)) else env]
    with contextlib.suppress(Exception):  # a package that is missing: making the environment says which
        things += [wrapper.find() for wrapper in name.wrappers]
        if (registration := name.registration) is not None:
            things.append(creator_of(registration))
    return things


def _sources(agent: type[AgentConfig], env: EnvLike) -> Iterator[tuple[str, Path]]:
    """What defines the agent and the environment, by name, and the files where that is."""
    for thing in _definers(agent, env):
        if (file := _file(thing)) is not None:
            yield _definition(thing), file
    yield from _tables(env_name(env))


def _tables(name: EnvName | None) -> Iterator[tuple[str, Path]]:
    for value in name.kwargs.values() if name is not None else ():
        if isinstance(value, str) and value.endswith((".npz", ".npy")) and Path(value).is_file():
            yield value, Path(value)


def _definition(thing: object) -> str:
    """module:Name of a class or a function."""
    return definition(thing) if isinstance(thing, type) else f"{getattr(thing, '__module__', '')}:{_qualname(thing)}"


def _qualname(thing: object) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def _file(thing: object) -> Path | None:
    """Where a class or function is defined; None: in no file (typed into Python, of a compiled module, Python's)."""
    if getattr(thing, "__module__", "builtins") in ("builtins", "abc", "typing"):
        return None
    try:
        path = inspect.getsourcefile(thing if isinstance(thing, type) else inspect.unwrap(thing))  # type: ignore[arg-type]
    except (TypeError, OSError):
        return None
    return Path(path).resolve() if path is not None and Path(path).is_file() else None


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:LENGTH]


def commits() -> dict[str, JsonObject | None]:
    """Commits of rlnut's checkout and of the working folder; None: there is none."""
    here = head_commit(Path.cwd())
    return {"rlnut": _own_commit(), "working_folder": None if here is None else {"commit": here}}


@cache
def _own_commit() -> JsonObject | None:
    """Commit, and whether the code differs from it (None: git is not there to tell)."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "status", "--porcelain=v2", "--branch", "--", "rlnut", "agents", "envs"]
    quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, cwd=root, env=quiet, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        found = head_commit(root)
        return None if found is None else {"commit": found, "dirty": None}
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def head_commit(folder: Path) -> str | None:
    """The commit that is checked out in a folder, or in one above it, read from git's files; None: there is none."""
    for above in (folder.resolve(), *folder.resolve().parents):
        git = above / ".git"
        try:
            if git.is_file():  # a worktree of its own, or a submodule
                git = above / _text(git).removeprefix("gitdir:").strip()
            if (git / "HEAD").is_file():
                return _commit_of(git)
        except (OSError, ValueError):
            return None
    return None


def _commit_of(git: Path) -> str | None:
    head = _text(git / "HEAD").strip()
    if not head.startswith("ref: "):
        return head if HEX.fullmatch(head) else None
    ref, common = head.removeprefix("ref: "), git
    if (git / "commondir").is_file():
        common = git / _text(git / "commondir").strip()
    for place in (git, common):
        if (place / ref).is_file() and HEX.fullmatch(found := _text(place / ref).strip()):
            return found
    packed = _text(common / "packed-refs").splitlines() if (common / "packed-refs").is_file() else []
    return next((line.split()[0] for line in packed if line.endswith(f" {ref}") and HEX.match(line)), None)


def _text(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(2**22)
