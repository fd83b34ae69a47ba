"""The learning curve: made from the run folder's own files, readable as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlnut.control.plots import learning_curve
from rlnut.errors import RlnutError
from rlnut.runtime.log import COLUMNS, MetricsFile


def folder_with(path: Path, rows: list[dict[str, float]]) -> Path:
    (path / "config.json").write_text(json.dumps({"agent": "dqn", "env": {"id": "CartPole-v1"}, "seed": 3}))
    file = MetricsFile(path / "metrics.csv", COLUMNS)
    for row in rows:
        file.write(row)
    return path


def test_curve_shows_the_rows(tmp_path: Path):
    rows = [{"step": s, "return": s / 10, "delta": s, "value": -s, "eval_mean": s / 5} for s in range(0, 1000, 100)]
    path = learning_curve(folder_with(tmp_path, rows))
    assert path == tmp_path / "curve.png"
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape[0] > 400 and picture.shape[1] > 400
    for red, green, blue in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0x88, 0x88, 0x88)):
        near = np.abs(picture - (red, green, blue)).sum(-1) < 30
        assert near.sum() > 50, f"no line of colour {red:02x}{green:02x}{blue:02x}"


def test_same_numbers_same_picture(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
        learning_curve(folder_with(tmp_path / name, [{"step": 1, "return": 1.0}, {"step": 2, "return": 3.0}]))
    assert (tmp_path / "a" / "curve.png").read_bytes() == (tmp_path / "b" / "curve.png").read_bytes()


def test_no_rows_no_picture(tmp_path: Path):
    assert learning_curve(folder_with(tmp_path, [])) is None
    assert not (tmp_path / "curve.png").exists()


def test_damaged_numbers_are_said(tmp_path: Path):
    folder = folder_with(tmp_path, [])
    (folder / "metrics.csv").write_text("step,return\nx,y\n")
    with pytest.raises(RlnutError, match="is damaged"):
        learning_curve(folder)
