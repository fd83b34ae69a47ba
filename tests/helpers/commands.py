"""Commands as a test runs them: a short training, an environment with faults, what was said and what was left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from safetensors.numpy import save_file

from rlnut.cli import main
from rlnut.runtime.files import read_json, write_json

SHORT = ["--steps=120", "--learning-starts=32", "--hidden=8", "--batch=8", "--replay=100", "--log-every=40"]
SHORT += ["--eval-every=60", "--eval-episodes=2", "--final-episodes=3"]


class Broken(gym.Env):
    """Ends after ten steps; from the step `at` on it does what `fault` says. By `luck` rewards are it or −1, 1 : 3."""

    observation_space: gym.Space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, fault: str = "", at: int = 10**9, observation: str = "Box", luck: float = 0) -> None:
        self.fault, self.at, self.total, self.luck = fault, at, 0, luck
        if observation == "Dict":
            self.observation_space = gym.spaces.Dict({"a": gym.spaces.Discrete(2)})
        if observation == "Text":
            self.observation_space = gym.spaces.Text(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Any:
        self.count += 1
        self.total += 1
        bad = self.total >= self.at
        if bad and self.fault == "raise":
            raise ZeroDivisionError("a fault\nof the environment")
        obs = np.full(2, np.nan if bad and self.fault == "observation" else 0, np.float32)
        reward = float("nan") if bad and self.fault == "reward" else 1.0
        if self.luck:
            reward = self.luck if self.np_random.random() < 0.25 else -1.0
        return obs, reward, self.count >= 10, False, {}


def run_main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of one command."""
    capsys.readouterr()
    status = main(words)
    said = capsys.readouterr()
    assert "Traceback" not in said.err and "RLNUT_DEBUG" not in said.err
    return status, said.out, said.err


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spoiled(run: Path, folder: Path, changes: dict[str, Any]) -> Path:
    """A copy of a run whose config.json says something else, with checksums: their author can compute them, too."""
    from rlnut.control.recipe import CONFIG
    from rlnut.runtime.arrays import read_arrays

    gift = Path(shutil.copytree(run, folder / "gift"))
    for path in gift.glob("*.safetensors"):
        stored = read_arrays(path)
        meta = {key: value for key, value in stored.meta.items() if key != "run"}
        save_file(stored.arrays, path, {"meta": json.dumps(meta)})
    write_json(gift / CONFIG, read_json(gift / CONFIG) | changes)
    return gift
