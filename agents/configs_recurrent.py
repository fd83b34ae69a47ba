"""What a user may choose of agents with a memory. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlnut.agents.configs_deep import DQN, ON_SUPPORT
from rlnut.errors import UsageError
from rlnut.settings import setting

if TYPE_CHECKING:
    from rlnut.agent import Agent
    from rlnut.envs.spaces import Spec
    from rlnut.types import Network


@dataclass(frozen=True)
class DRQN(DQN):
    """DQN with a recurrent layer, for what one observation does not show (Hausknecht & Stone 2015)."""

    loss: str = setting("huber", "regression on δ, classification of the value, or its distribution",
                        choices=("huber", "squared", *ON_SUPPORT))  # fmt: skip
    explore: str = setting("epsilon-greedy", "how to explore: ε-greedy, or π ∝ exp(q/temperature)",
                           choices=("epsilon-greedy", "boltzmann"))  # fmt: skip
    batch: int = setting(16, "windows in one update", low=1)
    gradient_steps: int = setting(2, "updates in a round", low=1)
    memory: str = setting("lstm", "the recurrent cell", choices=("lstm", "gru", "rnn"))
    memory_size: int = setting(64, "units of the cell", low=1)
    sequence: int = setting(16, "steps of a window that are learned from", low=1)
    burn_in: int = setting(4, "steps before them that only bring the memory up to date", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prioritised:
            raise UsageError("prioritised replay draws single steps: an agent with a memory takes none")
        if not self.hidden:
            raise UsageError("an agent with a memory needs at least one hidden layer before it")

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.drqn import drqn

        return drqn(self, spec, network)


RECURRENT = {"drqn": DRQN}
