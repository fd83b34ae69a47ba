"""Environments of other packages: checked and learned for a while by their names; skipped where one is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import run_main

PACKAGES = {
    "minigrid:MiniGrid-Empty-5x5-v0": [],
    "minigrid:BabyAI-GoToRedBallGrey-v0": [],
    "highway_env:highway-fast-v0": ["--env-arg=max_episode_steps=20"],
    "flappy_bird_gymnasium:FlappyBird-v0": ["--env-arg=use_lidar=false"],
}
COURSE = ["--steps=2000", "--learning-starts=500", "--hidden=32", "--replay=2000", "--eval-every=1000"]


def last_line(out: str) -> dict[str, Any]:
    """The answer; some of these environments print lines of their own before it."""
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("env", PACKAGES)
def test_an_environment_of_another_package_is_checked_and_learned(
    env: str, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(env.partition(":")[0], reason="an environment of a package that is not installed")
    monkeypatch.chdir(tmp_path)
    status, out, err = run_main(capsys, "check-env", env, *PACKAGES[env], "--steps=300", "--json")
    assert status == 0 and last_line(out)["reproducible"], err
    words = [*COURSE, "--eval-episodes=2", "--final-episodes=2", "--out=run"]
    status, out, err = run_main(capsys, "train", "dqn", env, *PACKAGES[env], *words, "--json")
    assert status == 0 and last_line(out)["steps"] >= 2000, err
    status, out, _ = run_main(capsys, "evaluate", "run", "--trust", "--episodes=2", "--json")
    assert status == 0 and np.isfinite(last_line(out)["returns"]).all()
