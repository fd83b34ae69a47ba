"""`rlnut plot DIR --values` and `--distributions`: figures of one run, and options that have no effect are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run_main
from helpers.policies import untrained

from rlnut.control.run_folder import CONFIG, POLICY, describe, identity
from rlnut.runtime.arrays import save_arrays
from rlnut.runtime.files import write_json

pytestmark = pytest.mark.figures


def run_folder(path: Path, env: str, agent: str = "dqn") -> Path:
    """The folder of a run that learned nothing."""
    policy = untrained(env, agent)
    assert policy.origin is not None
    path.mkdir()
    description = describe(policy.origin.config, env, policy.origin.training, 3, False)
    write_json(path / CONFIG, description)
    save_arrays(path / POLICY, policy.params, {"step": 7, "run": identity(description)})
    return path


def test_figures_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    lake = str(run_folder(tmp_path / "lake", "FrozenLake-v1"))
    status, out, err = run_main(capsys, "plot", lake, "--values", "--out=map.svg", "--json")
    assert status == 0 and out == '{"out": "map.svg"}\n' and err == "map.svg\n"
    text = (tmp_path / "map.svg").read_text()
    assert "dqn on FrozenLake-v1" in text and "seed 3" in text
    cart = str(run_folder(tmp_path / "cart", "CartPole-v1", "qr-dqn"))
    assert run_main(capsys, "plot", cart, "--values", "--dims=2", "--at=0,0,-0.5", "--out=line.svg")[0] == 0
    assert "pole angular velocity = -0.5 (as asked for)" in (tmp_path / "line.svg").read_text()
    status, _, err = run_main(capsys, "plot", lake, "--distributions")
    assert status == 2 and "c51, qr-dqn, iqn" in err and not (tmp_path / "distributions.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "--values", "--distributions"], "--values and --distributions are different figures"),
        (["a", "--health", "--distributions"], "--distributions and --health are different figures"),
        (["a", "b", "--health"], "--health draws one run, got 2"),
        (["a", "--dims=0,1"], "--dims has no effect without --values"),
        (["a", "--distributions", "--at=1"], "--at has no effect without --values"),
        (["a", "--trust"], "--trust has no effect without --values or --distributions"),
        (["a", "b", "--values"], "draws one run, got 2"),
    ],
)
def test_options_without_effect_are_refused(words: list[str], said: str, capsys: Any) -> None:
    status, _, err = run_main(capsys, "plot", *words)
    assert status == 2 and said in err
