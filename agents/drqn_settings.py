"""What a user may choose of agents with a memory. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlnut.agents.dqn_settings import ON_SUPPORT, Deep, OnPolicy, Replayed
from rlnut.errors import UsageError
from rlnut.settings import setting

if TYPE_CHECKING:
    from rlnut.learner.agent import Agent
    from rlnut.learner.spec import Spec
    from rlnut.types import Network


@dataclass(frozen=True)
class Remembers:
    """Options of a network with a recurrent layer between its hidden ones and its head."""

    explore: str = setting("epsilon-greedy", "how to explore: ε-greedy, or π ∝ exp(q/temperature)",
                           choices=("epsilon-greedy", "boltzmann"))  # fmt: skip
    memory: str = setting("lstm", "the recurrent cell", choices=("lstm", "gru", "rnn"))
    memory_size: int = setting(64, "units of the cell", low=1)
    sequence: int = setting(16, "steps of a window that are learned from", low=1)


def _check(config: Deep) -> None:
    if not config.hidden:
        raise UsageError("an agent with a memory needs at least one hidden layer before it")


@dataclass(frozen=True)
class DRQN(Remembers, Replayed):
    """DQN with a recurrent layer, for what one observation does not show (Hausknecht & Stone 2015)."""

    loss: str = setting("huber", "regression on δ, classification of the value, or its distribution",
                        choices=("huber", "squared", *ON_SUPPORT))  # fmt: skip
    batch: int = setting(16, "windows in one update", low=1)
    gradient_steps: int = setting(2, "updates in a round", low=1)
    burn_in: int = setting(4, "steps before them that only bring the memory up to date", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.drqn import drqn

        return drqn(self, spec, network)


@dataclass(frozen=True)
class RecurrentPQN(Remembers, OnPolicy):
    """PQN with a recurrent layer: λ-returns along the memory, learned from windows of the round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)
        if self.rollout % (self.minibatches * self.sequence):
            raise UsageError(
                f"rollout {self.rollout} is not a multiple of minibatches {self.minibatches} × sequence {self.sequence}"
            )

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.pqn import recurrent_pqn

        return recurrent_pqn(self, spec, network)


RECURRENT: dict[str, type[Deep]] = {"drqn": DRQN, "recurrent-pqn": RecurrentPQN}
