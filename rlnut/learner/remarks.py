"""Warnings about a run: the cause, and which option to change; only where that changes the result.

A config makes remarks of what is known of its run (`AgentConfig.remarks`): before the start of what is planned, so that
they stand in the plan; while it goes of what has been seen. Each is reported once. Importing this needs no JAX.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rlnut.learner.config import AgentConfig

FAR = 10.0  # times what rewards can add up to, beyond which values are no longer values
LATE = 0.2  # of the run, after which some reward should have been seen
HALF = 0.5  # of the fall of ε


class RunRemark(NamedTuple):
    """One remark: a name, by which it is reported once, and a sentence."""

    name: str
    text: str


class RunFacts(NamedTuple):
    """What is known of a run: what is planned, and what has been seen so far; NaN: nothing yet."""

    steps: int  # of the whole run
    updates: int  # of the whole run
    epsilon: tuple[float, float] | None = None  # at the first and the last step; None: it does not explore by itself
    done: int = 0  # steps so far
    over: bool = False  # this is the end, and the run was not interrupted
    delta: float = math.nan  # mean |δ| in the last row of the log
    value: float = math.nan  # mean target y in it
    largest: float = 0.0  # what the rewards seen so far can add up to, at most about
    dead_layer: int = 0  # a hidden layer all of whose units are 0 in every row of the probe, from 1; 0: none
    change: float = math.nan  # largest change of a weight in the last iteration, relative to the largest weight


def options(config: AgentConfig, **ways: str) -> str:
    """The ways that this agent has, as in "a smaller --lr or --target-every"; ways: option -> what to give."""
    there = [way for name, way in ways.items() if hasattr(config, name) and config.means(name, vars(config))]
    return ", ".join(there[:-1]) + (" or " if there[:-1] else "") + there[-1] if there else ""


def way_out_of_divergence(config: AgentConfig) -> str:
    """What to change where values grow without bounds."""
    return options(
        config,
        lr="a smaller --lr",
        target_every="more updates between target copies (--target-every)",
        gamma="a smaller --gamma",
    )


def usual_remarks(config: AgentConfig, facts: RunFacts) -> Iterator[RunRemark]:
    """What holds for every agent that plays."""
    if abs(facts.value) > FAR * max(facts.largest, 1.0, abs(getattr(config, "initial", 0.0))):
        yield RunRemark(
            "exploding",
            f"the values explode: targets are {facts.value:.2g} in the mean, and the rewards seen so far add up to"
            f" {facts.largest:.2g} at most; give {way_out_of_divergence(config)}",
        )
    if facts.largest == 0 and facts.done >= LATE * facts.steps:
        more = options(config, epsilon_end="a larger --epsilon-end", epsilon_steps="more --epsilon-steps")
        yield RunRemark(
            "no reward",
            f"every reward in the first {facts.done:,} steps was 0, so there is nothing to learn from yet:"
            f" {f'explore more ({more}), or ' if more else ''}give more --steps",
        )


def epsilon_remarks(facts: RunFacts, start: float, end: float, over: int) -> Iterator[RunRemark]:
    """ε that is always 0, or that has hardly fallen when the run ends."""
    if facts.epsilon is None:
        return
    if max(start, end) == 0:
        yield RunRemark(
            "never explores", "this run never explores: ε is always 0; give --epsilon-start or --epsilon-end"
        )
    if start > end and facts.steps < HALF * over:
        yield RunRemark(
            "always explores",
            f"ε is still {facts.epsilon[1]:.2g} at the last step: it reaches --epsilon-end {end:g} after"
            f" --epsilon-steps {over:,}, and the run has {facts.steps:,}; give fewer --epsilon-steps or more --steps",
        )
