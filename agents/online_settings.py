"""Options of the classic agents: one on-line composition (online.py), whose members differ in a few names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from rlnut.agents.online_rules import OnlineHyper, OnlineRule
from rlnut.errors import UsageError
from rlnut.learner.config import AgentConfig
from rlnut.learner.remarks import RunFacts, RunRemark, epsilon_remarks
from rlnut.learner.traces import TraceKind
from rlnut.settings import setting

if TYPE_CHECKING:
    import numpy as np

    from rlnut.learner.agent import Agent
    from rlnut.learner.spec import Spec
    from rlnut.types import Network

LINEAR_LR, NETWORK_LR = 0.1, 1e-3


@dataclass(frozen=True)
class Classic(AgentConfig):
    """What all members share: how values are represented, how actions are chosen."""

    member: ClassVar[OnlineRule] = OnlineRule()
    tied = {"lr": "features", "lr_power": "features"} | dict.fromkeys(
        ("epsilon_start", "epsilon_end", "epsilon_steps"), "explore"
    )

    lr: float | None = setting(
        None,
        f"learning rate α, divided by ‖x‖² (None: {LINEAR_LR} for tables and features, {NETWORK_LR} for networks)",
        above=0,
    )
    lr_power: float = setting(
        0.0, "exponent ω of the decay α/N(s, a)^ω (tables only); values converge for ω > 0.5", low=0, high=1
    )
    features: str = setting(
        "auto",
        "one-hot, aggregation:GROUPS, polynomial:ORDER, fourier:ORDER, rbf:COUNT, tiles:TILINGS or mlp:WIDTH; "
        "auto: one-hot for discrete states and tiles for boxes",
    )
    low: tuple[float, ...] | None = setting(
        None,
        "lower end of the range of the features, per dimension (None: the bounds of the space, else found by playing)",
    )
    high: tuple[float, ...] | None = setting(None, "upper end of that range")
    initial: float = setting(0.0, "initial value of q; an optimistic value makes the greedy policy explore")
    explore: Literal["epsilon-greedy", "boltzmann", "ucb"] = setting(
        "epsilon-greedy", "exploration", choices=("epsilon-greedy", "boltzmann", "ucb")
    )
    epsilon_start: float = setting(1.0, "initial ε; for boltzmann the temperature τ, for ucb the constant c", low=0)
    epsilon_end: float = setting(0.1, "final ε (τ, c), reached after epsilon-steps", low=0)
    epsilon_steps: int = setting(5_000, "number of steps over which it decays linearly", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epsilon_start", "epsilon_end"):
            value = getattr(self, name)
            if self.explore == "epsilon-greedy" and value > 1:
                raise UsageError(f"{name} must be <= 1 for epsilon-greedy, got {value}")
            if self.explore == "boltzmann" and value == 0:
                raise UsageError(f"{name} must be > 0 for boltzmann: it is a temperature")

    def remarks(self, facts: RunFacts) -> list[RunRemark]:
        """Of ε; first values above what can be reached explore by themselves."""
        found = super().remarks(facts)
        if self.explore == "epsilon-greedy" and self.initial <= 0:
            found += epsilon_remarks(facts, self.epsilon_start, self.epsilon_end, self.epsilon_steps)
        return found

    def rule(self) -> OnlineRule:
        """The member's rule with what was chosen of it."""
        return self.member

    def numbers(self, usual: float) -> OnlineHyper:
        """α and what belongs to it; `usual`: the step size where none is given."""
        return OnlineHyper(usual if self.lr is None else self.lr, omega=self.lr_power)

    def with_experience(self, spec: Spec, play: Callable[[], np.ndarray]) -> Self:
        """The config with bounds of the features, where neither it nor the space has any."""
        from rlnut.agents.observation_features import with_bounds

        return with_bounds(self, spec, play)

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the features."""
        import jax.numpy as jnp

        from rlnut.agents.action_values import network_values, values_of
        from rlnut.agents.default_networks import value_model
        from rlnut.agents.online import classic_agent
        from rlnut.learner.behaviour import BEHAVIOURS
        from rlnut.learner.explore import linear_schedule

        if network is None:
            values = values_of(self.features, spec, self.low, self.high, self.initial)
        else:
            if self.features != "auto" or self.initial:
                raise UsageError("features and initial have no effect on a network of your own")
            values = network_values(value_model(spec, network), jnp.zeros((1, *spec.shape), spec.dtype))
        if values.kind in ("table", "network") and (self.low is not None or self.high is not None):
            raise UsageError(f"--low and --high have no effect on a {values.kind}: they bound the features of a box")
        rule = self.rule()
        if rule.trace != "accumulating" and values.kind == "network":
            raise UsageError(f"--trace {rule.trace} is not supported for a network: it is defined feature by feature")
        if rule.trace in ("replacing", "clearing") and values.kind == "dense":
            raise UsageError(f"--trace {rule.trace} is for features that are 0 or 1: tables and tiles")
        counting = self.lr_power > 0 or self.explore == "ucb"
        if counting and values.kind != "table":
            what = "--explore ucb" if self.explore == "ucb" else "--lr-power"
            raise UsageError(f"{what} counts visits of states: it is for tables (one-hot, aggregation)")
        numbers = self.numbers(NETWORK_LR if values.kind == "network" else LINEAR_LR)
        rate = linear_schedule(self.epsilon_start, self.epsilon_end, self.epsilon_steps)
        most = 1.0 if self.explore == "epsilon-greedy" else float("inf")
        least = 1e-6 if self.explore == "boltzmann" else 0.0  # a temperature
        return classic_agent(rule, numbers, values, BEHAVIOURS[self.explore], rate, counting, (least, most))


@dataclass(frozen=True)
class NStep(Classic):
    """What the members with n-step targets share."""

    n_step: int = setting(1, "n-step returns: rewards summed before bootstrapping (S&B 7.1, 7.2)", low=1, high=1000)

    def rule(self) -> OnlineRule:
        """The member's rule with n rewards in a target."""
        return self.member._replace(n=self.n_step)


