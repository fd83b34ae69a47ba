"""Train an agent on an environment, or continue a run: the functions that people call from Python."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import gymnasium as gym

from rlnut.agents.catalogue import AGENTS, AgentConfig, agent_name
from rlnut.agents.presets import FAMILIES, PRESETS
from rlnut.control.profile import Profile
from rlnut.control.provenance import origin
from rlnut.control.result import RunLooks, Trained
from rlnut.control.resuming import difference_line, evaluated_on, longer, stored_state
from rlnut.control.run_files import RunFiles
from rlnut.control.run_folder import Recipe, describe
from rlnut.control.run_loop import RunLook
from rlnut.control.session import Session
from rlnut.control.settings import SILENT, RunSettings, Said
from rlnut.control.setup import Setup, Shared
from rlnut.envs.atari import preprocessing
from rlnut.envs.make import EnvLike, env_name
from rlnut.errors import UsageError, unknown
from rlnut.learner.config import OfflineConfig
from rlnut.runtime.files import as_path, new_folder
from rlnut.runtime.interrupts import terminations
from rlnut.runtime.locks import locked
from rlnut.runtime.log import say
from rlnut.runtime.loggers import LoggedRun, Logger, Loggers
from rlnut.runtime.observing import Callback, Callbacks, Looks
from rlnut.runtime.signatures import with_signature_of
from rlnut.runtime.version import installed_version
from rlnut.settings import Options, renamed
from rlnut.types import Network

if TYPE_CHECKING:
    from rlnut.control.train_options import TrainOptions


def training(
    agent: AgentConfig | str,
    env: EnvLike,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    network: Network | None = None,
    eval_env: EnvLike | None = None,
    quiet: bool = False,
    settings: RunSettings | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    profile: bool | Profile = False,
    **course: Unpack[TrainOptions],
) -> RunLooks:
    """`train` as an iterator: a look at the run before its first step and after every round of steps.

    A look (`RunLook`) has `step`, `row` (of the log, if one was due), `evaluation` (greedy, if one was due; with it
    `exact`, where the environment has tables), `policy` (of this moment), `best`, `history`, and `stop()`,
    `evaluate()`, `save()`, `change()`. To leave the loop ends the run as Ctrl-C would: its folder can be evaluated and
    resumed. `result()` gives what `train` gives.

    >>> import rlnut
    >>> course = dict(steps=200, eval_every=100, eval_episodes=1, final_episodes=1, quiet=True)
    >>> run = rlnut.training(rlnut.DQN(learning_starts=50), "CartPole-v1", **course)
    >>> for look in run:
    ...     if look.evaluation is not None:
    ...         print(look.step, look.policy.q([0.0, 0.0, 0.0, 0.0]).shape)
    ...         break
    104 (2,)
    >>> run.result().steps
    104
    """
    seed = checked_seed(seed)
    check_network(network)
    options, own = divided(agent, env, dict(course))
    config, chosen, _ = configured(agent, env, options, own)
    if not isinstance(settings, RunSettings | None):
        raise UsageError(f"settings must be RunSettings, got {type(settings).__name__}")
    chosen = chosen if settings is None else settings.replace(**own)
    if isinstance(env, gym.vector.VectorEnv) and own.get("num_envs", env.num_envs) != env.num_envs:
        raise UsageError(f"num_envs is {own['num_envs']}, and the VectorEnv holds {env.num_envs} environments")
    called: Callbacks[RunLook] = Callbacks(callbacks)
    noted = Loggers(loggers)

    def make() -> Session:
        said = SILENT if quiet else Said()
        clocks = Profile() if profile is True else profile or None
        return Session(config, env, chosen, seed, network, eval_env, said, called, profile=clocks)

    return RunLooks(begun(make, out, noted, callbacks))


def begun(
    make: Callable[[], Session], out: str | Path | None, loggers: Loggers, callbacks: Sequence[Callback] = ()
) -> Generator[RunLook, None, Trained]:
    """The looks of a new run, which writes into the new folder `out`; None: nothing. callbacks: of the user."""
    with terminations(pass_on=True), contextlib.ExitStack() as held:
        session = make()
        held.callback(session.close)
        description = describe(session.config, session.env, session.training, session.seed, session.network is not None)
        loggers.check(LoggedRun(description, None if out is None else as_path(out, "the output folder")))
        folder = None if out is None else new_folder(out)
        if folder is not None:
            held.enter_context(locked(folder))
            new_folder(folder)  # still free, now that nobody else can take it
            eval_env = None if session.eval_env is session.env else session.eval_env
            settled = session.config, session.training
            description |= origin(session.asked, settled, session.env, eval_env, session.setup.data, callbacks)
        return (yield from session.go(RunFiles(folder, description, loggers)))


@with_signature_of(training)
def train(*given: Any, **named: Any) -> Trained:
    """Learn Q on `env`, a registered name, an environment, a function that makes one, or a VectorEnv.

    agent: a config such as `DQN(double=True)`, or a name ("dqn": its preset for this environment is used).
    course: fields of `RunSettings` (steps, num_envs, eval_every, …) and options of the agent, here in the place of its
    preset's: `train("dqn", env, lr=1e-3)`.
    settings: a whole `RunSettings`, in the place of the agent's and the preset's; `course` then changes it.
    out: a new folder for config, metrics, checkpoint, policy and curve; None keeps everything in memory.
    network: takes the place of the default MLP or CNN; eval_env: where greedy episodes are played, if not on `env`.
    callbacks: functions of a `RunLook`, or objects with `on_start`, `on_look` or `on_end`, called in every round after
    its row of the log; `training` is the same run as an iterator. loggers: what takes the rows of the log beside
    metrics.csv, see `rlnut.Logger`: `rlnut.TensorBoardLogger()`, …; the result's `history` has them as arrays.
    profile: find out where the time goes, in the result's `profile` (seconds by part) and in summary.json.

    >>> import rlnut
    >>> run = rlnut.train(rlnut.DQN(learning_starts=100), "CartPole-v1", steps=200, final_episodes=1, quiet=True)
    >>> run.q([0.0, 0.0, 0.0, 0.0]).shape
    (2,)
    """
    return training(*given, **named).result()


def train_seed(
    config: AgentConfig,
    env: EnvLike,
    settings: RunSettings,
    seed: int,
    out: Path,
    shared: Shared,
    profile: bool = False,
    said: Said = Said(),  # noqa: B008  it cannot be changed
    planned: Callable[[Setup], object] = lambda setup: None,
    callbacks: Sequence[Callback] = (),
    eval_env: EnvLike | None = None,
    loggers: Sequence[Logger] = (),
) -> Trained:
    """`train` for one of several seeds: with what the seeds before it have compiled. planned: told of its plan."""
    called: Callbacks[RunLook] = Callbacks(callbacks)
    noted = Loggers(loggers)

    def make() -> Session:
        clocks = Profile() if profile else None
        session = Session(config, env, settings, seed, None, eval_env, said, called, shared, clocks)
        planned(session.setup)
        return session

    return Looks(begun(make, out, noted)).result()


def resume(
    folder: str | Path,
    steps: int | None = None,
    network: Network | None = None,
    quiet: bool = False,
    *,
    iterations: int | None = None,
    env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    eval_env: EnvLike | None = None,
) -> Trained:
    """Go on with a run from its checkpoint, bit for bit as if it had never stopped.

    steps: in all, those done included; None: as first planned. iterations: the same of an offline agent. The running
    episodes are played again from their seeds, and transitions that were collected are collected again; an environment
    that does not repeat itself starts new episodes (gives other transitions), and that is reported.
    env, eval_env, network, agent: what the run was given in Python: environments without a name, a network, or the
    class of an agent of your own. trust: may the modules that the folder names be imported? See `load_policy`.
    callbacks, loggers: as those of `train`. The result's `history` is that of the whole run.
    """
    check_network(network)
    called: Callbacks[RunLook] = Callbacks(callbacks)
    noted = Loggers(loggers)
    recipe = Recipe(folder, network, agent, trust)
    config, course = longer(recipe, steps, iterations)
    chosen, judge = recipe.environment(env), evaluated_on(recipe, eval_env)
    if not quiet and (line := difference_line(recipe, config, chosen)):
        say(line)
    description = recipe.found | {"rlnut": installed_version()}
    description["training"] = recipe.found["training"] | {"steps": course.steps}
    if course.steps != recipe.training.steps:  # what followed from fewer steps stays as it is
        description.pop("asked", None)
    if isinstance(config, OfflineConfig):
        description["config"] = recipe.found["config"] | {"iterations": config.iterations}
    with terminations(pass_on=True), locked(recipe.folder):
        stored = stored_state(recipe, config, course, steps is not None or iterations is not None)
        said = SILENT if quiet else Said()
        session = Session(config, chosen, course, recipe.seed, network, judge, said, called)
        try:
            if stored is None:  # it was killed before the first one was written
                say(f"{folder} has no checkpoint yet: starting from the beginning")
            return Looks(session.go(RunFiles(recipe.folder, description, noted, goes_on=True), stored)).result()
        finally:
            session.close()


def divided(agent: AgentConfig | str, env: EnvLike, given: Options) -> tuple[Options, Options]:
    """Keywords as (the agent's options, fields of `RunSettings`); UsageError for one that is neither."""
    kind = AGENTS.find(agent, other=env) if isinstance(agent, str) else type(agent)
    if not issubclass(kind, AgentConfig):
        return {}, given  # `configured` says what is wrong with it
    own, course = ({f.name for f in fields(config)} for config in (kind, RunSettings))
    word, allowed = agent_name(kind), {*own, *course, *inspect.signature(train).parameters} - {"course"}

    def refused(name: str) -> UsageError:
        return unknown(f"{word} option", name, allowed, see=f"rlnut train {word} --help")

    given = renamed(given, own | course, refused)
    return {k: v for k, v in given.items() if k in own}, {k: v for k, v in given.items() if k not in own}


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
    kind = AGENTS.find(agent, other=env)
    measured = preset_of(agent, env) if preset else {}
    usual = kind.kept(measured.get("config", {}), options)
    paced = {name: value for name, value in measured.get("training", {}).items() if name not in course}
    config = kind().replace(**usual | options)
    return config, RunSettings(**config.training | paced).replace(**course), usual | paced


def preset_of(agent: str, env: EnvLike) -> dict[str, Options]:
    """The settings that are measured to be better than the defaults on this environment."""
    name = env_name(env)
    if name is None or name.wrappers != preprocessing(name.id, name.kwargs)[1]:
        return {}
    return PRESETS.get((agent, name.id)) or FAMILIES.get((agent, name.id.partition("/")[0]), {})


def checked_seed(seed: Any) -> int:
    """An integer of 32 bits; UsageError for anything else."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise UsageError(f"seed must be >= 0 and < 2**32, got {str(seed)[:60]!r}")
    return int(seed)


def check_network(network: object) -> None:
    """UsageError for what is not a function."""
    if network is not None and not callable(network):
        raise UsageError(f"network must be a function: output shape -> Model, got {type(network).__name__}")
