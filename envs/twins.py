"""The functional twin of an environment: pure functions with the same dynamics, for loops compiled as a whole."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.blackjack import Blackjack
from rlnut.envs.classic_control import Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum
from rlnut.envs.tabular import TabularFunc, from_env
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import changing_wrappers

TWINS: dict[str, Callable[..., FuncEnv]] = {
    "CartPole": CartPole,
    "Acrobot": Acrobot,
    "MountainCar": MountainCar,
    "MountainCarContinuous": MountainCarContinuous,
    "Pendulum": Pendulum,
    "Blackjack": Blackjack,
}


def twin(env: gym.Env) -> FuncEnv:
    """The functional form of a Gymnasium environment: its own (`.func`), of classic control, or from its tables.

    UsageError where there is none, or where a wrapper changes what the environment does.
    """
    name = env.spec.id if env.spec is not None else type(env).__name__
    if changed := changing_wrappers(env):
        raise UsageError(f"{name}: the wrapper {changed[0]} has no functional twin; train without --native")
    inner: gym.Env = env.unwrapped
    if isinstance(func := getattr(inner, "func", None), FuncEnv):
        return func
    stem = name.rsplit("-v", 1)[0]
    if stem in TWINS and type(inner).__module__.startswith("gymnasium.envs."):
        assert env.spec is not None
        return TWINS[stem](**{key: value for key, value in env.spec.kwargs.items() if key != "render_mode"})
    found = from_env(env)
    if found is None:
        raise UsageError(
            f"{name} has no functional twin; --native supports {', '.join(TWINS)}, environments with tables, and those"
            " with a FuncEnv as `.func`; train without --native"
        )
    return TabularFunc(found)
