"""q(s, ·) as a program of NumPy's operations is what the agent computes, for every agent and kind of observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from helpers.policies import untrained
from helpers.slow import some

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.control.forward import input_name, program_of
from rlnut.control.policy import Policy
from rlnut.envs.observations import stored_parts
from rlnut.learner.plain_spaces import part_at
from rlnut.learner.reading import observation_reader
from rlnut.portable.program import Program, ProgramInput, read_program
from rlnut.portable.tracing import NotPortable, traced
from rlnut.runtime.arrays import _named

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (12, 12, 2), np.uint8)
SPACES: dict[str, spaces.Space] = {
    "vector": VECTOR,
    "doubles": spaces.Box(-1, 1, (2, 3), np.float64),
    "image": IMAGE,
    "channels first": spaces.Box(0, 255, (2, 12, 12), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "several": spaces.MultiDiscrete([3, 4]),
    "bits": spaces.MultiBinary(4),
    "dict": spaces.Dict({"b": VECTOR, "a": spaces.Discrete(3), "text": spaces.Text(4)}),
    "image and vector": spaces.Dict({"image": IMAGE, "inner": spaces.Tuple((VECTOR, spaces.Discrete(3)))}),
}


class Shown(gym.Env[Any, Any]):
    """An environment that has spaces and nothing else."""

    def __init__(self, seen: spaces.Space, action: spaces.Space | None = None) -> None:
        self.observation_space, self.action_space = seen, action or spaces.Discrete(3)


def program_and_values(policy: Policy, rows: int = 3) -> tuple[Program, np.ndarray, np.ndarray]:
    """A policy's program, what it gives for random observations, and what the agent gives."""
    program = program_of(policy.agent, policy.spec, policy.params)
    space = policy.spec.observation_space
    space.seed(0)
    each = [space.sample() for _ in range(rows)]
    parts = {
        input_name(path): np.stack([np.asarray(part_at(one, path), dtype) for one in each])
        for path, dtype, _ in stored_parts(space)
    }
    again = read_program(program.record(), program.constants, "the file")
    weights = again.fitting({name: np.asarray(leaf) for name, leaf in _named(policy.params)}, "the weights")
    stored = np.stack([policy.spec.read(observation_reader(space)(one)) for one in each])
    return program, again.run(parts, weights), policy.values(stored)


@pytest.mark.parametrize("kind", some(SPACES, "channels first", "several", "image and vector"))
def test_every_kind_of_observation(kind: str) -> None:
    policy = untrained(lambda: Shown(SPACES[kind]), rlnut.DQN(hidden=(4,)))
    _, found, wanted = program_and_values(policy)
    assert wanted.std(0).max() > 1e-3  # what is compared depends on the observation
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rainbow": ("rainbow", {}), "iqn": ("iqn", {}), "qr-dqn": ("qr-dqn", {}), "drqn": ("drqn", {}),
    "layer norm": ("pqn", {"activation": "elu"}), "hl-gauss": ("dqn", {"loss": "hl-gauss"}),
    "tiles": ("q-learning", {}), "fourier": ("sarsa", {"features": "fourier:2"}),
    "an mlp on-line": ("q-learning", {"features": "mlp:4"}), "fqi": ("fqi", {}), "cql": ("cql", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", some(VARIANTS, "rainbow", "drqn", "tiles"))
def test_every_kind_of_agent(name: str) -> None:
    agent, options = VARIANTS[name]
    kind: Any = AGENTS[agent]
    small = {"hidden": (4,)} if "hidden" in kind.__dataclass_fields__ else {}
    _, found, wanted = program_and_values(untrained("MountainCar-v0", kind(**small, **options)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(AGENTS.own))
def test_every_agent(name: str) -> None:
    _, found, wanted = program_and_values(untrained("FrozenLake-v1" if "lspi" in name else "MountainCar-v0", name))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_decoupled_actions_and_normalised_observations() -> None:
    arm = spaces.Box(-1, 1, (2,), np.float32)
    policy = untrained(lambda: Shown(VECTOR, arm), rlnut.DQN(hidden=(4,)), actions="decoupled", normalise=True)
    _, found, wanted = program_and_values(policy)
    assert found.shape == (3, 2, 3)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


ROW = (ProgramInput("x", (4, 3), "float32"),)
FUNCTIONS: dict[str, Any] = {
    "cumsum": lambda x: jnp.cumsum(x, 1, dtype=x.dtype)[:, ::-1],
    "max pool": lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2), (1, 2, 1), "SAME"),
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=3),
    "sorted out": lambda x: jnp.where(x > 0, x, 0).argmax(1),
    "taken": lambda x: x[jnp.arange(len(x))[:, None], jnp.array([[3, 0, 7]]), 1],
    "along": lambda x: jnp.take_along_axis(x, (x > 0).astype(int), 1),
    "batched product": lambda x: jnp.einsum("nij,nkj->nik", x, x),
    "whole numbers": lambda x: (x * 10).astype(jnp.int32) // 3 % 2,
    "erf": lambda x: jax.nn.gelu(x, approximate=False) + jax.scipy.special.erf(x),
    "rounded": lambda x: jnp.round(x * 4) + jnp.floor(x) + jnp.sign(x),
    "convolution": lambda x: jax.lax.conv_general_dilated(
        x, jnp.arange(12.0).reshape(2, 3, 2), (2,), [(1, 0)], rhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC")
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_are_those_of_jax(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    program = traced(lambda weights, given: FUNCTIONS[name](given["x"]), {}, ROW)
    found, wanted = program.run({"x": x}, {}), np.asarray(FUNCTIONS[name](jnp.asarray(x)))
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(NotPortable, match="its operation sort"):
        traced(lambda weights, given: jnp.sort(given["x"]), {}, ROW)
    with pytest.raises(NotPortable, match="another number of rows"):
        traced(lambda weights, given: given["x"] + (1 if len(given["x"]) > 18 else jnp.exp(given["x"])), {}, ROW)
    with pytest.raises(NotPortable, match="not one array"):
        traced(lambda weights, given: given["x"].sum(), {}, ROW)
