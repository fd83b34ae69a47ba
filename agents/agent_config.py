"""The base of every agent's config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlnut.settings import Settings, setting

if TYPE_CHECKING:
    from rlnut.agent import Agent
    from rlnut.envs.spaces import Spec
    from rlnut.types import Network


@dataclass(frozen=True)
class AgentConfig(Settings):
    """Base of every agent's config."""

    gamma: float = setting(0.99, "discount γ of the next value", low=0, high=1)

    decoupled: ClassVar[bool] = False  # serves actions of several numbers by a choice for each

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the default one."""
        raise NotImplementedError
