"""What a run will do, said and checked before it starts. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass

from rlnut.errors import UsageError
from rlnut.settings import LARGEST, Settings, setting


@dataclass(frozen=True)
class Training(Settings):
    """How long to train, on how many environments, and how often to look."""

    steps: int = setting(50_000, "environment steps in all", low=1)
    num_envs: int = setting(1, "environments side by side", low=1, high=10_000)
    eval_every: int = setting(2_500, "steps between greedy evaluations", low=1)
    eval_episodes: int = setting(20, "episodes of each evaluation while training", low=1)
    final_episodes: int = setting(20, "fresh episodes of the final evaluation", low=1)
    until: float | None = setting(None, "stop when a greedy evaluation reaches this mean return")
    native: bool = setting(False, "train on the environment's functional twin, the whole loop compiled")
    actions: str | None = setting(
        None, "actions of several numbers: every combination, or a choice for each (DecQN); None: by their number",
        choices=("grid", "decoupled"),
    )  # fmt: skip
    bins: int | None = setting(None, "values of each number of a Box action (None: 3)", low=2, high=10_000)
    normalise: bool = setting(False, "show the network observations with running mean 0 and variance 1")
    reward_scale: float = setting(1.0, "factor of every reward that is learned from", above=0)
    reward_clip: float | None = setting(None, "largest size of a scaled reward that is learned from", above=0)
    log_every: int = setting(500, "steps between rows of metrics.csv", low=1)


@dataclass(frozen=True)
class Plan:
    """The numbers of a run before it starts."""

    steps: int  # a whole number of rounds
    round_steps: int  # environment steps in a round, over all environments
    updates: int
    batch: int
    window: int
    learning_starts: int
    epsilon_end: float  # ε at the last step
    memory_bytes: int
    learner_bytes: int  # weights, target, optimiser, their copies, and one batch
    parameters: int
    evaluations: int
    saw: str  # what the learner sees

    def check(self, free_bytes: int) -> None:
        """Refuse a run that would never learn, or whose memory cannot fit."""
        if self.updates == 0:
            raise UsageError(
                f"this run would make 0 updates: learning starts at step {self.learning_starts:,} and the run ends at"
                f" step {self.steps:,}; give more --steps or a smaller --learning-starts"
            )
        if self.memory_bytes > free_bytes:
            raise UsageError(
                f"the replay memory needs {mib(self.memory_bytes)} MiB and {mib(free_bytes)} MiB are free;"
                " give a smaller --replay"
            )
        if self.memory_bytes + self.learner_bytes > free_bytes:
            raise UsageError(
                f"the learner needs {mib(self.learner_bytes)} MiB and its replay memory {mib(self.memory_bytes)};"
                f" {mib(free_bytes)} MiB are free; give a smaller --hidden, --batch or --replay"
            )
        if self.updates > LARGEST[int]:
            raise UsageError(f"this run would make {self.updates:,} updates: at most {LARGEST[int]:,} can be counted")

    def lines(self) -> list[str]:
        """For people."""
        drawn = f"{self.batch} transitions" if self.window == 1 else f"{self.batch} windows of {self.window} steps"
        return [
            f"sees       {self.saw}; {self.parameters:,} parameters",
            f"steps      {self.steps:,} in rounds of {self.round_steps}, {self.evaluations} greedy evaluations",
            f"updates    {self.updates:,} of {drawn}, from step {self.learning_starts:,}",
            f"ε          {self.epsilon_end:.3g} at the end",
            f"replay     {mib(self.memory_bytes)} MiB",
        ]


def mib(size: int) -> str:
    """Bytes -> MiB, for people."""
    return f"{size / 2**20:,.1f}"
