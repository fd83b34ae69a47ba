"""What a fit leaves: predictions in the data's own words, and a folder that is read back or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.problems import blobs, halves, line
from safetensors.numpy import save_file

import rlnut
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import read_json, write_json
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


@pytest.fixture(scope="module")
def fitted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit with a scale for x; look, don't touch."""
    folder = tmp_path_factory.mktemp("fit") / "fit"
    fit("mlp", halves(*blobs(40)), epochs=1, hidden=(4,), progress=False, out=folder)
    return folder


@pytest.mark.parametrize("how", ["by hand", "with a new checksum", "without a checksum"])
@pytest.mark.parametrize("change", [{"classes": ["a", "b"]}, {"model": "cnn"}, {"config": "activation"}])
def test_an_edited_fit_is_refused(how: str, change: dict[str, Any], fitted_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(fitted_folder, tmp_path / "copy"))
    found = json.loads((folder / "config.json").read_text())
    stated = found.pop("sha256")
    found |= {"config": found["config"] | {"activation": "tanh"}} if "config" in change else change
    if how == "with a new checksum":
        write_json(folder / "config.json", found)
    else:
        (folder / "config.json").write_text(json.dumps(found | ({"sha256": stated} if how == "by hand" else {})))
    with pytest.raises(RlnutError, match=r"config\.json .*(edited|is not the one that)"):
        load(folder)


def test_every_flipped_bit_of_a_fit_is_refused_or_harmless(fitted_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(fitted_folder, tmp_path / "copy"))
    x, path = np.array([[0.5, -0.25], [2.0, 1.0]]), folder / "model.safetensors"
    expected, whole = load(folder).outputs(x).tolist(), path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert load(folder).outputs(x).tolist() == expected
        except RlnutError as error:
            assert "model.safetensors" in str(error) and "\n" not in str(error)


def test_numbers_that_are_not_finite_and_newer_versions_are_refused(fitted_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(fitted_folder, tmp_path / "copy"))
    stored = read_arrays(folder / "model.safetensors")
    arrays = {name: np.full_like(array, np.nan) for name, array in stored.arrays.items()}
    save_file(arrays, folder / "model.safetensors", {"meta": json.dumps(stored.meta)})
    with pytest.raises(RlnutError, match=r"model\.safetensors is damaged: it holds numbers that are not finite"):
        load(folder)
    write_json(folder / "config.json", read_json(folder / "config.json") | {"rlnut": "99.0.0"})
    with pytest.raises(RlnutError, match=r"was written by rlnut 99\.0\.0"):
        load(folder)


def test_a_fit_of_an_earlier_version_is_read(fitted_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = Path(shutil.copytree(fitted_folder, tmp_path / "copy"))
    save_file(read_arrays(folder / "model.safetensors").arrays, folder / "model.safetensors", {"meta": "{}"})
    for name in ("config.json", "summary.json"):
        (folder / name).write_text(json.dumps(read_json(folder / name), indent=1))
    x = np.zeros((3, 2))
    assert load(folder).outputs(x).tolist() == load(fitted_folder).outputs(x).tolist()
    assert capsys.readouterr().err == ""


def test_saving_makes_the_folder(tmp_path: Path) -> None:
    found = fit("linear", halves(*line(40)), quiet=True)
    found.save(tmp_path / "new" / "fit")
    x = np.ones((2, 3))
    np.testing.assert_array_equal(load(tmp_path / "new" / "fit").predict(x), found.predict(x))
