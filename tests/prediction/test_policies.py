"""Policies by word, table and function, on finite problems and on environments."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from rlnut.cli import main
from rlnut.control.run_folder import load_policy
from rlnut.envs.blackjack_tables import blackjack
from rlnut.envs.tabular import from_env
from rlnut.envs.walks import chain_walk, random_walk
from rlnut.errors import UsageError
from rlnut.prediction.policies import as_table, on_env, split_softness
from rlnut.truth.dynamic_programming import epsilon_soft, policy_iteration

WALK = chain_walk()


def lean_right(obs: int) -> list[float]:
    return [0.25, 0.75]


def test_words() -> None:
    assert split_softness("optimal:0.1") == ("optimal", 0.1) and split_softness("module:function") == (
        "module:function",
        0.0,
    )
    assert split_softness("runs/x:behaviour:0.5") == ("runs/x:behaviour", 0.5) and split_softness("uniform") == (
        "uniform",
        0.0,
    )
    with pytest.raises(UsageError, match="as in optimal"):
        split_softness("optimal:1.5")


def test_tables() -> None:
    best = policy_iteration(WALK.mdp, 0.9).policy
    np.testing.assert_array_equal(as_table("optimal", WALK, 0.9), best)
    np.testing.assert_allclose(as_table("optimal:0.2", WALK, 0.9), 0.8 * best + 0.1)
    np.testing.assert_allclose(as_table(lean_right, WALK, 0.9), [[0.25, 0.75]] * 4)
    np.testing.assert_allclose(as_table(np.array([0, 1, 1, 0]), WALK, 0.9), np.eye(2)[[0, 1, 1, 0]])
    np.testing.assert_allclose(as_table(lambda s: s % 2, WALK, 0.9), np.eye(2)[[0, 1, 0, 1]])
    np.testing.assert_allclose(as_table(None, random_walk(5), 1.0), 0.5)
    allowed = np.array([[True, True, False]])
    np.testing.assert_allclose(epsilon_soft(np.array([[1.0, 0, 0]]), 0.5, allowed), [[0.75, 0.25, 0]])
    rows = epsilon_soft(np.array([[1.0, 0, 0], [0, 0, 1]]), np.array([[0.3], [0.6]]))
    np.testing.assert_allclose(rows, [[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]])


def test_files_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "pi.npy", np.array([[0.1, 0.9]] * 4))
    np.testing.assert_allclose(as_table(str(tmp_path / "pi.npy"), WALK, 0.9), [[0.1, 0.9]] * 4)
    (tmp_path / "mine_to_import.py").write_text("def pi(s):\n    return [0.3, 0.7]\n\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(as_table("mine_to_import:pi:0.5", WALK, 0.9), [[0.4, 0.6]] * 4)
    for word, message in (
        ("mine_to_import:number", "not a function"),
        ("mine_to_import:none", "cannot be imported"),
        ("elsewhere:pi", "cannot be imported"),
        ("missing.npy", "missing.npy"),
        ("optimum", "Did you mean"),
    ):
        with pytest.raises(UsageError, match=message):
            as_table(word, WALK, 0.9)


def test_policies_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of `rlnut train` is a policy: greedy, as it acted, and softened; with tables and without."""
    run, ring = str(tmp_path / "run"), from_env(gym.make("CliffWalking-v1"))
    assert ring is not None
    words = ["--steps", "300", "--epsilon-end", "0.2", "--seed", "0", "--out", run]
    assert main(["train", "q-learning", "CliffWalking-v1", *words]) == 0
    best = np.eye(4)[load_policy(run).q(np.arange(48)).argmax(-1)]
    assert len(np.unique(best.argmax(-1))) > 1
    np.testing.assert_allclose(as_table(run, ring, 1.0), best)
    np.testing.assert_allclose(as_table(run + ":behaviour", ring, 1.0), 0.8 * best + 0.05)
    np.testing.assert_allclose(as_table(run + ":0.4", ring, 1.0), 0.6 * best + 0.1)
    with pytest.raises(UsageError, match=r"has values \[4, 4\], this problem needs \[4, 2\]"):
        as_table(run, WALK, 0.9)
    with pytest.raises(UsageError, match=r"the saved policy is of another environment: .* was given .*; Discrete"):
        as_table(run, blackjack(), 1)
    host = on_env(run + ":behaviour", gym.spaces.Discrete(4), "here")
    assert host.chances is not None
    np.testing.assert_allclose(host.chances(np.arange(48)), 0.8 * best + 0.05)
    capsys.readouterr()
    policy = ["--policy", run, "--behaviour", run + ":behaviour"]
    assert main(["predict", "td", "CliffWalking-v1", *policy, "--steps", "200", "--gamma", "0.9", "--json"]) == 0


def test_functions_that_answer_wrongly() -> None:
    for wrong in (lambda s: [0.5, 0.6], lambda s: 2, lambda s: [1.0], lambda s: [np.nan, 1]):
        with pytest.raises(UsageError, match="polic"):
            as_table(wrong, WALK, 0.9)
    with pytest.raises(UsageError, match=r"0 … 1, got 0 … 5"):
        as_table(np.array([0, 1, 5, 0]), WALK, 0.9)


def test_on_an_environment() -> None:
    """Probabilities and draws agree, actions are counted from the space's start."""
    space, rng = gym.spaces.Discrete(3, start=5), np.random.default_rng(0)
    policy = on_env(lambda obs: [0.2, 0.5, 0.3], space, "here")
    assert policy.chances is not None
    np.testing.assert_allclose(policy.chances(np.zeros((2, 4))), [[0.2, 0.5, 0.3]] * 2)
    drawn = np.bincount([policy.act(np.zeros(4), rng) - 5 for _ in range(4000)]) / 4000
    np.testing.assert_allclose(drawn, [0.2, 0.5, 0.3], atol=4 * np.sqrt(0.25 / 4000))
    even = on_env("uniform:0.3", space, "here")
    assert even.chances is not None and {even.act(None, rng) for _ in range(50)} == {5, 6, 7}
    np.testing.assert_allclose(even.chances(np.zeros((1, 4))), [[1 / 3] * 3])


def test_continuous_actions() -> None:
    box, rng = gym.spaces.Box(-2.0, 2.0, (1,)), np.random.default_rng(0)
    assert on_env(None, box, "here").chances is None
    assert box.contains(on_env(None, box, "here").act(None, rng))
    assert on_env(lambda obs: np.array([obs]), box, "here").act(1.5, rng) == 1.5
    with pytest.raises(UsageError, match="bounded Box"):
        on_env(None, gym.spaces.Box(-np.inf, np.inf, (1,)), "here")
