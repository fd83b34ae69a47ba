"""The base of every agent's config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rlnut.errors import UsageError
from rlnut.learner.remarks import RunFacts, RunRemark, usual_remarks
from rlnut.settings import Options, Settings, setting

if TYPE_CHECKING:
    import numpy as np

    from rlnut.learner.agent import Agent
    from rlnut.learner.spec import Spec
    from rlnut.types import Network

STILL = 1e-6  # largest change of a weight in an iteration that counts as none, relative to the largest weight
Needs = dict[str, dict[str, tuple[object, ...]]]  # option -> options, with the values, of which one gives it a meaning


@dataclass(frozen=True)
class AgentConfig(Settings):
    """Base of every agent's config."""

    gamma: float = setting(0.99, "discount factor γ", low=0, high=1)

    decoupled: ClassVar[bool] = False  # can choose each part of a multi-dimensional action on its own
    training: ClassVar[dict[str, Any]] = {}  # defaults of `Training` that go with this agent
    needs: ClassVar[Needs] = {}
    tied: ClassVar[dict[str, str]] = {}  # option -> the option for whose value its number is: another, another number

    def __post_init__(self) -> None:
        """Refuse an option that was changed where it has no effect."""
        super().__post_init__()
        defaults = {f.name: f.default for f in fields(self)}
        for name in self.needs:
            if name not in defaults:  # a variant that does not offer it
                continue
            if getattr(self, name) == defaults[name] or self.means(name, vars(self)):
                continue
            ways = self.needs[name].items()
            wanted = " or ".join(f"{other} {' or '.join(map(str, values))}" for other, values in ways)
            raise UsageError(f"{name} has no effect here: it needs {wanted}")

    @classmethod
    def means(cls, name: str, settings: Mapping[str, object]) -> bool:
        """Does the option `name` mean something beside these settings (or their defaults)?"""
        ways = cls.needs.get(name)
        return ways is None or any(settings.get(o, getattr(cls, o, None)) in ways[o] for o in ways)

    @classmethod
    def kept(cls, preset: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
        """A preset's settings but for those that the user's choices take back, replace or leave without a meaning."""

        def stays(name: str) -> bool:
            other = cls.tied.get(name, "")
            moved = other in chosen and chosen[other] != preset.get(other, getattr(cls, other))
            return name not in chosen and not moved and cls.means(name, preset | chosen)

        return {name: value for name, value in preset.items() if stays(name)}

    def planned(self, steps: int, envs: int) -> Self:
        """These settings for a run of so many steps (of a batch: transitions), kept with it: what depends on that."""
        return self

    def with_experience(self, spec: Spec, play: Callable[[], np.ndarray]) -> Self:
        """The config with what `spec` does not say; `play` gives observations [B, ...] of a uniform policy."""
        return self

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        """The agent for what `spec` sees; `network` takes the place of the default one."""
        raise NotImplementedError(f"{type(self).__name__} has no method build(spec, network)")

    def remarks(self, facts: RunFacts) -> list[RunRemark]:
        """What a user should know of a run with these settings: what is planned, and what has been seen of it."""
        return list(usual_remarks(self, facts))


@dataclass(frozen=True)
class OfflineConfig(AgentConfig):
    """Base of the agents of offline RL: where the transitions come from, and how often they are gone through."""

    data: str | None = setting(
        None, "file of transitions, .npz, or minari:DATASET (None: --steps steps of a uniformly random policy on ENV)"
    )
    exact: ClassVar[bool] = False  # every iteration solves its equations, so that weights come to rest

    iterations: int = setting(
        50, "number of iterations, each a regression onto new targets; ends earlier on convergence", low=1
    )

    def remarks(self, facts: RunFacts) -> list[RunRemark]:
        """Are the weights still changing at the end, where every iteration solves its equations?"""
        if not (self.exact and facts.over and facts.change > STILL):
            return []
        moved = f"weights still changed by {facts.change:.2g} of the largest in iteration {facts.done}, the last"
        return [RunRemark("not converged", f"not converged: {moved}; give more --iterations, or a smaller --gamma")]


def refuse_idle(config: AgentConfig, course: Options) -> None:
    """UsageError for a pace of logs or evaluations that was given for an offline agent, which has its own."""
    idle = [name for name in ("eval_every", "log_every") if name in course]
    if idle and isinstance(config, OfflineConfig):
        option = "--" + idle[0].replace("_", "-")
        raise UsageError(f"{option} has no effect with an offline agent: it logs every iteration and plays at five")
