"""The keywords of `train` beside its own: options of a run and of agents, with their types, for editors and checkers.

They are the fields of `RunSettings` and of the configs of rlnut's agents; a test says so.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from rlnut.choices import Activation, Initializer, LossName, ManyActions, Optimizer, RateSchedule
from rlnut.learner.traces import TraceKind


class TrainOptions(TypedDict, total=False):
    """All are optional; one that the agent does not have is refused when `train` is called."""

    # of the run
    steps: int
    num_envs: int
    eval_every: int
    eval_episodes: int
    final_episodes: int
    until: float | None
    overlap: bool
    native: bool
    devices: int
    vectorization_mode: Literal["async", "sync", "vector_entry_point"] | None
    actions: ManyActions | None
    bins: int | None
    normalise: bool
    reward_scale: float
    reward_clip: float | None
    stacks: Literal["once", "whole"]
    log_every: int
    # of agents
    activation: Activation
    atoms: int
    backup: Literal["max", "soft", "munchausen"]
    batch: int
    burn_in: int
    conservative: float
    data: str | None
    decay: float
    double: bool
    dueling: Literal["none", "mean", "max"]
    epochs: int
    epsilon_end: float
    epsilon_schedule: Literal["linear", "exponential"]
    epsilon_spread: float
    epsilon_start: float
    epsilon_steps: int
    explore: Literal["epsilon-greedy", "boltzmann", "noisy"] | Literal["epsilon-greedy", "boltzmann", "ucb"]
    features: str
    gamma: float
    gradient_steps: int
    hidden: tuple[int, ...]
    high: tuple[float, ...] | None
    initial: float
    initializer: Initializer
    iterations: int
    lam: float
    layer_norm: bool
    learning_starts: int
    loss: LossName | Literal["squared", "huber", "two-hot", "hl-gauss"]
    low: tuple[float, ...] | None
    lr: float | None
    lr_power: float
    lr_updates: int | None
    max_gradient: float
    memory: Literal["none", "lstm", "gru", "rnn"]
    memory_size: int
    minibatches: int
    munchausen_lowest: float
    munchausen_share: float
    n_step: int
    noisy_sigma: float
    optimizer: Optimizer
    prioritised: bool
    priority_beta: float
    priority_beta_steps: int
    priority_exponent: float
    replay: int
    ridge: float | None
    rollout: int
    schedule: RateSchedule
    sequence: int
    target: Literal["periodic", "polyak", "none"]
    target_epsilon: float
    target_every: int
    target_rate: float
    temperature: float
    trace: TraceKind
    train_every: int
    value_max: float | None
    value_min: float | None
