"""Train an agent on an environment, or go on with a run: the functions that people call from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym

from rlnut.agents.catalogue import AGENTS, AgentConfig
from rlnut.agents.presets import PRESETS
from rlnut.control.checkpoints import read_checkpoint
from rlnut.control.result import Trained
from rlnut.control.run_files import RunFiles
from rlnut.control.run_folder import BEFORE, CHECKPOINT, POLICY, SUMMARY, Recipe, describe
from rlnut.control.session import Session
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, env_name
from rlnut.errors import UsageError, unknown
from rlnut.learner.config import OfflineConfig
from rlnut.runtime.files import new_folder
from rlnut.runtime.interrupts import terminations
from rlnut.runtime.locks import locked
from rlnut.runtime.log import say
from rlnut.runtime.version import installed_version
from rlnut.settings import Options
from rlnut.types import Network


def train(
    agent: AgentConfig | str,
    env: EnvLike,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    network: Network | None = None,
    eval_env: EnvLike | None = None,
    quiet: bool = False,
    settings: RunSettings | None = None,
    **training: object,
) -> Trained:
    """Learn Q on `env`, a registered name, an environment, a function that makes one, or a VectorEnv.

    agent: a config such as `DQN(double=True)`, or a name ("dqn": its preset for this environment is used).
    training: the fields of `RunSettings`: steps, num_envs, eval_every, eval_episodes, final_episodes, until, log_every.
    settings: a whole `RunSettings`, in the place of the agent's and the preset's; `training` then changes it.
    out: a new folder for config, metrics, checkpoint, policy and curve; None keeps everything in memory.
    network: takes the place of the default MLP or CNN; eval_env: where greedy episodes are played, if not on `env`.

    >>> import rlnut
    >>> run = rlnut.train(rlnut.DQN(learning_starts=100), "CartPole-v1", steps=200, final_episodes=1, quiet=True)
    >>> run.q([0.0, 0.0, 0.0, 0.0]).shape
    (2,)
    """
    seed = checked_seed(seed)
    check_network(network)
    config, chosen, _ = configured(agent, env, course=training)
    if settings is not None:
        if not isinstance(settings, RunSettings):
            raise UsageError(f"settings must be RunSettings, got {type(settings).__name__}")
        chosen = settings.replace(**training)
    if isinstance(env, gym.vector.VectorEnv) and training.get("num_envs", env.num_envs) != env.num_envs:
        raise UsageError(f"num_envs is {training['num_envs']}, and the VectorEnv holds {env.num_envs} environments")
    with terminations():
        if isinstance(config, OfflineConfig):
            from rlnut.control.offline_loop import train_batch

            return train_batch(config, env, chosen, seed, out, network, eval_env, quiet)
        session = Session(config, env, chosen, seed, network, eval_env, quiet)
        try:
            description = describe(config, env, session.training, seed, network is not None)
            if out is None:
                session.announce(RunFiles(None, description))
                return session.go(lambda: session.loop.start(seed))
            folder = new_folder(out)
            with locked(folder):
                new_folder(folder)  # still free, now that nobody else can take it
                session.announce(RunFiles(folder, description))
                session.files.open()
                return session.go(lambda: session.loop.start(seed))
        finally:
            session.close()


def resume(
    folder: str | Path,
    steps: int | None = None,
    network: Network | None = None,
    quiet: bool = False,
    *,
    env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
) -> Trained:
    """Go on with a run from its checkpoint, bit for bit as if it had never stopped.

    steps: in all, those done included; None: as first planned. The running episodes are played again from their
    seeds; an environment that does not repeat itself starts new ones, and that is reported.
    env, network, agent: what the run was given in Python: an environment without a name, a network, or the class of an
    agent of your own. trust: may the modules that the folder names be imported? See `load_policy`.
    """
    check_network(network)
    recipe = Recipe(folder, network, agent, trust)
    if isinstance(recipe.config, OfflineConfig):
        raise UsageError(f"{folder} learned from a batch, in one go: train again with more --iterations")
    chosen = recipe.environment(env)
    training = recipe.training if steps is None else recipe.training.replace(steps=steps)
    description = recipe.found | {"rlnut": installed_version()}
    description["training"] = recipe.found["training"] | {"steps": training.steps}
    with terminations(), locked(recipe.folder):
        names = {path.name for path in recipe.folder.iterdir()}
        stored = None
        if names & {CHECKPOINT, BEFORE, POLICY, SUMMARY}:
            stored = recipe.check(read_checkpoint(recipe.folder))
            done = stored.meta["steps"]
            if training.steps <= done and (SUMMARY in names or steps is not None):  # else it was killed at the end
                raise UsageError(f"{folder} has {done:,} steps already; --steps counts all of them: give more")
        session = Session(recipe.config, chosen, training, recipe.seed, network, quiet=quiet)
        try:
            session.announce(RunFiles(recipe.folder, description))
            if stored is None:  # it was killed before the first one was written
                say(f"{folder} has no checkpoint yet: starting from the beginning")
                session.files.open()
                return session.go(lambda: session.loop.start(recipe.seed))
            run = session.restore(stored)
            session.files.open(stored.meta["logged"], stored.meta.get("metrics"))
            return session.go(lambda: run)
        finally:
            session.close()


def configured(
    agent: AgentConfig | str,
    env: EnvLike,
    options: Options | None = None,
    course: Options | None = None,
    preset: bool = True,
) -> tuple[AgentConfig, RunSettings, Options]:
    """(config, settings, what the preset brought): a name brings its preset, a config is taken as it is.

    options, course: what the user chose of the agent's options and of `RunSettings`; they go before the preset.
    """
    options, course = options or {}, course or {}
    if isinstance(agent, AgentConfig):
        return agent.replace(**options), RunSettings(**agent.training).replace(**course), {}
    if not isinstance(agent, str):
        hint = f": make one, {agent.__name__}()" if isinstance(agent, type) and issubclass(agent, AgentConfig) else ""
        what = f"the class {agent.__name__}" if isinstance(agent, type) else f"{type(agent).__name__} {str(agent)[:60]}"
        raise UsageError(f"agent must be a config such as DQN(), or a name such as 'dqn', got {what}{hint}")
    if agent not in AGENTS:
        raise unknown("agent", agent, AGENTS, other=env)
    measured = preset_of(agent, env) if preset else {}
    kind = AGENTS[agent]
    usual = kind.kept(measured.get("config", {}), options)
    paced = {name: value for name, value in measured.get("training", {}).items() if name not in course}
    config = kind().replace(**usual | options)
    return config, RunSettings(**config.training | paced).replace(**course), usual | paced


def preset_of(agent: str, env: EnvLike) -> dict[str, Options]:
    """The settings that are measured to be better than the defaults on this environment."""
    name = env_name(env)
    return PRESETS.get((agent, name.id if name and not name.wrappers else ""), {})


def checked_seed(seed: Any) -> int:
    """An integer of 32 bits; UsageError for anything else."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise UsageError(f"seed must be >= 0 and < 2**32, got {str(seed)[:60]!r}")
    return int(seed)


def check_network(network: object) -> None:
    """UsageError for what is not a function."""
    if network is not None and not callable(network):
        raise UsageError(f"network must be a function: output shape -> Model, got {type(network).__name__}")
