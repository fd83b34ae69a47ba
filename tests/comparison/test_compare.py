"""`rlnut.compare` and the commands `plot` and `compare`, on run folders with chosen numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.commands import contents, run_main
from helpers.recorded_runs import recorded, seeds_of

import rlnut
from rlnut.comparison.curves import learning_curves
from rlnut.comparison.seed_summary import summarise_seeds
from rlnut.errors import RlnutError, UsageError

pytestmark = pytest.mark.figures


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """dqn and sarsa on one environment, four seeds each."""
    seeds_of(tmp_path / "runs" / "dqn", [1, 2, 3, 10])
    seeds_of(tmp_path / "runs" / "sarsa", [0, 2, 2, 4], agent="sarsa")
    return tmp_path / "runs"


def test_one_environment_is_compared_in_returns(two: Path):
    found = rlnut.compare(two, resamples=500)
    assert found.envs == ("CartPole-v1",) and found.labels == ("dqn", "sarsa") and found.normalisation.kind == "none"
    assert [found.estimates["iqm"][label].value for label in found.labels] == [2.5, 2]
    assert [found.estimates["mean"][label].value for label in found.labels] == [4, 2]
    assert [found.estimates["median"][label].value for label in found.labels] == [2.5, 2]
    assert "optimality_gap" not in found.estimates  # of returns, 1 is nothing in particular
    # of 16 pairs: 1 beats 0; 2 beats 0 and ties twice; 3 beats three; 10 beats four
    assert found.improvement["dqn", "sarsa"].value == pytest.approx((1 + 1 + 2 * 0.5 + 3 + 4) / 16)
    assert found.improvement["sarsa", "dqn"].value == pytest.approx(1 - 10 / 16)
    (low, high), (low2, high2) = (found.improvement[pair].ci95 for pair in (("dqn", "sarsa"), ("sarsa", "dqn")))  # type: ignore[misc]
    assert (low2, high2) == pytest.approx((1 - high, 1 - low))
    difference = found.differences["dqn", "sarsa"]
    assert difference.value == 0.5 and difference.paired
    assert found.profiles["dqn"].value[0] == 1 and found.profiles["dqn"].value[-1] == 0
    assert found.curves[0].steps.tolist() == [100, 200] and found.curves[0].band.value.tolist() == [0, 1]
    assert repr(found) == found.table()


def test_same_answer_twice_and_the_resamples_have_a_seed(two: Path):
    answers = [json.dumps(rlnut.compare(two, resamples=300, seed=seed).record(), default=np.ndarray.tolist)
               for seed in (0, 0, 1)]  # fmt: skip
    assert answers[0] == answers[1] != answers[2]


def test_an_agent_more_changes_nothing_of_the_others(two: Path):
    before = rlnut.compare(two, resamples=200)
    seeds_of(two / "a-third", [5, 6], agent="pqn")
    after = rlnut.compare(two, resamples=200)
    for label in before.labels:
        assert after.estimates["iqm"][label] == before.estimates["iqm"][label]
    assert after.improvement["dqn", "sarsa"] == before.improvement["dqn", "sarsa"]


def test_differences_are_paired_only_where_all_seeds_are_the_same(two: Path):
    recorded(two / "more", 9, (1.0,))  # dqn has a seed that sarsa has not
    found = rlnut.compare(two, resamples=200)
    assert not found.differences["dqn", "sarsa"].paired and "not paired" in found.table()


def test_several_environments_have_one_scale(tmp_path: Path):
    for env, factor in (("CartPole-v1", 1), ("Acrobot-v1", -100)):
        seeds_of(tmp_path / env / "dqn", [0 * factor, 4 * factor], env=env)
        seeds_of(tmp_path / env / "sarsa", [1 * factor, 2 * factor], env=env, agent="sarsa")
    found = rlnut.compare(tmp_path, resamples=200)
    assert found.normalisation.kind == "runs"
    assert found.normalisation.ranges == {"Acrobot-v1": (-400, 0), "CartPole-v1": (0, 4)}
    assert found.scores["dqn"]["CartPole-v1"].tolist() == [0, 1] and found.scores["dqn"]["Acrobot-v1"].tolist() == [
        1,
        0,
    ]
    assert found.estimates["mean"]["sarsa"].value == pytest.approx((0.375 + 0.625) / 2)
    assert found.estimates["optimality_gap"]["dqn"].value == pytest.approx(0.5)
    assert found.by_env["sarsa"]["CartPole-v1"].value == pytest.approx(0.375)
    assert any("lowest and highest score" in note for note in found.notes)
    given = rlnut.compare(tmp_path, resamples=200, normalise={"Acrobot-v1": (-500, 0), "CartPole-v1": (0, 10)})
    assert given.scores["dqn"]["Acrobot-v1"].tolist() == [1, 0.2]
    assert given.scores["sarsa"]["CartPole-v1"].tolist() == [0.1, 0.2]
    for wrong, said in (
        ("none", "no common scale"),
        ({"Acrobot-v1": (-500, 0)}, "give LOW,HIGH of CartPole-v1"),
        ({"Acrobot-v1": (0, 0), "CartPole-v1": (0, 1)}, "LOW must be below HIGH"),
        ({"CartPole": (0, 1)}, "unknown environment 'CartPole'. Did you mean CartPole-v1"),
        ("max", "unknown normalisation 'max'"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            rlnut.compare(tmp_path, normalise=wrong)


def test_only_environments_that_all_agents_have_are_compared(two: Path):
    seeds_of(two / "hill", [1, 2], env="MountainCar-v0")
    found = rlnut.compare(two, resamples=200)
    assert found.envs == ("CartPole-v1",)
    assert any("left out: dqn on MountainCar-v0" in note for note in found.notes)
    with pytest.raises(UsageError, match=r"no environment in common: sarsa: CartPole-v1; dqn: MountainCar-v0"):
        rlnut.compare(two / "sarsa", two / "hill")


def test_scores_of_the_curve_are_taken_where_all_runs_have_them(tmp_path: Path):
    recorded(tmp_path / "a", 0, curve={100: 1, 200: 3, 300: 50})
    recorded(tmp_path / "b", 0, curve={100: 2, 200: 6, 250: 9}, agent="sarsa")
    for score, expected in (("last", [3, 6]), ("curve", [2, 4])):
        found = rlnut.compare(tmp_path, score=score, resamples=200)
        assert [found.estimates["iqm"][label].value for label in found.labels] == expected
        assert "CartPole-v1: evaluations at 2 steps, 250 … 300 are left out: not every run has one there" in found.notes
    assert [c.steps.tolist() for c in found.curves] == [[100, 200, 300], [100, 200, 250]]  # each its own
    recorded(tmp_path / "c", 0, curve={7: 2}, agent="pqn")
    with pytest.raises(UsageError, match="no step at which every run"):
        rlnut.compare(tmp_path, score="last")


def test_notes_on_few_and_unequal_seeds(tmp_path: Path):
    seeds_of(tmp_path / "a", [1, 2, 3])
    recorded(tmp_path / "b", 0, agent="sarsa")
    found = rlnut.compare(tmp_path, resamples=200)
    assert any(n.startswith("dqn: intervals from 3 runs are too narrow") and "about 75 %" in n for n in found.notes)
    assert any(n.startswith("sarsa: no interval") for n in found.notes)
    assert found.estimates["iqm"]["sarsa"].ci95 is None and found.improvement["dqn", "sarsa"].ci95 is None


@pytest.mark.parametrize("count", [1, 4])
def test_one_agent_and_many(count: int, tmp_path: Path):
    """Of one there is nothing to be better than; more than three have numbers in the place of names."""
    for k in range(count):
        seeds_of(tmp_path / str(k), [k, k + 1, k + 2], lr=0.001 * (k + 1))
    found = rlnut.compare(tmp_path, resamples=200)
    above, below = found.figure().subfigs
    assert [len(above.axes), len(below.axes)] == [3, 2 if count == 1 else 3]
    assert ("P(row > column)" in found.table()) == (count > 1) == bool(found.improvement)
    if count > 1:
        lines = found.table().splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("P(row"))
        assert lines[start].split() == ["P(row", ">", "column)", "1", "2", "3", "4"]
        assert lines[start + 2].startswith("2  dqn lr=0.002  0.7778 [")  # (1.5 + 2.5 + 3)/9
        assert below.axes[2].texts[0].get_text() == "0.22"


def test_nothing_to_compare(tmp_path: Path):
    recorded(tmp_path / "a", 0, None)
    with pytest.raises(RlnutError, match=r"no finished run to compare.*not finished"):
        rlnut.compare(tmp_path)
    with pytest.raises(UsageError, match="unknown score 'finel'"):
        rlnut.compare(tmp_path, score="finel")
    with pytest.raises(UsageError, match="resamples must be"):
        rlnut.compare(tmp_path, resamples=3)


# --- the commands


def test_compare_answers_the_contract(capsys: pytest.CaptureFixture[str], two: Path, tmp_path: Path):
    before = contents(two)
    words = ["compare", str(two / "dqn"), str(two / "sarsa"), f"--out={tmp_path / 'a.svg'}", "--resamples=500"]
    status, out, err = run_main(capsys, *words, "--json")
    found = json.loads(out)
    assert status == 0 and out.count("\n") == 1 and contents(two) == before
    assert set(found) >= {"out", "iqm", "ci95", "per_run"} and found["out"] == str(tmp_path / "a.svg")
    assert found["iqm"] == {"dqn": 2.5, "sarsa": 2} and found["ci95"]["dqn"][0] < 2.5 < found["ci95"]["dqn"][1]
    assert [row["score"] for row in found["per_run"]] == [1, 2, 3, 10, 0, 2, 2, 4]
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    for said in ("CartPole-v1: mean return of the final evaluation", "IQM", "P(row > column)", "0.625 [", "paired"):
        assert said in err


def test_compare_takes_scales_from_the_command_line(capsys: pytest.CaptureFixture[str], two: Path, tmp_path: Path):
    words = ["compare", str(two), f"--out={tmp_path}", "--resamples=200", "--json"]
    _, out, _ = run_main(capsys, *words, "--normalise=CartPole-v1=0,10")
    found = json.loads(out)
    assert found["iqm"]["dqn"] == 0.25 and found["ranges"] == {"CartPole-v1": [0, 10]}
    assert found["optimality_gap"]["dqn"]["value"] == pytest.approx(1 - 0.4)
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    for wrong, said in (("CartPole-v1=3", "CartPole-v1=3"), ("CartPole-v1=a,b", "ENV=LOW,HIGH"), ("min", "'min'")):
        status, out, err = run_main(capsys, *words, f"--normalise={wrong}")
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_plot_draws_each_environment_and_agent(capsys: pytest.CaptureFixture[str], two: Path, tmp_path: Path):
    seeds_of(two / "hill", [1, 2], env="MountainCar-v0", curve={10: 5.0, 20: 7.0, 30: 8.0})
    (two / "hill" / "seed0" / "summary.json").unlink()
    path = tmp_path / "curves.pdf"
    status, out, err = run_main(capsys, "plot", str(two), f"--out={path}", "--json")
    found = json.loads(out)
    assert status == 0 and path.read_bytes().startswith(b"%PDF") and found["out"] == str(path)
    assert [(c["label"], c["env"], c["seeds"]) for c in found["curves"]] == [
        ("dqn", "CartPole-v1", [0, 1, 2, 3]), ("dqn", "MountainCar-v0", [1]), ("sarsa", "CartPole-v1", [0, 1, 2, 3]),
    ]  # fmt: skip
    assert found["curves"][1]["steps"] == [10, 20, 30] and found["curves"][1]["iqm"] == [5, 7, 8]
    assert found["curves"][1]["ci95"] == [[None, None]] * 3
    assert "not finished" in err and "step 30" in err


def test_plot_of_one_run_is_its_own_curve(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    from rlnut.control.plots import learning_curve

    run = recorded(tmp_path / "run", 0, None)
    assert run_main(capsys, "plot", str(run), f"--out={tmp_path / 'a.png'}")[0] == 0
    assert learning_curve(run, tmp_path / "b.png") is not None
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not (run / "curve.png").exists()
    empty = recorded(tmp_path / "empty", 0, None, curve={})
    status, _, err = run_main(capsys, "plot", str(empty), f"--out={tmp_path / 'c.png'}")
    assert status == 1 and "nothing has been logged" in err


@pytest.mark.parametrize("command", ["plot", "compare"])
def test_wrong_words_of_both(command: str, capsys: pytest.CaptureFixture[str], two: Path, tmp_path: Path):
    for words, said in (
        ([], "DIR"),
        ([str(tmp_path / "nowhere")], "is not a folder"),
        ([str(two), "--out=a.gif"], "a.gif"),
        ([str(two), "--outt=a.png"], "Did you mean --out"),
    ):
        status, out, err = run_main(capsys, command, *words)
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_unfinished_runs_are_drawn_so_far_where_no_other_is(tmp_path: Path):
    recorded(tmp_path / "a", 0, None, curve={10: 1, 20: 2})
    recorded(tmp_path / "b", 1, None, curve={10: 3})
    found = learning_curves(tmp_path)
    assert found.curves[0].steps.tolist() == [10] and found.curves[0].band.value.tolist() == [2]
    assert any("its curve so far" in note for note in found.notes)
    assert any("evaluations at step 20 are left out" in note for note in found.notes)


def test_the_summary_of_seeds_is_over_seeds(tmp_path: Path):
    """Episodes of a seed are no sample of what other seeds do: here they hardly differ, and seeds differ much."""
    for seed, mean in enumerate([100, 200, 300, 1000]):
        recorded(tmp_path / f"seed{seed}", seed, (mean - 1, mean, mean + 1))
    found = summarise_seeds(tmp_path, range(4))
    assert found is not None and found.scores.tolist() == [100, 200, 300, 1000]
    assert (found.iqm.value, found.mean.value, found.median.value) == (250, 400, 250)
    assert found.std == pytest.approx(np.std([100, 200, 300, 1000], ddof=1))
    assert found.ci95 is not None and found.ci95[0] >= 100 and found.ci95[1] > 400
    assert "4 seeds" in found.table() and (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
