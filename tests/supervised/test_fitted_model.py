"""What a fit leaves: predictions in the data's own words, and a folder that is read back or refused."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.problems import blobs, halves, line

import rlnut
from rlnut.errors import RlnutError, UsageError
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import load
from rlnut.supervised.scaling import scale_of


def test_scaling_by_hand():
    scale = scale_of(np.array([[1.0, 5.0], [3.0, 5.0]]), True)
    assert scale.forth(np.array([[5.0, 6.0]])).tolist() == [[3.0, 1.0]]  # a constant column keeps its unit
    assert scale.back(np.array([[3.0, 1.0]])).tolist() == [[5.0, 6.0]]


def test_predict_refuses_other_rows():
    found = fit("softmax", halves(*blobs(40)), epochs=1, progress=False)
    with pytest.raises(UsageError, match=r"x must be numbers \[rows, 2\]"):
        found.predict(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="row 0, column 1"):
        found.predict(np.array([[0, np.nan]]))
    with pytest.raises(UsageError, match="not among the classes"):
        found.score(np.zeros((1, 2)), ["bottom"])
    regressed = fit("mlp", halves(*line(40)), epochs=1, progress=False)
    with pytest.raises(UsageError, match="regresses"):
        regressed.predict_proba(np.zeros((1, 3)))


def test_an_output_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        fit("softmax", halves(*blobs(40)), out=tmp_path)
    assert (tmp_path / "kept").read_text() == "mine"


def test_damaged_folders_are_refused(tmp_path):
    fit("softmax", halves(*blobs(40)), epochs=1, out=tmp_path / "a", progress=False)
    fit(rlnut.linear(), halves(*blobs(40)), epochs=1, out=tmp_path / "b", progress=False)
    with pytest.raises(RlnutError, match="named model"):
        load(tmp_path / "b")
    assert load(tmp_path / "b", rlnut.linear()).predict(np.zeros((1, 2))).shape == (1,)
    (tmp_path / "a" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RlnutError, match="damaged"):
        load(tmp_path / "a")
    with pytest.raises(RlnutError, match="missing"):
        load(tmp_path / "nowhere")
