"""Every agent by its name on the command line, and settings that were measured. Importing this needs no JAX.

`PRESETS` holds the settings of environments for which other values than the defaults were found better; `--no-preset`
leaves them out.
"""

from __future__ import annotations

from typing import Any

from rlnut.agents.agent_config import AgentConfig as AgentConfig
from rlnut.agents.configs_batch import BATCH
from rlnut.agents.configs_classic import CLASSIC, CLASSIC_PRESETS
from rlnut.agents.configs_deep import DEEP
from rlnut.agents.configs_deep import DQN as DQN
from rlnut.agents.configs_deep import PQN as PQN
from rlnut.agents.configs_recurrent import DRQN as DRQN
from rlnut.agents.configs_recurrent import RECURRENT
from rlnut.agents.configs_recurrent import RecurrentPQN as RecurrentPQN

AGENTS: dict[str, type[AgentConfig]] = {**DEEP, **RECURRENT, **CLASSIC, **BATCH}

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    # returns are 0 or 1, so ten episodes cannot tell two policies apart
    ("dqn", "FrozenLake-v1"): {"training": {"eval_episodes": 100, "final_episodes": 500}},
    ("dqn", "Acrobot-v1"): {"training": {"final_episodes": 100}},
    **CLASSIC_PRESETS,
}
