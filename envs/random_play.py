"""Play with uniformly random actions: transitions as a learner stores them, ranges, episodes, speed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlnut.envs.masks import Info
from rlnut.envs.vector import EnvList, HostVector, Step
from rlnut.types import transition

GAMMA = 0.99  # the agents' default γ
TRACE = 200  # steps that are played once more, to see if they come out the same
MOST = 100_000  # different states that are counted
STARTS = 50  # first observations that are kept


class Range(NamedTuple):
    """Of numbers, or of each component [n] of observations."""

    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray
    std: np.ndarray


class ExampleStep(NamedTuple):
    """One transition as a learner stores it, or (action None) what it sees after a reset."""

    episode: int  # from 1
    step: int  # of the episode, from 1; 0: after a reset
    obs: np.ndarray
    action: np.ndarray | None = None
    reward: float = 0.0
    next_obs: np.ndarray | None = None
    discount: float = 1.0  # γ·(1 − terminated): what the value of next_obs counts
    source: str = ""  # where next_obs was taken from
    following: np.ndarray | None = None  # what is acted on next: of the next episode


class EpisodeSeen(NamedTuple):
    """One episode that ended."""

    total: float
    length: int
    terminated: bool
    truncated: bool


class RangeOf:
    """The range of what is added, without keeping it."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, numbers: np.ndarray) -> None:
        """[n] more numbers."""
        x = numbers.astype(np.float64)
        if self.count == 0:
            self.first, self.low, self.high = x, x.copy(), x.copy()
            self.sum, self.squares = np.zeros_like(x), np.zeros_like(x)
        d = x - self.first  # small where the numbers are close together, however large they are
        np.minimum(self.low, x, out=self.low)
        np.maximum(self.high, x, out=self.high)
        self.sum += d
        self.squares += d * d
        self.count += 1

    def range(self) -> Range:
        """Of all so far."""
        mean = self.sum / self.count
        spread = np.sqrt(np.maximum(0.0, self.squares / self.count - mean * mean))
        return Range(self.low, self.first + mean, self.high, spread)


class Watched(gym.Wrapper):
    """An environment whose results are looked at before anything is made of them."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.types: dict[str, str] = {}  # part of the observation -> type that is not its space's
        self.resets_itself = ""  # a key of info that only environments have that start anew by themselves

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """As the environment does it."""
        found = self.env.reset(seed=seed, options=options) if options is not None else self.env.reset(seed=seed)
        if isinstance(found, tuple) and found:
            self._look(found[0])
        return found

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """As the environment does it."""
        found = self.env.step(action)
        if isinstance(found, tuple) and len(found) == 5:
            self._look(found[0])
            if (found[2] or found[3]) and isinstance(found[4], Mapping):
                self.resets_itself = next((key for key in LAST if key in found[4]), self.resets_itself)
        return found

    def _look(self, obs: object) -> None:
        for name, space, part in _leaves(self.env.observation_space, obs):
            if isinstance(space, spaces.Box):
                kind = str(part.dtype) if isinstance(part, np.ndarray) else type(part).__name__
                if kind != str(space.dtype):
                    self.types.setdefault(name, f"{kind}, and its space says {space.dtype}")


LAST = ("terminal_observation", "final_observation", "final_obs")


def _leaves(space: spaces.Space, obs: Any, name: str = "") -> Iterator[tuple[str, spaces.Space, Any]]:
    """The parts of an observation with their spaces, as far as it has the structure of its space."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        keyed = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, part in keyed:
            try:
                yield from _leaves(part, obs[key], f"{name}[{key!r}]")
            except (TypeError, KeyError, IndexError):
                continue
    else:
        yield name, space, obs


@dataclass
class Played:
    """What was seen."""

    steps: int = 0
    seconds: float = 0.0  # in the environments
    observations: RangeOf = field(default_factory=RangeOf)
    rewards: list[float] = field(default_factory=list)
    episodes: list[EpisodeSeen] = field(default_factory=list)
    running: list[int] = field(default_factory=list)  # lengths of episodes that did not end
    states: set[bytes] = field(default_factory=set)  # different observations, at most MOST
    starts: list[np.ndarray] = field(default_factory=list)
    ends: list[np.ndarray] = field(default_factory=list)  # last observations of episodes
    examples: dict[str, ExampleStep] = field(default_factory=dict)  # step, termination, truncation, reset
    allowed: float | None = None  # how many of the choices the masks allow, in the mean; None: there are no masks
    trace: list[bytes] = field(default_factory=list)  # of the first steps: what came out
    actions: list[np.ndarray] = field(default_factory=list)  # of the first steps


