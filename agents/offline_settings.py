"""Options of the agents of offline RL, which learn from a fixed set of transitions (offline.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rlnut.agents.network_agent import NetworkAgent
from rlnut.errors import UsageError
from rlnut.learner.config import AgentConfig, OfflineConfig
from rlnut.settings import setting

if TYPE_CHECKING:
    import numpy as np

    from rlnut.learner.agent import Agent
    from rlnut.learner.readout import Readout
    from rlnut.learner.spec import Spec
    from rlnut.regression.losses import OutputPenalty
    from rlnut.types import Network


RIDGE, SHARE = 1e-3, 5e-3


@dataclass(frozen=True)
class FQI(OfflineConfig):
    """Fitted Q iteration (Ernst et al. 2005): q over features, solved by least squares in every iteration."""

    exact: ClassVar[bool] = True
    policy_iteration: ClassVar[bool] = False

    features: str = setting(
        "auto",
        "one-hot, aggregation:GROUPS, polynomial:ORDER, fourier:ORDER, rbf:COUNT or tiles:TILINGS; "
        "auto: one-hot for discrete states, tiles for boxes of up to 2 dimensions, else rbf or random-fourier",
    )
    low: tuple[float, ...] | None = setting(
        None,
        "lower end of the range of the features, per dimension (None: the bounds of the space, else found by playing)",
    )
    high: tuple[float, ...] | None = setting(None, "upper end of that range")
    ridge: float | None = setting(
        None,
        f"ridge term added to the diagonal of the normal equations (None: {RIDGE} for features that are 0 or 1, else"
        f" {SHARE} of the diagonal's mean)",
        above=0,
    )

    def with_experience(self, spec: Spec, play: Callable[[], np.ndarray]) -> Self:
        """The config with features that a system of equations can have, their bounds, and a ridge that suits both."""
        from rlnut.agents.observation_features import box_of, observation_features, smooth_words, with_bounds

        known = with_bounds(self.replace(features=smooth_words(spec)) if self.features == "auto" else self, spec, play)
        if known.ridge is not None or known.features.startswith("mlp"):
            return known
        given = known.low is not None or known.high is not None
        found = observation_features(known.features, spec, box_of(spec, known.low, known.high) if given else None)
        if found.kind != "dense":
            return known.replace(ridge=RIDGE)
        diagonal = len(play()) / 2 * found.norm / (spec.actions * found.phi.dim)  # observations and their successors
        return known.replace(ridge=float(f"{SHARE * diagonal:.3g}"))

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees."""
        from rlnut.agents.action_values import values_of
        from rlnut.agents.offline import linear_fqi

        if network is not None or self.features.startswith("mlp"):
            raise UsageError("a network is not solved by least squares: take nfq or cql")
        values = values_of(self.features, spec, self.low, self.high)
        if values.kind == "table" and (self.low is not None or self.high is not None):
            raise UsageError("--low and --high have no effect on a table: they are the range of features")
        return linear_fqi(values, self.policy_iteration, RIDGE if self.ridge is None else self.ridge)


@dataclass(frozen=True)
class LSPI(FQI):
    """Least-squares policy iteration (Lagoudakis & Parr 2003): LSTD-Q of the greedy policy in every iteration."""

    policy_iteration: ClassVar[bool] = True

    iterations: int = setting(20, "number of policy iterations; ends earlier if a policy repeats", low=1)


@dataclass(frozen=True)
class NFQ(NetworkAgent, OfflineConfig):
    """Neural fitted Q iteration (Riedmiller 2005): a network fitted to r + D max q⁻ in every iteration."""

    epochs: int = setting(2, "passes over the transitions per iteration", low=1)
    batch: int = setting(128, "minibatch size: transitions per update", low=1)

    def planned(self, steps: int, envs: int) -> Self:
        """These settings for so many transitions: with a schedule they say over how many updates α falls."""
        return self.over(self.iterations * self.epochs * max(1, steps // self.batch))

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the default MLP or CNN."""
        from rlnut.agents.default_networks import network_of_options, value_model
        from rlnut.agents.offline import fitted_q
        from rlnut.learner.bellman import q_problem
        from rlnut.learner.readout import scalar
        from rlnut.regression.core import regression

        model = value_model(spec, network_of_options(self, spec, network, self.hidden))
        core = regression(model, optimizer=self.make_optimizer(), output_penalty=self.make_output_penalty(scalar()))
        problem = q_problem(lambda params, x, key: core.predict(params, x), stochastic=False)
        return fitted_q(core, problem, self.epochs, self.batch, model.host)


@dataclass(frozen=True)
class CQL(NFQ):
    """Conservative Q-learning for discrete actions (Kumar et al. 2020): actions that are not in the data cost."""

    conservative: float = setting(1.0, "weight β of the CQL penalty log Σ exp q(s, ·) − q(s, a)", above=0)

    def make_output_penalty(self, readout: Readout) -> OutputPenalty | None:
        """β (log Σ_a exp q(s, a) − q(s, a_data))."""
        from rlnut.learner.bellman import conservative

        return conservative(self.conservative, readout)


BATCH: dict[str, type[AgentConfig]] = {"fqi": FQI, "nfq": NFQ, "lspi": LSPI, "cql": CQL}
