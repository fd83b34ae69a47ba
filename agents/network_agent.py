"""Options of the agents with a network: which one, and how it follows the gradient. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rlnut.choices import NETWORKS, AgentNetwork
from rlnut.errors import UsageError
from rlnut.gradient_settings import GradientSettings, LayerSettings
from rlnut.learner.config import AgentConfig, Needs
from rlnut.settings import setting

if TYPE_CHECKING:
    import optax

    from rlnut.learner.readout import Readout
    from rlnut.regression.losses import OutputPenalty


@dataclass(frozen=True)
class NetworkAgent(LayerSettings, GradientSettings, AgentConfig):
    """What DQN, PQN and the batch agents with a network share."""

    lr_updates: int | None = setting(None, "length of the step-size schedule, in updates (None: the whole run)", low=1)
    network: AgentNetwork = setting(
        "auto",
        "the network: an MLP, or convolutions in front of it; auto: mlp for vectors, cnn for images",
        choices=NETWORKS,
    )
    hidden: tuple[int, ...] = setting((64, 64), "widths of the fully connected hidden layers", low=1)

    needs: ClassVar[Needs] = {"lr_updates": {"schedule": ("linear", "cosine", "one-cycle")}}

    def over(self, updates: int) -> Self:
        """These settings for a run of so many updates; UsageError where the schedule would end before them at α = 0."""
        if self.schedule == "constant":
            return self
        if self.lr_updates is None:
            return self.replace(lr_updates=max(1, updates))
        if updates > self.lr_updates:
            raise UsageError(
                f"schedule {self.schedule} ends at update {self.lr_updates:,} with α = 0, and this run would make"
                f" {updates:,}: a run that is to be made longer later needs a larger lr_updates from the start"
            )
        return self

    def make_output_penalty(self, readout: Readout) -> OutputPenalty | None:
        """What all outputs of a row cost beside the loss, also those of actions not taken; None: nothing."""
        return None

    def make_optimizer(self) -> optax.GradientTransformation:
        """How θ follows the gradient: what `optimizer`, `lr`, `schedule` and `decay` say."""
        from rlnut.regression.optimizers import optimizer

        if self.schedule != "constant" and self.lr_updates is None:
            raise UsageError(f"schedule {self.schedule} needs lr_updates, which `train` sets: the updates of its run")
        return optimizer(self.optimizer, self.lr, self.schedule, self.lr_updates or 1, self.decay)
