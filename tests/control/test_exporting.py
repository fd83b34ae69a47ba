"""An exported policy gives the q of the policy, in onnxruntime and in JAX, for any number of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from helpers.commands import run_main
from helpers.policies import untrained
from helpers.slow import some

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.control.policy import Policy

SHORT: dict[str, Any] = {"steps": 96, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
TINY = rlnut.DQN(hidden=(4,), batch=4, replay=50, learning_starts=16, epsilon_steps=64)
CAR = np.array([[-0.5, 0.01], [0.2, -0.03], [-1.1, 0.0]], np.float32)


def in_onnxruntime(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (rlnut[onnx] brings it)")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(inputs)
    return np.asarray(session.run(["q"], inputs)[0])


AGENT_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("dqn", {}), "dueling, layer norm": ("dqn", {"dueling": "max", "layer_norm": True, "activation": "elu"}),
    "rainbow": ("rainbow", {}), "iqn": ("iqn", {}), "qr-dqn": ("qr-dqn", {}), "tiles": ("q-learning", {}),
    "fourier": ("sarsa", {"features": "fourier:2"}), "polynomial": ("sarsa", {"features": "polynomial:2"}),
    "drqn": ("drqn", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", some(AGENT_OPTIONS, "rainbow", "tiles", "polynomial"))
def test_agents_in_onnxruntime(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (rlnut[onnx] brings it)")
    agent, options = AGENT_OPTIONS[name]
    kind: Any = AGENTS[agent]
    small = {"hidden": (4,)} if "hidden" in kind.__dataclass_fields__ else {}
    policy = untrained("MountainCar-v0", kind(**small, **options))
    path = policy.export(tmp_path / "policy.onnx")
    wanted = policy.q(CAR)
    assert wanted.std(0).max() > 1e-3
    np.testing.assert_allclose(in_onnxruntime(path, {"observation": CAR}), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(in_onnxruntime(path, {"observation": CAR[:1]}), wanted[:1], rtol=1e-5, atol=1e-5)


IMAGE = spaces.Box(0, 255, (12, 12, 2), np.uint8)
SEEN: dict[str, spaces.Space] = {
    "image": IMAGE,
    "channels first": spaces.Box(0, 255, (2, 12, 12), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "several": spaces.MultiDiscrete([3, 4]),
    "bits": spaces.MultiBinary(4),
    "dict": spaces.Dict({"b": spaces.Box(-1, 1, (3,), np.float32), "a": spaces.Discrete(3)}),
    "image and vector": spaces.Dict({"image": IMAGE, "inner": spaces.Box(-1, 1, (3,), np.float32)}),
}


def shown(policy: Policy, rows: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Observations as inputs of an exported policy, and q of them."""
    from rlnut.control.forward import input_name
    from rlnut.envs.observations import stored_parts
    from rlnut.learner.plain_spaces import part_at

    space = policy.spec.observation_space
    space.seed(1)
    each = [space.sample() for _ in range(rows)]
    parts = {
        input_name(path): np.stack([np.asarray(part_at(one, path), dtype) for one in each])
        for path, dtype, _ in stored_parts(space)
    }
    return parts, np.stack([policy.q(one) for one in each])


@pytest.mark.parametrize("kind", some(SEEN, "several", "image and vector"))
def test_observations_in_onnxruntime(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (rlnut[onnx] brings it)")
    policy = untrained(lambda: Shown(SEEN[kind]), rlnut.DQN(hidden=(4,)))
    path = policy.export(tmp_path / "policy.onnx")
    parts, wanted = shown(policy, 3)
    np.testing.assert_allclose(in_onnxruntime(path, parts), wanted, rtol=1e-5, atol=1e-5)


class Shown:
    """An environment that has spaces and nothing else."""

    def __new__(cls, seen: spaces.Space) -> Any:
        import gymnasium as gym

        class Env(gym.Env[Any, Any]):
            observation_space, action_space = seen, spaces.Discrete(3)

        return Env()


@pytest.mark.parametrize("kind", some(["vector", "dict"], "dict"))
def test_in_jax(kind: str, tmp_path: Path) -> None:
    from jax import export as jax_export

    seen = spaces.Box(-1, 1, (3,), np.float64) if kind == "vector" else SEEN["image and vector"]
    policy = untrained(lambda: Shown(seen), rlnut.DQN(hidden=(4,)), normalise=kind == "vector")
    path = policy.export(tmp_path / "policy.jax")
    called = jax_export.deserialize(bytearray(path.read_bytes())).call
    parts, wanted = shown(policy, 3)
    found = called(parts if kind == "dict" else parts["observation"])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a folder alone; normalisation is inside, and an existing file is not overwritten."""
    pytest.importorskip("onnx", reason="onnx is not installed (rlnut[onnx] brings it)")
    folder = tmp_path / "run"
    run = rlnut.train(TINY, "CartPole-v1", out=folder, normalise=True, **SHORT)
    status, out, err = run_main(capsys, "export", str(folder), "--json")
    answer = json.loads(out.splitlines()[-1])
    assert (status, answer["format"], answer["out"]) == (0, "onnx", str(folder / "policy.onnx")), err
    states = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    found = in_onnxruntime(folder / "policy.onnx", {"observation": states})
    np.testing.assert_allclose(found, run.q(states), rtol=1e-5, atol=1e-5)
    assert run_main(capsys, "export", str(folder))[0] == 2
    assert run_main(capsys, "export", str(folder), f"--out={tmp_path / 'mine.jax'}", "--json")[0] == 0
    assert run_main(capsys, "export", str(folder), f"--out={tmp_path / 'mine.pt'}")[0] == 2
    with pytest.raises(rlnut.UsageError, match=r"format must be one of onnx, jax, got the ending '\.pt'"):
        run.policy.export(tmp_path / "mine.pt")
