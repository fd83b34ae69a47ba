"""`rlnut.check_env`: what a learner gets from an environment under random actions, and what looks suspicious."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from rlnut.envs.contract import checked_kind
from rlnut.envs.make import EnvLike, EnvName, env_name, maker
from rlnut.envs.observations import component_names
from rlnut.envs.random_play import ExampleStep, Played, Range, Watched, first_difference, play_uniform
from rlnut.envs.suspicions import Again, Component, Remark, remarks
from rlnut.envs.vector import EnvList, HostVector, host_vector
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.wrappers import layers, time_limit
from rlnut.settings import whole_number

STEPS = 5_000
SHOWN = 1_000  # components that are listed one by one; images are summed up


class EnvReport(NamedTuple):
    """What `check_env` found."""

    env: str
    spec: Spec
    time_limit: int | None
    solved_at: float | None
    played: Played
    components: list[Component]  # of the observation; none for images
    again: Again
    outside_bounds: str | None
    remarks: list[Remark]  # what looks suspicious

    @property
    def reproducible(self) -> bool:
        """Do the first steps come out the same when they are played again from their seed? Exact resume needs it."""
        return self.again == Again(None, None)

    @property
    def steps_per_s(self) -> float:
        """Of the environment, with its resets."""
        return self.played.steps / max(self.played.seconds, 1e-9)

    @property
    def observations(self) -> Range | None:
        """Of each component [n], or of all pixels of an image [1]; None for several parts with images."""
        if not self.played.observations.count:
            return None
        seen = self.played.observations.range()
        if self.components:
            return seen
        spread = math.sqrt(float((seen.std**2 + (seen.mean - seen.mean.mean()) ** 2).mean()))
        numbers = (seen.low.min(), seen.mean.mean(), seen.high.max(), spread)
        return Range(*(np.array([number]) for number in numbers))

    def record(self) -> dict[str, object]:
        """All of it for JSON."""
        episodes, spec = self.played.episodes, self.spec
        return {
            "env": self.env,
            "observation": str(spec.observation_space),
            "action": str(spec.action_space),
            "learner_sees": spec.saw,
            "time_limit": self.time_limit,
            "solved_at": self.solved_at,
            "reproducible": self.reproducible,
            "outside_bounds": self.outside_bounds,
            "policy": "uniform",
            "steps": self.played.steps,
            "steps_per_s": self.steps_per_s,
            "observations": self._observations(),
            "reward": summed(self.played.rewards),
            "zero_rewards": float(np.mean(np.array(self.played.rewards) == 0)),
            "episodes": {
                "count": len(episodes),
                "terminated": sum(one.terminated for one in episodes),
                "truncated": sum(one.truncated for one in episodes),
                "running": self.played.running,
                "return": summed([one.total for one in episodes]),
                "length": summed([one.length for one in episodes]),
            },
            "actions": {"choices": spec.choices, "seen_as": spec.acts.saw, "mean_allowed": self.played.allowed},
            "transitions": {kind: _example(one) for kind, one in self.played.examples.items()},
            "remarks": [one._asdict() for one in self.remarks],
        }

    def _observations(self) -> dict[str, object] | None:
        if self.spec.discrete:
            return {"different": len(self.played.states)}
        if (seen := self.observations) is None:
            return None
        names = [one.name for one in self.components] or ["all pixels"]
        rows = zip(names, *(part.tolist() for part in seen), strict=True)
        return {name: dict(zip(("min", "mean", "max", "std"), row, strict=True)) for name, *row in rows}


def summed(numbers: list[Any]) -> dict[str, float] | None:
    """Least, mean, most and standard deviation; None: there are none."""
    if not numbers:
        return None
    x = np.array(numbers, np.float64)
    return {"min": float(x.min()), "mean": float(x.mean()), "max": float(x.max()), "std": float(x.std())}


def _example(one: ExampleStep) -> dict[str, object]:
    """A transition for JSON; images as their shape and range."""
    found: dict[str, object] = {}
    for key, value in one._asdict().items():
        if isinstance(value, np.ndarray) and value.size > SHOWN:
            value = {"shape": value.shape, "min": value.min(), "mean": value.mean(), "max": value.max()}
        if value is not None:
            found[key] = value
    return found if one.action is not None else {key: found[key] for key in ("episode", "step", "obs")}


def check_env(
    env: EnvLike, *, steps: int = STEPS, seed: int = 0, actions: str | None = None, bins: int | None = None
) -> EnvReport:
    """Play `steps` steps of a uniform policy: what a learner sees, and what looks suspicious (`.remarks`).

    env: a registered name, an environment, a function that makes one, or a VectorEnv. actions, bins: how actions of
    several numbers are treated, as in `train`. UsageError where no learner can use the environment; RlnutError where it
    breaks its contract (a number that is not finite, an observation of another shape, an exception).

    >>> import rlnut
    >>> report = rlnut.check_env("CartPole-v1", steps=300)
    >>> report.reproducible, report.remarks
    (True, [])
    """
    steps, choice = whole_number("steps", steps, 1), Choice(actions, bins)
    whole = isinstance(env, gym.vector.VectorEnv)
    vector: HostVector = host_vector(env, choice=choice) if whole else _watched(env, choice)  # type: ignore[arg-type]
    try:
        return _report(env, vector, choice, steps, seed)
    finally:
        if not whole:
            vector.close()


def _watched(env: EnvLike, choice: Choice) -> EnvList:
    """One environment, made anew, that is looked at in every step."""
    make = maker(env)
    return EnvList(lambda: Watched(checked_kind(make())), 1, choice, every=True)


def _report(env: EnvLike, vector: HostVector, choice: Choice, steps: int, seed: int) -> EnvReport:
    spec, name = vector.spec, env_name(env)
    played = play_uniform(vector, steps, seed)
    watched, beyond, limit = None, None, None
    if isinstance(vector, EnvList):
        inside = vector.envs[0]
        beyond = inside.beyond
        watched = next(layer for layer in layers(inside) if isinstance(layer, Watched))
        limit = time_limit(inside)
    if limit is None and name is not None:
        limit = name.time_limit
    again = _again(env, vector, choice, played, seed)
    names = [Component(*one) for one in component_names(spec.observation_space)]
    components = names if len(names) <= SHOWN and not spec.image and not spec.observed.images else []
    found = remarks(spec, played, limit, again, watched, beyond, components)
    threshold = name.threshold if name is not None else None
    title = str(name) if isinstance(env, (str, EnvName)) else spec.name
    return EnvReport(title, spec, limit, threshold, played, components, again, beyond, found)


def _again(env: EnvLike, vector: HostVector, choice: Choice, played: Played, seed: int) -> Again:
    """Play the first steps again, in a new environment and in the same one."""
    if not isinstance(vector, EnvList):
        return Again(first_difference(played, vector, seed), None)
    other = _watched(env, choice)
    try:
        fresh = first_difference(played, other, seed)
    finally:
        other.close()
    return Again(fresh, None if fresh is not None else first_difference(played, vector, seed))
