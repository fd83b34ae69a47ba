"""What a learner knows of an environment: its observations (`observations.py`) and actions (`actions.py`), or the
reason why it cannot learn there."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.actions import actions, given_actions
from rlnut.envs.observations import observation
from rlnut.learner.reading import read_one_or_many
from rlnut.learner.spec import Choice, Spec

AS_IT_SUITS = Choice()


def read_spaces(env: gym.Env | gym.vector.VectorEnv | FuncEnv, choice: Choice = AS_IT_SUITS) -> Spec:
    """Observation and action space -> Spec; raises UsageError with the reason if no learner can use them."""
    if isinstance(env, gym.vector.VectorEnv):
        seen, action = env.single_observation_space, env.single_action_space
    else:
        seen, action = env.observation_space, env.action_space
    return spec_of(seen, action, choice, env_title(env))


def spec_of(seen: spaces.Space, action: spaces.Space, choice: Choice, name: str) -> Spec:
    """The same from the two spaces."""
    return Spec(observation(seen, name), actions(action, choice, name), name, seen, action)


def observing_spec(seen: spaces.Space, action: spaces.Space, name: str) -> Spec:
    """The same where a policy gives the environment's own actions: any action space will do."""
    return Spec(observation(seen, name), given_actions(action), name, seen, action)


def read_given(spec: Spec, obs: object) -> tuple[np.ndarray, bool]:
    """One observation as the environment gives it, as a batch of one, and that it was one; or N side by side.

    Raises Mismatch for what is neither.
    """
    raw, single = read_one_or_many(spec.observation_space, obs)
    stored = spec.read(raw)
    return (stored[None] if single else stored), single


def env_title(env: object) -> str:
    """The registered name of an environment, or else its class."""
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(getattr(env, "unwrapped", env)).__name__
