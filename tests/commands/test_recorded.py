"""`rlnut fit --config DIR`: the same bytes, with what is given here in the place of what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_main

from rlnut.runtime.files import read_json, write_json


def test_a_fit_is_repeated_to_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A user's file with a target, a share of test rows and classes, which config.json does not all hold."""
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(60, 2)), np.arange(60) % 3
    lines = ["a,b,kind", *(f"{r[0]:.3f},{r[1] + k:.3f},{k}" for r, k in zip(x, label, strict=True))]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    one, two, other = (str(tmp_path / name) for name in ("one", "two", "other"))
    words = ["fit", "mlp", str(tmp_path / "mine.csv"), "--target=kind", "--test", "0.4", "--classes=0,2", "--seed", "3"]
    words += ["--hidden=4", "--epochs=2", "--batch=8"]
    assert run_main(capsys, *words, "--out", one, "--json")[0] == 0
    for given in (one, f"{one}/config.json"):
        out = two if given == one else f"{two}b"
        status, printed, err = run_main(capsys, "fit", "--config", given, f"--out={out}", "--json")
        assert status == 0 and json.loads(printed)["repeats"]["same"] is True and "the same bytes as in" in err
        assert (Path(one) / "config.json").read_bytes() == (Path(out) / "config.json").read_bytes()
        assert read_json(Path(out) / "command.json")["words"] == words[1:]
    status, printed, err = run_main(capsys, "fit", f"--config={one}", "--seed=4", "--out", other, "--json")
    assert status == 0 and json.loads(printed)["repeats"]["same"] is None and "same" not in err
    assert read_json(Path(other) / "config.json")["seed"] == 4
    assert (Path(one) / "model.safetensors").read_bytes() != (Path(other) / "model.safetensors").read_bytes()
    (tmp_path / "mine.csv").write_text("\n".join(lines[:40]))
    status, printed, err = run_main(capsys, "fit", f"--config={one}", f"--out={two}c", "--json")
    assert json.loads(printed)["repeats"]["same"] is False and "not the same as in" in err


def test_what_cannot_be_repeated_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for config, expected in ((tmp_path / "none", "no such folder"), (tmp_path, "made in Python, or by an earlier")):
        status, _, err = run_main(capsys, "fit", f"--config={config}")
        assert status == 1 and expected in err and err.count("\n") == 1
    write_json(tmp_path / "command.json", {"rlnut": "0.0", "words": [1, 2]})
    status, _, err = run_main(capsys, "fit", f"--config={tmp_path}/config.json")
    assert status == 1 and "is damaged: words must be a list of text" in err
