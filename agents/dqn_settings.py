"""What a user may choose of the agents with a network: DQN, its named variants, PQN. Importing this needs no JAX.

A variant of an agent is the same class with other defaults. An option that has no meaning without another one stands
in `needs`, so that it is refused there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_type_hints

from rlnut.errors import UsageError
from rlnut.learner.config import AgentConfig, Needs
from rlnut.settings import setting

if TYPE_CHECKING:
    from rlnut.learner.agent import Agent
    from rlnut.learner.spec import Spec
    from rlnut.types import Network

ON_SUPPORT = ("two-hot", "hl-gauss", "c51")
MEDIANS = 2.0  # mean |δ| at which most of a batch lies where huber is linear
LOSSES = ("huber", "squared", *ON_SUPPORT, "quantile", "iqn")


@dataclass(frozen=True)
class Deep(AgentConfig):
    """What all agents with a network have in common."""

    lr: float = setting(1e-3, "step size α of Adam", above=0)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers", low=1)
    layer_norm: bool = setting(False, "normalise each hidden layer before its activation")
    dueling: str = setting("none", "q = v + a − mean or max of a over actions", choices=("none", "mean", "max"))
    loss: str = setting("huber", "regression on δ, classification of the value, or its distribution", choices=LOSSES)
    atoms: int = setting(51, "classes, atoms or quantiles of a value; fractions drawn (iqn)", low=2, high=10_000)
    value_min: float | None = setting(None, "lowest value of the classes or atoms (None: −1/(1 − gamma))")
    value_max: float | None = setting(None, "highest value of the classes or atoms (None: 1/(1 − gamma))")
    explore: str = setting(
        "epsilon-greedy", "how to explore: ε-greedy, π ∝ exp(q/temperature), or noisy weights",
        choices=("epsilon-greedy", "boltzmann", "noisy"),
    )  # fmt: skip
    epsilon_start: float = setting(1.0, "ε at the first step", low=0, high=1)
    epsilon_end: float = setting(0.05, "ε after epsilon-steps", low=0, high=1)
    epsilon_steps: int = setting(5_000, "steps in which ε falls", low=1)
    epsilon_schedule: str = setting("linear", "how ε falls", choices=("linear", "exponential"))
    epsilon_spread: float = setting(0.0, "environment i of N has ε^(1 + spread·i/(N−1)) (Ape-X: 7)", low=0, high=100)
    temperature: float = setting(0.03, "τ of softmax(q/τ), in units of return", above=0)
    max_gradient: float = setting(10.0, "largest norm of a gradient; longer ones are scaled down", above=0)

    decoupled: ClassVar[bool] = True
    needs: ClassVar[Needs] = {
        "atoms": {"loss": (*ON_SUPPORT, "quantile", "iqn")},
        "value_min": {"loss": ON_SUPPORT},
        "value_max": {"loss": ON_SUPPORT},
        **{
            f"epsilon_{word}": {"explore": ("epsilon-greedy",)}
            for word in ("start", "end", "steps", "schedule", "spread")
        },
        "temperature": {"explore": ("boltzmann",)},
        "noisy_sigma": {"explore": ("noisy",)},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon_schedule == "exponential" and not (self.epsilon_start > 0 and self.epsilon_end > 0):
            raise UsageError("epsilon_schedule exponential needs epsilon_start and epsilon_end > 0")
        if self.loss == "hl-gauss" and self.atoms < 8:
            raise UsageError(f"loss hl-gauss needs atoms >= 8, got {self.atoms}")
        if self.loss == "iqn" and not self.hidden:
            raise UsageError("loss iqn needs at least one hidden layer")
        if self.loss in ON_SUPPORT:
            self.support()

    def remark(self, delta: float) -> str:
        """Beyond |δ| = 1 huber is |δ|, whose minimiser is a median of the targets and not their mean."""
        if self.loss != "huber" or not delta > MEDIANS:
            return ""
        return (
            f"note: |δ| is {delta:.2g} in the mean; beyond 1 loss huber learns medians of the returns, not their means:"
            " for values that are true try --loss squared or a smaller --reward-scale"
        )

    def support(self) -> tuple[float, float]:
        """Lowest and highest value of the classes or atoms; by default what rewards within ±1 can add up to."""
        if self.gamma == 1 and None in (self.value_min, self.value_max):
            raise UsageError(f"loss {self.loss} with gamma 1 needs value_min and value_max")
        low = -1 / (1 - self.gamma) if self.value_min is None else self.value_min
        high = 1 / (1 - self.gamma) if self.value_max is None else self.value_max
        if low >= high:
            raise UsageError(f"value_min must be < value_max, got {low:g} and {high:g}")
        return low, high


@dataclass(frozen=True)
class Noisy:
    """The option of agents that may explore by noisy weights; a recurrent one would have to hold them over a window."""

    noisy_sigma: float = setting(0.5, "noise of noisy weights at first, times √(inputs of the layer)", above=0)


@dataclass(frozen=True)
class Replayed(Deep):
    """What agents share that learn Q from a replay memory with a target network."""

    batch: int = setting(64, "transitions in one update", low=1)
    replay: int = setting(50_000, "observations kept in memory, in all", low=10, high=10**15)
    learning_starts: int = setting(1_000, "steps of experience before the first update", low=1)
    train_every: int = setting(8, "steps of experience for each round of updates", low=1)
    gradient_steps: int = setting(8, "updates in a round", low=1)
    target: str = setting("periodic", "how θ⁻ follows θ; none: θ⁻ is θ", choices=("periodic", "polyak", "none"))
    target_every: int = setting(200, "updates between copies of θ to the target θ⁻", low=1)
    target_rate: float = setting(0.005, "share of θ in θ⁻ at each update (polyak)", above=0, high=1)
    double: bool = setting(True, "the online net selects the next action, θ⁻ evaluates it (double DQN)")
    backup: str = setting(
        "max", "next value: maximum, soft maximum, or soft and ln π(a|s) in the reward",
        choices=("max", "soft", "munchausen"),
    )  # fmt: skip
    munchausen_share: float = setting(0.9, "share of τ ln π(a|s) that is added to the reward", above=0, high=1)
    munchausen_lowest: float = setting(-1.0, "lowest value of τ ln π(a|s) in the reward", below=0)
    n_step: int = setting(3, "rewards summed before the target bootstraps; 1 is the DQN of 2015", low=1, high=1000)

    needs: ClassVar[Needs] = Deep.needs | {
        "temperature": {"backup": ("soft", "munchausen"), "explore": ("boltzmann",)},
        "munchausen_share": {"backup": ("munchausen",)},
        "munchausen_lowest": {"backup": ("munchausen",)},
        "target_every": {"target": ("periodic",)},
        "target_rate": {"target": ("polyak",)},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.double and self.backup != "max":
            raise UsageError(f"double has no effect with backup {self.backup}: give --no-double (double=False)")
        if self.double and self.target == "none":
            raise UsageError("double has no effect with target none: give --no-double (double=False)")
        if self.backup != "max" and self.n_step > 1:  # what the steps between would add is left out
            raise UsageError(f"backup {self.backup} adds to one reward: it needs n_step 1, got {self.n_step}")


@dataclass(frozen=True)
class DQN(Noisy, Replayed):
    """Deep Q-network (Mnih et al. 2015): Q-learning on a replay memory with a target network."""

    prioritised: bool = setting(False, "replay what surprised more often (PER)")
    priority_exponent: float = setting(0.6, "α of P(i) ∝ |δ|^α", above=0, high=1)
    priority_beta: float = setting(0.4, "β of the importance weights at first; it rises to 1", low=0, high=1)
    priority_beta_steps: int = setting(50_000, "steps in which β rises", low=1)

    needs: ClassVar[Needs] = Replayed.needs | {
        f"priority_{word}": {"prioritised": (True,)} for word in ("exponent", "beta", "beta_steps")
    }

    def remark(self, delta: float) -> str:
        """Nothing with prioritised replay: what it draws is what has a large δ."""
        return "" if self.prioritised else super().remark(delta)

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.dqn import dqn

        return dqn(self, spec, network)


@dataclass(frozen=True)
class OnPolicy(Deep):
    """What agents share that learn from λ-returns of the newest round, without replay or target network."""

    lr: float = setting(5e-4, "step size α of RAdam", above=0)
    layer_norm: bool = setting(True, "normalise each hidden layer before its activation")
    loss: str = setting("squared", "regression on δ, or classification of the value",
                        choices=("squared", "huber", "two-hot", "hl-gauss"))  # fmt: skip
    epsilon_steps: int = setting(100_000, "steps in which ε falls", low=1)
    rollout: int = setting(2_048, "steps of experience in a round, over all environments", low=1)
    epochs: int = setting(4, "passes over a round", low=1)
    minibatches: int = setting(16, "updates in a pass", low=1)
    lam: float = setting(0.65, "λ of the returns: 0 one step, 1 the whole rollout", low=0, high=1)

    training: ClassVar[dict[str, Any]] = {"steps": 500_000, "num_envs": 32, "eval_every": 25_000, "log_every": 10_000}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout % self.minibatches:
            raise UsageError(f"rollout {self.rollout} is not a multiple of minibatches {self.minibatches}")


@dataclass(frozen=True)
class PQN(Noisy, OnPolicy):
    """Q(λ) on many environments without replay or target network, with layer norm (Gallici et al. 2024)."""

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.pqn import pqn

        return pqn(self, spec, network)


def variant(name: str, doc: str, **defaults: Any) -> type[DQN]:
    """DQN with other defaults under a name of its own."""
    hints = get_type_hints(DQN)
    kept = {f.name: f.metadata for f in fields(DQN)}
    moved = [(key, hints[key], field(default=value, metadata=kept[key])) for key, value in defaults.items()]
    made = make_dataclass(name, moved, bases=(DQN,), frozen=True, namespace={"__doc__": doc, "__module__": __name__})
    return cast(type[DQN], made)


DoubleDQN = variant("DoubleDQN", "Double DQN (van Hasselt et al. 2016).", n_step=1)
DuelingDQN = variant("DuelingDQN", "DQN with dueling streams (Wang et al. 2016).", dueling="mean")
PrioritisedDQN = variant("PrioritisedDQN", "DQN with prioritised replay (Schaul et al. 2016).", prioritised=True)
NStepDQN = variant("NStepDQN", "DQN with n-step returns, not double.", double=False)
NoisyDQN = variant("NoisyDQN", "DQN with noisy weights (Fortunato et al. 2018).", explore="noisy")
TwoHotDQN = variant("TwoHotDQN", "DQN as classification, two-hot (Farebrother et al. 2024).", loss="two-hot")
HLGaussDQN = variant("HLGaussDQN", "DQN as classification, HL-Gauss (Farebrother et al. 2024).", loss="hl-gauss")
C51 = variant("C51", "DQN of the law of returns on atoms (Bellemare et al. 2017).", loss="c51")
QRDQN = variant("QRDQN", "DQN of the quantiles of returns (Dabney et al. 2018a).", loss="quantile", atoms=32)
IQN = variant("IQN", "DQN of implicit quantiles (Dabney et al. 2018b).", loss="iqn", atoms=8)
SoftQ = variant("SoftQ", "Soft Q-learning (Haarnoja et al. 2017): soft maximum, Boltzmann exploration.",
                double=False, backup="soft", n_step=1, explore="boltzmann", temperature=0.1)  # fmt: skip
MunchausenDQN = variant("MunchausenDQN", "Munchausen DQN (Vieillard et al. 2020).",
                        double=False, backup="munchausen", n_step=1)  # fmt: skip
Rainbow = variant("Rainbow", "Six additions to DQN at once (Hessel et al. 2018).",
                  dueling="mean", prioritised=True, explore="noisy", loss="c51")  # fmt: skip

DEEP: dict[str, type[Deep]] = {
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "dueling-dqn": DuelingDQN,
    "per-dqn": PrioritisedDQN,
    "n-step-dqn": NStepDQN,
    "noisy-dqn": NoisyDQN,
    "two-hot-dqn": TwoHotDQN,
    "hl-gauss-dqn": HLGaussDQN,
    "c51": C51,
    "qr-dqn": QRDQN,
    "iqn": IQN,
    "soft-q": SoftQ,
    "munchausen-dqn": MunchausenDQN,
    "rainbow": Rainbow,
    "pqn": PQN,
}
