"""Every agent by its name on the command line and in run folders: rlnut's and those of others. It needs no JAX."""

from __future__ import annotations

from rlnut.agents.deep_variants import DEEP
from rlnut.agents.deep_variants import DRQN as DRQN
from rlnut.agents.deep_variants import RecurrentPQN as RecurrentPQN
from rlnut.agents.dqn_settings import DQN as DQN
from rlnut.agents.offline_settings import BATCH
from rlnut.agents.online_settings import CLASSIC
from rlnut.agents.pqn_settings import PQN as PQN
from rlnut.errors import UsageError, unknown
from rlnut.learner.config import AgentConfig as AgentConfig
from rlnut.runtime.registry import Registry, definition, is_reference, same_definition


def _agent_class(thing: object, said: str) -> type[AgentConfig]:
    """UsageError for what is not the class of an agent whose options all have defaults."""
    if not (isinstance(thing, type) and issubclass(thing, AgentConfig)):
        got = f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
        raise UsageError(f"{said} is not the class of an agent, which derives from rlnut.DQN or another agent: {got}")
    try:
        thing()
    except (UsageError, TypeError, NameError) as error:
        raise UsageError(f"{said} cannot be made with its defaults: {error}") from None
    return thing


AGENTS = Registry("agent", "rlnut.agents", {**DEEP, **CLASSIC, **BATCH}, _agent_class)


def register_agent(name: str, kind: type[AgentConfig]) -> None:
    """Let an agent of your own be known by a name: to `train`, to the command line of this process, in run folders.

    Installed packages have entry points for that: `[project.entry-points."rlnut.agents"]`. UsageError for a name that
    is taken, and for what is not the class of an agent.
    """
    AGENTS.register(name, kind)


def agent_record(kind: type[AgentConfig]) -> dict[str, str]:
    """What config.json says of an agent's class: its name; of one that is not rlnut's its class, too."""
    name = AGENTS.name_of(kind)
    if name in AGENTS.own:
        return {"agent": str(name)}
    return {"agent": definition(kind)} if name is None else {"agent": name, "agent_class": definition(kind)}


def agent_name(kind: type[AgentConfig]) -> str:
    """The name of an agent, or module:Class of one that has none."""
    return AGENTS.name_of(kind) or definition(kind)


def recorded_agent(name: str, kind: str, given: type[AgentConfig] | None, trust: bool) -> type[AgentConfig]:
    """The class of an agent from its record in a file: given by the user, or known here, or imported if trusted.

    name, kind: what `agent_record` wrote; module:Class in both of an agent without a name.
    """
    if given is not None:
        ours = AGENTS.own.get(name)
        if given is ours or (ours is None and same_definition(definition(given), kind)):
            return given
        shown = name if name == kind else f"{name} ({kind})"
        raise UsageError(f"the run was made with the agent {shown}, agent= is {agent_name(given)}")
    if name in AGENTS.own:
        return AGENTS.own[name]
    found = AGENTS.defined(kind)
    if found is not None:
        return found
    if name in AGENTS:
        known = definition(AGENTS[name])
        raise UsageError(f"the run was made with {name} of {kind}, and {name} is {known} here: give its class (agent=)")
    if not is_reference(kind):
        raise unknown("agent", name, AGENTS)
    if not trust:
        raise UsageError(
            f"the agent {kind} is not one of rlnut's, and nothing is imported from a file: give its class (agent=,"
            " --agent MODULE:CLASS), or say that you trust the folder (trust=True, --trust)"
        )
    return AGENTS.imported(kind)
