"""Ranges of observations that an agent needs before it can be built, found by playing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TypeVar

import gymnasium as gym
import numpy as np

from rlnut.control.settings import RunSettings
from rlnut.envs.functional import FuncVector
from rlnut.envs.make import EnvLike, maker
from rlnut.envs.transitions import collect
from rlnut.envs.vector import HostVector, host_vector
from rlnut.learner.config import AgentConfig
from rlnut.learner.spec import Choice, Spec
from rlnut.types import Transition

Configured = TypeVar("Configured", bound=AgentConfig)

STEPS = 2_000  # of a uniform policy, however long the run is: so a longer one begins as a shorter one does
OWN = 0xB0C5  # folded into the run's seed, so that these episodes are none of those that are learned from


def settled(
    config: Configured, env: EnvLike, vector: HostVector | FuncVector, training: RunSettings, seed: int
) -> tuple[Configured, list[str]]:
    """The config with what it did not know, found by a uniform policy on environments of its own; lines for people.

    The same on the host and compiled: what is played is always the host's environment. A `VectorEnv` exists only once,
    so it is played itself, and starts again afterwards.
    """

    def play() -> np.ndarray:
        whole = env if isinstance(env, gym.vector.VectorEnv) else maker(env)
        again = isinstance(whole, gym.vector.VectorEnv) and isinstance(vector, HostVector)
        host = vector if again else host_vector(whole, 1, Choice(training.actions, training.bins))
        assert isinstance(host, HostVector)
        try:
            found = collect(host, STEPS, int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0] % 2**31))
        finally:
            if not again:
                host.close()
        return np.concatenate([found["obs"], found["next_obs"]])

    known = config.with_experience(vector.spec, play)
    return known, told(config, known, f"{STEPS:,} steps of a uniform policy")


def settled_by(config: Configured, spec: Spec, rows: Callable[[], Transition]) -> tuple[Configured, list[str]]:
    """The same from the transitions [T, N] of a batch."""
    asked = []

    def play() -> np.ndarray:
        asked.append(True)
        return np.concatenate([rows().obs, rows().next_obs])

    known = config.with_experience(spec, play)
    return known, told(config, known, "the transitions") if asked else []


def told(before: AgentConfig, after: AgentConfig, source: str) -> list[str]:
    """What was found, as options that would give the same."""
    new = {f.name: getattr(after, f.name) for f in fields(after)}
    changed = {name: value for name, value in new.items() if value != getattr(before, name)}
    shown = (f"--{name.replace('_', '-')}={_text(value)}" for name, value in changed.items())
    return [f"{'box' if 'low' in changed else 'chosen':10} found from {source}: {' '.join(shown)}"] if changed else []


def _text(value: object) -> str:
    """As an option takes it."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
