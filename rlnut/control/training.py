"""Train an agent on an environment, or go on with a run: the functions that people call from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlnut.agents.catalogue import AGENTS, AgentConfig
from rlnut.agents.presets import PRESETS
from rlnut.control.result import Trained
from rlnut.control.run_folder import CHECKPOINT, CONFIG, Recipe, describe, write_json
from rlnut.control.session import Session
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, env_name
from rlnut.errors import UsageError, unknown
from rlnut.learner.config import OfflineConfig
from rlnut.runtime.files import load_meta, new_folder
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
    **training: Any,
) -> Trained:
    """Learn Q on `env`, a registered name, an environment, a function that makes one, or a VectorEnv.

    agent: a config such as `DQN(double=True)`, or a name ("dqn": its preset for this environment is used).
    training: the fields of `RunSettings`: steps, num_envs, eval_every, eval_episodes, final_episodes, until, log_every.
    out: a new folder for config, metrics, checkpoint, policy and curve; None keeps everything in memory.
    network: takes the place of the default MLP or CNN; eval_env: where greedy episodes are played, if not on `env`.

    >>> import rlnut
    >>> run = rlnut.train(rlnut.DQN(learning_starts=100), "CartPole-v1", steps=200, final_episodes=1, quiet=True)
    >>> run.q([0.0, 0.0, 0.0, 0.0]).shape
    (2,)
    """
    config, chosen = configured(agent, env, training)
    if isinstance(config, OfflineConfig):
        from rlnut.control.offline_loop import train_batch

        return train_batch(config, env, chosen, seed, out, network, eval_env, quiet)
    session = Session(config, env, chosen, seed, network, eval_env, quiet)
    try:
        folder = new_folder(out) if out is not None else None
        session.open(folder, describe(config, env, session.training, seed, network is not None))
        return session.go(lambda: session.loop.start(seed))
    finally:
        session.close()


def resume(
    folder: str | Path, steps: int | None = None, network: Network | None = None, quiet: bool = False
) -> Trained:
    """Go on with a run from its checkpoint, bit for bit as if it had never stopped.

    steps: in all, those done included; None: as first planned. The running episodes are played again from their
    seeds; an environment that does not repeat itself starts new ones, and that is said.
    """
    recipe = Recipe(folder, network)
    if recipe.env is None:
        raise UsageError(
            f"{folder} was trained on {recipe.shown_env}, which a file cannot hold: it cannot be made again"
        )
    if isinstance(recipe.config, OfflineConfig):
        raise UsageError(f"{folder} learned from a batch, in one go: train again with more --iterations")
    meta = load_meta(recipe.folder / CHECKPOINT, ("steps", "best", "interval", "env"))
    done = int(meta["steps"])
    training = recipe.training if steps is None else recipe.training.replace(steps=steps)
    if training.steps <= done:
        raise UsageError(f"{folder} has {done:,} steps already; --steps counts all of them: give more")
    session = Session(recipe.config, recipe.env, training, recipe.seed, network, quiet=quiet)
    try:
        description = describe(recipe.config, recipe.env, training, recipe.seed, network is not None)
        session.open(recipe.folder, description, since=int(meta["logged"]))
        run = session.restore(meta)
        write_json(recipe.folder / CONFIG, description)
        return session.go(lambda: run)
    finally:
        session.close()


def configured(agent: AgentConfig | str, env: EnvLike, training: dict[str, Any]) -> tuple[AgentConfig, RunSettings]:
    """Agent and training settings: a name brings its preset for the environment, a config is taken as it is."""
    if not isinstance(agent, str):
        return agent, RunSettings(**agent.training).replace(**training)
    if agent not in AGENTS:
        raise unknown("agent", agent, AGENTS)
    preset = preset_of(agent, env)
    config = AGENTS[agent](**preset["config"])
    return config, RunSettings(**config.training | preset["training"]).replace(**training)


def preset_of(agent: str, env: EnvLike) -> dict[str, dict[str, Any]]:
    """The settings that are measured to be better than the defaults on this environment."""
    name = env_name(env)
    return {"config": {}, "training": {}} | PRESETS.get((agent, name.id if name and not name.wrappers else ""), {})
