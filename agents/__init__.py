"""Agents: each is a frozen config (configs.py) and a composition of the pieces in rlnut/ (a file of its own)."""

from __future__ import annotations

from rlnut.agents.configs import AGENTS as AGENTS
from rlnut.agents.configs import DQN as DQN

__all__ = ["AGENTS", "DQN"]
