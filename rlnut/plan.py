"""What a run will do, said and checked before it starts. Importing this needs no JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlnut.errors import UsageError
from rlnut.settings import LARGEST, Settings, setting


@dataclass(frozen=True)
class Training(Settings):
    """How long to train, on how many environments, and how often to look."""

    steps: int = setting(50_000, "environment steps in all", low=1)
    num_envs: int = setting(1, "environments side by side", low=1)
    eval_every: int = setting(2_500, "steps between greedy evaluations", low=1)
    eval_episodes: int = setting(10, "episodes of each evaluation while training", low=1)
    final_episodes: int = setting(20, "fresh episodes of the final evaluation", low=1)
    until: float | None = setting(None, "stop when a greedy evaluation reaches this mean return")
    log_every: int = setting(500, "steps between rows of metrics.csv", low=1)


@dataclass(frozen=True)
class Plan:
    """The numbers of a run before it starts."""

    steps: int  # a whole number of rounds
    round_steps: int  # environment steps in a round, over all environments
    updates: int
    batch: int
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
        return [
            f"sees       {self.saw}; {self.parameters:,} parameters",
            f"steps      {self.steps:,} in rounds of {self.round_steps}, {self.evaluations} greedy evaluations",
            f"updates    {self.updates:,} of {self.batch} transitions, from step {self.learning_starts:,}",
            f"ε          {self.epsilon_end:.3g} at the end",
            f"replay     {mib(self.memory_bytes)} MiB",
        ]


def mib(size: int) -> str:
    """Bytes -> MiB, for people."""
    return f"{size / 2**20:,.1f}"


def make_plan(agent: Agent, vector: HostVector, training: Training) -> Plan:
    """The numbers of a run before it starts."""
    import jax

    from rlnut.loop import one_row

    pace = agent.pace
    round_steps = pace.round_length(vector.num_envs) * vector.num_envs
    steps = whole_rounds(training.steps, round_steps)
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), one_row(vector.spec, vector.num_envs)))
    rows, envs = state.memory.begins.shape
    if 2 * round_steps > (rows - 1) * envs:
        raise UsageError(f"a round is {round_steps:,} steps: give --replay {2 * round_steps:,} or more")
    obs = math.prod(vector.spec.shape) * vector.spec.dtype.itemsize
    return Plan(
        steps=steps,
        round_steps=round_steps,
        updates=pace.due(steps),
        batch=pace.batch,
        learning_starts=pace.starts,
        epsilon_end=float(agent.rate(steps)),
        memory_bytes=nbytes(state.memory),
        learner_bytes=2 * nbytes((state.fit, state.target)) + 2 * pace.batch * obs,
        parameters=sum(a.size for a in jax.tree.leaves(state.fit.params)),
        evaluations=len(range(training.eval_every, steps + 1, training.eval_every)) + bool(steps % training.eval_every),
        saw=vector.spec.saw,
    )


def nbytes(shapes: Any) -> int:
    """Size of a pytree of arrays, or of their shapes."""
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes))


def whole_rounds(steps: int, round_steps: int) -> int:
    """The least whole number of rounds, in steps, that makes `steps`."""
    return math.ceil(steps / round_steps) * round_steps


def free_memory() -> int:
    """Free bytes where the arrays will live: of the accelerator if there is one, else of the machine."""
    import jax
    import psutil

    stats = jax.devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return int(psutil.virtual_memory().available)
