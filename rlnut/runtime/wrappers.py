"""The wrappers of a Gymnasium environment: walked through in one place."""

from __future__ import annotations

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

# wrappers that leave states, rewards and ends as they are (a time limit is asked for by itself)
PLAIN = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics", "Autoreset", "MasksInInfo")


def layers(env: gym.Env) -> list[gym.Env]:
    """The wrappers, outermost first, and the environment inside."""
    found: list[gym.Env] = [env]
    while isinstance(env, gym.Wrapper):
        env = env.env
        found.append(env)
    return found


def changing_wrappers(env: gym.Env) -> list[str]:
    """The types of the wrappers that may change what the environment does, outermost first."""
    return [name for layer in layers(env)[:-1] if (name := type(layer).__name__) not in PLAIN]


def time_limit(env: gym.Env) -> int | None:
    """Steps after which an episode is cut by a wrapper; None: never."""
    return min((layer._max_episode_steps for layer in layers(env) if isinstance(layer, TimeLimit)), default=None)


def lift_time_limits(env: gym.Env) -> None:
    """Let episodes run on until they terminate."""
    for layer in layers(env):
        if isinstance(layer, TimeLimit):
            layer._max_episode_steps = 2**62  # it has no public way to be lifted
