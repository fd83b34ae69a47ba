"""A run folder, and the greedy policy that comes out of it.

| file                   | holds                                                               |
|------------------------|---------------------------------------------------------------------|
| config.json            | agent, all its settings, environment, seed, versions: to repeat it  |
| metrics.csv            | one row for every few hundred steps; no clock times                 |
| policy.safetensors     | weights of the best greedy policy: all that `evaluate` needs        |
| checkpoint.safetensors | everything: weights, target, optimiser, replay, keys, environments  |
| curve.png              | the learning curve                                                  |
| summary.json           | the final evaluation and the speed                                  |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlnut.agents.catalogue import AGENTS, AgentConfig
from rlnut.control.host_loop import one_row
from rlnut.control.policy import Policy
from rlnut.control.preprocessing import prepared_spec
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, EnvName, env_name, maker, shown_environment
from rlnut.envs.spaces import read_spaces
from rlnut.errors import RlnutError, UsageError, unknown
from rlnut.learner.spec import Choice
from rlnut.runtime.files import atomic_write, load_arrays, load_meta, read_json
from rlnut.runtime.version import installed_version
from rlnut.types import Network

CONFIG, POLICY, CHECKPOINT = "config.json", "policy.safetensors", "checkpoint.safetensors"


def describe(
    config: AgentConfig, env: EnvLike, training: RunSettings, seed: int, custom_network: bool
) -> dict[str, Any]:
    """config.json: enough to repeat the run."""
    from dataclasses import asdict

    name = env_name(env)
    return {
        "rlnut": installed_version(),
        "agent": agent_name(config),
        "config": asdict(config),
        "env": name.record() if name else None,
        "training": asdict(training),
        "seed": seed,
        "custom_network": custom_network,
        "versions": {"jax": jax.__version__, "numpy": np.__version__, "backend": jax.default_backend()},
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON object for people and programs."""
    atomic_write(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def agent_name(config: AgentConfig) -> str:
    """The name that the command line has for a config."""
    return next(name for name, kind in AGENTS.items() if type(config) is kind)


class Recipe:
    """What config.json says: the config, environment, training and seed of a run."""

    def __init__(self, folder: str | Path, network: Network | None = None) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            what = "it is a file" if self.folder.exists() else "there is no such folder"
            raise RlnutError(f"{folder} is not a run folder: {what}")
        if not (self.folder / CONFIG).exists() and (inner := sorted(self.folder.glob(f"*/{CONFIG}"))):
            names = ", ".join(str(path.parent) for path in inner[:5])
            raise UsageError(
                f"{folder} holds {len(inner)} runs: choose one of {names}{', …' if len(inner) > 5 else ''}"
            )
        found = read_json(self.folder / CONFIG)
        try:
            name, env = found["agent"], found["env"]
            if name not in AGENTS:
                raise unknown("agent", name, AGENTS)
            self.config = AGENTS[name](**found["config"])
            self.training = RunSettings(**found["training"])
            self.seed = int(found["seed"])
            self.env = EnvName(env["id"], env["kwargs"]) if env and not env.get("not_kept") else None
            self.shown_env = shown_environment(env)
            custom = found["custom_network"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RlnutError(f"{self.folder / CONFIG} is damaged: {type(error).__name__}: {error}") from None
        if custom and network is None:
            raise UsageError(
                f"{folder} was made in Python with a network of its own: use rlnut.load(folder, network=...)"
            )
        self.network = network


def load_policy(folder: str | Path, env: EnvLike | None = None, network: Network | None = None) -> Policy:
    """The best greedy policy of a run folder; RlnutError if it is missing or damaged."""
    recipe = Recipe(folder, network)
    chosen = recipe.env if env is None else env
    if chosen is None:
        raise UsageError(f"{folder} was trained on {recipe.shown_env}, which no file holds: give it with env=")
    path = recipe.folder / POLICY
    load_meta(path)  # missing or damaged: said before an environment is made
    example = maker(recipe.env or chosen)()
    try:
        spec = read_spaces(example, Choice(recipe.training.actions, recipe.training.bins))
    finally:
        example.close()
    spec = prepared_spec(spec, recipe.training)
    agent = recipe.config.build(spec, network)
    n = recipe.training.num_envs
    row = one_row(spec, n, carry=agent.carry(n))
    like = jax.eval_shape(lambda: agent.init(jax.random.key(0), row).fit.params)
    return Policy(agent, spec, load_arrays(path, like), chosen)
