"""The content of a run's config.json as data: agent, settings, environment, seed. Importing this needs no JAX.

Nothing that a file names is imported or called, unless the user says that it can be trusted: an environment of a
module, or an agent's class that is not one of ours, is otherwise given by the user.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from rlnut.agents.catalogue import AgentConfig, recorded_agent
from rlnut.control.settings import RunSettings
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.config import OfflineConfig
from rlnut.runtime.files import JsonObject, as_path, digest, is_folder, read_json
from rlnut.runtime.version import check_written_by

if TYPE_CHECKING:
    from rlnut.envs.make import EnvLike, EnvName, EnvRecord
    from rlnut.runtime.arrays import StoredArrays
    from rlnut.types import Network

CONFIG, POLICY, SUMMARY = "config.json", "policy.safetensors", "summary.json"
FORWARD = "forward.safetensors"  # q(s, ·) as operations, for NumPy
CHECKPOINT, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"
LONGEST = 100_000  # characters of an environment's arguments in a file: a map of 300 x 300
# what may differ between two parts of one run; all else in config.json decides what is learned
MAY_CHANGE = ("steps", "until", "final_episodes")
MAY_GROW = ("iterations",)  # the same, of the config of an offline agent


def identity(description: JsonObject, earlier: bool = False) -> str:
    """A checksum of what decides what is learned, kept in every file of weights: they belong to this config.json.

    earlier: as a version made it whose offline agents could not go on.
    """
    kept = {key: description[key] for key in ("agent", "config", "env", "seed", "custom_network")}
    if not earlier:
        kept["config"] = {key: value for key, value in description["config"].items() if key not in MAY_GROW}
    course = {key: value for key, value in description["training"].items() if key not in MAY_CHANGE}
    return digest(kept | {"training": course})


def check_belongs(path: Path, found: JsonObject, stored: StoredArrays) -> None:
    """RlnutError if these arrays were written for another config.json than `found`, which was read from `path`."""
    known = [identity(found), identity(found, earlier=True)]
    if stored.meta.get("run", known[0]) not in known:
        raise RlnutError(
            f"{path} is not the one that {stored.path.name} was learned with: it was edited or exchanged;"
            " restore it, or train anew with these settings"
        )


class Recipe:
    """What config.json says: the config, environment, training and seed of a run.

    place: a run folder, or, if `file`, its config.json, whatever name it has now. agent: the class (or a config) of an
    agent that is not one of ours. trust: may what the folder names be imported?
    """

    def __init__(
        self,
        place: str | Path,
        network: Network | None = None,
        agent: AgentConfig | type[AgentConfig] | None = None,
        trust: bool = False,
        file: bool = False,
    ) -> None:
        from rlnut.envs.make import shown_environment

        self.folder, self.trust = as_path(place, "a run folder"), trust
        self.path = self.folder / CONFIG
        if file and _is_file(self.folder):
            self.folder, self.path = self.folder.parent, self.folder
        elif file and not is_folder(self.folder):
            raise RlnutError(f"{_short(place)}: there is no such file, and no such run folder")
        else:
            check_folder(self.folder)
        self.found = read_json(self.path)
        check_written_by(self.path, self.found.get("rlnut", "0.0"))
        kind = _agent_class(self.path, self.found, agent, trust)
        try:
            self.config = kind(**self.found["config"])
            self.training = RunSettings(**(_earlier(kind) | self.found["training"]))
            self.seed = _seed(self.found["seed"])
            self.recorded, self.recorded_eval = _env(self.found["env"]), _env(self.found.get("eval_env"))
            self.shown_env = _short(shown_environment(self.found["env"]))
            custom, asked = self.found["custom_network"], self.found.get("asked", {})
            self.asked = self.config.replace(**asked.get("config", {}))
            self.asked_training = self.training.replace(**asked.get("training", {}))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise RlnutError(f"{self.path} is damaged: {type(error).__name__}: {_short(error)}") from None
        if custom and network is None:
            raise UsageError(f"{place} was made in Python with a network of its own: pass it as network=")
        self.network = network

    def environment(self, given: EnvLike | None) -> EnvLike:
        """The environment that the user gave, else the recorded one; UsageError if that would import something."""
        if given is not None:
            return given
        if self.recorded is None:
            raise UsageError(
                f"{self.folder} was trained on {self.shown_env}, which is not stored in the folder: pass it as env="
            )
        return self._made(self.recorded, "environment", "--env, env=")

    def evaluation_environment(self, given: EnvLike | None) -> EnvLike | None:
        """The same of the one where greedy episodes were played; None: the run's own."""
        from rlnut.envs.make import shown_environment

        if given is not None or self.found.get("eval_env") is None:
            return given
        if self.recorded_eval is None:
            shown = _short(shown_environment(self.found["eval_env"] or None))
            raise UsageError(
                f"{self.folder} was evaluated on {shown}, which is not stored in the folder: pass it as eval_env="
            )
        return self._made(self.recorded_eval, "environment of evaluations", "eval_env=")

    def _made(self, env: EnvName, what: str, where: str) -> EnvName:
        if not self.trust and (reason := names_code(env)):
            raise UsageError(
                f"{self.path}: the {what} {_short(repr(env.id))} is not made from a file: {reason};"
                f" give the environment yourself ({where}), or say that you trust the folder (--trust, trust=True)"
            )
        return as_data(env)

    def check(self, stored: StoredArrays) -> StoredArrays:
        """The same; RlnutError if these weights were learned with another config.json."""
        check_belongs(self.path, self.found, stored)
        _check_layers(stored, self.config)
        return stored