def play_uniform(vector: HostVector, steps: int, seed: int, gamma: float = GAMMA) -> Played:
    """`steps` steps of a uniform policy in N environments; RlnutError for what breaks a promise in any of them."""
    rng, played, spec = np.random.default_rng(seed), Played(), vector.spec
    n, every = vector.num_envs, spec.acts.allowed()
    obs = vector.reset(seed)
    totals, lengths, numbers = np.zeros(n), np.zeros(n, int), np.arange(1, n + 1)
    played.trace.append(_bytes(obs))
    for i in range(n):
        _begun(played, vector, obs[i], int(numbers[i]))
    masks = []
    while played.steps < steps:
        allowed = np.broadcast_to(every, (n, *every.shape)) if vector.mask is None else vector.mask
        if vector.mask is not None:
            masks.append(float(allowed.sum() / n))
        action = np.where(allowed, rng.random(allowed.shape), -1).argmax(-1)
        began = time.perf_counter()
        step = vector.step(action)
        played.seconds += time.perf_counter() - began
        if len(played.actions) < TRACE:
            played.actions.append(action)
            played.trace.append(_outcome(step))
        row = transition(obs, action, step.reward, step.next_obs, step.terminated, step.truncated, gamma, step.valid)
        for i in np.flatnonzero(step.valid).tolist():
            totals[i] += step.reward[i]
            lengths[i] += 1
            played.steps += 1
            played.rewards.append(float(step.reward[i]))
            _seen(played, vector, step.next_obs[i])
            kind = "termination" if step.terminated[i] else "truncation" if step.truncated[i] else "step"
            if kind not in played.examples:
                now, then = np.array(row.obs[i]), np.array(row.next_obs[i])
                parts = (now, np.array(row.action[i]), float(row.reward[i]), then, float(row.discount[i]))
                after = (_source(vector), step.obs[i]) if row.end[i] else ()
                played.examples[kind] = ExampleStep(int(numbers[i]), int(lengths[i]), *parts, *after)
            if row.end[i]:
                flags = bool(step.terminated[i]), bool(step.truncated[i])
                played.episodes.append(EpisodeSeen(float(totals[i]), int(lengths[i]), *flags))
                if len(played.ends) < STARTS:
                    played.ends.append(step.next_obs[i].copy())
                totals[i], lengths[i], numbers[i] = 0.0, 0, numbers.max() + 1
                _begun(played, vector, step.obs[i], int(numbers[i]))
        obs = step.obs
    played.running, played.allowed = lengths.tolist(), float(np.mean(masks)) if masks else None
    return played


def _begun(played: Played, vector: HostVector, obs: np.ndarray, episode: int) -> None:
    """An episode begins."""
    _seen(played, vector, obs)
    played.examples.setdefault("reset", ExampleStep(episode, 0, obs.copy()))
    if len(played.starts) < STARTS:
        played.starts.append(obs.copy())


def _seen(played: Played, vector: HostVector, obs: np.ndarray) -> None:
    if not vector.spec.observed.images:
        played.observations.add(np.asarray(obs).reshape(-1))
    if vector.spec.discrete and len(played.states) < MOST:
        played.states.add(obs.tobytes())


def _source(vector: HostVector) -> str:
    """Where the last observation of an episode comes from, for people."""
    if isinstance(vector, EnvList):
        return "what step() returned"
    mode = str(getattr(vector, "mode", "")).rpartition(".")[2]
    return "info['final_obs']" if mode == "SAME_STEP" else "what step() returned"


def _bytes(obs: np.ndarray) -> bytes:
    return np.ascontiguousarray(obs).tobytes()


def _outcome(step: Step) -> bytes:
    """All that a step gave."""
    return b"".join(map(_bytes, (step.next_obs, step.reward, step.terminated, step.truncated, step.obs)))


def first_difference(played: Played, vector: HostVector, seed: int) -> int | None:
    """Play the first steps again from the same seed: the step that comes out differently, 0: the reset; None: none."""
    if _bytes(vector.reset(seed)) != played.trace[0]:
        return 0
    for t, action in enumerate(played.actions, 1):
        if _outcome(vector.step(action)) != played.trace[t]:
            return t
    return None
