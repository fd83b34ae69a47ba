"""What a user may choose of each agent: frozen dataclasses with defaults that train. Importing this needs no JAX.

`AGENTS` is the list of names on the command line. `PRESETS` holds the settings of environments for which other values
than the defaults were found better, by measurement; `--no-preset` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlnut.agents.agent_config import AgentConfig as AgentConfig
from rlnut.agents.configs_classic import CLASSIC, CLASSIC_PRESETS
from rlnut.settings import setting

if TYPE_CHECKING:
    from rlnut.agent import Agent
    from rlnut.envs.spaces import Spec
    from rlnut.types import Network


@dataclass(frozen=True)
class DQN(AgentConfig):
    """Deep Q-network (Mnih et al. 2015): Q-learning on a replay memory with a target network."""

    lr: float = setting(1e-3, "step size α of Adam", above=0)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers", low=1)
    batch: int = setting(64, "transitions in one update", low=1)
    replay: int = setting(50_000, "observations kept in memory, in all", low=10, high=10**15)
    learning_starts: int = setting(1_000, "steps of experience before the first update", low=1)
    train_every: int = setting(8, "steps of experience for each round of updates", low=1)
    gradient_steps: int = setting(8, "updates in a round", low=1)
    target_every: int = setting(200, "updates between copies of θ to the target θ⁻", low=1)
    epsilon_start: float = setting(1.0, "ε at the first step", low=0, high=1)
    epsilon_end: float = setting(0.05, "ε after epsilon-steps", low=0, high=1)
    epsilon_steps: int = setting(5_000, "steps in which ε falls, in a straight line", low=1)
    double: bool = setting(True, "the online net selects the next action, θ⁻ evaluates it (double DQN)")
    n_step: int = setting(3, "rewards summed before the target bootstraps; 1 is the DQN of 2015", low=1)
    loss: str = setting("huber", "regression loss on δ", choices=("huber", "squared"))
    max_gradient: float = setting(10.0, "largest norm of a gradient; longer ones are scaled down", above=0)

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.dqn import dqn

        return dqn(self, spec, network)


AGENTS: dict[str, type[AgentConfig]] = {"dqn": DQN, **CLASSIC}

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    # returns are 0 or 1, so ten episodes cannot tell two policies apart
    ("dqn", "FrozenLake-v1"): {"training": {"eval_episodes": 100, "final_episodes": 500}},
    ("dqn", "Acrobot-v1"): {"training": {"final_episodes": 100}},
    **CLASSIC_PRESETS,
}
