"""Options of DQN; its named variants are in `deep_variants.py`. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rlnut.agents.deep_settings import CELLS, Deep
from rlnut.errors import UsageError
from rlnut.learner.config import Needs
from rlnut.learner.remarks import RunFacts, RunRemark
from rlnut.settings import setting

if TYPE_CHECKING:
    from rlnut.learner.agent import Actor, Pace, TargetNetwork
    from rlnut.learner.bellman import BellmanProblem, Extra, NextPolicy
    from rlnut.learner.readout import Readout
    from rlnut.learner.replay import Memory
    from rlnut.types import Model


@dataclass(frozen=True)
class DQN(Deep):
    """Deep Q-network (Mnih et al. 2015): Q-learning on a replay memory with a target network."""

    batch: int = setting(64, "minibatch size: transitions in an update (with memory: sequences)", low=1)
    replay: int = setting(50_000, "capacity of the replay buffer, in observations", low=10, high=10**15)
    learning_starts: int = setting(1_000, "environment steps before the first update", low=1)
    train_every: int = setting(8, "environment steps between rounds of updates", low=1)
    gradient_steps: int = setting(8, "number of updates in a round", low=1)
    burn_in: int = setting(4, "steps before each sequence that only warm up the recurrent state (R2D2)", low=0)
    target: Literal["periodic", "polyak", "none"] = setting(
        "periodic",
        "how the target network is updated: copied periodically, averaged (polyak), or not used",
        choices=("periodic", "polyak", "none"),
    )
    target_every: int = setting(200, "updates between copies to the target network (periodic)", low=1)
    target_rate: float = setting(
        0.005, "weight τ of the online network in the target network, each update (polyak)", above=0, high=1
    )
    double: bool = setting(
        True, "double DQN: the online network chooses the next action, the target network evaluates it"
    )
    backup: Literal["max", "soft", "munchausen"] = setting(
        "max",
        "value of the next state: maximum, soft maximum, or Munchausen (soft, and τ ln π(a|s) added to the reward)",
        choices=("max", "soft", "munchausen"),
    )
    munchausen_share: float = setting(0.9, "α of Munchausen: the reward gets α τ ln π(a|s)", above=0, high=1)
    munchausen_lowest: float = setting(-1.0, "lower bound of τ ln π(a|s)", below=0)
    n_step: int = setting(
        3, "n-step returns: rewards summed before bootstrapping (1: the DQN of 2015)", low=1, high=1000
    )
    prioritised: bool = setting(False, "prioritised experience replay (PER)")
    priority_exponent: float = setting(0.6, "α of prioritised replay: P(i) ∝ |δ|^α", above=0, high=1)
    priority_beta: float = setting(0.4, "initial β of the importance weights; it increases to 1", low=0, high=1)
    priority_beta_steps: int = setting(50_000, "number of steps over which β increases", low=1)

    needs: ClassVar[Needs] = Deep.needs | {
        "burn_in": {"memory": CELLS},
        "temperature": {"backup": ("soft", "munchausen"), "explore": ("boltzmann",)},
        "munchausen_share": {"backup": ("munchausen",)},
        "munchausen_lowest": {"backup": ("munchausen",)},
        "target_every": {"target": ("periodic",)},
        "target_rate": {"target": ("polyak",)},
        **{f"priority_{word}": {"prioritised": (True,)} for word in ("exponent", "beta", "beta_steps")},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.double and self.backup != "max":
            raise UsageError(f"double has no effect with backup {self.backup}: give --no-double (double=False)")
        if self.double and self.target == "none":
            raise UsageError("double has no effect with target none: give --no-double (double=False)")
        if self.backup != "max" and self.n_step > 1:  # what the steps between would add is left out
            raise UsageError(f"backup {self.backup} adds to one reward: it needs n_step 1, got {self.n_step}")

    def remarks(self, facts: RunFacts) -> list[RunRemark]:
        """Of the target network and the replay; with priorities what is drawn is what has a large δ."""
        found = [one for one in super().remarks(facts) if not (self.prioritised and one.name == "medians")]
        if self.target == "periodic" and facts.updates < self.target_every:
            found += [
                RunRemark(
                    "target never copied",
                    f"the target network is never copied: the run makes {facts.updates:,} updates, and --target-every"
                    f" is {self.target_every:,}; give a smaller --target-every or more --steps",
                )
            ]
        drawn = self.batch * self.window
        if self.replay < drawn:
            found += [
                RunRemark(
                    "small replay",
                    f"an update draws {drawn:,} observations and the replay keeps {self.replay:,}: the same ones again"
                    f" and again; give --replay {drawn:,} or more, or a smaller --batch",
                )
            ]
        return found

    def make_problem(self, model: Model, readout: Readout, target: TargetNetwork | None) -> BellmanProblem:
        """Q-learning: y = r + D v(s'), v(s') of what `make_next_policy` does in s'."""
        from functools import partial

        from rlnut.learner.bellman import q_problem
        from rlnut.types import call

        rule, extra = self.make_next_policy(), self.make_extra()
        read = target.read if target else None
        return q_problem(partial(call, model), rule, readout, extra, model.stochastic, read)

    def make_next_policy(self) -> NextPolicy:
        """What is done in s', and what it is worth beside its value: what `double` and `backup` say."""
        from rlnut.learner.bellman import double_policy, greedy_policy, soft_policy

        if self.double:
            return double_policy
        return greedy_policy if self.backup == "max" else soft_policy(self.temperature)

    def make_extra(self) -> Extra | None:
        """What is added to the reward of an action: with backup munchausen its ln π."""
        from rlnut.learner.bellman import munchausen

        if self.backup != "munchausen":
            return None
        return munchausen(self.temperature, self.munchausen_share, self.munchausen_lowest)

    def make_memory(self, actor: Actor) -> Memory:
        """A replay of transitions, or of windows for a network that carries something through time."""
        from rlnut.learner.prioritised_replay import prioritised, prioritised_windows
        from rlnut.learner.replay import replay
        from rlnut.learner.sequence_replay import windows

        priority = (self.priority_exponent, self.priority_beta, self.priority_beta_steps)
        if self.memory != "none":
            lived = windows(self.replay, self.sequence, self.burn_in, self.n_step, actor.carry)
            return prioritised_windows(lived, self.sequence, *priority) if self.prioritised else lived
        return (
            prioritised(self.replay, self.n_step, *priority) if self.prioritised else replay(self.replay, self.n_step)
        )

    def make_pace(self) -> Pace:
        """`gradient_steps` updates for every `train_every` steps."""
        from rlnut.learner.agent import Pace

        return Pace(self.learning_starts, self.train_every, self.gradient_steps, self.batch, self.window)

    def make_target(self) -> TargetNetwork | None:
        """The target network θ⁻: what `target` says."""
        from rlnut.learner.agent import periodic, polyak

        targets = {"periodic": periodic(self.target_every), "polyak": polyak(self.target_rate), "none": None}
        return targets[self.target]
