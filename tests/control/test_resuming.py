"""A run that goes on elsewhere: versions that are not as they were, and where its greedy episodes are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import rlnut
from rlnut.agents.online_settings import QLearning
from rlnut.control.recipe import CONFIG
from rlnut.envs.make import EnvName
from rlnut.runtime.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("shared_programs")
LAKE, STILL = EnvName("FrozenLake-v1", {}), EnvName("FrozenLake-v1", {"is_slippery": False})
SHORT: dict[str, Any] = {"eval_every": 100, "log_every": 50, "eval_episodes": 2, "final_episodes": 2, "seed": 1}
AGENT = QLearning(epsilon_steps=400)


def test_versions_that_differ_are_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rlnut.train(AGENT, LAKE, steps=100, out=tmp_path / "run", quiet=True, **SHORT)
    rlnut.resume(tmp_path / "run", 200)
    assert "not as when the run began" not in capsys.readouterr().err
    found = read_json(tmp_path / "run" / CONFIG)
    found["versions"] |= {"jax": "0.0.1", "numpy": "1.2\n3"}
    write_json(tmp_path / "run" / CONFIG, found)
    rlnut.resume(tmp_path / "run", 300)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "not as when the run began" in line)
    assert "jax 0.0.1 → " in line and "numpy 1.2\\n3 → " in line and "scipy" not in line
    rlnut.resume(tmp_path / "run", 400, quiet=True)
    assert "not as when" not in capsys.readouterr().err


def test_a_run_that_goes_on_plays_where_it_was_evaluated(tmp_path: Path):
    for name, parts in (("whole", [400]), ("part", [200, 400])):
        rlnut.train(AGENT, LAKE, steps=parts[0], out=tmp_path / name, eval_env=STILL, quiet=True, **SHORT)
        for steps in parts[1:]:
            rlnut.resume(tmp_path / name, steps, quiet=True)
    both = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "part")]
    assert both[0] == both[1]
    rlnut.train(AGENT, LAKE, steps=400, out=tmp_path / "other", quiet=True, **SHORT)
    assert (tmp_path / "other" / "metrics.csv").read_bytes() != both[0]


def test_an_environment_of_evaluations_that_no_file_holds_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def still() -> gym.Env:
        return STILL.make()

    for name in ("given", "not"):
        rlnut.train(AGENT, LAKE, steps=200, out=tmp_path / name, eval_env=still, quiet=True, **SHORT)
    rlnut.resume(tmp_path / "given", 400, quiet=True, eval_env=still)
    assert "not exact" not in capsys.readouterr().err
    rlnut.resume(tmp_path / "not", 400, quiet=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert "not exact" in line and "pass it as eval_env=" in line and "played on FrozenLake-v1" in line
    both = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("given", "not")]
    assert both[0] != both[1]
