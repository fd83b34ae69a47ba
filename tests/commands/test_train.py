"""Commands as a stranger meets them: what each answers, and wrong words: one line, a status, nothing overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import SHORT, contents, run_main

import rlnut
from rlnut.control.evaluate import OVERESTIMATION
from rlnut.control.run_folder import BEFORE, CHECKPOINT, CONFIG, FORWARD, POLICY
from rlnut.runtime.files import read_json
from rlnut.runtime.log import COLUMNS, read_metrics

pytestmark = [pytest.mark.usefixtures("broken"), pytest.mark.usefixtures("shared_programs")]


# --- what the commands answer


def test_a_run_leaves_its_folder(trained: Path):
    assert {path.name for path in trained.iterdir()} == {
        CONFIG, POLICY, FORWARD, CHECKPOINT, BEFORE, "metrics.csv", "curve.png", "summary.json",
    }  # fmt: skip
    config = json.loads((trained / CONFIG).read_text())
    assert config["agent"] == "dqn" and config["seed"] == 0 and config["config"]["hidden"] == [8]
    assert config["env"] == {"id": "CartPole-v1", "kwargs": {}} and config["training"]["steps"] == 120
    rows = read_metrics(trained / "metrics.csv")
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS and set(OVERESTIMATION) <= set(rows[0])
    assert [row["step"] for row in rows] == [40, 64, 80, 120]
    assert all(np.isfinite(row["eval_mean"]) == (row["step"] in (64, 120)) for row in rows)
    assert (trained / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_train_and_its_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path):
    words = ["train", "dqn", "CartPole-v1", *SHORT, "--seeds=2", "--num-envs=2", "--json", f"--out={tmp_path / 'a'}"]
    status, out, err = run_main(capsys, *words)
    found = json.loads(out.splitlines()[-1])
    assert status == 0 and out.count("\n") == 1
    assert set(found) >= {"agent", "env", "seeds", "steps", "wall_s", "compile_s", "steps_per_s", "eval", "out"}
    assert (found["agent"], found["env"], found["seeds"], found["steps"]) == ("dqn", "CartPole-v1", [0, 1], 120)
    assert set(found["eval"]) >= {"mean", "std", "episodes", "returns"}
    returns = found["eval"]["returns"]
    assert found["eval"]["episodes"] == len(returns) == 6 and found["eval"]["mean"] == pytest.approx(np.mean(returns))
    assert found["out"] == str(tmp_path / "a") and (tmp_path / "a" / "seed1" / POLICY).exists()
    means = [np.mean(one["eval"]["returns"]) for one in found["runs"]]
    assert found["eval"]["std"] == pytest.approx(np.std(means, ddof=1))  # over seeds, not over all their episodes
    assert found["iqm"] == pytest.approx(np.mean(means)) and found["ci95"] == pytest.approx(sorted(means))
    assert read_json(tmp_path / "a" / "summary.json") == found
    assert (tmp_path / "a" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert f"{found['iqm']:.4g} [{min(means):.4g}, {max(means):.4g}]" in err and "95 % interval over seeds" in err
    for words_of_plan in ("updates", "ε", "replay", "MiB", "120"):
        assert words_of_plan in err
    status, _, _ = run_main(capsys, "resume", str(tmp_path / "a" / "seed1"), "--steps=144")
    both, one = read_json(tmp_path / "a" / "summary.json"), read_json(tmp_path / "a" / "seed1" / "summary.json")
    assert status == 0 and [run["steps"] for run in both["runs"]] == [120, 144]  # all seeds are summarised anew
    means[1] = np.mean(one["eval"]["returns"])
    assert both["iqm"] == pytest.approx(np.mean(means)) and both["seeds"] == [0, 1]


def test_evaluate_and_its_json(capsys: pytest.CaptureFixture[str], trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trained.parent)
    before = contents(trained)
    answers = []
    for _ in range(2):
        status, out, _err = run_main(capsys, "evaluate", "run", "--episodes=4", "--seed=5", "--json")
        assert status == 0 and out.count("\n") == 1
        answers.append(json.loads(out))
    assert answers[0] == answers[1] and set(answers[0]) >= {"mean", "std", "ci95", "returns", "lengths"}
    found = answers[0]
    assert len(found["returns"]) == len(found["lengths"]) == 4 and found["returns"] == found["lengths"]
    assert found["ci95"][0] <= found["mean"] <= found["ci95"][1]
    assert contents(trained) == before


def test_evaluate_in_another_environment_and_on_film(capsys: pytest.CaptureFixture[str], copy: Path, tmp_path: Path):
    film = tmp_path / "film.gif"
    words = ["evaluate", str(copy), "--episodes=1", "--env=CartPole-v0", f"--video={film}", "--json"]
    status, out, _ = run_main(capsys, *words)
    assert status == 0 and max(json.loads(out)["lengths"]) <= 200 and film.read_bytes()[:6] == b"GIF89a"
    assert run_main(capsys, *words)[0] == 2, "the film is there already"


def test_resume_and_its_json(capsys: pytest.CaptureFixture[str], copy: Path):
    status, out, err = run_main(capsys, "resume", str(copy), "--steps=160", "--json")
    found = json.loads(out)
    assert status == 0 and found["steps"] == 160 and found["seeds"] == [0] and "not exact" not in err
    assert set(found) >= {"agent", "env", "seeds", "steps", "wall_s", "compile_s", "steps_per_s", "eval", "out"}
    assert [row["step"] for row in read_metrics(copy / "metrics.csv")] == [40, 64, 80, 120, 160]
    status, _, err = run_main(capsys, "resume", str(copy), "--steps=160")
    assert status == 2 and "160 steps already" in err


def test_the_default_folder_is_new_each_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from rlnut.commands.train import default_folder

    monkeypatch.chdir(tmp_path)
    assert default_folder("dqn", "rlnut/Cliff-v0", 3) == Path("runs/dqn-rlnut-Cliff-v0-seed3")
    (tmp_path / "runs" / "dqn-rlnut-Cliff-v0-seed3").mkdir(parents=True)
    assert default_folder("dqn", "rlnut/Cliff-v0", 3) == Path("runs/dqn-rlnut-Cliff-v0-seed3-2")


# --- wrong words: status 2


@pytest.mark.parametrize(
    "words, said",
    [
        ("trian dqn CartPole-v1", "unknown command 'trian'. Did you mean train"),
        ("train", "required: AGENT, ENV"),
        ("train dqn", "required: ENV"),
        ("train dqm CartPole-v1", "unknown agent 'dqm'. Did you mean dqn"),
        ("train dqn CartPol-v1", "unknown environment 'CartPol-v1'. Did you mean CartPole-v1"),
        ("train dqn Nothing-v0", "unknown environment 'Nothing-v0'. rlnut list envs shows all"),
        ("train dqn CartPole-v9", "there is CartPole-v0, CartPole-v1"),
        ("train dqn Taxi-v3", "Taxi-v4"),
        ("train dqn nomodule:Foo-v0", "nomodule"),
        (
            "train dqn Broken-v0 --env-arg observation=Text",
            "Text observations are not supported; allowed: Box, Discrete",
        ),
        ("train dqn CartPole-v1 --env-arg foo=1", "unknown argument of CartPole-v1 'foo'"),
        ("train dqn CartPole-v1 --env-arg foo", "NAME=VALUE"),
        ("train dqn CartPole-v1 --env-arg id=1", "unknown argument of CartPole-v1 'id'"),
        ("train dqn CartPole-v1 --env-arg max_episode_steps=0", "positive"),
        ("train dqn FrozenLake-v1 --env-arg map_name=9x9", "'9x9'"),
        ("train dqn CartPole-v1 --lrr 1", "unknown option '--lrr'. Did you mean --lr"),
        ("train dqn CartPole-v1 extra", "extra"),
        ("train dqn CartPole-v1 --lr", "--lr: expected one argument"),
        ("train dqn CartPole-v1 --lr=abc", "'abc' is not of type float"),
        ("train dqn CartPole-v1 --lr=nan", "lr must be a finite number"),
        ("train dqn CartPole-v1 --lr=-1", "lr must be > 0, got -1.0"),
        ("train dqn CartPole-v1 --lr=1e300", "lr must be > 0 and <= 3e+38"),
        ("train --seed 3 dqn CartPole-v1 --lr=-1", "lr must be > 0"),
        ("train --no-preset dqn --lr=-1 CartPole-v1", "lr must be > 0"),
        ("train dqn CartPole-v1 --gamma=1.1", "gamma must be >= 0 and <= 1"),
        ("train dqn CartPole-v1 --hidden=64,x", "'x' is not of type int"),
        ("train dqn CartPole-v1 --hidden=0", "hidden must be >= 1"),
        ("train dqn CartPole-v1 --batch=1.5", "'1.5' is not of type int"),
        ("train dqn CartPole-v1 --loss=hubre", "unknown loss 'hubre'. Did you mean huber"),
        ("train dqn CartPole-v1 --double=3", "--double"),
        ("train dqn CartPole-v1 --steps=0", "steps must be >= 1"),
        ("train dqn CartPole-v1 --steps=5e9", "steps must be >= 1 and <= 2147483647"),
        ("train dqn CartPole-v1 --num-envs=0", "num_envs must be >= 1"),
        ("train dqn CartPole-v1 --seeds=0", "--seeds must be >= 1"),
        ("train dqn CartPole-v1 --seed=-1", "--seed must be >= 0"),
        ("train dqn CartPole-v1 --seed=4294967296", "--seed must be >= 0 and < 2**32"),
        ("train dqn CartPole-v1 --steps=100", "0 updates: learning starts at step 1,000"),
        ("train dqn CartPole-v1 --replay=1000000000000", "MiB are free; give a smaller --replay"),
        ("train dqn CartPole-v1 --hidden=1000000,1000000", "give a smaller --hidden"),
        ("train dqn CartPole-v1 --batch=2000000000", "give a smaller --hidden, --batch"),
        ("train dqn CartPole-v1 --replay=10 --train-every=100", "give --replay 200 or more"),
        ("train dqn CartPole-v1 --gradient-steps=1e9 --steps=1e9", "updates: at most 2,147,483,647"),
        ("train cql CartPole-v1 --eval-every=5", "--eval-every has no effect with an offline agent"),
        ("train fqi CartPole-v1 --log-every=5", "--log-every has no effect with an offline agent"),
        ("train dqn CartPole-v1 --out=/dev/null/x", "cannot make the folder /dev/null/x"),
        ("evaluate . --episodes=0", "--episodes must be >= 1"),
        ("evaluate . --video=a.avi", ".gif"),
        ("evaluate . --video=nowhere/a.gif", "nowhere is not a folder"),
        ("evaluate . --episodes=x", "'x' is not of type int"),
        ("resume . --steps=x", "'x' is not of type int"),
        ("check-env CartPol-v1", "Did you mean CartPole-v1"),
        ("check-env Broken-v0 --env-arg observation=Text", "Text observations are not supported"),
        ("fit cn mnist", "unknown model 'cn'. Did you mean cnn"),
        ("fit cnn mnits", "unknown dataset 'mnits'. Did you mean mnist"),
        ("fit mlp mnist --epochs=0", "epochs must be >= 1"),
        ("fit mlp mnist --dropot=0", "unknown option '--dropot'. Did you mean --dropout"),
        ("fit mlp mnist --drop=0", "drop is for your own file"),
    ],
)
def test_wrong_words(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    status, out, err = run_main(capsys, *words.split(), "--json")
    assert (status, out) == (2, "")
    assert said in err and err.startswith("rlnut: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "something was written"


@pytest.mark.skipif(shutil.which("swig") is not None, reason="Box2D may be installed here")
def test_an_environment_whose_package_is_missing(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("gymnasium")
    try:
        import Box2D  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        status, _, err = run_main(capsys, "train", "dqn", "LunarLander-v3")
        assert status == 2 and "needs a package that is not installed" in err and "box2d" in err.lower()


def test_a_folder_that_exists_is_left_alone(capsys: pytest.CaptureFixture[str], copy: Path, tmp_path: Path):
    before = contents(tmp_path)
    for words in (["train", "dqn", "CartPole-v1", *SHORT], ["train", "dqn", "CartPole-v1", *SHORT, "--seeds=2"]):
        for out in (copy, copy / CONFIG):
            status, _, err = run_main(capsys, *words, f"--out={out}")
            assert status == 2 and "exists already" in err
    assert contents(tmp_path) == before


def test_medians_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Huber far out learns medians: returns are −1 or 20 by chance, 4.25 in the mean, and huber's minimum is −2/3."""
    words = ["train", "dqn", "Broken-v0", *SHORT, "--env-arg=luck=20", "--n-step=1", "--gamma=0", "--lr=0.02"]
    words += ["--steps=1200", "--batch=64", "--replay=2000", "--log-every=600", "--eval-every=1200"]
    for loss, value in (("huber", -2 / 3), ("squared", 4.25)):
        status, _, err = run_main(capsys, *words, f"--loss={loss}", f"--out={tmp_path / loss}")
        assert status == 0 and ("note: |δ| is" in err and "--loss squared" in err) == (loss == "huber")
        q = rlnut.load_policy(tmp_path / loss).q(np.zeros(2, np.float32))
        np.testing.assert_allclose(q, value, atol=1.5)


