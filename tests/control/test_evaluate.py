"""Evaluations: an interval needs two episodes, wherever one is printed or written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import SHORT, run_main

from rlnut.control.evaluate import Evaluation, mean_and_std
from rlnut.envs.make import EnvName
from rlnut.runtime.log import read_metrics
from rlnut.truth.monte_carlo import monte_carlo_truth


def test_one_episode_has_no_spread() -> None:
    one, two = Evaluation([3.0], [1], 0), Evaluation([3.0, 5.0], [1, 1], 0)
    assert (one.mean, one.std, one.ci95) == (3.0, None, None)
    assert two.std == pytest.approx(2**0.5) and two.ci95 == (3.0, 5.0)
    assert Evaluation([3.0, 3.0], [1, 1], 0).ci95 == (3.0, 3.0)
    assert (mean_and_std(3.0, None), mean_and_std(3.0, 0.5)) == ("3", "3 ± 0.5")


def test_commands_print_no_interval_of_one_episode(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    few = ["--eval-episodes=1", "--final-episodes=1", f"--out={folder}", "--json"]
    status, out, err = run_main(capsys, "train", "dqn", "CartPole-v1", *SHORT, *few)
    assert status == 0 and "±" not in err and "over 1 fresh episode," in err
    assert json.loads(out)["eval"]["std"] is None
    assert all(np.isnan(row["eval_std"]) for row in read_metrics(tmp_path / "run" / "metrics.csv"))
    status, out, err = run_main(capsys, "evaluate", folder, "--episodes=1", "--json")
    assert status == 0 and "±" not in err and "interval" not in err and "over 1 episode" in err
    assert json.loads(out)["std"] is None and json.loads(out)["ci95"] is None
    status, out, err = run_main(capsys, "evaluate", folder, "--episodes=2", "--json")
    assert "±" in err and "95 % interval" in err and len(json.loads(out)["ci95"]) == 2


def test_one_return_has_no_interval() -> None:
    truth = monte_carlo_truth(EnvName("CartPole-v1").make, lambda obs, rng: int(rng.integers(2)), 0.9, 3, 1, 0)
    assert np.isfinite(truth.mean).all() and np.isnan(truth.ci95).all()
