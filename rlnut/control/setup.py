"""What a run is made of before its first step: agent, loop, schedule, plan. One function for agents that play."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym

from rlnut.control.experience import settled
from rlnut.control.host_loop import Loop, host_loop
from rlnut.control.native_loop import native_loop
from rlnut.control.plan import check_episodes, check_model, check_outputs, environments, free_memory, make_plan
from rlnut.control.preprocessing import prepared, prepared_spec
from rlnut.control.profile import Timed, untimed
from rlnut.control.settings import EverySteps, RunSettings, Schedule
from rlnut.envs.functional import FuncVector
from rlnut.envs.make import EnvLike
from rlnut.envs.vector import HostVector
from rlnut.errors import UsageError
from rlnut.learner.agent import Agent
from rlnut.learner.config import AgentConfig
from rlnut.learner.remarks import RunFacts
from rlnut.learner.spec import Spec
from rlnut.runtime.devices import device_count
from rlnut.types import Network


class Setup(NamedTuple):
    """The parts of a run."""

    config: AgentConfig  # with what depends on the length of the run, and with what was found by playing
    agent: Agent
    spec: Spec  # what its policy sees
    loop: Loop
    schedule: Schedule
    training: RunSettings
    lines: list[str]  # the plan, for people
    vector: HostVector | FuncVector | None  # the environments that the run plays; None: it learns from what there is
    need: int = 0  # bytes of memory for what it learns and remembers
    rows: int = 0  # transitions of an offline agent
    data: str = ""  # their checksum
    facts: RunFacts = RunFacts(0, 0)  # what is planned

    @property
    def unit(self) -> str:
        """What its steps are."""
        return "iteration" if self.rows else "step"


class Compiled(NamedTuple):
    """An agent with the programs of its loop, and for what they were made."""

    config: AgentConfig
    spaces: tuple[gym.Space, gym.Space, str]
    agent: Agent
    programs: Any


class Shared:
    """Agents and compiled programs of runs that differ by their seeds, in one process: compiled once for all of them.

    A run whose config depends on its seed (bounds of features that are found by playing) has programs of its own.
    """

    def __init__(self) -> None:
        self.kept: list[Compiled] = []

    def find(self, config: AgentConfig, spec: Spec) -> Compiled | None:
        """What a run before has made of the same config for the same spaces."""
        spaces = spaces_of(spec)
        return next((one for one in self.kept if one.config == config and one.spaces == spaces), None)

    def keep(self, config: AgentConfig, spec: Spec, agent: Agent, loop: Loop) -> None:
        """For the runs after this one."""
        if self.find(config, spec) is None:
            self.kept.append(Compiled(config, spaces_of(spec), agent, loop.programs))


def spaces_of(spec: Spec) -> tuple[gym.Space, gym.Space, str]:
    """What an agent depends on in its environment."""
    return spec.observation_space, spec.action_space, spec.saw


def played(
    config: AgentConfig,
    env: EnvLike,
    training: RunSettings,
    seed: int,
    network: Network | None,
    shared: Shared | None = None,
    timed: Timed = untimed,
) -> Setup:
    """A run that plays: on the host, or compiled with its environments. Nothing is allocated yet."""
    vector = environments(env, training)
    training = training.replace(devices=device_count(training.devices))
    spec = prepared_spec(vector.spec, training)
    check_choices(spec, config.decoupled)
    training = training.replace(num_envs=vector.num_envs)
    check_episodes(training.final_episodes)
    config = config.planned(training.steps, training.num_envs)
    found: list[str] = []
    if network is not None:
        check_model(network, spec)
    else:
        config, found = settled(config, env, vector, training, seed)
    known = shared.find(config, spec) if shared else None
    if known is None:
        built = config.build(spec, network)
        if network is not None:
            check_outputs(built, spec)
    agent = known.agent if known else prepared(built, vector.spec, training)
    programs = known.programs if known else None
    if isinstance(vector, HostVector):
        loop = host_loop(agent, vector, config.gamma, programs, timed, training.overlap)
    else:
        most = min(training.log_every, training.eval_every)
        loop = native_loop(agent, vector, config.gamma, most, programs, timed, training.devices)
    if shared:
        shared.keep(config, spec, agent, loop)
    plan = make_plan(agent, loop.shapes().agent, vector, training)
    plan.check(free_memory())
    rates = (float(agent.rate(0)), plan.epsilon_end)
    facts = RunFacts(plan.steps, plan.updates, rates)
    lines = [*plan.lines(), *found, *(f"note       {remark.text}" for remark in config.remarks(facts))]
    need = plan.memory_bytes + plan.learner_bytes
    return Setup(
        config, agent, spec, loop, EverySteps(plan.steps, training), training, lines, vector, need, facts=facts
    )


def check_choices(spec: Spec, decoupled: bool) -> None:
    """UsageError for actions of several numbers where the agent takes one choice."""
    if len(spec.choices) > 1 and not decoupled:
        raise UsageError(f"{spec.name}: this agent takes one choice, not {spec.acts.saw}: --actions grid")
