"""`--log` of train, resume, fit and predict, and what is said of a wrong one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_main

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT = ["--steps=60", "--eval-every=30", "--eval-episodes=1", "--final-episodes=1", "--log-every=20"]
WALK = "rlnut/RandomWalk5-v0"


def event_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).parent.as_posix() for path in folder.rglob("events.out.tfevents.*"))


def test_seeds_have_folders_of_their_own_and_resume_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    board, out = tmp_path / "board", tmp_path / "runs"
    words = ["train", "q-learning", WALK, *SHORT, "--seeds=2", "--jobs=1", f"--log=tensorboard:{board}"]
    assert run_main(capsys, *words, f"--out={out}")[0] == 0
    assert event_files(board) == ["seed0", "seed1"]
    more = ["--steps=90", f"--log=tensorboard:{board / 'seed1'}"]
    assert run_main(capsys, "resume", str(out / "seed1"), *more)[0] == 0
    assert event_files(board) == ["seed0", "seed1", "seed1"]
    again = run_main(capsys, "train", "q-learning", WALK, *SHORT, f"--log=tensorboard:{board / 'seed0'}")
    assert again[0] == 2 and "holds event files already: choose another folder" in again[2]


def test_fit_and_predict_log_too(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    np.save(tmp_path / "rows.npy", np.arange(40.0).reshape(-1, 2))
    table = [
        "fit",
        "mlp",
        f"--data={tmp_path / 'rows.npy'}",
        "--target=1",
        "--task=regression",
        "--hidden=4",
        "--epochs=2",
    ]
    for k, words in enumerate((table, ["predict", "td0", WALK, "--steps=100"])):
        status, _, err = run_main(capsys, *words, "--log=tensorboard", f"--out={tmp_path / str(k)}")
        assert status == 0, err
        assert event_files(tmp_path / str(k)) == ["tensorboard"]
    assert run_main(capsys, *table, "--log=tensorboard")[0] == 2  # nowhere to put them


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (
            "--log=tensorbord:x",
            "unknown logger 'tensorbord'. Did you mean tensorboard? Known: mlflow, tensor",
        ),
        ("--log=wandb", "needs the package wandb: pip install 'rlnut[wandb]'"),
        ("--tensorboard=x", "use --log"),
        ("--wandb-project=x", "use --log"),
    ],
)
@pytest.mark.parametrize("words", [["train", "dqn", WALK], ["resume", "x"], ["predict", "td0", WALK]])
def test_a_wrong_logger_is_one_line(
    words: list[str], word: str, reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    status, out, err = run_main(capsys, *words, word)
    assert (status, out) == (2, "") and err.count("\n") == 1 and reason in err
