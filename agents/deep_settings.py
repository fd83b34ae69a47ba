"""Options of all agents with a network, and the components that such an agent is made of; needs no JAX.

A variant of an agent is the same class with other defaults, or a subclass that makes one piece in another way:

    class Mellow(rlnut.DQN):
        def make_next_policy(self): ...

An option that has no effect without another one is listed in `needs`, so that it is refused there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args

from rlnut.agents.network_agent import NetworkAgent
from rlnut.choices import LossName
from rlnut.errors import UsageError
from rlnut.learner.config import Needs
from rlnut.learner.remarks import RunFacts, RunRemark, epsilon_remarks
from rlnut.settings import setting

if TYPE_CHECKING:
    import optax

    from rlnut.learner.agent import Actor, Agent, KeepFn, Pace, TargetNetwork
    from rlnut.learner.bellman import BellmanProblem
    from rlnut.learner.explore import EpisodeExploration, Exploration
    from rlnut.learner.readout import Readout
    from rlnut.learner.replay import Memory
    from rlnut.learner.rollout import Label
    from rlnut.learner.spec import Spec
    from rlnut.regression.losses import Loss, Penalty
    from rlnut.types import Model, Network

ON_SUPPORT = ("two-hot", "hl-gauss", "c51")
MEDIANS = 2.0  # mean |δ| at which most of a batch lies where huber is linear
LOSSES: tuple[str, ...] = get_args(LossName)
CELLS = ("lstm", "gru", "rnn")


@dataclass(frozen=True)
class Deep(NetworkAgent):
    """What all agents with a network have in common; `build` composes what the methods `make_…` return."""

    layer_norm: bool = setting(False, "layer normalisation before each activation")
    memory: Literal["none", "lstm", "gru", "rnn"] = setting(
        "none", "recurrent cell between the hidden layers and the output layer", choices=("none", *CELLS)
    )
    memory_size: int = setting(64, "number of units of the recurrent cell", low=1)
    sequence: int = setting(16, "length of the replayed sequences, in steps", low=1)
    dueling: Literal["none", "mean", "max"] = setting(
        "none", "dueling architecture: q = v + a − the mean (or max) of a over actions", choices=("none", "mean", "max")
    )
    loss: LossName = setting(
        "huber",
        "huber, squared: regression on δ; two-hot, hl-gauss: classification of the value; c51, quantile, iqn: "
        "its distribution",
        choices=LOSSES,
    )
    atoms: int = setting(
        51, "number of classes, atoms or quantiles of a value; for iqn, of sampled fractions", low=2, high=10_000
    )
    value_min: float | None = setting(None, "smallest value of the support (None: −1/(1 − gamma))")
    value_max: float | None = setting(None, "largest value of the support (None: 1/(1 − gamma))")
    explore: Literal["epsilon-greedy", "boltzmann", "noisy"] = setting(
        "epsilon-greedy",
        "exploration: ε-greedy, Boltzmann (π ∝ exp(q/temperature)), or noisy weights (NoisyNet)",
        choices=("epsilon-greedy", "boltzmann", "noisy"),
    )
    noisy_sigma: float = setting(
        0.5, "initial standard deviation of the noisy weights, times √(inputs of the layer)", above=0
    )
    epsilon_start: float = setting(1.0, "initial ε", low=0, high=1)
    epsilon_end: float = setting(0.05, "final ε, reached after epsilon-steps", low=0, high=1)
    epsilon_steps: int = setting(5_000, "number of steps over which ε decays", low=1)
    epsilon_schedule: Literal["linear", "exponential"] = setting(
        "linear", "how ε decays", choices=("linear", "exponential")
    )
    epsilon_spread: float = setting(
        0.0, "environment i of N explores with ε^(1 + spread·i/(N−1)), as Ape-X does (with 7)", low=0, high=100
    )
    temperature: float = setting(0.03, "temperature τ of softmax(q/τ), in the units of the return", above=0)
    max_gradient: float = setting(10.0, "gradient clipping: largest global norm", above=0)

    decoupled: ClassVar[bool] = True
    needs: ClassVar[Needs] = NetworkAgent.needs | {
        "atoms": {"loss": (*ON_SUPPORT, "quantile", "iqn")},
        "value_min": {"loss": ON_SUPPORT},
        "value_max": {"loss": ON_SUPPORT},
        **{
            f"epsilon_{word}": {"explore": ("epsilon-greedy",)}
            for word in ("start", "end", "steps", "schedule", "spread")
        },
        "temperature": {"explore": ("boltzmann",)},
        "noisy_sigma": {"explore": ("noisy",)},
        "memory_size": {"memory": CELLS},
        "sequence": {"memory": CELLS},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon_schedule == "exponential" and not (self.epsilon_start > 0 and self.epsilon_end > 0):
            raise UsageError("epsilon_schedule exponential needs epsilon_start and epsilon_end > 0")
        if self.loss == "hl-gauss" and self.atoms < 8:
            raise UsageError(f"loss hl-gauss needs atoms >= 8, got {self.atoms}")
        if not self.hidden and (self.loss == "iqn" or self.memory != "none"):
            raise UsageError(
                f"{'loss iqn' if self.loss == 'iqn' else 'memory'} needs at least one hidden layer before it"
            )
        if self.loss in ON_SUPPORT:
            self.support()

    def remarks(self, facts: RunFacts) -> list[RunRemark]:
        """Of ε, of a layer that is dead, and of huber far out."""
        found = super().remarks(facts)
        if self.explore == "epsilon-greedy":
            found += epsilon_remarks(facts, self.epsilon_start, self.epsilon_end, self.epsilon_steps)
        if facts.dead_layer:
            ways = ["a smaller --lr", *(["--layer-norm"] if not self.layer_norm else [])]
            ways += ["--activation elu"] if self.activation == "relu" else []
            found += [
                RunRemark(
                    "dead network",
                    f"every unit of hidden layer {facts.dead_layer} is 0 for all observations that were looked at: the"
                    f" values are the same everywhere and stay so; give {', '.join(ways[:-1])} or {ways[-1]}",
                )
            ]
        if facts.over and self.loss == "huber" and facts.delta > MEDIANS:
            found += [
                RunRemark(
                    "medians",  # beyond |δ| = 1 huber is |δ|, whose minimiser is a median of the targets
                    f"|δ| is {facts.delta:.2g} in the mean; beyond 1 loss huber learns medians of the returns, not"
                    " their means: for unbiased values use --loss squared or a smaller --reward-scale",
                )
            ]
        return found

    def support(self) -> tuple[float, float]:
        """Lowest and highest value of the classes or atoms; by default what rewards within ±1 can add up to."""
        if self.gamma == 1 and None in (self.value_min, self.value_max):
            raise UsageError(f"loss {self.loss} with gamma 1 needs value_min and value_max")
        low = -1 / (1 - self.gamma) if self.value_min is None else self.value_min
        high = 1 / (1 - self.gamma) if self.value_max is None else self.value_max
        if low >= high:
            raise UsageError(f"value_min must be < value_max, got {low:g} and {high:g}")
        return low, high

    def planned(self, steps: int, envs: int) -> Self:
        """These settings for a run of so many steps: with a schedule they say over how many updates α falls."""
        pace = self.make_pace()
        round_steps = pace.round_length(envs) * envs
        return self.over(pace.due(-(-steps // round_steps) * round_steps))

    @property
    def window(self) -> int:
        """Consecutive steps in what is drawn from the memory: 1 without a recurrent layer."""
        return 1 if self.memory == "none" else self.sequence

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the default MLP or CNN."""
        from rlnut.agents.dqn import composed

        return composed(self, spec, network)

    def make_readout(self, spec: Spec) -> Readout:
        """How outputs stand for values: what `loss` says."""
        from rlnut.agents.dqn import readout_of

        return readout_of(self, spec)

    def make_model(self, spec: Spec, network: Network | None, readout: Readout) -> tuple[Model, Actor]:
        """What is learned, and how it acts; `network` takes the place of the default MLP or CNN.

        Model: stored observations [B, ...] (with a memory: windows) -> outputs [B, A, *readout.shape].
        """
        from rlnut.agents.dqn import value_model_of

        return value_model_of(self, spec, network, readout)

    def make_exploration(self, spec: Spec) -> Exploration | EpisodeExploration:
        """How to act while learning: what `explore` says."""
        from rlnut.agents.dqn import exploration_of

        return exploration_of(self, spec.choices)

    def make_loss(self, readout: Readout) -> Loss:
        """ℓ(outputs of the action taken [B, *readout.shape], y) -> [B]."""
        return readout.loss

    def make_penalty(self) -> Penalty | None:
        """What θ costs beside the loss; None: nothing."""
        return None

    def make_optimizer(self) -> optax.GradientTransformation:
        """How θ follows the gradient, whose norm is bounded by `max_gradient`."""
        import optax

        return optax.chain(optax.clip_by_global_norm(self.max_gradient), super().make_optimizer())

    def make_problem(self, model: Model, readout: Readout, target: TargetNetwork | None) -> BellmanProblem:
        """Where y comes from; target: what `make_target` returned."""
        raise NotImplementedError

    def make_memory(self, actor: Actor) -> Memory:
        """Where experience waits until it is learned from."""
        raise NotImplementedError

    def make_pace(self) -> Pace:
        """When to learn, and how much at once."""
        raise NotImplementedError

    def make_target(self) -> TargetNetwork | None:
        """The target network θ⁻ and how it follows θ; None: θ⁻ is θ."""
        return None

    def make_label(self, actor: Actor, readout: Readout) -> Label | None:
        """What puts targets into the experience of a round before it is stored; None: `make_problem` makes them."""
        return None

    def make_keep(self) -> KeepFn | None:
        """What is stored beside the transitions of a round, which the problem finds as `seen.kept`; None: nothing."""
        return None
