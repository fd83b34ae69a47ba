"""An agent of one's own is a subclass that makes one piece in another way: it trains, evaluates and resumes as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.resuming import check_resumes_bit_for_bit

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import DRQN, PQN
from rlnut.agents.deep_settings import Deep
from rlnut.control.host_loop import one_row
from rlnut.envs.probes import ProbeEnv
from rlnut.envs.spaces import read_spaces
from rlnut.learner.bellman import Next, NextPolicy, following, one_hot_policy
from rlnut.regression.losses import Loss, l2
from rlnut.types import Array, Look, Transition

TINY: dict[str, Any] = {"hidden": (8,), "batch": 8, "replay": 300, "learning_starts": 32, "epsilon_steps": 200}


class Pessimist(rlnut.DQN):
    """v(s') = min_a q⁻(s', a)."""

    def make_next_policy(self) -> NextPolicy:
        return lambda online, target, mask, seen: Next(one_hot_policy((-target).argmax(-1), target), one=True)


class EvenHanded(rlnut.DQN):
    """Q_π of the policy that takes every action equally often, whoever acts."""

    def make_next_policy(self) -> NextPolicy:
        return following(lambda x: jnp.full((len(x), 2), 0.5))


def test_the_piece_that_was_replaced_decides_what_is_learned() -> None:
    """Two states: every action of the first leads to the second, where the actions end the episode with 1 and 3."""
    probe = ProbeEnv("Both")
    probe.action_space = gym.spaces.Discrete(2)
    spec = read_spaces(probe)
    obs = np.array([[[0.0], [1.0]], [[0.0], [1.0]]], np.float32)
    seen = Transition(
        obs=obs, action=np.array([[0, 0], [1, 1]], np.int32), reward=np.array([[0, 1], [0, 3]], np.float32),
        discount=np.array([[0.5, 0], [0.5, 0]], np.float32), next_obs=np.ones_like(obs), end=np.ones((2, 2), bool),
        valid=np.ones((2, 2), bool), fresh=np.ones((2, 2), bool),
    )  # fmt: skip
    quick: dict[str, Any] = TINY | {"hidden": (32,), "lr": 1e-2, "train_every": 4, "gradient_steps": 200, "n_step": 1}
    quick |= {"learning_starts": 1, "target_every": 10, "double": False, "loss": "squared", "batch": 32}
    for kind, first in ((rlnut.DQN, 1.5), (Pessimist, 0.5), (EvenHanded, 1.0)):
        agent = kind(**quick).build(spec)
        state = jax.jit(lambda key, agent=agent: agent.init(key, one_row(spec, 2)))(jax.random.key(0))
        learn = jax.jit(agent.learn)
        for _ in range(3):
            state, _ = learn(state, seen)
        q, _ = agent.q(state.fit.params, (), Look(np.array([[0.0], [1.0]], np.float32), np.ones(2, bool)))
        np.testing.assert_allclose(q, np.array([[first, first], [1, 3]]), atol=0.05)


def test_a_subclass_trains_evaluates_and_resumes(tmp_path: Path) -> None:
    check_resumes_bit_for_bit(Pessimist(**TINY), tmp_path)


PIECES = (
    "readout",
    "model",
    "exploration",
    "loss",
    "penalty",
    "output_penalty",
    "optimizer",
    "problem",
    "memory",
    "pace",
    "target",
    "label",
    "keep",
)


@pytest.mark.parametrize("kind", [rlnut.DQN, PQN, DRQN])
def test_every_piece_is_asked_for_once(kind: type[Deep]) -> None:
    asked: list[str] = []

    def counting(name: str) -> Any:
        def made(self: Deep, *args: Any) -> Any:
            asked.append(name)
            return getattr(super(counted, self), f"make_{name}")(*args)

        return made

    counted: Any = type("Counted", (kind,), {f"make_{name}": counting(name) for name in PIECES})
    counted().build(read_spaces(ProbeEnv("Both")))
    assert sorted(asked) == sorted(PIECES)


def test_a_loss_and_a_penalty_of_ones_own() -> None:
    """The cost is that of the two: ℓ = 1 whatever the outputs, and λ‖W‖² of the first weights."""

    class Constant(rlnut.DQN):
        def make_loss(self, readout: Any) -> Loss:
            return lambda outputs, y: jnp.ones(len(y)) + 0 * outputs

        def make_penalty(self) -> Any:
            return l2(0.1)

    spec = read_spaces(ProbeEnv("Both"))
    agent = Constant(**TINY | {"learning_starts": 1, "gradient_steps": 1, "train_every": 2}).build(spec)
    state = agent.init(jax.random.key(0), one_row(spec, 2))
    row = one_row(spec, 2)
    seen: Any = jax.tree.map(lambda a: jnp.zeros((1, *a.shape), a.dtype), row)
    seen = seen._replace(valid=jnp.ones((1, 2), bool), end=jnp.ones((1, 2), bool), fresh=jnp.ones((1, 2), bool))
    weights: list[Array] = [w for w in jax.tree.leaves(state.fit.params) if w.ndim == 2]
    _, metrics = jax.jit(agent.learn)(state, seen)
    np.testing.assert_allclose(metrics["cost"], 1 + 0.1 * sum(float((w**2).sum()) for w in weights), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"memory_size": 8}, "memory_size has no effect here: it needs memory lstm or gru or rnn"),
        ({"sequence": 8}, "sequence has no effect here: it needs memory"),
        ({"burn_in": 8}, "burn_in has no effect here: it needs memory"),
        ({"memory": "gru", "hidden": ()}, "memory needs at least one hidden layer before it"),
    ],
)
def test_what_a_memory_needs_and_what_needs_a_memory(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        rlnut.DQN(**options)
