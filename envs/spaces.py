"""What a learner sees of an environment: its observations (`observations.py`) and actions (`actions.py`), or the
reason why it cannot be served; and the network that fits."""

from __future__ import annotations

import gymnasium as gym
from gymnasium.experimental.functional import FuncEnv

from rlnut.envs.actions import actions
from rlnut.envs.observations import observation
from rlnut.learner.spec import Choice, Spec

AS_IT_SUITS = Choice()


def read_spaces(env: gym.Env | gym.vector.VectorEnv | FuncEnv, choice: Choice = AS_IT_SUITS) -> Spec:
    """Observation and action space -> Spec; raises UsageError with the reason if the learner cannot serve them."""
    if isinstance(env, gym.vector.VectorEnv):
        seen, action = env.single_observation_space, env.single_action_space
    else:
        seen, action = env.observation_space, env.action_space
    name = env_title(env)
    return Spec(observation(seen, name), actions(action, choice, name), name)


def env_title(env: object) -> str:
    """The registered name of an environment, or else its class."""
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(getattr(env, "unwrapped", env)).__name__
