"""The learning curve: made from the run folder's own files; every number that was logged can be seen in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from rlnut.control.plots import curve_figure, learning_curve
from rlnut.control.run_folder import POLICY
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.arrays import save_arrays
from rlnut.runtime.log import COLUMNS, MetricsFile

pytestmark = pytest.mark.figures
CONFIG: dict[str, Any] = {
    "agent": "dqn",
    "env": {"id": "CartPole-v1", "kwargs": {}},
    "seed": 3,
    "rlnut": "0.1.0",
    "config": {"gamma": 0.9, "lr": 1e-3},
    "training": {"eval_episodes": 7, "until": 400.0},
}
TRUTH = ("exact_value", "exact_return", "regret", "rmsve", "q_start", "return_discounted", "overestimation")


def folder_with(
    path: Path, rows: list[dict[str, float]], columns: tuple[str, ...] = COLUMNS, config: dict[str, Any] = CONFIG
) -> Path:
    (path / "config.json").write_text(json.dumps(config))
    file = MetricsFile(path / "metrics.csv", columns)
    for row in rows:
        file.write(row)
    return path


def figure_of(path: Path, rows: list[dict[str, float]], **more: Any) -> Figure:
    found = curve_figure(folder_with(path, rows, **more))
    assert found is not None
    return found


def labels(axis: Axes) -> list[str]:
    return axis.get_legend_handles_labels()[1]


def titles(figure: Figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes]


def test_curve_shows_the_rows(tmp_path: Path) -> None:
    rows = [{"step": s, "return": s / 10, "delta": s, "value": -s, "eval_mean": s / 5} for s in range(0, 1000, 100)]
    path = learning_curve(folder_with(tmp_path, rows))
    assert path == tmp_path / "curve.png"
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape[0] > 400 and picture.shape[1] > 400
    for red, green, blue in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0x56, 0xB4, 0xE9)):
        near = np.abs(picture - (red, green, blue)).sum(-1) < 30
        assert near.sum() > 50, f"no line of colour {red:02x}{green:02x}{blue:02x}"


def test_single_numbers_are_seen_and_panels_without_numbers_left_out(tmp_path: Path) -> None:
    figure = figure_of(tmp_path, [{"step": 200, "return": -900.0, "eval_mean": -800.0, "eval_std": 50.0}])
    assert titles(figure) == ["Return"]
    shown: Any = figure.axes[0].get_lines()
    lines = [line for line in shown if len(line.get_xdata()) == 1 and line.get_marker() == "o"]
    assert len(lines) == 2 and all(line.get_markersize() > 0 for line in lines)


def test_evaluations_have_their_spread_and_the_goals_are_lines(tmp_path: Path) -> None:
    rows = [{"step": s, "eval_mean": s / 5, "eval_std": 10.0} for s in (100, 200, 300)]
    save_arrays(tmp_path / POLICY, {"w": np.zeros(1)}, {"step": 200})
    axis: Any = figure_of(tmp_path, rows).axes[0]
    (band,) = axis.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == 10 and corners[:, 1].max() == 70
    assert "solved at 475" in labels(axis) and "stops at 400" in labels(axis)
    star = next(line for line in axis.get_lines() if line.get_label() == "returned policy (step 200)")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (200, 40)


def test_the_truth_is_drawn_where_it_was_logged(tmp_path: Path) -> None:
    rows = [{"step": s, "return": 1.0, "eval_mean": 1.0} | dict.fromkeys(TRUTH, s / 100) for s in (100, 10_000)]
    figure = figure_of(tmp_path, rows, columns=(*COLUMNS, *TRUTH))
    assert titles(figure) == ["Return", "Value of the start states", "Distance from the truth"]
    returns, values, errors = figure.axes
    assert "exact return of the greedy policy" in labels(returns)
    assert labels(values) == ["exact value of the greedy policy", "learned max q(s₀, a)", "realised by greedy episodes"]
    assert errors.get_yscale() == "log" and len(errors.get_lines()) == 2


def test_the_caption_says_what_the_numbers_depend_on(tmp_path: Path) -> None:
    figure = figure_of(tmp_path, [{"step": 12_000, "return": 1.0}, {"step": 24_000, "return": 2.0}])
    said = str(figure.get_supxlabel())
    for part in ("seed 3", "γ = 0.9", "α = 0.001", "7 greedy episodes", "trained with 0.1.0"):
        assert part in said
    figure.draw_without_rendering()
    assert "20,000" in [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    offline = CONFIG | {"config": {"gamma": 0.9, "iterations": 5}, "env": None}
    other = figure_of(tmp_path, [{"step": 1, "value": 1.0}], config=offline)
    assert other.axes[-1].get_xlabel() == "iterations"


def test_same_numbers_same_picture(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [{"step": 1, "return": 1.0}])
    one, other = (learning_curve(folder, tmp_path / f"{name}.svg") for name in "ab")
    assert one is not None and other is not None and one.read_bytes() == other.read_bytes()
    assert not (folder / "curve.png").exists()


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_format_is_that_of_the_ending(ending: str, start: bytes, tmp_path: Path) -> None:
    path = learning_curve(folder_with(tmp_path, [{"step": 1, "return": 1.0}]), tmp_path / f"curve.{ending}")
    assert path is not None and path.read_bytes().startswith(start)
    with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf"):
        learning_curve(tmp_path, tmp_path / "curve.bmp")


def test_no_rows_no_picture(tmp_path: Path) -> None:
    assert learning_curve(folder_with(tmp_path, [])) is None
    assert learning_curve(folder_with(tmp_path, [{"step": 5, "episodes": 0}])) is None
    assert not (tmp_path / "curve.png").exists()


def test_damaged_numbers_are_said(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [])
    (folder / "metrics.csv").write_text("step,return\nx,y\n")
    with pytest.raises(RlnutError, match="is damaged"):
        learning_curve(folder)
