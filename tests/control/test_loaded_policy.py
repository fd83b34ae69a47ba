"""A run folder's policy without its environment, its agent's class, Gymnasium and JAX."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.slow import some
from safetensors.numpy import save_file

import rlnut
from rlnut.control.recipe import FORWARD, POLICY
from rlnut.control.run_folder import trained_policy
from rlnut.envs.probes import ProbeEnv
from rlnut.runtime.arrays import read_arrays

SHORT: dict[str, Any] = {"steps": 96, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
TINY = rlnut.DQN(hidden=(4,), batch=4, replay=50, learning_starts=16, epsilon_steps=64)
STATE = [0.1, -0.2, 0.03, 0.4]


class Arm(gym.Env[Any, Any]):
    """Two pictures and a number are seen, two numbers are done; no file can name it."""

    observation_space = gym.spaces.Dict(
        {"eye": gym.spaces.Box(0, 255, (8, 8, 1), np.uint8), "joint": gym.spaces.Box(-1, 1, (2,), np.float64)}
    )
    action_space = gym.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 2], np.float32))

    def reset(self, **more: Any) -> Any:
        super().reset(**more)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), float(action[0]), True, False, {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    rlnut.train(TINY, "CartPole-v1", out=folder / "cart", normalise=True, **SHORT)
    rlnut.train("q-learning", "FrozenLake-v1", out=folder / "lake", **SHORT)
    rlnut.train(TINY, Arm, out=folder / "arm", **SHORT)
    return folder


OBSERVED: dict[str, Any] = {
    "cart": STATE,
    "lake": 7,
    "tiles": [-0.5, 0.01],
    "arm": {"eye": np.arange(64).reshape(8, 8, 1).tolist(), "joint": [0.25, -0.5]},
}

ALONE = """
import json, sys
folder, observed = sys.argv[1], json.loads(sys.argv[2])
class Refused:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("jax", "gymnasium", "optax", "scipy", "matplotlib"):
            raise ImportError(f"{name} must not be imported")
sys.meta_path.insert(0, Refused())
import rlnut, numpy as np
policy = rlnut.load_policy(folder)
assert isinstance(policy, rlnut.Policy)
print(json.dumps([policy.q(observed).tolist(), np.asarray(policy.act(observed)).tolist()]))
"""


@pytest.mark.parametrize("name", some(OBSERVED, "cart", "arm"))
def test_a_policy_acts_where_only_numpy_is_there(name: str, runs: Path) -> None:
    """q is that of the agent, which JAX computes; images are lists in JSON, so they come as whole numbers."""
    if name == "tiles":
        rlnut.train("sarsa-lambda", "MountainCar-v0", out=runs / name, **SHORT)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(runs / name), json.dumps(OBSERVED[name])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    q, action = json.loads(done.stdout)
    given = trained_policy(runs / name, Arm if name == "arm" else None)
    np.testing.assert_allclose(q, given.q(OBSERVED[name]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(action, given.act(OBSERVED[name]))


def test_all_else_needs_the_environment(runs: Path) -> None:
    loaded = rlnut.load_policy(runs / "arm")
    with pytest.raises(rlnut.UsageError, match="which is not stored in the folder: pass it as env="):
        loaded.evaluate(1)
    assert len(loaded.evaluate(2, env=Arm).returns) == 2
    assert len(rlnut.load_policy(runs / "arm", env=Arm).evaluate(2).returns) == 2
    assert rlnut.load_policy(runs / "lake").evaluate_exactly().value >= 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = loaded.nothing  # type: ignore[attr-defined]


def test_many_observations_masks_and_copies(runs: Path) -> None:
    loaded = rlnut.load_policy(runs / "lake")
    np.testing.assert_array_equal(loaded.q([3, 7]), [loaded.q(3), loaded.q(7)])
    assert loaded.act(7, mask=[0, 0, 1, 0]) == 2
    for wrong, said in ((16, "holds 0 … 15"), ([0.5], "needs"), ("x", "needs")):
        with pytest.raises(rlnut.UsageError, match=said):
            loaded.q(wrong)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again.q(7), loaded.q(7))
    with pytest.raises(rlnut.UsageError, match="all numbers must be finite"):
        rlnut.load_policy(runs / "cart").q([np.nan, 0, 0, 0])


def rewritten(folder: Path, name: str, change: Any) -> None:
    """One array of a file, or what it says, is another; the file's own checksum is left out."""
    stored = read_arrays(folder / name)
    arrays, meta = change(dict(stored.arrays), dict(stored.meta))
    save_file(arrays, folder / name, {"meta": json.dumps(meta)})