def test_a_choice_takes_back_what_a_preset_sets_for_another(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """MountainCar's preset has target-every; with --target polyak it means nothing and goes, the rest of it stays."""
    words = ["train", "dqn", "MountainCar-v0", *SHORT, "--target=polyak", f"--out={tmp_path / 'a'}"]
    status, _, err = run_main(capsys, *words)
    assert status == 0 and "epsilon_steps 30000" in err and "target_every" not in err
    status, _, err = run_main(capsys, *words[:-1], "--target-every=7", f"--out={tmp_path / 'b'}")
    assert status == 2 and "target_every has no effect here" in err


def test_a_preset_s_numbers_go_with_what_they_were_measured_for(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Taxi's ε may end at 0, a temperature may not; and its step size is a table's, not a network's."""
    words = ["train", "sarsa", "Taxi-v4", "--steps=200", "--final-episodes=1"]
    for k, (choice, here, gone) in enumerate(
        [("explore=boltzmann", "lr", "epsilon"), ("features=mlp:4", "epsilon", "lr")]
    ):
        status, _, err = run_main(capsys, *words, f"--{choice}", f"--out={tmp_path / str(k)}")
        line = next(line for line in err.splitlines() if line.startswith("preset"))
        assert status == 0 and f" {here}" in line and f" {gone}" not in line and "eval_episodes 200" in line
        assert " steps " not in line and "final_episodes" not in line  # the user's own
