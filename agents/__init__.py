"""Agents: each is a frozen config (configs.py) and a composition of the pieces in rlnut/ (a file of its own)."""

from __future__ import annotations

from rlnut.agents.configs import AGENTS as AGENTS
from rlnut.agents.configs import DQN as DQN
from rlnut.agents.configs import PQN as PQN
from rlnut.agents.configs_classic import SARSA as SARSA
from rlnut.agents.configs_classic import DoubleQ as DoubleQ
from rlnut.agents.configs_classic import ExpectedSARSA as ExpectedSARSA
from rlnut.agents.configs_classic import PengQ as PengQ
from rlnut.agents.configs_classic import QLearning as QLearning
from rlnut.agents.configs_classic import Retrace as Retrace
from rlnut.agents.configs_classic import SARSALambda as SARSALambda
from rlnut.agents.configs_classic import TreeBackup as TreeBackup
from rlnut.agents.configs_classic import WatkinsQ as WatkinsQ

__all__ = [
    "AGENTS",
    "DQN",
    "PQN",
    "SARSA",
    "DoubleQ",
    "ExpectedSARSA",
    "PengQ",
    "QLearning",
    "Retrace",
    "SARSALambda",
    "TreeBackup",
    "WatkinsQ",
]