def first_weight(change: Any) -> Any:
    def changed(arrays: dict[str, Any], meta: Any) -> Any:
        name = next(name for name in arrays if name.endswith("['w']"))
        return arrays | {name: change(arrays[name])}, meta

    return changed


def first_operation(arrays: Any, meta: Any) -> Any:
    meta["program"]["operations"][0][0] = "os.system"
    return arrays, meta


def wide(arrays: Any, meta: Any) -> Any:
    shaped = next(one for one in meta["program"]["operations"] if one[0] == "broadcast_in_dim")
    shaped[4]["shape"] = [10**6, 10**6]
    return arrays, meta


DAMAGED: list[tuple[str, Any, str]] = [
    (POLICY, first_weight(lambda w: w * np.float32("nan")), "weights that are not finite"),
    (POLICY, first_weight(lambda w: w[:-1]), r"is float32\[\d+, 4\], expected float32\[\d+, 4\]"),
    (POLICY, first_weight(lambda w: w.astype(np.float64)), "is float64"),
    (POLICY, lambda arrays, meta: (arrays, meta | {"run": "0" * 64}), "is not the one that"),
    (FORWARD, lambda arrays, meta: (arrays, meta | {"run": "0" * 64}), "is not the one that"),
    (FORWARD, first_operation, "an operation that this rlnut does not know: os.system"),
    (FORWARD, wide, "is damaged: ValueError: an array of shape"),
    (FORWARD, lambda arrays, meta: (arrays, meta | {"program": 3}), "is damaged"),
    (FORWARD, lambda arrays, meta: (arrays, meta | {"observation": {"kind": "Box"}}), "is damaged"),
    (FORWARD, lambda arrays, meta: (arrays, meta | {"actions": meta["actions"] | {"choices": [3]}}), r"gives \[1, 2\]"),
]


@pytest.mark.parametrize("case", range(len(DAMAGED)))
def test_what_is_damaged_is_one_line(case: int, runs: Path, tmp_path: Path) -> None:
    name, change, said = DAMAGED[case]
    folder = Path(shutil.copytree(runs / "cart", tmp_path / "copy"))
    rewritten(folder, name, change)
    with pytest.raises(rlnut.RlnutError, match=said) as caught:
        rlnut.load_policy(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_pickle_is_refused(runs: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs / "cart", tmp_path / "copy"))
    for name in (POLICY, FORWARD):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps({"w": np.zeros(3)}))
        with pytest.raises(rlnut.RlnutError, match=f"{name} is damaged"):
            rlnut.load_policy(folder)
        (folder / name).write_bytes(content)


def test_a_folder_of_before_is_loaded_by_its_environment(runs: Path, tmp_path: Path) -> None:
    """Without the program and the spaces the agent is made, and values are those of the program."""
    folder = Path(shutil.copytree(runs / "cart", tmp_path / "copy"))
    wanted = rlnut.load_policy(folder).q(STATE)
    (folder / FORWARD).unlink()
    np.testing.assert_allclose(rlnut.load_policy(folder).q(STATE), wanted, rtol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    del config["spaces"], config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    np.testing.assert_allclose(rlnut.load_policy(folder).q(STATE), wanted, rtol=1e-5)


def test_values_that_are_no_program_come_without_the_environment_too(runs: Path, tmp_path: Path) -> None:
    """By the recorded spaces, with JAX."""
    folder = tmp_path / "run"
    run = rlnut.train(TINY, lambda: ProbeEnv("Both"), out=folder, **SHORT)
    (folder / FORWARD).unlink()
    loaded = rlnut.load_policy(folder)
    np.testing.assert_array_equal(loaded.q([1.0]), run.q([1.0]))
    with pytest.raises(rlnut.UsageError, match="which is not stored in the folder"):
        loaded.evaluate(1)