@dataclass(frozen=True)
class SARSA(NStep):
    """SARSA (Rummery & Niranjan 1994; S&B 6.4, 7.2): v(s') = q(s', a') of the action taken next."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="sampled")


@dataclass(frozen=True)
class ExpectedSARSA(NStep):
    """Expected SARSA (van Seijen et al. 2009; S&B 6.6): v(s') = Σ_a b(a|s') q(s', a) under the policy that acts."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="behaviour")


@dataclass(frozen=True)
class QLearning(Classic):
    """Q-learning (Watkins 1989; S&B 6.5): v(s') = max_a q(s', a)."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="max")


@dataclass(frozen=True)
class DoubleQ(Classic):
    """Double Q-learning (van Hasselt 2010; S&B 6.7): of two tables one selects the next action, the other evaluates."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="max", double=True)


@dataclass(frozen=True)
class Traced(Classic):
    """What the members with eligibility traces share."""

    lam: float = setting(0.9, "trace-decay rate λ", low=0, high=1)
    trace: TraceKind = setting("replacing", "kind of eligibility trace", choices=("accumulating", "replacing"))

    def rule(self) -> OnlineRule:
        """The member's rule with the kind of trace."""
        return self.member._replace(trace=self.trace)

    def numbers(self, usual: float) -> OnlineHyper:
        """α and λ."""
        return super().numbers(usual)._replace(lam=self.lam)


@dataclass(frozen=True)
class SARSALambda(Traced):
    """SARSA(λ) (S&B 12.7); with the dutch trace true online SARSA(λ) (van Seijen et al. 2016)."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="sampled", cut="none")
    trace: TraceKind = setting(
        "replacing",
        "kind of eligibility trace; clearing: replacing, with 0 for the state's other actions; dutch: true online",
        choices=("accumulating", "replacing", "clearing", "dutch"),
    )


@dataclass(frozen=True)
class WatkinsQ(Traced):
    """Watkins's Q(λ) (1989; S&B 12.10): the trace ends where an action was not greedy."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="max", cut="watkins")


@dataclass(frozen=True)
class PengQ(Traced):
    """Peng's Q(λ) (Peng & Williams 1996): λ-returns of max values, not cut where the agent explores."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="max", cut="peng")


@dataclass(frozen=True)
class SoftTraced(Traced):
    """What the members share that learn the values of a policy π, ε-greedy in q, whoever acts."""

    target_epsilon: float = setting(
        0.01, "ε of the target policy, whose values are learned (0: Watkins's Q(λ))", low=0, high=1
    )

    def numbers(self, usual: float) -> OnlineHyper:
        """α, λ and the ε of π."""
        return super().numbers(usual)._replace(soft=self.target_epsilon)


@dataclass(frozen=True)
class TreeBackup(SoftTraced):
    """Tree-backup(λ) (Precup, Sutton & Singh 2000; S&B 12.10): c = λ π(a|s)."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="soft", cut="tree-backup")


@dataclass(frozen=True)
class Retrace(SoftTraced):
    """Retrace(λ) (Munos et al. 2016): c = λ min(1, π(a|s) / b(a|s))."""

    member: ClassVar[OnlineRule] = OnlineRule(next_value="soft", cut="retrace")


CLASSIC: dict[str, type[AgentConfig]] = {
    "sarsa": SARSA,
    "expected-sarsa": ExpectedSARSA,
    "q-learning": QLearning,
    "double-q": DoubleQ,
    "sarsa-lambda": SARSALambda,
    "watkins": WatkinsQ,
    "peng": PengQ,
    "tree-backup": TreeBackup,
    "retrace": Retrace,
}
