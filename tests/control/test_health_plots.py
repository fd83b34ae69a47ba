"""The figure of a run's health shows the numbers of its log, and only panels that have some."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_main

from rlnut import UsageError
from rlnut.control.health_plots import health_figure

pytestmark = pytest.mark.figures


def folder_with(path: Path, columns: dict[str, list[float | None]]) -> Path:
    path.mkdir()
    names = list(columns)
    rows = [",".join("" if x is None else repr(x) for x in row) for row in zip(*columns.values(), strict=True)]
    (path / "metrics.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    config = {"agent": "dqn", "env": {"id": "CartPole-v1"}, "seed": 3, "config": {"gamma": 0.99}}
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_curves_are_those_of_the_log_without_what_is_missing(tmp_path: Path):
    columns: dict[str, list[float | None]] = {"step": [10, 20, 30], "dead_units": [None, 0.25, 0.5]}
    columns |= {"delta_median": [0.1, 0.2, 0.3], "delta_90": [1, 2, 3], "delta_max": [4, None, 6]}
    columns |= {"target_drift": [None, None, None]}
    figure = health_figure(folder_with(tmp_path / "run", columns))
    deltas, dead = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Bellman error",
        "Hidden units that are never active",
    ]
    curves = {line.get_label(): line.get_xydata() for line in deltas.get_lines()}
    np.testing.assert_array_equal(curves["maximum"], [[10, 4], [30, 6]])
    np.testing.assert_array_equal(curves["median"], [[10, 0.1], [20, 0.2], [30, 0.3]])
    np.testing.assert_array_equal(dead.get_lines()[0].get_xydata(), [[20, 0.25], [30, 0.5]])


def test_the_command_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = folder_with(tmp_path / "run", {"step": [10, 20], "weight_norm": [1.0, 2.0]})
    out = tmp_path / "health.svg"
    status, told, _ = run_main(capsys, "plot", str(folder), "--health", f"--out={out}", "--json")
    assert status == 0 and json.loads(told) == {"out": str(out)} and "Norm of the weights" in out.read_text()


def test_a_log_without_such_numbers_is_refused(tmp_path: Path):
    folder = folder_with(tmp_path / "run", {"step": [10], "return": [1.0]})
    with pytest.raises(UsageError, match="no numbers of value health"):
        health_figure(folder)
