"""Errors: a status for each kind, near misses first, then the whole list."""

from __future__ import annotations

import argparse
from importlib import import_module

import pytest

import rlnut
from rlnut.agents.catalogue import AGENTS, DQN
from rlnut.cli import main
from rlnut.errors import RlnutError, UsageError, distance, near_misses, unknown
from rlnut.other_names import AGENT_NAMES, OPTIONS, POLICY_LEARNERS


def command_options(words: str) -> list[str]:
    """The options that a command has after these words."""
    command, *rest = words.split()
    parser = argparse.ArgumentParser()
    import_module(f"rlnut.commands.{command.replace('-', '_')}").configure(parser, rest)
    return ["--seed", *(name for action in parser._actions for name in action.option_strings)]


def test_status():
    assert (RlnutError.status, UsageError.status) == (1, 2)
    assert issubclass(UsageError, RlnutError) and issubclass(UsageError, ValueError)


ENVIRONMENTS = ["CartPole-v1", "CartPole-v0", "Acrobot-v1", "Ant-v5", "Walker2d-v5", "MountainCar-v0", "rlnut/Cliff-v0"]
ENVIRONMENTS += [f"Other{i}Thing-v0" for i in range(60)]


@pytest.mark.parametrize(
    "given, near",
    [
        ("cartpole-v1", "CartPole-v1"), ("CartPol-v1", "CartPole-v1"), ("Acrobat-v1", "Acrobot-v1"),
        ("Cliff-v0", "rlnut/Cliff-v0"), ("MountainCar", "MountainCar-v0"), ("Catrpole-v1", "CartPole-v1"),
        ("Walker-v5", "Walker2d-v5"), ("dqm", "dqn"), ("DQN", "dqn"), ("dnq", "dqn"), ("double_dqn", "double-dqn"),
        ("sarsa_lamda", "sarsa-lambda"), ("reinbow", "rainbow"), ("--lrr", "--lr"), ("--hiden", "--hidden"),
        ("--epsilon-strat", "--epsilon-start"), ("--gama", "--gamma"), ("--drop", "--dropout"), ("retarce", "retrace"),
    ],
)  # fmt: skip
def test_a_slip_is_a_near_miss(given: str, near: str):
    names = [*ENVIRONMENTS, *AGENTS, "--lr", "--hidden", "--epsilon-start", "--epsilon-end", "--gamma", "--dropout"]
    assert near_misses(given, names)[0] == near


@pytest.mark.parametrize(
    "given",
    ["ALE/Pong-v5", "Pong-v5", "Breakout-v4", "Hex-v0", "ppo", "sac", "a2c", "--learning-rate", "--buffer-size", "--x",
     "--discount", "--verbose", "zzz", "", "x", "-", "y" * 1000],
)  # fmt: skip
def test_what_is_far_is_no_near_miss(given: str):
    options = ["--learning-starts", "--value-min", "--out", "--replay", "--lr", "--gamma", "--seed", "--eval-every"]
    assert near_misses(given, [*ENVIRONMENTS, *options]) == []
    if "-v" not in given:
        assert near_misses(given, AGENTS) == []


@pytest.mark.parametrize(
    "a, b, slips",
    [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "ac", 1), ("ca", "abc", 3)],
)
def test_distance(a: str, b: str, slips: int):
    assert distance(a, b) == distance(b, a) == slips


def test_short_lists_in_full_and_long_ones_in_part():
    assert str(unknown("task", "zzz", ["dqn", "abc"])) == "unknown task 'zzz'. Known: abc, dqn"
    names = [f"name{i:02d}" for i in range(40)]
    said = str(unknown("table", "zzz", names))
    assert said == f"unknown table 'zzz'. Known: {', '.join(names[:8])}, … (40 in all)"
    said = str(unknown("environment", "CartPol-v1", ENVIRONMENTS))
    assert said.startswith(
        "unknown environment 'CartPol-v1'. Did you mean CartPole-v1 or CartPole-v0? rlnut list shows"
    )
    assert all(len(str(unknown(kind, "?" * 9000, names * 9))) < 400 for kind in ("agent", "environment", "option", "a"))


def test_two_words_that_were_swapped():
    said = str(unknown("agent", "CartPole-v1", AGENTS, other="dqn"))
    assert said == "unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped"
    assert "swapped" not in str(unknown("agent", "CartPole-v1", AGENTS, other="Acrobot-v1"))


