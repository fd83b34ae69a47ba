"""Agents: each is a frozen config (`*_settings.py`) and a composition of the pieces of `rlnut.learner`."""

from __future__ import annotations

if __name__ != "rlnut.agents":  # the checkout's root is on sys.path: there this would be a second copy of everything
    raise ImportError(f"{__name__} is imported as rlnut.agents")

from rlnut.agents.catalogue import AGENTS as AGENTS
from rlnut.agents.catalogue import DQN as DQN
from rlnut.agents.catalogue import PQN as PQN
from rlnut.agents.online_settings import SARSA as SARSA
from rlnut.agents.online_settings import DoubleQ as DoubleQ
from rlnut.agents.online_settings import ExpectedSARSA as ExpectedSARSA
from rlnut.agents.online_settings import PengQ as PengQ
from rlnut.agents.online_settings import QLearning as QLearning
from rlnut.agents.online_settings import Retrace as Retrace
from rlnut.agents.online_settings import SARSALambda as SARSALambda
from rlnut.agents.online_settings import TreeBackup as TreeBackup
from rlnut.agents.online_settings import WatkinsQ as WatkinsQ

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
