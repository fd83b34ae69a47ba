"""Every agent by its name on the command line, and settings that were measured. Importing this needs no JAX.

`PRESETS` holds the settings of environments for which other values than the defaults were found better; `--no-preset`
leaves them out.
"""

from __future__ import annotations

from rlnut.agents.deep_variants import DEEP
from rlnut.agents.deep_variants import DRQN as DRQN
from rlnut.agents.deep_variants import RecurrentPQN as RecurrentPQN
from rlnut.agents.dqn_settings import DQN as DQN
from rlnut.agents.offline_settings import BATCH
from rlnut.agents.online_settings import CLASSIC
from rlnut.agents.pqn_settings import PQN as PQN
from rlnut.learner.config import AgentConfig as AgentConfig

AGENTS: dict[str, type[AgentConfig]] = {**DEEP, **CLASSIC, **BATCH}