def test_learners_of_policies_are_answered_with_the_nearest_learner_of_values():
    for name, nearest in POLICY_LEARNERS.items():
        assert nearest in AGENTS and name not in AGENTS
        said = str(unknown("agent", name.upper(), AGENTS))
        assert "value functions" in said and said.endswith(f"Nearest to it: {nearest}")
    for name, ours in AGENT_NAMES.items():
        assert ours in AGENTS and name not in AGENTS
        assert str(unknown("agent", name.replace("-", "_"), AGENTS)).endswith(f": use {ours}")


OURS = {
    option.removeprefix("--")
    for words in ("train dqn", "train pqn", "train cql", "train sarsa-lambda", "predict td0", "fit mlp", "fit ridge",
                  "fit logistic", "evaluate x", "demo ohm", "figure 7.2", "check-env x")
    for option in command_options(words)
}  # fmt: skip


def test_every_option_that_is_advised_exists():
    assert set(OPTIONS) <= OURS
    assert not [name for names in OPTIONS.values() for name in names.split() if "_" in name or name != name.lower()]


@pytest.mark.parametrize(
    "line, advice",
    [
        ("train dqn CartPole-v1 --learning-rate 1", "unknown option '--learning-rate': use --lr"),
        ("train dqn CartPole-v1 --learning_rate=1", "unknown option '--learning_rate': use --lr"),
        ("train dqn CartPole-v1 --buffer-size 9", "unknown option '--buffer-size': use --replay"),
        ("train dqn CartPole-v1 --discount .9", "unknown option '--discount': use --gamma"),
        ("train dqn CartPole-v1 --total-timesteps 9", "use --steps"),
        ("train dqn CartPole-v1 --batch-size 9", "use --batch"),
        ("train dqn CartPole-v1 --target-update-interval 9", "use --target-every"),
        ("train dqn CartPole-v1 --tau .1", "use --target-rate"),
        ("train dqn CartPole-v1 --exploration-final-eps .1", "use --epsilon-end"),
        ("train dqn CartPole-v1 --n-envs 2", "use --num-envs"),
        ("train pqn CartPole-v1 --n-steps 2", "use --steps or --rollout"),
        ("train sarsa-lambda CartPole-v1 --lambda .5", "use --lam"),
        ("predict td0 CartPole-v1 --learning-rate .5", "use --alpha"),
        ("fit ridge diabetes --alpha .5", "use --lr or --l2"),
        ("fit mlp iris --max-iter 5", "use --epochs"),
        ("fit mlp iris --hidden-layer-sizes 5", "use --hidden"),
        ("train dqn CartPole-v1 --env Ant-v5", "the environment is named without an option"),
        ("train dqn CartPole-v1 --device cuda", "JAX_PLATFORMS"),
        ("train dqn CartPole-v1 --zzz 5", "unknown option '--zzz'. rlnut train dqn --help shows all"),
        ("train dqm CartPole-v1 --lr 1", "unknown agent 'dqm'. Did you mean dqn?"),
        ("train ppo CartPole-v1 --clip 1", "unknown agent 'ppo': it learns a policy"),
        ("train CartPole-v1 dqn", "unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped"),
        ("predict CartPole-v1 td0", "but 'td0' is one: the two are swapped"),
        ("fit iris mlp", "but 'mlp' is one: the two are swapped"),
        ("train dqn ALE/Pong-v5", "nothing that is loaded registers ALE/…; name its module in front, as in ale_py:ALE"),
        ("train dqn CartPole-v1 --hidden 64 64", "several values of --hidden have commas between them"),
        ("train dqn --hidden 64 64 CartPole-v1", "several values of --hidden have commas between them"),
        ("train dqn CartPole-v1 --hidden=64 64", "several values of --hidden have commas between them"),
        ("train dqn CartPole-v1 --lr 1 2", "unexpected argument '2': --lr takes one value"),
        ("train dqn CartPole-v1 --json 2", "unexpected argument '2' (see: rlnut train dqn --help)"),
        ("train dqn CartPole-v1 -5", "unexpected argument '-5'"),
        ("train dqn CartPole-v1 -²", "unknown option '-²'"),
        ("list all", "unexpected argument 'all' (see: rlnut list --help)"),
    ],
)
def test_advice_on_the_command_line(line: str, advice: str, capsys: pytest.CaptureFixture[str]):
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == "" and advice in said.err
    assert said.err.count("\n") == 1 and len(said.err) < 350


def test_advice_in_python_has_the_name_of_the_field():
    with pytest.raises(UsageError, match=r"^unknown DQN option 'learning_rate': use lr$"):
        DQN().replace(learning_rate=1e-3)
    with pytest.raises(UsageError, match=r"^unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped$"):
        rlnut.train("CartPole-v1", "dqn")
