"""PQN: regress Q on λ-returns of the newest rollout, nothing else (Gallici et al. 2024).

Importing this needs no JAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlnut.agents.deep_settings import Deep
from rlnut.choices import Optimizer
from rlnut.errors import UsageError
from rlnut.settings import changed, setting

if TYPE_CHECKING:
    from rlnut.learner.agent import Actor, Agent, Pace, TargetNetwork
    from rlnut.learner.bellman import BellmanProblem
    from rlnut.learner.readout import Readout
    from rlnut.learner.replay import Memory
    from rlnut.learner.rollout import Label
    from rlnut.learner.spec import Spec
    from rlnut.types import Array, Carry, Model, Network, Params


@dataclass(frozen=True)
class PQN(Deep):
    """Q(λ) on many environments without replay or target network, with layer norm (Gallici et al. 2024)."""

    lr: float = changed(Deep, "lr", 5e-4)
    optimizer: Optimizer = changed(Deep, "optimizer", "radam")
    layer_norm: bool = changed(Deep, "layer_norm", True)
    loss: Literal["squared", "huber", "two-hot", "hl-gauss"] = setting(
        "squared",
        "squared, huber: regression on δ; two-hot, hl-gauss: classification of the value",
        choices=("squared", "huber", "two-hot", "hl-gauss"),
    )
    epsilon_steps: int = changed(Deep, "epsilon_steps", 100_000)
    rollout: int = setting(2_048, "environment steps per round, summed over all environments", low=1)
    epochs: int = setting(4, "passes over the data of a round", low=1)
    minibatches: int = setting(16, "minibatches (updates) per pass", low=1)
    lam: float = setting(0.65, "λ of the λ-returns: 0: one-step targets, 1: the whole rollout", low=0, high=1)

    training: ClassVar[dict[str, Any]] = {"steps": 500_000, "num_envs": 32, "eval_every": 25_000, "log_every": 10_000}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout % (self.minibatches * self.window):
            windows = f" × sequence {self.sequence}" if self.window > 1 else ""
            raise UsageError(f"rollout {self.rollout} is not a multiple of minibatches {self.minibatches}{windows}")

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the default MLP or CNN."""
        from rlnut.learner.rollout import agents_in_turn

        agent = super().build(spec, network)
        return agent._replace(learn=agents_in_turn(agent.learn))

    def make_problem(self, model: Model, readout: Readout, target: TargetNetwork | None) -> BellmanProblem:
        """y is in the experience: `make_label` put it there."""
        from rlnut.learner.bellman import labelled

        return labelled(readout)

    def make_memory(self, actor: Actor) -> Memory:
        """The newest round only, row by row or, for a network with a memory, in windows."""
        from rlnut.learner.rollout import rollout

        return rollout(self.rollout, self.epochs, 0 if self.memory == "none" else self.sequence)

    def make_pace(self) -> Pace:
        """`epochs` × `minibatches` updates for each round."""
        from rlnut.learner.agent import Pace

        batch = self.rollout // self.minibatches // self.window
        return Pace(self.rollout, self.rollout, self.epochs * self.minibatches, batch, self.window)

    def make_label(self, actor: Actor, readout: Readout) -> Label | None:
        """y = λ-return of max_a q under the weights of the round's start; layer norm does what a target network did."""
        import numpy as np

        from rlnut.learner.lambda_targets import along, each_alone, q_lambda_labels
        from rlnut.types import Look

        def first_look(obs: Array) -> Look:
            return Look(obs, np.ones(len(obs), bool))

        def step(params: Params, carry: Carry, look: Look) -> tuple[Array, Carry]:
            outputs, carry = actor.step(params, carry, look, None)
            return readout.q(outputs), carry

        if self.memory != "none":
            return q_lambda_labels(along(step), self.lam)
        return q_lambda_labels(each_alone(lambda params, obs: step(params, (), first_look(obs))[0]), self.lam)