def _earlier(kind: type[AgentConfig]) -> dict[str, str]:
    """What settings were in versions that did not have them."""
    return {} if issubclass(kind, OfflineConfig) else {"stacks": "whole"}


def _env(record: EnvRecord | None) -> EnvName | None:
    """An environment that config.json can hold; None: there is none, or it cannot."""
    from rlnut.envs.make import named_in

    return named_in(record)


def _is_file(path: Path) -> bool:
    """A name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_folder(folder: Path) -> None:
    """RlnutError for what is no folder, UsageError for a folder of several runs."""
    if not is_folder(folder):
        try:
            what = "it is a file" if folder.exists() else "there is no such folder"
        except (OSError, ValueError):
            what = "no folder can have this name"
        raise RlnutError(f"{_short(folder)} is not a run folder: {what}")
    if not (folder / CONFIG).exists() and (inner := sorted(folder.glob(f"*/{CONFIG}"))):
        names = ", ".join(str(path.parent) for path in inner[:5])
        raise UsageError(f"{folder} holds {len(inner)} runs: choose one of {names}{', …' if len(inner) > 5 else ''}")


def _agent_class(
    path: Path, found: JsonObject, given: AgentConfig | type[AgentConfig] | None, trust: bool
) -> type[AgentConfig]:
    """The class of a config by what config.json says; one that is not known here is given, or imported if trusted."""
    given = given if given is None or isinstance(given, type) else type(given)
    if given is not None and not issubclass(given, AgentConfig):
        raise UsageError(f"agent must be the class or a config of an agent, got {given.__name__}")
    name = found.get("agent")
    kind = found.get("agent_class", name)
    if not isinstance(name, str) or not isinstance(kind, str):
        raise RlnutError(f"{path} is damaged: it names no agent, but {_short(name)}")
    try:
        return recorded_agent(name, kind, given, trust)
    except UsageError as error:
        if given is not None or ":" in kind:
            raise UsageError(f"{path}: {_short(error)}") from None
        raise RlnutError(f"{path} is damaged: {_short(error)}") from None


def names_code(env: EnvName) -> str:
    """Why making an environment from what a file says could run code of the file's choice; empty: it cannot."""
    if ":" in env.id:
        return "its name starts with a module, which would be imported"
    rest: list[object] = [env.kwargs]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend([*value, *value.values()])
        elif isinstance(value, (list, tuple)):
            rest.extend(value)
        elif isinstance(value, str) and ":" in value and not value.endswith(".npz"):
            return f"its argument {_short(repr(value))} may name a function, which would be called"
    for wrapper in env.wrappers:
        if reason := wrapper.names_code():
            return reason
    if len(json.dumps([env.kwargs, *(wrapper.kwargs for wrapper in env.wrappers)])) > LONGEST:
        return f"its arguments are longer than {LONGEST:,} characters"
    return ""


def as_data(env: EnvName) -> EnvName:
    """Without what is no property of the environment: windows are not opened because a file says so."""
    from rlnut.envs.make import NOT_THE_ENVIRONMENT, EnvName

    return EnvName(env.id, {k: v for k, v in env.kwargs.items() if k not in NOT_THE_ENVIRONMENT}, env.wrappers)


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"seed must be an integer >= 0 and < 2**32, got {value!r}")
    return value


def _check_layers(stored: StoredArrays, config: AgentConfig) -> None:
    """Refuse a network of other sizes than the file has before it is built: a file may ask for any number of layers."""
    sizes = {int(n) for array in stored.arrays.values() for n in array.shape}
    for field in fields(config):
        if field.name == "hidden":
            hidden = getattr(config, field.name)
            if len(hidden) > len(stored.arrays) or (strange := set(hidden) - sizes):
                what = f"a layer of {min(strange):,} units" if len(hidden) <= len(stored.arrays) else "so many layers"
                raise RlnutError(f"{stored.path} does not fit this configuration: its weights have not {what}")


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else f"{line[:200]} … {line[-80:]}"
