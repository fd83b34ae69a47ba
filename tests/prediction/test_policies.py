"""Policies by word, table and function, on finite problems and on environments."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from rlnut import load_policy
from rlnut.cli import main
from rlnut.envs.blackjack_tables import blackjack
from rlnut.envs.spaces import observing_spec, spec_of
from rlnut.envs.tabular import from_env
from rlnut.envs.walks import chain_walk, random_walk
from rlnut.errors import UsageError
from rlnut.learner.spec import Choice
from rlnut.prediction.env_policies import Situation, on_env
from rlnut.prediction.policies import as_table, split_softness
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
    there = spec_of(gym.spaces.Discrete(48), gym.spaces.Discrete(4), Choice(), "here")
    np.testing.assert_allclose(on_env(run + ":behaviour", there).at(np.arange(48, dtype=np.int32)), 0.8 * best + 0.05)
    with pytest.raises(UsageError, match="the saved policy is of another environment: it was learned on"):
        on_env(run, there._replace(acts=spec_of(there.observation_space, gym.spaces.Discrete(5), Choice(), "").acts))
    capsys.readouterr()
    policy = ["--policy", run, "--behaviour", run + ":behaviour"]
    assert main(["predict", "td", "CliffWalking-v1", *policy, "--steps", "200", "--gamma", "0.9", "--json"]) == 0


def test_functions_that_answer_wrongly() -> None:
    for wrong in (lambda s: [0.5, 0.6], lambda s: 2, lambda s: [1.0], lambda s: [np.nan, 1]):
        with pytest.raises(UsageError, match="polic"):
            as_table(wrong, WALK, 0.9)
    with pytest.raises(UsageError, match=r"0 … 1, got 0 … 5"):
        as_table(np.array([0, 1, 5, 0]), WALK, 0.9)


def seen_by(count: int) -> Situation:
    return Situation(np.zeros((count, 4), np.float32), [np.zeros(4)] * count)


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(count)]


def test_on_an_environment() -> None:
    """Probabilities and draws agree, actions are counted from the space's start."""
    spec = spec_of(gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(3, start=5), Choice(), "here")
    policy = on_env(lambda obs: [0.2, 0.5, 0.3], spec)
    np.testing.assert_allclose(policy.at(np.zeros((2, 4))), [[0.2, 0.5, 0.3]] * 2)
    action, _ = policy.decide(seen_by(4000), rngs(4000))
    drawn = np.bincount([command - 5 for command in spec.commands(action)]) / 4000
    np.testing.assert_allclose(drawn, [0.2, 0.5, 0.3], atol=4 * np.sqrt(0.25 / 4000))
    even = on_env("uniform:0.3", spec)
    assert set(spec.commands(even.decide(seen_by(50), rngs(50))[0])) == {5, 6, 7}
    np.testing.assert_allclose(even.at(np.zeros((1, 4))), [[1 / 3] * 3])


def test_continuous_actions() -> None:
    box, seen = gym.spaces.Box(-2.0, 2.0, (1,)), gym.spaces.Box(-1, 1, (4,))
    free = on_env(None, observing_spec(seen, box, "here"))
    assert free.chances is None and box.contains(free.decide(seen_by(1), rngs(1))[0][0])
    own = on_env(lambda obs: obs[:1] + 1.5, observing_spec(seen, box, "here"))
    assert own.decide(seen_by(1), rngs(1))[0][0] == 1.5
    with pytest.raises(UsageError, match="bounded Box"):
        on_env(None, observing_spec(seen, gym.spaces.Box(-np.inf, np.inf, (1,)), "here"))


@pytest.mark.parametrize("kind", ["grid", "decoupled"])
def test_actions_of_several_numbers(kind: str) -> None:
    """A function answers with an action as the environment takes it, or with probabilities; ε goes to each choice."""
    space = gym.spaces.MultiDiscrete([2, 3], start=[1, 0])
    spec = spec_of(gym.spaces.Box(-1, 1, (4,)), space, Choice(kind), "here")
    chosen = on_env(lambda obs: np.array([2, 1]), spec)
    action, pi = chosen.decide(seen_by(1), rngs(1))
    assert pi is not None and pi.shape == (1, *spec.choices) and pi.max(-1).min() == 1
    np.testing.assert_array_equal(spec.command(action), [[2, 1]])
    many, _ = on_env(None, spec).decide(seen_by(600), rngs(600))
    each = np.array(spec.command(many))
    assert space.contains(each[0]) and sorted(set(map(tuple, each.tolist()))) == [
        (a, b) for a in (1, 2) for b in range(3)
    ]
    with pytest.raises(UsageError, match="must return an action of MultiDiscrete"):
        on_env(lambda obs: np.array([5, 5]), spec).at(np.zeros((1, 4), np.float32))
