"""Policies that nobody trained: an agent as it is before its first step, for tests of what is done with a policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import numpy as np

from rlnut.agents.catalogue import AGENTS, AgentConfig
from rlnut.control.host_loop import one_row
from rlnut.control.policy import Policy, PolicyOrigin
from rlnut.control.preprocessing import RunningStatistics, prepared_spec
from rlnut.control.settings import RunSettings
from rlnut.envs.make import maker
from rlnut.envs.spaces import read_spaces
from rlnut.learner.spec import Choice


def untrained(env: Any, agent: str | AgentConfig = "dqn", scale: float = 1.0, **options: Any) -> Policy:
    """The policy of a config, or of a named agent with 8 hidden units, with weights drawn from N(0, scale²).

    options: fields of `RunSettings`.
    """
    if isinstance(agent, str):
        kind: Any = AGENTS[agent]
        config: AgentConfig = kind(**({"hidden": (8,)} if "hidden" in kind.__dataclass_fields__ else {}))
    else:
        config = agent
    settings = RunSettings(**options)
    example: gym.Env = maker(env)()
    spec = prepared_spec(read_spaces(example, Choice(settings.actions, settings.bins)), settings)
    example.close()
    built = config.build(spec)
    row, rng = one_row(spec, 1, carry=built.carry(1)), np.random.default_rng(1)

    def drawn(leaf: Any) -> Any:
        if isinstance(leaf, RunningStatistics):
            return RunningStatistics(
                *(np.full(one.shape, k, np.float32) for one, k in zip(leaf, (0, 1, 9), strict=True))
            )
        return rng.normal(0, scale, leaf.shape).astype(leaf.dtype)

    shapes = jax.eval_shape(lambda: built.init(jax.random.key(0), row).fit.params)
    params = jax.tree.map(drawn, shapes, is_leaf=lambda leaf: isinstance(leaf, RunningStatistics))
    return Policy(built, spec, params, env, PolicyOrigin(config, settings, None))


def tabled(env: Any, q: np.ndarray, gamma: float = 0.99) -> Policy:
    """The policy of a table q [S, A]."""
    policy = untrained(env, AGENTS["q-learning"](gamma=gamma))
    w = np.asarray(q, np.float32).T.reshape(1, -1)  # an action after the other
    params = policy.params | {"w": np.broadcast_to(w, policy.params["w"].shape).copy()}
    return Policy(policy.agent, policy.spec, params, env, policy.origin)
